"""The contract between a study and whatever evaluates its jobs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

from metanas.errors import MetanasError
from metanas.trial import EpochReport, Job, Result, Status


@dataclass(frozen=True, slots=True)
class Started:
    """A worker has begun a job."""

    job_id: str
    """The job."""
    worker: str
    """Name of the worker, e.g. ``worker-0``; a replacement keeps the name of the one it replaces."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A job has done an epoch."""

    report: EpochReport
    """Its metrics."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A job is over, for whatever reason; nothing more will be said of it."""

    result: Result
    """What came of it; status ``LOST`` when its worker died."""


Event = Started | Reported | Ended


class Engine(ABC):
    """Evaluates jobs on workers. Used from one thread; a context manager that closes itself.

    Of a job that was submitted come, in this order: at most one ``Started``, a ``Reported`` for each report of the
    evaluator, exactly one ``Ended``. The jobs of different workers end in any order. A worker that dies ends the job
    that it had begun as ``LOST`` and is replaced; a job that it had been given and not begun goes to the replacement.

    A worker evaluates with :func:`metanas.worker.run_job`, which puts the result into the job's spool before it is
    sent. Whoever reads the spool finds there what a worker could not send any more: that is the study's business, and
    an engine says ``LOST`` all the same. Workers end by themselves soon after the process of their engine is gone.
    """

    virtual: ClassVar[bool] = False
    """Whether its clock is no real one."""
    until: float | None = None
    """When the search ends, by the engine's clock: a virtual one does not jump past it."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many jobs run at a time."""

    @property
    @abstractmethod
    def free(self) -> int:
        """How many jobs can be submitted now."""

    @property
    def gpus(self) -> float:
        """GPUs that each worker holds, a fraction where several share one; 0 without."""
        return 0.0

    def time(self) -> float:
        """Unix time in seconds, by which the study dates and limits a search; a simulation has its own."""
        return time.time()

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Hand in a job. Raises MetanasError when nothing is ``free``, its id is under way, or the engine is closed."""

    @abstractmethod
    def events(self, timeout: float) -> list[Event]:
        """What happened since the last call; waits up to ``timeout`` seconds for a first event.

        Raises MetanasError when the workers cannot be started, after all events before that have been returned.
        """

    @abstractmethod
    def cancel(self, job_id: str, *, status: Status = Status.CANCELLED) -> None:
        """Ask a job to end after its present epoch with ``status`` (cancelled or pruned).

        One that is cancelled and does not within half a minute ends with its worker's process, where it has one of its own.
        It may end otherwise first; a job that is not under way is none of the engine's business. A job that had not
        begun ends as cancelled, without metrics.
        """

    def go_on(self, job_id: str, epoch: int) -> None:  # noqa: B027  (not where an evaluation stands still between events)
        """Let a job go on that waits after an epoch of its ``pauses``, until it is told so or asked to end."""

    @abstractmethod
    def close(self, kill: bool = False) -> None:
        """Drop the jobs under way and stop all workers, which are gone on return; a second call does nothing.

        Workers are asked to leave, and killed when they do not within seconds; with ``kill`` they are killed at once.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(kill=kind is not None)


def check_submit(job: Job, *, closed: bool, free: int, running: set[str]) -> None:
    """Raise unless ``job`` may be submitted."""
    if closed:
        raise MetanasError("a closed engine takes no jobs", found=f"job {job.id}")
    if job.id in running:
        raise MetanasError("each job is submitted once", found=f"job {job.id}, which is under way")
    if free < 1:
        raise MetanasError("a job needs a free worker", found=f"none for job {job.id}", remedy="look at Engine.free")


def cancelled_unbegun(job: Job) -> Ended:
    """The end of a job that was cancelled before a worker began it."""
    message = "cancelled before it began"
    return Ended(Result(job_id=job.id, status=Status.CANCELLED, message=message))
