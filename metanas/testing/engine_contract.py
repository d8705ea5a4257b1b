"""The contract suite for engines.

A plug-in's tests subclass a contract under a name that begins with ``Test``, and say how an engine is made::

    class TestMyEngine(ProcessEngineContract):
        def make_engine(self, setup, workers, folder):
            return MyEngine(setup, workers)
"""

# ruff: noqa: D102  (the names of the tests say it)

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metanas.errors import MetanasError
from metanas.testing.evaluators import SCRIPTED_SETUP, score
from metanas.trial import Job, Result, Scalar, Status
from metanas.worker import Ended, Engine, Event, Reported, Started, all_spooled, drop_spooled, read_spooled

_PATIENCE = 30.0
"""Seconds after which something that should have happened has not."""


def make_job(number: int, *, epochs: int = 3, attempt: int = 0, **decisions: Scalar) -> Job:
    """A job for a :class:`~metanas.testing.evaluators.ScriptedEvaluator`."""
    return Job(
        id=f"{number}.{attempt}",
        trial=number,
        attempt=attempt,
        decisions={"x": number} | decisions,
        epochs=epochs,
        seed=number,
    )


def listen(engine: Engine) -> Iterator[Event]:
    """The engine's events one by one; fails when none comes for long."""
    last = time.monotonic()
    while True:
        events = engine.events(0.5)
        last = time.monotonic() if events else last
        yield from events
        assert time.monotonic() - last < _PATIENCE, "the engine says nothing any more"


def run_jobs(engine: Engine, jobs: Iterable[Job], *, on_event: Callable[[Event], None] = lambda _: None) -> list[Event]:
    """Feed the engine with ``jobs``; all events until each has ended."""
    waiting = list(jobs)
    left = {job.id for job in waiting}
    heard: list[Event] = []
    events = listen(engine)
    while left:
        while waiting and engine.free:
            engine.submit(waiting.pop(0))
        event = next(events)
        heard.append(event)
        on_event(event)
        if isinstance(event, Ended):
            left.remove(event.result.job_id)
    return heard


def results_of(events: Iterable[Event]) -> dict[str, Result]:
    """The result of each job that ended; fails where one ended twice."""
    results: dict[str, Result] = {}
    for event in events:
        if isinstance(event, Ended):
            assert event.result.job_id not in results, f"{event.result.job_id} ended twice"
            results[event.result.job_id] = event.result
    return results


def run_one(engine: Engine, job: Job) -> Result:
    """The result of one job."""
    return results_of(run_jobs(engine, [job]))[job.id]


