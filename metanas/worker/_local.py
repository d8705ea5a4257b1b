"""An engine of processes on this machine, one a slot."""

from __future__ import annotations

import queue
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas.errors import MetanasError
from metanas.trial import EpochReport, Job, Result, Status
from metanas.worker._devices import Slot
from metanas.worker._engine import Ended, Engine, Event, Reported, Started, cancelled_unbegun, check_submit
from metanas.worker._handle import WorkerProcess, describe_exit

_MAX_START_DEATHS = 3
"""Deaths during start-up, in a row, after which a slot is not tried again: the fourth would die as well. Of those that
were killed from outside so many a slot, in all slots together, while no worker is ready: a machine out of memory kills
whatever it likes, and may have some again."""
_KILLED = -9
"""Exit code of a process that SIGKILL ended."""


@dataclass
class _Task:
    """A job under way."""

    job: Job
    begun: float | None = None
    """Monotonic time at which the worker began it."""
    epochs: int = 0
    """Epochs reported."""
    stop: Status | None = None
    """How it was asked to end."""


@dataclass
class _Seat:
    """A slot, the process that sits there, if any, and its job, if any."""

    name: str
    slot: Slot
    log: Path
    process: WorkerProcess | None = None
    task: _Task | None = None
    deaths: int = 0
    """Deaths during start-up since a process last got ready here, those apart that somebody else killed."""


