"""What a worker sends back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How an evaluation ended. Every ending is a value, so a failure is a result and the search goes on."""

    COMPLETE = "complete"
    """Ran all its epochs."""
    PRUNED = "pruned"
    """Stopped at a rung because others were better; its last metrics count."""
    DIVERGED = "diverged"
    """The loss became NaN or infinite."""
    OUT_OF_MEMORY = "out_of_memory"
    """The device had no memory left."""
    TOO_LARGE = "too_large"
    """Refused before training: its counted memory exceeds the limit."""
    INVALID = "invalid"
    """No network can be built from this architecture for these data."""
    FAILED = "failed"
    """An error nobody expected; the message holds it."""
    LOST = "lost"
    """The worker died."""
    CANCELLED = "cancelled"
    """Given up by the study before it ended."""

    @property
    def has_value(self) -> bool:
        """Whether the metrics of such a result may be compared with others."""
        return self in (Status.COMPLETE, Status.PRUNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """Metrics after an epoch, sent while the job goes on."""

    job_id: str
    """The job it belongs to."""
    epoch: int
    """Epochs done, counted from 1."""
    metrics: Mapping[str, float]
    """Metric name to value on the validation split; ``train_loss`` on the training split."""
    seconds: float = 0.0
    """Wall time since the job started."""

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self) | {"metrics": dict(self.metrics)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EpochReport:
        """The inverse of :meth:`to_json`."""
        return cls(**data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The end of a job."""

    job_id: str
    """The job that ended."""
    status: Status
    """How it ended."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Last metrics (validation split, or test split for a final training) and costs: ``params``, ``flops``
    (multiply-adds of one sample), ``memory`` (bytes), ``latency_ms``."""
    epochs: int = 0
    """Epochs done."""
    seconds: float | None = None
    """Wall time of the job in the worker, which measures it where its evaluator says None."""
    message: str = ""
    """Why it did not complete."""
    remedy: str = ""
    """What the user can do about it."""

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self) | {"metrics": dict(self.metrics)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """The inverse of :meth:`to_json`."""
        return cls(**{**data, "status": Status(data["status"])})
