"""Rungs: asynchronous successive halving (Li et al. 2020, *A System for Massively Parallel Hyperparameter Tuning*, the
stopping variant). With one worker or a hundred no trial waits for another, and one that is promoted just goes on.

With several objectives the trials at a rung are ordered as in MO-ASHA (Schmucker et al. 2021, *Multi-objective
Asynchronous Successive Halving*): by the Pareto front that they are on, and within a front those first that are far from
others (here by the crowding distance of Deb et al. 2002).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metanas.trial import TrialRecord, pareto_front


class StoppingRule(ABC):
    """Says which trials end early."""

    points: tuple[int, ...] = ()
    """Epochs after which it wants to see all objectives."""

    def update(self, record: TrialRecord) -> None:  # noqa: B027  (a rule may remember nothing)
        """See a trial that is new or has changed."""

    def pauses(self, epochs: int) -> tuple[int, ...]:
        """Epochs after which it may end a trial of so many."""
        return tuple(range(1, epochs))

    @abstractmethod
    def stops(self, record: TrialRecord) -> bool:
        """Whether a trial that has just reported, and been seen, should end."""


class GoOn(StoppingRule):
    """No trial ends early."""

    def pauses(self, epochs: int) -> tuple[int, ...]:
        """None."""
        return ()

    def stops(self, record: TrialRecord) -> bool:
        return False


class Rungs(StoppingRule):
    """Epochs at which a trial must be among the best to go on, by the first objective; NaN and infinities are worst."""

    def __init__(self, rungs: Sequence[int], direction: str) -> None:
        self.rungs = tuple(rungs)
        """Epochs, rising; the last is the full training."""
        self.direction = direction
        self._worst = -math.inf if direction == "maximize" else math.inf
        self._reached: dict[int, dict[int, float]] = {epoch: {} for epoch in self.rungs[:-1]}
        self._sorted: dict[int, list[float]] = {epoch: [] for epoch in self.rungs[:-1]}

    def pauses(self, epochs: int) -> tuple[int, ...]:
        """The rungs."""
        return self.rungs[:-1]

    def update(self, record: TrialRecord) -> None:
        """Note the values of a trial at the rungs that it has reached."""
        for epoch, reached in self._reached.items():
            value = record.curve.get(epoch)
            if value is None:
                continue
            # NaN has no place in an order: one would leave the list unsorted for all trials after it.
            value = value if math.isfinite(value) else self._worst
            if reached.get(record.number) == value:
                continue
            values = self._sorted[epoch]
            if record.number in reached:  # another attempt, on another machine
                values.pop(bisect_left(values, reached[record.number]))
            reached[record.number] = value
            insort(values, value)

    def stops(self, record: TrialRecord) -> bool:
        """Whether a trial that has just reported should end: at a rung, and not in its best 1/eta.

        ``eta`` is the ratio of the next rung to this one. Values at the rung of all trials that passed it count.
        """
        epoch = record.epochs
        if epoch not in self._reached or record.number not in self._reached[epoch]:
            return False
        eta = _eta(self.rungs, epoch)
        values = self._sorted[epoch]
        # The first few pass: there is nothing yet to compare with.
        if len(values) < eta:
            return False
        value = self._reached[epoch][record.number]
        maximize = self.direction == "maximize"
        better = len(values) - bisect_right(values, value) if maximize else bisect_left(values, value)
        return better >= len(values) / eta


class FrontRungs(StoppingRule):
    """The same by several objectives; one that no trial has at the rung, known at the end only, is left out there."""

    def __init__(self, rungs: Sequence[int], directions: Sequence[str]) -> None:
        self.rungs = tuple(rungs)
        self.points = self.rungs[:-1]
        self.directions = tuple(directions)
        self._reached: dict[int, dict[int, tuple[float, ...]]] = {epoch: {} for epoch in self.points}

    def pauses(self, epochs: int) -> tuple[int, ...]:
        """The rungs."""
        return self.rungs[:-1]

    def update(self, record: TrialRecord) -> None:
        """Note the values of a trial at the rungs that it has reached."""
        for epoch, reached in self._reached.items():
            if epoch in record.points:
                reached[record.number] = record.points[epoch]

    def stops(self, record: TrialRecord) -> bool:
        """Whether a trial that has just reported should end: at a rung, and not among its best 1/eta."""
        reached = self._reached.get(record.epochs, {})
        if record.number not in reached:
            return False
        enough = len(reached) / _eta(self.rungs, record.epochs)
        if enough < 1:
            return False
        values = np.array(list(reached.values()))
        known = np.isfinite(values).any(axis=0)
        directions = [direction for direction, is_known in zip(self.directions, known, strict=True) if is_known]
        if not directions:
            return False
        own = list(reached).index(record.number)
        return _better(_ordered(values[:, known], directions), directions, own, enough) >= enough


def _ordered(values: npt.NDArray[np.float64], directions: Sequence[str]) -> npt.NDArray[np.float64]:
    """``values`` (n, m), in each column a finite one, with what is not finite just behind the worst of its column."""
    ordered = values.copy()
    for column, direction in zip(ordered.T, directions, strict=True):
        finite = np.isfinite(column)
        worst, beyond = (np.min, -np.inf) if direction == "maximize" else (np.max, np.inf)
        column[~finite] = np.nextafter(worst(column[finite]), beyond)
    return ordered


def _better(values: npt.NDArray[np.float64], directions: Sequence[str], own: int, enough: float) -> int:
    """How many rows of ``values`` (n, m) come before row ``own``; counting ends when they are ``enough``."""
    left = np.arange(len(values))
    before = 0
    while left.size and before < enough:
        front = left[pareto_front(values[left], directions)]
        if own in front:
            crowding = _crowding(values[front])
            return before + int((crowding > crowding[list(front).index(own)]).sum())
        before += len(front)
        left = np.setdiff1d(left, front)
    return before


def _crowding(front: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Crowding distance (n,) of the rows of a front (n, m); infinite at its ends."""
    distance = np.zeros(len(front))
    for column in front.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        if span > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
            distance[(column == column.min()) | (column == column.max())] = np.inf
    return distance


def _eta(rungs: Sequence[int], epoch: int) -> float:
    return rungs[rungs.index(epoch) + 1] / epoch
