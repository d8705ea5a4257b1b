"""A job under way, and what becomes of it when its worker says something or dies: alike in all engines of processes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metanas.errors import MetanasError
from metanas.trial import EpochReport, Job, Result, Status
from metanas.worker._engine import Ended, Event, Reported, Started, cancelled_unbegun

MAX_START_DEATHS = 3
"""Deaths during start-up, in a row, after which a worker is not tried again: the fourth would die as well."""
_MAX_GIVEN = 3
"""Workers that may die with a job before they have said that they began it; then it is the job that kills them."""


GRACE_SECONDS = 30.0
"""What a cancelled job has to end its present epoch; then its worker ends with it, as the job may never come to that."""


@dataclass
class Task:
    """A job under way."""

    job: Job
    begun: float | None = None
    """Monotonic time at which the worker began it."""
    epochs: int = 0
    """Epochs reported."""
    stop: Status | None = None
    """How it was asked to end."""
    given: int = 0
    """Ready workers that it was given to."""

    def ask_to_end(self, status: Status) -> dict[str, Any]:
        """Note how the job is to end; the message that tells its worker so. One that is pruned has a result to give, and waits."""
        self.stop = status
        grace = GRACE_SECONDS if status is Status.CANCELLED else None
        return {"job_id": self.job.id, "status": status, "grace": grace}

    def hear(self, kind: str, body: Mapping[str, Any], worker: str) -> Event | None:
        """What a message of its worker means; None for one that is no event."""
        if kind == "started":
            self.begun = time.monotonic()
            return Started(self.job.id, worker)
        if kind == "report":
            report = EpochReport.from_json(body)
            self.epochs = report.epoch
            return Reported(report)
        return Ended(Result.from_json(body)) if kind == "result" else None

    def bereaved(self, message: str, remedy: str) -> Ended | None:
        """Its end, now that its worker has died; None where another worker is to begin it."""
        if self.begun is None and self.stop is not None:
            return cancelled_unbegun(self.job)
        if self.begun is None and self.given < _MAX_GIVEN:
            return None
        seconds = 0.0 if self.begun is None else time.monotonic() - self.begun
        # Of one that was to end, the worker's death is that end.
        status = Status.CANCELLED if self.stop is Status.CANCELLED else Status.LOST
        return Ended(
            Result(
                job_id=self.job.id, status=status, epochs=self.epochs, seconds=seconds, message=message, remedy=remedy,
            )
        )  # fmt: skip


def no_start(deaths: int, exit: str, tail: str, worker: str) -> MetanasError:
    """The error when the processes of a worker die before they are ready: ``tail`` is what the last of them wrote."""
    return MetanasError(
        "a worker must start", found=f"{deaths} deaths in a row, the last with {exit}",
        remedy=f"the last that it wrote:\n{tail or '(nothing)'}", where=worker,
    )  # fmt: skip


def remedy_of_death(log: str, killed: bool) -> str:
    """What may be done about a death; ``log`` is empty where none is kept."""
    parts = ["if nobody killed it, memory ran out: use fewer workers"] if killed else []
    return "; ".join(parts + ([f"what it wrote last is in {log}"] if log else []))
