"""What a worker is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

Scalar = int | float | str | bool


class Purpose(StrEnum):
    """Why a network is trained."""

    SEARCH = "search"
    """Trained on the training split, scored on the validation split."""
    FINAL = "final"
    """Trained on training and validation data, tested once, and exported to ``Job.output``."""
    SUPERNET = "supernet"
    """No network of its own: all of the space's are trained as one, and ranked, into ``Job.output``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One evaluation of one architecture."""

    id: str
    """Unique in its study, also over sessions that were killed."""
    trial: int
    """Number of the trial in the study."""
    attempt: int = 0
    """0 for the first try, one more each time a worker, or the session, was lost."""
    decisions: Mapping[str, Scalar]
    """The architecture: a value for each active decision of the space, by name."""
    epochs: int
    """Fidelity: how many epochs to train."""
    seed: int
    """Seed of initial weights, batches and augmentation."""
    purpose: Purpose = Purpose.SEARCH
    """Search or final training."""
    output: str = ""
    """Folder for the exported network, or for the ranking of a supernet; empty in the search."""
    checkpoint: str = ""
    """Folder, perhaps not there yet, in which the evaluator may keep what it needs to go on after its worker died. A
    later attempt of the trial gets the same one, and reports once more the epoch that it goes on from. Empty where nothing is to be kept."""
    spool: str = ""
    """Folder into which the worker writes the result before it sends it. Empty for none."""
    pauses: tuple[int, ...] = ()
    """Epochs after which the worker waits to be told whether to go on: the search may stop the trial there."""
    seconds: float | None = None
    """A supernet's training ends after the epoch in which so many have passed, with what it has; None for no limit."""
    memory: int = 0
    """Bytes that the training is estimated to take on its device; 0 where nobody knows."""

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values."""
        return asdict(self) | {"decisions": dict(self.decisions)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """The inverse of :meth:`to_json`."""
        return cls(**{**data, "purpose": Purpose(data["purpose"]), "pauses": tuple(data.get("pauses", ()))})
