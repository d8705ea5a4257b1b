"""What is special to evaluating in the calling process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metanas.testing.engine_contract import make_job, run_one
from metanas.trial import EpochReport, Job, Result, Status
from metanas.worker import InlineEngine, Reported

HERE = {"evaluator": {"python": f"{__name__}:Noting"}, "allow_python": True}
noted: list[str] = []


class Noting:
    """Notes what it does in this process."""

    def __init__(self, setup: Any, *, device: str, threads: int) -> None:
        noted.clear()

    def evaluate(self, job: Job, report: Callable[[EpochReport], Status | None]) -> Result:
        """Note each epoch, and the end whatever it be."""
        if "interrupt" in job.decisions:
            raise KeyboardInterrupt
        if "fail" in job.decisions:
            raise ValueError(job.decisions["fail"])
        time.sleep(float(job.decisions.get("sleep", 0)))
        metrics: dict[str, Any] = {"value": np.float32(0.1), "count": np.int64(3)}
        try:
            for epoch in range(1, job.epochs + 1):
                noted.append(f"epoch {epoch}")
                report(EpochReport(job_id="", epoch=np.int64(epoch), metrics=metrics))  # type: ignore[arg-type]
        finally:
            noted.append("end")
        return Result(job_id=job.id, status=Status.COMPLETE, metrics=metrics)


def test_an_evaluation_stands_still_between_two_calls() -> None:
    with InlineEngine(HERE) as engine:
        engine.submit(make_job(1))
        assert noted == []
        for epoch in (1, 2, 3):
            *_, event = engine.events(0)
            assert isinstance(event, Reported)
            assert event.report.epoch == epoch
            assert noted[-1] == f"epoch {epoch}"
        engine.events(0)
        assert noted[-1] == "end"


def test_closing_unwinds_the_evaluation() -> None:
    with InlineEngine(HERE) as engine:
        engine.submit(make_job(1))
        engine.events(0)
    assert noted == ["epoch 1", "end"]


def test_an_interrupt_reaches_the_caller() -> None:
    with InlineEngine(HERE) as engine:
        engine.submit(make_job(1, interrupt=1))
        with pytest.raises(KeyboardInterrupt):
            engine.events(0)


def test_numbers_of_numpy_become_plain() -> None:
    with InlineEngine(HERE) as engine:
        engine.submit(make_job(1))
        report = engine.events(0)[-1]
        assert isinstance(report, Reported)
        assert report.report.job_id == make_job(1).id
        assert type(report.report.epoch) is int
    with InlineEngine(HERE) as engine:
        metrics = run_one(engine, make_job(1)).metrics
    assert metrics == {"value": float(np.float32(0.1)), "count": 3.0}
    assert {type(value) for value in metrics.values()} == {float}


def test_an_evaluation_that_tells_no_seconds_is_timed() -> None:
    began = time.perf_counter()
    with InlineEngine(HERE) as engine:
        result = run_one(engine, make_job(1, sleep=0.05))
    assert result.seconds is not None
    assert 0.05 <= result.seconds <= time.perf_counter() - began


def test_an_exception_is_told_on_one_line_and_logged_whole(caplog: pytest.LogCaptureFixture) -> None:
    text = "first line\n\n  second line " + "x" * 5000
    with InlineEngine(HERE) as engine:
        result = run_one(engine, make_job(1, fail=text))
    assert result.message.startswith("ValueError: first line second line xxx")
    assert "x… (" in result.message
    assert result.message.endswith("in evaluate)")
    assert len(result.message) < 700
    assert text in caplog.text
