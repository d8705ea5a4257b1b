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
from metanas.trial import Job, Status
from metanas.worker._devices import Slot
from metanas.worker._engine import Ended, Engine, Event, cancelled_unbegun, check_submit
from metanas.worker._handle import WorkerProcess, describe_exit
from metanas.worker._task import MAX_START_DEATHS, Task, no_start, remedy_of_death

_KILLED = -9
"""Exit code of a process that SIGKILL ended."""


@dataclass
class _Seat:
    """A slot, the process that sits there, if any, and its job, if any."""

    name: str
    slot: Slot
    log: Path
    process: WorkerProcess | None = None
    task: Task | None = None
    deaths: int = 0
    """Deaths during start-up since a process last got ready here, those apart that somebody else killed."""


class LocalEngine(Engine):
    """Evaluates in processes of this machine; a worker that dies is replaced when there is a job for it.

    Where slots share a GPU, a job waits until those under way there leave it the memory that it is estimated to take, and
    later ones wait behind it: small networks run side by side, a large one alone.

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
        self._queue: deque[Task] = deque()
        """Jobs that wait for memory."""
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
        return 0 if self._closed or self._queue else sum(seat.task is None for seat in self._seats)

    @property
    def gpus(self) -> float:
        slots = [seat.slot for seat in self._seats]
        return len({slot.visible for slot in slots if slot.visible}) / len(slots)

    @property
    def pids(self) -> dict[str, int]:
        """Process number of each worker that is not known to be dead, by the worker's name."""
        return {seat.name: seat.process.pid for seat in self._seats if seat.process is not None}

    def submit(self, job: Job) -> None:
        tasks = [*self._queue, *(seat.task for seat in self._seats if seat.task is not None)]
        check_submit(job, closed=self._closed, free=self.free, running={task.job.id for task in tasks})
        self._queue.append(Task(job))
        self._dispatch()

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
        for task in list(self._queue):
            if task.job.id == job_id:
                self._queue.remove(task)
                self._happened.append(cancelled_unbegun(task.job))
                self._dispatch()
        for seat in self._seats:
            if seat.task is not None and seat.task.job.id == job_id:
                body = seat.task.ask_to_end(status)
                if seat.process is not None:
                    seat.process.send("cancel", body)

    def go_on(self, job_id: str, epoch: int) -> None:
        for seat in self._seats:
            if seat.task is not None and seat.task.job.id == job_id and seat.process is not None:
                seat.process.send("go_on", {"job_id": job_id, "epoch": epoch})

    def close(self, kill: bool = False) -> None:
        self._closed = True
        self._queue.clear()
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

    def _dispatch(self) -> None:
        """Give jobs to idle workers, in order, until one has to wait for memory."""
        while self._queue and self._failure is None:
            task = self._queue[0]
            idle = [seat for seat in self._seats if seat.task is None and self._has_room(seat, task.job)]
            if not idle:
                return
            self._queue.popleft()
            seat = min(idle, key=_waiting)
            seat.task = task
            self._give(seat, task)

    def _has_room(self, seat: _Seat, job: Job) -> bool:
        """Whether a seat's GPU has the memory for one more job; one that nothing else has room for may have it alone."""
        if not seat.slot.visible or seat.slot.memory is None or not job.memory:
            return True
        jobs = [o.task.job for o in self._seats if o.task is not None and o.slot.visible == seat.slot.visible]
        used = sum(other.memory for other in jobs)
        if used + job.memory <= seat.slot.memory:
            return True
        largest = max(other.slot.memory or 0 for other in self._seats)
        return not jobs and job.memory > largest and seat.slot.memory == largest

    def _give(self, seat: _Seat, task: Task) -> None:
        process = seat.process or self._start(seat)
        task.given += 1
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
        elif task is not None and (event := task.hear(kind, body, seat.name)) is not None:
            self._happened.append(event)
            if isinstance(event, Ended):
                seat.task = None
                self._dispatch()

    def _bury(self, seat: _Seat, process: WorkerProcess, code: int) -> None:
        """Clear the seat of a dead process; its job is lost if it was begun, else the replacement's."""
        process.join()
        seat.process = None
        killed, task = code == _KILLED, seat.task
        if not process.ready:
            if task is not None:
                task.given = 0  # it is not the job's fault
            self._killed += killed
            seat.deaths += not killed
            # A machine out of memory kills whatever it likes, and may have some again: so many a slot, in all slots
            # together, while no worker is ready.
            deaths, most = (self._killed, len(self._seats)) if killed else (seat.deaths, 1)
            others = killed and any(other.process is not None and other.process.ready for other in self._seats)
            if deaths >= most * MAX_START_DEATHS and not others:
                error = no_start(deaths, describe_exit(code), process.tail(), seat.name)
                self._failure = self._failure or error
        if task is None:
            return
        log = str(seat.log) if self._log_dir is not None else ""
        end = task.bereaved(f"{seat.name} died ({describe_exit(code)})", remedy_of_death(log, killed))
        if end is not None:
            seat.task = None
            self._happened.append(end)
            self._dispatch()
        elif self._failure is None:
            self._give(seat, task)


def _waiting(seat: _Seat) -> tuple[bool, bool, int]:
    """How long a job would wait here, as a sort key: ready, starting, empty."""
    return seat.process is None, seat.process is None or not seat.process.ready, seat.deaths