def is_running(pid: int) -> bool:
    """Whether the process exists and has not ended (a zombie has)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    if Path("/proc/self/stat").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pids: Iterable[int], seconds: float) -> set[int]:
    """The processes among ``pids`` that still run after at most ``seconds``."""
    left, deadline = set(pids), time.monotonic() + seconds
    while (left := {pid for pid in left if is_running(pid)}) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _job_of(event: Event) -> str:
    if isinstance(event, Reported):
        return event.report.job_id
    return event.result.job_id if isinstance(event, Ended) else event.job_id


class EngineContract(ABC):
    """What every engine does."""

    @abstractmethod
    def make_engine(self, setup: Mapping[str, Any], workers: int, folder: Path) -> Engine:
        """An engine of ``workers`` workers (fewer if it cannot have as many) that may write into ``folder``."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        """An engine of two workers with scripted evaluators."""
        with self.make_engine(SCRIPTED_SETUP, 2, tmp_path) as engine:
            yield engine

    def test_each_job_starts_reports_in_order_and_ends_once_with_the_exact_result(self, engine: Engine) -> None:
        jobs = [make_job(number, epochs=1 + number % 3) for number in range(8)]
        events = run_jobs(engine, jobs)
        for job in jobs:
            started, *reported, ended = (event for event in events if _job_of(event) == job.id)
            values = [score(job.decisions, epoch, job.seed) for epoch in range(1, job.epochs + 1)]
            assert isinstance(started, Started)
            assert started.worker
            assert [event.report.epoch for event in reported if isinstance(event, Reported)] == [
                *range(1, job.epochs + 1)
            ]
            assert [event.report.metrics["value"] for event in reported if isinstance(event, Reported)] == values
            assert isinstance(ended, Ended)
            assert ended.result.status is Status.COMPLETE
            assert ended.result.metrics["value"] == values[-1]
            assert ended.result.epochs == job.epochs
        assert engine.free == engine.capacity

    def test_free_counts_down_to_a_refusal(self, engine: Engine) -> None:
        assert engine.free == engine.capacity >= 1
        jobs = [make_job(number, sleep=0.05) for number in range(engine.capacity)]
        for left, job in zip(range(engine.capacity - 1, -1, -1), jobs, strict=True):
            engine.submit(job)
            assert engine.free == left
        with pytest.raises(MetanasError, match="free worker"):
            engine.submit(make_job(100))
        with pytest.raises(MetanasError, match="once"):
            engine.submit(jobs[0])

    def test_an_idle_engine_says_nothing_in_time(self, engine: Engine) -> None:
        run_one(engine, make_job(0))
        began = time.monotonic()
        assert engine.events(0.0) == []
        assert engine.events(0.05) == []
        assert time.monotonic() - began < 1

    @pytest.mark.parametrize("status", [Status.CANCELLED, Status.PRUNED])
    def test_a_cancelled_job_ends_after_its_epoch_with_the_status_asked_for(
        self, engine: Engine, status: Status
    ) -> None:
        job = make_job(1, epochs=10_000, sleep=0.01)

        def stop_after_two(event: Event) -> None:
            if isinstance(event, Reported) and event.report.epoch == 2:
                engine.cancel(job.id, status=status)

        result = results_of(run_jobs(engine, [job], on_event=stop_after_two))[job.id]
        assert result.status is status
        assert 2 <= result.epochs < 1000
        assert result.metrics["value"] == score(job.decisions, result.epochs, job.seed)
        assert run_one(engine, make_job(2)).status is Status.COMPLETE, "a cancel must not reach the next job"

    def test_a_job_that_pauses_ends_at_the_epoch_at_which_it_is_stopped(self, engine: Engine) -> None:
        jobs = [replace(make_job(number, epochs=40), pauses=(3, 5, 7)) for number in (1, 2)]

        def answer(event: Event) -> None:
            if isinstance(event, Reported):
                if event.report.job_id == jobs[0].id and event.report.epoch == 5:
                    engine.cancel(jobs[0].id, status=Status.PRUNED)
                else:
                    engine.go_on(event.report.job_id, event.report.epoch)

        results = results_of(run_jobs(engine, jobs, on_event=answer))
        stopped, other = (results[job.id] for job in jobs)
        assert (stopped.status, stopped.epochs) == (Status.PRUNED, 5)
        assert stopped.metrics["value"] == score(jobs[0].decisions, 5, jobs[0].seed)
        assert (other.status, other.epochs) == (Status.COMPLETE, 40)

    def test_a_job_cancelled_at_once_ends_cancelled(self, engine: Engine) -> None:
        job = make_job(1, epochs=10_000, sleep=0.01)
        engine.submit(job)
        engine.cancel(job.id)
        ended = [event for event in _until_ended(engine, job.id) if isinstance(event, Ended)]
        assert [event.result.status for event in ended] == [Status.CANCELLED]

    def test_cancelling_what_does_not_run_does_nothing(self, engine: Engine) -> None:
        engine.cancel("nobody")
        assert run_one(engine, make_job(1)).status is Status.COMPLETE
        engine.cancel(make_job(1).id)
        assert run_one(engine, make_job(1, attempt=1)).status is Status.COMPLETE

    def test_an_evaluator_may_end_otherwise_than_asked(self, engine: Engine) -> None:
        job = make_job(1, epochs=5, act="stubborn")

        def stop(event: Event) -> None:
            if isinstance(event, Reported):
                engine.cancel(job.id)

        assert results_of(run_jobs(engine, [job], on_event=stop))[job.id].status is Status.COMPLETE

    def test_an_exception_is_a_failed_result_and_the_next_job_works(self, engine: Engine) -> None:
        events = run_jobs(engine, [make_job(1, act="raise"), make_job(2)])
        results = results_of(events)
        failed = results[make_job(1).id]
        assert failed.status is Status.FAILED
        assert failed.epochs == 1
        assert failed.message.startswith("RuntimeError: told to raise (")
        assert "evaluators.py" in failed.message
        assert results[make_job(2).id].status is Status.COMPLETE

    def test_a_refusal_keeps_its_remedy(self, engine: Engine) -> None:
        result = run_one(engine, make_job(1, act="refuse"))
        assert (result.status, result.remedy) == (Status.FAILED, "drop it")

    @pytest.mark.parametrize(("act", "word"), [("exit", "SystemExit"), ("wrong", "Result")])
    def test_odd_endings_are_failed_results(self, engine: Engine, act: str, word: str) -> None:
        result = run_one(engine, make_job(1, act=act))
        assert result.status is Status.FAILED
        assert word in result.message

    def test_nan_and_infinities_arrive(self, engine: Engine) -> None:
        events = run_jobs(engine, [make_job(1, act="nan", epochs=2)])
        report = [event.report for event in events if isinstance(event, Reported)][-1]
        for metrics in (report.metrics, results_of(events)[make_job(1).id].metrics):
            assert math.isnan(metrics["nan"])
            assert (metrics["inf"], metrics["minus_inf"]) == (math.inf, -math.inf)

    def test_a_result_is_in_the_spool_before_it_is_sent(self, engine: Engine, tmp_path: Path) -> None:
        spool = tmp_path / "spool"
        job = replace(make_job(1), spool=str(spool))
        result = run_one(engine, job)
        spooled = read_spooled(spool, job.id)
        assert spooled is not None
        assert (spooled.trial, spooled.attempt, spooled.result) == (1, 0, result)
        assert [report.epoch for report in spooled.reports] == [1, 2, 3]
        failed = replace(make_job(2, act="raise"), spool=str(spool))
        assert run_one(engine, failed).status is Status.FAILED
        assert sorted(each.trial for each in all_spooled(spool)) == [1, 2]
        drop_spooled(spool, job.id)
        assert [each.trial for each in all_spooled(spool)] == [2]

    def test_a_spool_that_cannot_be_written_stops_no_result(self, engine: Engine, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        job = replace(make_job(1), spool=str(tmp_path / "file" / "spool"))
        assert run_one(engine, job).status is Status.COMPLETE

    def test_time_goes_on(self, engine: Engine) -> None:
        before = engine.time()
        run_one(engine, make_job(1, sleep=0.01))
        assert engine.time() > before
        assert engine.gpus >= 0

    def test_what_an_evaluator_prints_disturbs_nobody(self, engine: Engine) -> None:
        results = results_of(run_jobs(engine, [make_job(1, act="print"), make_job(2)]))
        assert {result.status for result in results.values()} == {Status.COMPLETE}

    def test_a_closed_engine_takes_nothing_and_says_nothing(self, engine: Engine) -> None:
        engine.submit(make_job(1, epochs=10_000, sleep=0.01))
        engine.events(1.0)
        began = time.monotonic()
        engine.close()
        engine.close()
        assert time.monotonic() - began < 5
        assert engine.free == 0
        assert engine.events(0.0) == []
        with pytest.raises(MetanasError, match="closed"):
            engine.submit(make_job(2))

    def test_an_evaluator_that_refuses_to_start_is_an_error_with_its_remedy(self, tmp_path: Path) -> None:
        self._expect_no_start(
            SCRIPTED_SETUP | {"start": "refuse"}, tmp_path, "allowed to start.*start: refuse; drop it"
        )

    def test_python_is_run_only_where_it_is_allowed(self, tmp_path: Path) -> None:
        self._expect_no_start(SCRIPTED_SETUP | {"allow_python": False}, tmp_path, "allow")

    def test_an_evaluator_that_fails_to_start_is_an_error(self, tmp_path: Path) -> None:
        self._expect_no_start(SCRIPTED_SETUP | {"start": "raise"}, tmp_path, "RuntimeError: told to raise")

    def _expect_no_start(self, setup: Mapping[str, Any], folder: Path, message: str) -> None:
        with pytest.raises(MetanasError, match=message), self.make_engine(setup, 1, folder) as engine:
            run_one(engine, make_job(1))


class ProcessEngineContract(EngineContract):
    """What an engine does whose workers are processes of this machine."""

    def test_a_killed_worker_ends_its_job_as_lost_once_and_a_retry_works(self, engine: Engine) -> None:
        events = run_jobs(engine, [make_job(1, act="kill", until=1), *(make_job(number) for number in range(2, 8))])
        results = results_of(events)
        lost = results.pop(make_job(1).id)
        assert lost.status is Status.LOST
        assert "SIGKILL" in lost.message
        assert lost.epochs == 1
        assert {result.status for result in results.values()} == {Status.COMPLETE}
        retry = make_job(1, attempt=1, act="kill", until=1)
        result = run_one(engine, retry)
        assert result.metrics["value"] == score(retry.decisions, 3, retry.seed)
        assert engine.free == engine.capacity
        assert engine.events(0.1) == []

    def test_a_retry_goes_on_from_the_checkpoint(self, engine: Engine, tmp_path: Path) -> None:
        first = replace(make_job(1, epochs=4, act="kill", until=1), checkpoint=str(tmp_path / "kept" / "t1"))
        lost = run_one(engine, first)
        assert (lost.status, lost.epochs) == (Status.LOST, 1)
        assert (tmp_path / "kept" / "t1" / "epoch").read_text() == "1"
        retry = replace(first, id="1.1", attempt=1)
        events = run_jobs(engine, [retry])
        assert [event.report.epoch for event in events if isinstance(event, Reported)] == [1, 2, 3, 4]
        result = results_of(events)[retry.id]
        assert (result.status, result.epochs) == (Status.COMPLETE, 4)
        assert result.metrics["value"] == score(retry.decisions, 4, retry.seed)

    def test_a_cancelled_job_that_hangs_ends_cancelled_with_its_worker(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("metanas.worker._task.GRACE_SECONDS", 0.3)
        job = make_job(1, epochs=3, sleep=600)
        engine.submit(job)
        ended: list[Result] = []
        for event in _until_ended(engine, job.id):
            if isinstance(event, Started):
                engine.cancel(job.id)
            elif isinstance(event, Ended):
                ended.append(event.result)
        assert [result.status for result in ended] == [Status.CANCELLED]
        assert run_one(engine, make_job(2)).status is Status.COMPLETE

    def test_workers_killed_while_idle_are_replaced_unnoticed(self, engine: Engine) -> None:
        pids = _pids(engine)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert not wait_until_gone(pids, 5)
        results = results_of(run_jobs(engine, [make_job(number) for number in range(4)]))
        assert {result.status for result in results.values()} == {Status.COMPLETE}
        assert not _pids(engine) & pids

    def test_every_job_of_a_worker_that_keeps_dying_is_lost(self, engine: Engine) -> None:
        results = results_of(run_jobs(engine, [make_job(number, act="kill") for number in range(5)]))
        assert {result.status for result in results.values()} == {Status.LOST}

    @pytest.mark.parametrize("how", ["exit", "kill"])
    def test_workers_that_die_at_the_start_are_an_error_with_their_last_words(self, how: str, tmp_path: Path) -> None:
        self._expect_no_start(SCRIPTED_SETUP | {"start": how}, tmp_path, f"(?s)3 deaths.*told to {how}")

    @pytest.mark.parametrize("kill", [False, True])
    def test_close_leaves_no_process(self, engine: Engine, kill: bool) -> None:
        pids = _pids(engine)
        engine.submit(make_job(1, sleep=60))
        engine.events(5)
        engine.close(kill=kill)
        assert len(pids) == engine.capacity
        assert not wait_until_gone(pids, 0.5)

    def test_workers_are_other_processes_and_load_no_torch(self, engine: Engine) -> None:
        metrics = run_one(engine, make_job(1, act="inspect")).metrics
        assert metrics["pid"] != os.getpid()
        assert metrics["torch"] == 0

    def test_stdin_of_an_evaluator_is_empty(self, engine: Engine) -> None:
        assert run_one(engine, make_job(1, act="read")).metrics["read"] == 0


def _until_ended(engine: Engine, job_id: str) -> Iterator[Event]:
    for event in listen(engine):
        yield event
        if isinstance(event, Ended) and event.result.job_id == job_id:
            return


def _pids(engine: Engine) -> set[int]:
    """The workers' processes, each asked by a job of its own."""
    jobs = [make_job(1000 + index, act="inspect") for index in range(engine.capacity)]
    return {int(result.metrics["pid"]) for result in results_of(run_jobs(engine, jobs)).values()}
