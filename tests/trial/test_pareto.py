"""The Pareto front against its definition, and ties."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metanas.trial import Status, TrialRecord, best_trial, comparable, pareto_front


def record(number: int, *values: float, status: Status | None = Status.COMPLETE) -> TrialRecord:
    return TrialRecord(number=number, decisions={}, canonical_id=str(number), status=status, values=values or None)


def dominated(costs: np.ndarray, row: int) -> bool:
    return any((c <= costs[row]).all() and (c < costs[row]).any() for c in costs)


@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"], ["minimize", "minimize", "maximize"]])
def test_front_is_what_nothing_dominates(directions: list[str]) -> None:
    rng = np.random.default_rng(0)
    signs = np.array([-1 if d == "maximize" else 1 for d in directions])
    for n in (1, 2, 30):
        values = rng.integers(0, 6, size=(n, len(directions))).astype(float)
        expected = [i for i in range(n) if not dominated(values * signs, i)]
        assert pareto_front(values, directions) == expected


def test_rows_that_are_not_finite_are_never_on_the_front() -> None:
    assert pareto_front([[math.nan, 1], [math.inf, 0], [0.5, 3]], ["maximize", "minimize"]) == [2]
    assert pareto_front([], ["maximize", "minimize"]) == []


def test_front_refuses_other_shapes_and_directions() -> None:
    with pytest.raises(ValueError, match="2 columns"):
        pareto_front([[1.0]], ["maximize", "minimize"])
    with pytest.raises(ValueError, match="up"):
        pareto_front([[1.0]], ["up"])


def test_best_trial_breaks_ties_by_the_next_objective_then_by_number() -> None:
    trials = [record(0, 0.9, 20.0), record(1, 0.9, 10.0), record(2, 0.9, 10.0), record(3, 0.8, 1.0)]
    best = best_trial(trials, ["maximize", "minimize"])
    assert best is not None
    assert best.number == 1
    assert best.number in pareto_front([t.values for t in trials], ["maximize", "minimize"])


def test_best_trial_passes_over_what_cannot_be_compared() -> None:
    bad = [record(0), record(1, math.nan), record(2, 9.0, status=Status.FAILED), record(3, 9.0, status=None)]
    assert best_trial(bad, ["maximize"]) is None
    assert comparable([*bad, record(4, 0.1, status=Status.PRUNED)]) == [record(4, 0.1, status=Status.PRUNED)]
    best = best_trial([*bad, record(4, 0.1)], ["minimize"])
    assert best is not None
    assert best.number == 4
