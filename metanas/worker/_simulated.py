"""An engine with workers in virtual time: an evaluation takes as long as it says, and the clock jumps to its end.

Evaluations run in the calling process, each on a thread that moves only while the engine waits for it. What happens at
what time follows from the seconds that reports and results state, such as the training times of a table.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metanas.trial import Job, Result, Status
from metanas.worker._engine import Ended, Engine, Event, Reported, Started, cancelled_unbegun, check_submit
from metanas.worker._inline import Evaluation
from metanas.worker._run import start_evaluator


@dataclass
class _Running:
    job: Job
    worker: int
    began: float
    evaluation: Evaluation | None = None
    stop: Status | None = None
    waits: bool = True
    """Whether it is to be moved to its next event."""


class SimulatedEngine(Engine):
    """Asynchronous workers whose clock is virtual; :meth:`events` returns at once, whatever its timeout."""

    virtual = True

    def __init__(self, setup: Mapping[str, Any], *, workers: int = 1, since: float = 0.0) -> None:
        self._evaluator = start_evaluator(setup, device="cpu", threads=1)
        self._clock = max(time.time(), since)
        self._capacity = workers
        self._idle = list(range(workers))
        self._running: dict[str, _Running] = {}
        self._coming: list[tuple[float, int, str, Event]] = []
        self._order = 0
        self._closed = False

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def free(self) -> int:
        return 0 if self._closed else len(self._idle)

    def time(self) -> float:
        """Virtual Unix time."""
        return self._clock

    def submit(self, job: Job) -> None:
        check_submit(job, closed=self._closed, free=self.free, running=set(self._running))
        self._running[job.id] = _Running(job, self._idle.pop(0), self._clock)

    def events(self, timeout: float) -> list[Event]:
        events: list[Event] = []
        for running in list(self._running.values()):
            if running.waits:
                events += self._move(running)
        if events or not self._coming:
            return events
        if self.until is not None and self._clock < self.until < self._coming[0][0]:
            self._clock = self.until
            return []
        moment, _, job_id, event = heapq.heappop(self._coming)
        self._clock = max(self._clock, moment)
        if isinstance(event, Ended):
            self._leave(job_id)
        else:
            self._running[job_id].waits = True
        return [event]

    def cancel(self, job_id: str, *, status: Status = Status.CANCELLED) -> None:
        running = self._running.get(job_id)
        if running is None or running.stop is Status.CANCELLED:
            return
        running.stop = status
        if status is Status.CANCELLED and running.evaluation is not None and not running.waits:
            # Now, and not when it would have reported next.
            running.evaluation.abandon()
            self._coming = [coming for coming in self._coming if coming[2] != job_id]
            heapq.heapify(self._coming)
            seconds = self._clock - running.began
            self._come(self._clock, Ended(Result(job_id=job_id, status=status, seconds=seconds)))

    def close(self, kill: bool = False) -> None:
        for running in self._running.values():
            if running.evaluation is not None:
                running.evaluation.abandon()
        self._closed = True
        self._running.clear()
        self._coming.clear()

    def _move(self, running: _Running) -> list[Event]:
        """Let an evaluation go on to its next report or its end, which comes when the clock is there."""
        begun: list[Event] = []
        if running.evaluation is None:
            if running.stop is not None:
                self._leave(running.job.id)
                return [cancelled_unbegun(running.job)]
            running.evaluation = Evaluation(self._evaluator, running.job)
            begun = [Started(running.job.id, f"worker-{running.worker}")]
        event = running.evaluation.advance(running.stop)
        running.waits = False
        assert isinstance(event, Reported | Ended)
        seconds = event.report.seconds if isinstance(event, Reported) else event.result.seconds
        self._come(max(self._clock, running.began + (seconds or 0.0)), event)
        return begun

    def _come(self, moment: float, event: Reported | Ended) -> None:
        self._order += 1
        job_id = event.report.job_id if isinstance(event, Reported) else event.result.job_id
        heapq.heappush(self._coming, (moment, self._order, job_id, event))

    def _leave(self, job_id: str) -> None:
        self._idle.append(self._running.pop(job_id).worker)
        self._idle.sort()
