"""Rungs: which trials end early (asynchronous successive halving)."""

import pytest

from metanas.study._pruning import Rungs
from metanas.trial import TrialRecord


def record(number: int, **curve: float) -> TrialRecord:
    """A trial with a value after each epoch, as ``e3=0.5``."""
    values = {int(name[1:]): value for name, value in curve.items()}
    return TrialRecord(
        number=number, decisions={}, canonical_id="", status=None, curve=values, epochs=max(values, default=0)
    )


@pytest.mark.parametrize(("value", "stops"), [(0.9, False), (0.61, False), (0.6, False), (0.35, True), (0.05, True)])
def test_the_best_third_of_nine_goes_on(value: float, stops: bool) -> None:
    others = [record(n, e3=n / 10) for n in range(8)]  # 0.0 ... 0.7
    assert Rungs([3, 9], "maximize").stops(record(8, e3=value), [*others, record(8, e3=value)]) is stops


def test_less_is_better_when_minimizing() -> None:
    others = [record(n, e3=n / 10) for n in range(8)]
    assert not Rungs([3, 9], "minimize").stops(record(8, e3=0.1), others)
    assert Rungs([3, 9], "minimize").stops(record(8, e3=0.5), others)


def test_the_first_trials_go_on() -> None:
    rungs = Rungs([1, 4], "maximize")  # the best quarter
    assert not rungs.stops(record(0, e1=0.1), [])
    assert not rungs.stops(record(2, e1=0.1), [record(0, e1=0.9), record(1, e1=0.8)])
    assert rungs.stops(record(3, e1=0.1), [record(0, e1=0.9), record(1, e1=0.8), record(2, e1=0.7)])


def test_only_at_rungs_and_never_at_the_last() -> None:
    rungs = Rungs([2, 4, 8], "maximize")
    others = [record(n, e1=0.9, e2=0.9, e3=0.9, e4=0.9, e8=0.9) for n in range(10)]
    stops = [rungs.stops(record(10, **{f"e{epoch}": 0.0}), others) for epoch in range(1, 9)]
    assert stops == [False, True, False, True, False, False, False, False]


def test_trials_that_did_not_reach_the_rung_do_not_count() -> None:
    others = [record(n, e1=0.9) for n in range(10)]
    assert not Rungs([1, 2, 4], "maximize").stops(record(10, e1=0.95, e2=0.1), others)


def test_equal_values_go_on_together() -> None:
    others = [record(n, e1=0.5) for n in range(10)]
    assert not Rungs([1, 3], "maximize").stops(record(10, e1=0.5), others)
