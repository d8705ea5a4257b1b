"""What a run file says: what to search, on what, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metanas.space import (
    Mark,
    ValueSyntax,
)

DEFAULT_TRIALS = 30
DEFAULT_EPOCHS = 12
DEFAULT_RETRIES = 2
DEFAULT_STRATEGY = "meta"

Objective = tuple[str, str]
"""Name of a metric or cost, and ``maximize`` or ``minimize``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """A run file, checked."""

    file: str
    """Where it was read from."""
    base: Path
    """Folder that relative paths in it are relative to."""
    name: str
    """Name of the run."""
    space: str
    """Built-in name or path of the space."""
    data: str | dict[str, Any]
    """What :func:`metanas.data.load_dataset` takes."""
    objectives: tuple[Objective, ...] = ()
    """Empty for the default of the task."""
    constraints: tuple[tuple[str, Mark, str], ...] = ()
    """Added to those of the space."""
    strategy: str = DEFAULT_STRATEGY
    """Name of the strategy."""
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    """Its settings."""
    predictor: str | None = None
    """Name or path of the predictor that the strategy starts from; ``none`` for none; None for the one that comes with
    metanas, where it knows the space."""
    trials: int | None = None
    """Architectures to evaluate; None for no bound."""
    time: float | None = None
    """Seconds of search; None for no bound."""
    gpu_hours: float | None = None
    """Time in workers times the GPUs that each holds; None for no bound."""
    target: float | None = None
    """Value of the first objective at which the search ends."""
    seed: int = 0
    """Seed of everything that is random."""
    retries: int = DEFAULT_RETRIES
    """How often a trial whose worker died is tried again."""
    max_memory: int | None = None
    """Bytes that one training may take; None for what the device has."""
    rungs: tuple[int, ...] = (DEFAULT_EPOCHS,)
    """Epochs at which trials are compared, and the worse stopped; the last is the full training."""
    stop: str = "none"
    """Name of the rule that stops trials early."""
    stop_options: dict[str, Any] = field(default_factory=dict)
    """Settings of that rule."""
    train: dict[str, Any] = field(default_factory=dict)
    """Training settings as JSON values."""
    train_syntax: dict[str, ValueSyntax] = field(default_factory=dict)
    """The same, parsed."""
    workers: int | str = "auto"
    """Number of worker processes."""
    engine: str = "local"
    """Name of the engine."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    """What the engine alone reads; sizes in bytes, durations in seconds."""
    storage: str | None = None
    """URL of the study's storage; None for a file in the run folder."""
    evaluator: str | dict[str, Any] = "train"
    """What evaluates."""

    @property
    def looked_up(self) -> bool:
        """Whether results come from a table, and nothing is trained."""
        return isinstance(self.evaluator, dict) and "table" in self.evaluator

    @property
    def trains(self) -> bool:
        """Whether the search trains networks itself, and the best one for good at its end."""
        return self.evaluator == "train"
