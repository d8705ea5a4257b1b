"""What workers did, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metanas.trial._result import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One job on one worker."""

    worker: str
    """Its name, such as ``worker-0``."""
    trial: int
    """Number of the trial."""
    job: str
    """Id of the job."""
    began: float
    """Seconds of search before it, pauses between sessions left out."""
    ended: float
    """The same at its end, or now."""
    status: Status | None
    """How it ended; None while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What all workers did in all sessions."""

    spans: Sequence[Span] = ()
    """In the order in which they began."""
    seconds: float = 0.0
    """Time of search, pauses between sessions left out."""
    capacity: float = 0.0
    """Time that the workers had together, from the first job of each session to its last event."""
    ending: str = ""
    """Why the last session ended; empty where it was killed, or goes on."""
    scored: int = 0
    """Networks that were scored by proxies before the first trial."""
    trained: int = 0
    """Epochs that a supernet was trained before the first trial."""

    @property
    def busy(self) -> float:
        """Time in jobs, summed over workers."""
        return sum(span.ended - span.began for span in self.spans)

    @property
    def utilisation(self) -> float | None:
        """The part of the workers' time that went into jobs; None before the first."""
        return min(1.0, self.busy / self.capacity) if self.capacity > 0 else None

    @property
    def running(self) -> list[Span]:
        """The jobs under way."""
        return [span for span in self.spans if span.status is None]
