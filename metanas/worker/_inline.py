"""An engine that evaluates in the calling process, one job at a time, in a fixed order: for tests and debugging."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any

from metanas.evaluator import Evaluator
from metanas.trial import EpochReport, Job, Status
from metanas.worker._engine import Ended, Engine, Event, Reported, Started, cancelled_unbegun, check_submit
from metanas.worker._run import run_job, start_evaluator


class InlineEngine(Engine):
    """Evaluates inside :meth:`events`, which returns after each epoch, so that a cancel is obeyed as elsewhere.

    ``events`` takes as long as the epoch takes, whatever its timeout. Between two calls the evaluation stands still.
    """

    def __init__(self, setup: Mapping[str, Any], *, device: str = "cpu", threads: int = 1) -> None:
        self._evaluator = start_evaluator(setup, device=device, threads=threads)
        self._job: Job | None = None
        self._evaluation: Evaluation | None = None
        self._stop: Status | None = None
        self._closed = False

    @property
    def capacity(self) -> int:
        return 1

    @property
    def free(self) -> int:
        return int(self._job is None and not self._closed)

    def submit(self, job: Job) -> None:
        running = {self._job.id} if self._job else set()
        check_submit(job, closed=self._closed, free=self.free, running=running)
        self._job, self._stop = job, None

    def events(self, timeout: float) -> list[Event]:
        if self._job is None:
            return []
        events: list[Event] = []
        if self._evaluation is None:
            if self._stop is not None:
                events.append(cancelled_unbegun(self._job))
                self._job = None
                return events
            self._evaluation = Evaluation(self._evaluator, self._job)
            events.append(Started(self._job.id, "inline"))
        events.append(self._evaluation.advance(self._stop))
        if isinstance(events[-1], Ended):
            self._job = self._evaluation = None
        return events

    def cancel(self, job_id: str, *, status: Status = Status.CANCELLED) -> None:
        if self._job is not None and self._job.id == job_id:
            self._stop = status

    def close(self, kill: bool = False) -> None:
        if self._evaluation is not None:
            self._evaluation.abandon()
        self._closed, self._job, self._evaluation = True, None, None


class _Abandoned(BaseException):
    """Unwinds an evaluation that nobody waits for any more."""


class Evaluation:
    """One job on a thread that runs only while :meth:`advance` waits for it."""

    def __init__(self, evaluator: Evaluator, job: Job) -> None:
        self._evaluator = evaluator
        self._job = job
        self._said: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Status | _Abandoned | None] = queue.SimpleQueue()
        self._under_way = False
        self._thread = threading.Thread(target=self._run, name="metanas-inline", daemon=True)

    def advance(self, answer: Status | None) -> Event:
        """Go on to the next event; ``answer`` is what the last report returns."""
        # After a Ctrl-C in the wait below the step is still under way, and has had its answer.
        if not self._under_way:
            self._under_way = True
            if self._thread.ident is None:
                self._thread.start()
            else:
                self._answers.put(answer)
        said = self._said.get()
        self._under_way = False
        if isinstance(said, BaseException):
            raise said
        return said

    def abandon(self) -> None:
        """Unwind at the present report; waits a moment for that."""
        self._answers.put(_Abandoned())
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            self._said.put(Ended(run_job(self._evaluator, self._job, self._report)))
        except _Abandoned:
            pass
        except BaseException as error:  # e.g. KeyboardInterrupt: the caller's to handle
            self._said.put(error)

    def _report(self, report: EpochReport) -> Status | None:
        self._said.put(Reported(report))
        answer = self._answers.get()
        if isinstance(answer, _Abandoned):
            raise answer
        return answer
