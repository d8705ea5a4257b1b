"""A trial as the study remembers it, free of the study's storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from metanas.trial._job import Scalar
from metanas.trial._result import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A try of a trial that did not give its result."""

    job_id: str
    """Its job; empty where the session that knew it was killed."""
    status: Status
    """Lost when its worker died, cancelled when its session ended; how it ended where it came too late."""
    epochs: int = 0
    """Epochs done, as far as anyone heard."""
    seconds: float = 0.0
    """Wall time in the worker, as far as anyone knows."""
    message: str = ""
    """What happened."""
    late: bool = False
    """Whether its result came when it had been given up, and so counts for nothing."""

    def to_json(self) -> dict[str, Any]:
        """The attempt as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Attempt:
        """The inverse of :meth:`to_json`."""
        return cls(**{**data, "status": Status(data["status"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """What is known of one trial."""

    number: int
    """Number in the study, from 0."""
    decisions: Mapping[str, Scalar]
    """A value for each active decision."""
    canonical_id: str
    """Equal for two architectures that denote the same network."""
    status: Status | None
    """How it ended; None while it runs."""
    values: tuple[float, ...] | None = None
    """One value an objective, in the order of the run file; None where there is none."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Validation metrics and costs (see :class:`Result`)."""
    curve: Mapping[int, float] = field(default_factory=dict)
    """Epoch to the first objective's value after it."""
    points: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    """Epoch to the values of all objectives after it, where a rule that stops trials looks at them; NaN for one that is
    known at the end only."""
    duplicate_of: int | None = None
    """The trial whose result this one took, because it denotes the same network."""
    attempts: int = 1
    """How often it was begun."""
    history: tuple[Attempt, ...] = ()
    """The attempts that did not give its result, in the order in which they ended."""
    epochs: int = 0
    """Epochs done."""
    seconds: float = 0.0
    """Wall time in the worker; 0 for a duplicate."""
    started: float | None = None
    """Unix time at which it was proposed."""
    ended: float | None = None
    """Unix time at which its result was recorded."""
    message: str = ""
    """Why it did not complete, with the remedy."""
    origin: str = ""
    """Who proposed it: ``random`` for a draw from the whole space that looked at no result, else the proposer's name;
    empty where nobody noted it."""
