"""The numbers of ``metanas status``."""

from __future__ import annotations

import json

import pytest

from metanas.report import status_table
from metanas.trial import Status, TrialRecord

OBJECTIVES = (("accuracy", "maximize"),)


def record(number: int, status: Status | None, value: float | None = None, **more: object) -> TrialRecord:
    values = None if value is None else (value,)
    return TrialRecord(number=number, decisions={}, canonical_id=str(number), status=status, values=values, **more)  # type: ignore[arg-type]


def test_counts_times_and_best() -> None:
    table = status_table(
        [
            record(0, Status.COMPLETE, 0.8, seconds=4.0, started=10.0, ended=14.0, metrics={"params": 7.0}),
            record(1, Status.COMPLETE, 0.9, seconds=2.0, started=11.0, ended=15.0, metrics={"params": 9.0}),
            record(2, Status.COMPLETE, 0.9, duplicate_of=1, started=15.0, ended=15.0),
            record(3, Status.DIVERGED, seconds=3.0, started=15.0, ended=19.0),
            record(4, None, started=19.0),
        ],
        OBJECTIVES,
    )
    assert table.trials == 5
    assert table.counts == {"complete": 3, "diverged": 1, "running": 1}
    assert status_table([record(4, None, started=19.0)], OBJECTIVES, under_way=False).counts == {"cut_off": 1}
    assert (table.evaluations, table.duplicates) == (3, 1)
    assert (table.best, table.values, table.metrics) == (1, {"accuracy": 0.9}, {"params": 9.0})
    assert table.seconds == 9.0
    assert table.mean_seconds == pytest.approx(3.0)
    assert table.elapsed == 9.0
    assert json.loads(json.dumps(table.to_json(), allow_nan=False))["counts"]["complete"] == 3


def test_no_trials_and_no_values_are_fine() -> None:
    for trials in (
        [],
        [record(0, None, started=1.0)],
        [record(0, Status.COMPLETE, float("nan"), metrics={"x": float("nan")})],
    ):
        table = status_table(trials, OBJECTIVES)
        assert table.best is None
        assert table.values == {}
        json.dumps(table.to_json(), allow_nan=False)
