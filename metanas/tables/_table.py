"""A table of results, and a source task drawn from one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metanas.space import Rows, SearchSpace
from metanas.tables._lookup import RowLookup

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ResultTable:
    """The results of ``n`` architectures of one space on one data set."""

    name: str
    """What it is called: ``nasbench201/cifar10``, or its file."""
    space: SearchSpace
    """What its rows are architectures of."""
    rows: Rows
    """``(n, n_decisions)``, no two of them equal."""
    metrics: Mapping[str, Floats]
    """Metric to ``(n, r)`` values; NaN where a repeat is missing. Accuracies of benchmarks are in percent."""
    metric: str
    """The metric that is searched on."""
    direction: str
    """``maximize`` or ``minimize``, of that metric."""
    test: str | None = None
    """The metric of the test data, which no search sees."""
    cost: Floats | None = None
    """Training seconds ``(n, r)``; None where the table knows none."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """What is known of the data set itself, by name, such as ``samples``: data sets alike in it are alike in results."""
    aliases: tuple[Rows, npt.NDArray[np.int64]] | None = field(default=None, repr=False)
    """More rows ``(m, n_decisions)``, and which of ``rows`` denotes the same network, ``(m,)``."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def repeats(self) -> int:
        """The most repeats that an architecture has."""
        return int(self.metrics[self.metric].shape[1])

    @cached_property
    def losses(self) -> Floats:
        """The searched metric ``(n, r)``, its sign set so that less is better."""
        return self.metrics[self.metric] * (-1.0 if self.direction == "maximize" else 1.0)

    @cached_property
    def mean_losses(self) -> Floats:
        """Mean of each architecture's repeats ``(n,)``; NaN for one that has none."""
        return mean_of_repeats(self.losses)

    @cached_property
    def seconds(self) -> Floats | None:
        """Mean training seconds ``(n,)``."""
        return None if self.cost is None else mean_of_repeats(self.cost)

    @cached_property
    def _lookup(self) -> RowLookup:
        rows, targets = self.rows, np.arange(len(self.rows))
        if self.aliases is not None:
            rows, targets = np.concatenate([rows, self.aliases[0]]), np.concatenate([targets, self.aliases[1]])
        return RowLookup(rows, targets, [decision.size for decision in self.space.decisions])

    def index(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Which of ``self.rows`` each row ``(m, n_decisions)`` is, ``(m,)``; −1 for an architecture it has not."""
        return self._lookup.find(rows)

    def task(self, k: int | None, rng: np.random.Generator, *, single: bool = False) -> TaskData:
        """What a source task knows: ``k`` random architectures (None for all); with ``single``, one repeat of each."""
        known = np.flatnonzero(np.isfinite(self.mean_losses))
        chosen = known if k is None or k >= len(known) else rng.choice(known, size=k, replace=False)
        losses = self.losses[chosen]
        if single:
            # One of the finite repeats, each equally likely.
            picks = (rng.random(losses.shape) * np.isfinite(losses)).argmax(axis=1)
            losses = losses[np.arange(len(losses)), picks][:, None]
        return TaskData(name=self.name, space=self.space, rows=self.rows[chosen], losses=losses, facts=self.facts)


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskData:
    """A source task: results that are known of another data set. Compared by identity, so that it can key a memory."""

    name: str
    """Benchmark and data set, or file."""
    space: SearchSpace
    """What its rows are architectures of."""
    rows: Rows
    """``(k, n_decisions)``."""
    losses: Floats
    """``(k, r)``, less is better; NaN where a repeat is missing."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """What is known of the data set itself."""
    doubt: Floats | None = None
    """Variance ``(k,)`` of mean losses that are guesses, such as of trainings that were stopped, in units of the variance of all;
    None where all are results."""

    @cached_property
    def mean_losses(self) -> Floats:
        """Mean of each architecture's repeats ``(k,)``."""
        return mean_of_repeats(self.losses)

    @property
    def says_something(self) -> bool:
        """Whether there are two results or more, which can be ranked."""
        return int(np.isfinite(self.mean_losses).sum()) > 1


def with_metric(table: ResultTable, metric: str, direction: str) -> ResultTable:
    """The same table, searched on another of its metrics."""
    return replace(table, metric=metric, direction=direction)


def mean_of_repeats(values: Floats) -> Floats:
    """Mean ``(n,)`` over the repeats ``(n, r)`` that are there; NaN where none is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean: Floats = np.nanmean(values, axis=1)
    return mean
