"""Rungs: which trials end early (asynchronous successive halving)."""

import math

import pytest

from metanas.study._pruning import Rungs
from metanas.trial import TrialRecord


def record(number: int, **curve: float) -> TrialRecord:
    """A trial with a value after each epoch, as ``e3=0.5``."""
    values = {int(name[1:]): value for name, value in curve.items()}
    return TrialRecord(
        number=number, decisions={}, canonical_id="", status=None, curve=values, epochs=max(values, default=0)
    )


def stops(rungs: Rungs, reporting: TrialRecord, others: list[TrialRecord]) -> bool:
    """What is said of a trial that reports after the others."""
    for other in [*others, reporting]:
        rungs.update(other)
    return rungs.stops(reporting)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.9, False), (0.61, False), (0.6, False), (0.45, True), (0.35, True), (0.05, True)]
)
def test_the_best_third_of_nine_goes_on(value: float, expected: bool) -> None:
    others = [record(n, e3=n / 10) for n in range(8)]  # 0.0 ... 0.7
    assert stops(Rungs([3, 9], "maximize"), record(8, e3=value), others) is expected


def test_less_is_better_when_minimizing() -> None:
    others = [record(n, e3=n / 10) for n in range(8)]
    assert not stops(Rungs([3, 9], "minimize"), record(8, e3=0.1), others)
    assert stops(Rungs([3, 9], "minimize"), record(8, e3=0.5), others)


def test_the_first_trials_go_on() -> None:
    rungs = Rungs([1, 4], "maximize")  # the best quarter
    assert not stops(rungs, record(0, e1=0.9), [])
    assert not stops(rungs, record(2, e1=0.1), [record(1, e1=0.8)])
    assert stops(rungs, record(3, e1=0.1), [])


def test_only_at_rungs_and_never_at_the_last() -> None:
    rungs = Rungs([2, 4, 8], "maximize")
    others = [record(n, e1=0.9, e2=0.9, e3=0.9, e4=0.9, e8=0.9) for n in range(10)]
    said = [stops(rungs, record(10, **{f"e{epoch}": 0.0}), others) for epoch in range(1, 9)]
    assert said == [False, True, False, True, False, False, False, False]


def test_trials_that_did_not_reach_the_rung_do_not_count() -> None:
    others = [record(n, e1=0.9) for n in range(10)]
    assert not stops(Rungs([1, 2, 4], "maximize"), record(10, e1=0.95, e2=0.1), others)


def test_equal_values_go_on_together() -> None:
    others = [record(n, e1=0.5) for n in range(10)]
    assert not stops(Rungs([1, 3], "maximize"), record(10, e1=0.5), others)


def test_another_attempt_replaces_the_value_of_the_one_before() -> None:
    rungs = Rungs([1, 2], "maximize")
    rungs.update(record(0, e1=0.9))
    rungs.update(record(0, e1=0.3))
    assert not stops(rungs, record(1, e1=0.5), []), "0.3 is all there is to beat"


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_the_worst_and_leaves_the_others_in_order(direction: str, value: float) -> None:
    rungs, sign = Rungs([1, 3, 9], direction), 1 if direction == "maximize" else -1
    others = [record(n, e1=sign * n / 10) for n in range(8)]
    assert stops(rungs, record(8, e1=value), others)
    for _ in range(3):  # it changes again when it ends
        rungs.update(record(8, e1=value))
    assert stops(rungs, record(9, e1=sign * 0.1), [])
    assert not stops(rungs, record(10, e1=sign * 0.9), [])


def test_trials_without_a_number_go_on_together() -> None:
    assert not stops(Rungs([1, 3], "maximize"), record(9, e1=math.nan), [record(n, e1=math.nan) for n in range(9)])
