"""Rules that stop trials early: rungs of several objectives, learning curves, Optuna's pruners."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metanas.report import status_table
from metanas.study import SearchResult
from metanas.study._curves import CurveRule
from metanas.study._pruning import FrontRungs
from metanas.trial import Status, TrialRecord

TWO = ("maximize", "minimize")


def at_rung(number: int, *point: float, epoch: int = 3) -> TrialRecord:
    return TrialRecord(
        number=number, decisions={}, canonical_id="", status=None, curve={epoch: point[0]}, points={epoch: point}, epochs=epoch,
    )  # fmt: skip


def stops(rule: FrontRungs, reporting: TrialRecord, others: list[TrialRecord]) -> bool:
    for other in [*others, reporting]:
        rule.update(other)
    return rule.stops(reporting)


# --- rungs of several objectives


@pytest.mark.parametrize(
    ("point", "expected"),
    [((0.95, 9.0), False), ((0.1, 0.5), False), ((0.5, 5.0), True), ((0.65, 2.5), False), ((0.2, 9.0), True)],
)
def test_a_trial_on_the_front_goes_on_whichever_objective_put_it_there(
    point: tuple[float, float], expected: bool
) -> None:
    others = [at_rung(n, n / 10, 9.0 - n) for n in range(8)]  # each better than the one before in both
    assert stops(FrontRungs([3, 9], TWO), at_rung(8, *point), others) is expected


def test_of_a_front_that_is_too_large_those_far_from_others_go_on() -> None:
    # All on one front, of which a third goes on: both ends, and the loneliest.
    points = [
        (0.0, 0.0),
        (0.1, 0.1),
        (0.15, 0.15),
        (0.2, 0.2),
        (0.25, 0.25),
        (0.3, 0.3),
        (0.65, 0.65),
        (0.95, 0.95),
        (1.0, 1.0),
    ]
    said = {}
    for own in range(len(points)):
        others = [at_rung(n, *point, epoch=1) for n, point in enumerate(points) if n != own]
        said[own] = stops(FrontRungs([1, 3], TWO), at_rung(own, *points[own], epoch=1), others)
    assert [own for own, stopped in said.items() if not stopped] == [0, 6, 8]


def test_an_objective_known_at_the_end_only_is_left_out_at_rungs() -> None:
    others = [at_rung(n, n / 10, float("nan")) for n in range(8)]
    assert stops(FrontRungs([3, 9], TWO), at_rung(8, 0.1, float("nan")), others)
    assert not stops(FrontRungs([3, 9], TWO), at_rung(8, 0.9, float("nan")), others)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_trial_without_a_number_of_its_own_is_the_worst_and_leaves_no_objective_out(bad: float) -> None:
    others = [at_rung(n, n / 10, 9.0 - n) for n in range(8)]
    rule = FrontRungs([3, 9], TWO)
    assert stops(rule, at_rung(8, bad, bad), others)
    assert stops(rule, at_rung(9, 0.1, 9.0), [])
    assert stops(rule, at_rung(10, 0.3, bad), [])
    assert not stops(rule, at_rung(11, 0.9, bad), []), "best by one objective"


def test_a_search_with_two_objectives_keeps_what_it_compared_and_goes_on_after_a_stop(toy: Any) -> None:
    folder = toy.create(
        objective={"maximize": "accuracy", "minimize": "params"}, fidelity={"epochs": [1, 3, 9]},
        search={"trials": 40, "strategy": "random"},
    )  # fmt: skip
    toy.session(folder, stop_after=15)
    toy.session(folder)
    result = SearchResult.load(folder.path)
    pruned = [trial for trial in result.trials if trial.status is Status.PRUNED]
    assert pruned
    assert all(set(trial.points) == {epoch for epoch in (1, 3) if epoch <= trial.epochs} for trial in result.trials)
    assert {trial.epochs for trial in pruned} <= {1, 3}
    front = {trial.number for trial in result.pareto}
    assert front
    table = status_table(result.trials, result.objectives)
    assert table.epochs_saved == sum(9 - trial.epochs for trial in pruned)
    assert table.epochs == sum(trial.epochs for trial in result.trials if trial.duplicate_of is None)


# --- learning curves


def complete(number: int, last: float, epochs: int = 10, noise: float = 0.0) -> TrialRecord:
    rng = np.random.default_rng(number)
    curve = {e: last * (1 - 0.5**e) + noise * rng.normal() for e in range(1, epochs + 1)}
    return TrialRecord(
        number=number, decisions={}, canonical_id="", status=Status.COMPLETE, curve=curve, values=(curve[epochs],), epochs=epochs,
    )  # fmt: skip


def running(curve: dict[int, float]) -> TrialRecord:
    return TrialRecord(number=99, decisions={}, canonical_id="", status=None, curve=curve, epochs=max(curve))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_curve_that_cannot_reach_the_best_is_stopped(sign: int) -> None:
    rule = CurveRule("maximize" if sign > 0 else "minimize")
    for number in range(12):
        record = complete(number, 0.5 + 0.03 * number, noise=0.003)
        flipped = {epoch: sign * value for epoch, value in record.curve.items()}
        rule.update(
            TrialRecord(
                number=number, decisions={}, canonical_id="", status=Status.COMPLETE, curve=flipped, values=(flipped[10],), epochs=10,
            )
        )  # fmt: skip
    bad, good = {1: sign * 0.25, 2: sign * 0.375}, {1: sign * 0.43, 2: sign * 0.645}
    assert rule.stops(running(bad))
    assert not rule.stops(running(good))


def test_nothing_is_stopped_before_enough_trials_have_gone_to_the_end() -> None:
    rule = CurveRule("maximize", complete=8)
    for number in range(7):
        rule.update(complete(number, 0.5 + 0.03 * number))
    assert rule.probability({1: 0.0}, 1) is None
    assert not rule.stops(running({1: 0.0}))


def test_where_curves_foretell_nothing_nothing_is_stopped() -> None:
    rng = np.random.default_rng(0)
    rule = CurveRule("maximize", percent=2)
    for number in range(12):
        record = complete(number, 0.5)
        values = {**record.curve, 1: float(rng.uniform()), 10: float(rng.uniform())}
        rule.update(
            TrialRecord(
                number=number, decisions={}, canonical_id="", status=Status.COMPLETE, curve=values, values=(values[10],), epochs=10,
            )
        )  # fmt: skip
    said = [rule.probability({1: float(value)}, 1) for value in rng.uniform(size=20)]
    assert all(probability is not None and probability > 0.02 for probability in said)


def test_probabilities_are_calibrated_on_curves_with_noise() -> None:
    """Of many trials that are given about 30 %, about 30 % do end above the best."""
    rng = np.random.default_rng(1)
    given, happened = [], []
    for _ in range(300):
        first = rng.normal(size=13)
        last = 0.8 * first + 0.5 * rng.normal(size=13)
        rule = CurveRule("maximize")
        for number in range(12):
            curve = {1: float(first[number]), 2: float(last[number])}
            rule.update(
                TrialRecord(
                    number=number, decisions={}, canonical_id="", status=Status.COMPLETE, curve=curve, values=(curve[2],), epochs=2,
                )
            )  # fmt: skip
        probability = rule.probability({1: float(first[12])}, 1)
        assert probability is not None
        given.append(probability)
        happened.append(last[12] > last[:12].max())
    assert np.mean(given) == pytest.approx(np.mean(happened), abs=0.04)


def test_a_search_stops_by_curves_and_says_what_it_saved(toy: Any) -> None:
    _, trials = toy.search(
        search={"trials": 40, "strategy": "random"}, fidelity={"epochs": 6, "stop": {"curve": {"complete": 5}}}
    )
    pruned = [trial for trial in trials if trial.status is Status.PRUNED]
    assert pruned
    best = max(trials, key=lambda trial: sum(trial.decisions.values()))
    assert best.status is Status.COMPLETE
    table = status_table(trials, [("accuracy", "maximize")])
    assert table.epochs_saved == sum(6 - trial.epochs for trial in pruned) > 0


# --- Optuna's pruners


@pytest.mark.parametrize(
    ("stop", "epochs"),
    [
        ("optuna:hyperband", 9),
        ({"optuna:hyperband": {"min_resource": 1, "reduction_factor": 2}}, 8),
        ("optuna:successive_halving", [1, 3, 9]),
        ({"optuna:median": {"n_startup_trials": 3}}, 9),
        ({"optuna:percentile": {"percentile": 30.0}}, 9),
    ],
)
def test_optunas_pruners_stop_trials_also_after_a_resume(toy: Any, stop: Any, epochs: Any) -> None:
    folder = toy.create(search={"trials": 40, "strategy": "random"}, fidelity={"epochs": epochs, "stop": stop})
    toy.session(folder, stop_after=10)
    toy.session(folder)
    result = SearchResult.load(folder.path)
    assert {trial.status for trial in result.trials} == {Status.COMPLETE, Status.PRUNED}
    last = epochs if isinstance(epochs, int) else epochs[-1]
    assert {trial.epochs for trial in result.trials if trial.status is Status.COMPLETE} == {last}
    assert {trial.state.name for trial in result.study.trials} == {"COMPLETE", "PRUNED"}
    late = [trial for trial in result.trials if trial.number > 12]
    assert any(trial.status is Status.PRUNED for trial in late)


def test_hyperband_has_brackets_that_stop_at_different_epochs(toy: Any) -> None:
    _, trials = toy.search(
        search={"trials": 60, "strategy": "random"}, fidelity={"epochs": [1, 3, 9], "stop": "optuna:hyperband"}
    )
    assert {trial.epochs for trial in trials} == {1, 3, 9}