class LocalEngine(Engine):
    """Evaluates in processes of this machine; a worker that dies is replaced when there is a job for it.

    ``setup`` describes the evaluator (see :func:`metanas.evaluator.build_evaluator`) and is JSON. What workers print
    goes to ``log_dir/worker-N.log``. All workers are started at once, without waiting for them.
    """

    def __init__(self, setup: Mapping[str, Any], slots: Sequence[Slot], *, log_dir: Path | None = None) -> None:
        if not slots:
            raise MetanasError("a local engine needs at least one slot", where="workers")
        self._setup = dict(setup)
        self._temporary = tempfile.TemporaryDirectory(prefix="metanas-workers-") if log_dir is None else None
        self._log_dir = log_dir
        folder = log_dir or Path(self._temporary.name if self._temporary else "")
        folder.mkdir(parents=True, exist_ok=True)
        self._inbox: queue.SimpleQueue[tuple[WorkerProcess, str, dict[str, Any]]] = queue.SimpleQueue()
        self._happened: deque[Event] = deque()
        self._failure: MetanasError | None = None
        self._closed = False
        self._killed = 0
        """Processes killed during start-up since one last got ready."""
        self._seats = [
            _Seat(f"worker-{index}", slot, folder / f"worker-{index}.log") for index, slot in enumerate(slots)
        ]
        try:
            for seat in self._seats:
                self._start(seat)
        except BaseException:
            self.close(kill=True)
            raise

    @property
    def capacity(self) -> int:
        return len(self._seats)

    @property
    def free(self) -> int:
        return 0 if self._closed else sum(seat.task is None for seat in self._seats)

    @property
    def gpus(self) -> float:
        slots = [seat.slot for seat in self._seats]
        return len({slot.visible for slot in slots if slot.visible}) / len(slots)

    @property
    def pids(self) -> dict[str, int]:
        """Process number of each worker that is not known to be dead, by the worker's name."""
        return {seat.name: seat.process.pid for seat in self._seats if seat.process is not None}

    def submit(self, job: Job) -> None:
        running = {seat.task.job.id for seat in self._seats if seat.task is not None}
        check_submit(job, closed=self._closed, free=self.free, running=running)
        seat = min((seat for seat in self._seats if seat.task is None), key=_waiting)
        seat.task = _Task(job)
        self._give(seat, seat.task)

    def events(self, timeout: float) -> list[Event]:
        if self._closed:
            return []
        deadline = time.monotonic() + timeout
        for _ in range(self._inbox.qsize()):
            self._handle(*self._inbox.get())
        while not self._happened and self._failure is None:
            try:
                self._handle(*self._inbox.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        if self._failure is not None and not self._happened:
            raise self._failure
        events = list(self._happened)
        self._happened.clear()
        return events

    def cancel(self, job_id: str, *, status: Status = Status.CANCELLED) -> None:
        for seat in self._seats:
            if seat.task is not None and seat.task.job.id == job_id:
                seat.task.stop = status
                if seat.process is not None:
                    seat.process.send("cancel", {"job_id": job_id, "status": status})

    def close(self, kill: bool = False) -> None:
        self._closed = True
        processes = [seat.process for seat in self._seats if seat.process is not None]
        for process in processes:
            if kill:
                process.kill()
            else:
                process.leave()
        for process in processes:
            process.join()
        for seat in self._seats:
            seat.process = seat.task = None
        if self._temporary is not None:
            self._temporary.cleanup()

    def _start(self, seat: _Seat) -> WorkerProcess:
        seat.process = WorkerProcess(seat.slot.setup(self._setup), seat.slot, seat.log, self._inbox)
        return seat.process

    def _give(self, seat: _Seat, task: _Task) -> None:
        process = seat.process or self._start(seat)
        process.send("job", task.job.to_json())

    def _handle(self, process: WorkerProcess, kind: str, body: dict[str, Any]) -> None:
        seat = next((seat for seat in self._seats if seat.process is process), None)
        if seat is None:
            return
        task = seat.task
        if kind == "ready":
            process.ready = True
            seat.deaths = self._killed = 0
        elif kind == "refused":  # trying again would not help
            self._failure = self._failure or MetanasError(**body)
        elif kind == "dead":
            self._bury(seat, process, body["code"])
        elif task is None:
            return
        elif kind == "started":
            task.begun = time.monotonic()
            self._happened.append(Started(task.job.id, seat.name))
        elif kind == "report":
            report = EpochReport.from_json(body)
            task.epochs = report.epoch
            self._happened.append(Reported(report))
        elif kind == "result":
            seat.task = None
            self._happened.append(Ended(Result.from_json(body)))

    def _bury(self, seat: _Seat, process: WorkerProcess, code: int) -> None:
        """Clear the seat of a dead process; its job is lost if it was begun, else the replacement's."""
        process.join()
        seat.process = None
        if not process.ready:
            killed = code == _KILLED
            self._killed += killed
            seat.deaths += not killed
            deaths, most = (self._killed, len(self._seats)) if killed else (seat.deaths, 1)
            others = killed and any(other.process is not None and other.process.ready for other in self._seats)
            if deaths >= most * _MAX_START_DEATHS and not others:
                self._failure = self._failure or MetanasError(
                    "a worker must start",
                    found=f"{deaths} deaths in a row, the last with {describe_exit(code)}",
                    remedy=f"the last that it wrote:\n{process.tail() or '(nothing)'}",
                    where=seat.name,
                )
        task = seat.task
        if task is None:
            return
        if task.begun is not None:
            seat.task = None
            self._happened.append(Ended(self._lost(seat, task, code)))
        elif task.stop is not None:
            seat.task = None
            self._happened.append(cancelled_unbegun(task.job))
        elif self._failure is None:
            self._give(seat, task)

    def _lost(self, seat: _Seat, task: _Task, code: int) -> Result:
        remedy = f"what it wrote last is in {seat.log}" if self._log_dir is not None else ""
        if code == _KILLED:
            remedy = f"if nobody killed it, memory ran out: use fewer workers; {remedy}".removesuffix("; ")
        return Result(
            job_id=task.job.id,
            status=Status.LOST,
            epochs=task.epochs,
            seconds=0.0 if task.begun is None else time.monotonic() - task.begun,
            message=f"{seat.name} died ({describe_exit(code)})",
            remedy=remedy,
        )


def _waiting(seat: _Seat) -> tuple[bool, bool, int]:
    """How long a job would wait here, as a sort key: ready, starting, empty."""
    return seat.process is None, seat.process is None or not seat.process.ready, seat.deaths
