"""What a bench file says, and its parts as JSON values, by which results are found again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from metanas.tables import TableFile

BUDGETS = (10, 20, 50, 100, 200, 300)
"""Evaluations after which strategies are compared, as far as a bench goes."""
DEFAULT_EVALUATIONS = 100
DEFAULT_SEEDS = 20


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """Where a task's table is: a benchmark's data set, or a file."""

    benchmark: str = ""
    """Name of a benchmark, or empty."""
    dataset: str = ""
    """Its data set."""
    file: str = ""
    """Absolute path of a table of the user's, or empty."""
    space: str = ""
    """Of a file: name or absolute path of its space."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of a file: what its columns are; see :class:`metanas.tables.TableFile`."""

    @property
    def name(self) -> str:
        """What the task is called in results."""
        if self.benchmark:
            return f"{self.benchmark}/{self.dataset}"
        return TableFile(file=Path(self.file), **self.options).title

    def same_table(self, other: TaskSpec) -> bool:
        """Whether both are of one table, whatever they are called and whichever of its metrics they are about."""
        mine, theirs = ((task.benchmark, task.dataset, task.file, task.options.get("table")) for task in (self, other))
        return mine == theirs


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A strategy that competes, under a name of its own."""

    name: str
    """What it is called in results."""
    strategy: str
    """Name of the strategy."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its settings."""
    sources: Literal["given", "none", "shuffled"] = "given"
    """Whether a strategy that transfers gets the source tasks, none, or ones whose results are shuffled."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What strategies that transfer know of other data sets."""

    tasks: tuple[TaskSpec, ...]
    """All source tasks; a target is never a source of its own."""
    known: int | None = 1000
    """Random architectures of each source whose results are known; None for all."""


@dataclass(frozen=True, kw_only=True)
class BenchFile:
    """A bench file, read."""

    name: str
    """Name of the bench."""
    tasks: tuple[TaskSpec, ...]
    """Each is searched."""
    contestants: tuple[Contestant, ...]
    """What is compared."""
    sources: Sources
    """For those that transfer."""
    evaluations: int = DEFAULT_EVALUATIONS
    """Of each search."""
    seeds: int = DEFAULT_SEEDS
    """Searches of each strategy on each task."""
    first_seed: int = 0
    """The seeds are this one and those after it."""
    values: Literal["mean", "repeat"] = "mean"
    """What an evaluation gives: the mean over a table's repeats, or one of them at random."""
    workers: int = 1
    """Evaluations that each search has under way at once, in virtual time."""

    @property
    def budgets(self) -> tuple[int, ...]:
        """Evaluations after which strategies are compared."""
        return (*(b for b in BUDGETS if b < self.evaluations), self.evaluations)


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """One search of a bench."""

    task: TaskSpec
    contestant: Contestant
    sources: Sources | None
    """None for a strategy that takes none."""
    evaluations: int
    seed: int
    values: Literal["mean", "repeat"]
    workers: int

    def to_json(self) -> dict[str, Any]:
        """All that its result depends on. Not the contestant's name: a result outlives a renaming."""
        data = asdict(self)
        del data["contestant"]["name"]
        return data
