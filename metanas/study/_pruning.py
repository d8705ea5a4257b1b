"""Stopping trials early: asynchronous successive halving (Li et al. 2020, *A System for Massively Parallel
Hyperparameter Tuning*, the stopping variant). With one worker or a hundred, no trial waits for another.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from metanas.trial import TrialRecord


class Rungs:
    """Epochs at which a trial must be among the best to go on."""

    def __init__(self, rungs: Sequence[int], direction: str) -> None:
        self.rungs = tuple(rungs)
        """Epochs, rising; the last is the full training."""
        self.direction = direction
        self._reached: dict[int, dict[int, float]] = {epoch: {} for epoch in self.rungs[:-1]}
        self._sorted: dict[int, list[float]] = {epoch: [] for epoch in self.rungs[:-1]}

    def update(self, record: TrialRecord) -> None:
        """Note the values of a trial at the rungs that it has reached."""
        for epoch, reached in self._reached.items():
            value = record.curve.get(epoch)
            if value is None or reached.get(record.number) == value:
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
        eta = self.rungs[self.rungs.index(epoch) + 1] / epoch
        values = self._sorted[epoch]
        # The first few pass: there is nothing yet to compare with.
        if len(values) < eta:
            return False
        value = record.curve[epoch]
        maximize = self.direction == "maximize"
        better = len(values) - bisect_right(values, value) if maximize else bisect_left(values, value)
        return better >= len(values) / eta
