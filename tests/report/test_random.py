"""The comparison with random search: its estimate against enumeration, and what it admits not to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from metanas.report._random import compare_with_random, expected_best, random_line
from metanas.trial import Status, TrialRecord


def record(number: int, value: float | None, origin: str) -> TrialRecord:
    status = Status.FAILED if value is None else Status.COMPLETE
    values = None if value is None else (value,)
    return TrialRecord(
        number=number, decisions={}, canonical_id=str(number), status=status, values=values, origin=origin
    )


@pytest.mark.parametrize("m", [1, 3, 6])
def test_expected_best_is_the_mean_over_all_subsets(m: int) -> None:
    draws = np.array([0.3, -np.inf, 0.9, 0.5, 0.5, -0.2])
    bests = [max(s) for s in combinations(draws, m)]
    expected = np.mean([b for b in bests if np.isfinite(b)])
    assert expected_best(draws[None], m)[0] == pytest.approx(expected)


def test_without_a_success_nothing_is_expected() -> None:
    assert np.isnan(expected_best(np.full((1, 4), -np.inf), 2)[0])


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1.0), ("minimize", -1.0)])
def test_directions_mirror_each_other(direction: str, sign: float) -> None:
    values = [0.2, None, 0.4, 0.6, 0.3, 0.5, 0.7, 0.8, None]
    trials = [record(i, None if v is None else sign * v, "random" if i < 6 else "local") for i, v in enumerate(values)]
    found = compare_with_random(trials, direction, np.random.default_rng(0))
    assert found is not None
    assert (found.random, found.guided, found.compared) == (6, 3, 3)
    assert found.reached == sign * 0.8
    assert sign * found.expected == pytest.approx(
        np.mean([max(s) for s in combinations([0.2, -np.inf, 0.4, 0.6, 0.3, 0.5], 3)])
    )
    assert found.low < found.expected < found.high
    assert found.wins == pytest.approx((6 + 6 + 0.5) / 18)


def test_the_comparison_stops_at_the_number_of_random_trials() -> None:
    trials = [record(i, i / 10, "random" if i < 5 else "evolution") for i in range(20)]
    found = compare_with_random(trials, "maximize", np.random.default_rng(0))
    assert found is not None
    assert (found.compared, found.reached) == (5, 0.9)
    line, note = random_line("evolution", trials, found)
    assert "first 5 guided trials reached 0.9" in line
    assert "20 trials in all" in note


def test_what_was_reached_is_what_was_measured() -> None:
    ended = [replace(record(i, 0.5 + i / 100, "random"), curve={1: 0.2, 3: 0.5 + i / 100}, epochs=3) for i in range(6)]
    stopped = replace(record(6, 0.3, "meta"), status=Status.PRUNED, curve={1: 0.3}, epochs=1)
    found = compare_with_random([*ended, stopped], "maximize", np.random.default_rng(0))
    assert found is not None
    assert found.reached == 0.3
    line, note = random_line("meta", [*ended, stopped], found)
    assert "reached 0.3000;" in line
    assert "stopped early count" in note


def test_what_is_not_known_is_said(trials: Callable[..., list[TrialRecord]]) -> None:
    none = [record(i, 0.5, "") for i in range(30)]
    line, note = random_line("evolution", none, compare_with_random(none, "maximize", np.random.default_rng(0)))
    assert "not known" in line
    assert "search.strategy=random" in note
    few = [record(i, 0.5, "random" if i < 3 else "local") for i in range(30)]
    assert compare_with_random(few, "maximize", np.random.default_rng(0)) is None
    assert "only 3 of its 30" in random_line("local", few, None)[0]
    assert "itself random" in random_line("random", none, None)[0]
    start = [record(i, 0.5, "random") for i in range(9)]
    assert compare_with_random(start, "maximize", np.random.default_rng(0)) is None
    assert "nothing to compare yet" in random_line("evolution", start, None)[0]


def test_chance_is_named_when_it_suffices() -> None:
    rng = np.random.default_rng(3)
    same = [record(i, float(v), "random" if i < 20 else "local") for i, v in enumerate(rng.permutation(40) / 40)]
    found = compare_with_random(same, "maximize", np.random.default_rng(0))
    assert found is not None
    assert found.p > 0.05
    assert "chance may explain" in random_line("local", same, found)[0]
