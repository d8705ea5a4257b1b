"""Stopping trials early: asynchronous successive halving (Li et al. 2020, *A System for Massively Parallel
Hyperparameter Tuning*, the stopping variant). With one worker or a hundred, no trial waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence

from metanas.trial import TrialRecord


class Rungs:
    """Epochs at which a trial must be among the best to go on."""

    def __init__(self, rungs: Sequence[int], direction: str) -> None:
        self.rungs = tuple(rungs)
        """Epochs, rising; the last is the full training."""
        self.direction = direction

    def stops(self, record: TrialRecord, others: Sequence[TrialRecord]) -> bool:
        """Whether a trial that has just reported should end: at a rung, and not in its best 1/eta.

        ``eta`` is the ratio of the next rung to this one. Values at the rung of all trials that passed it count.
        """
        epoch = record.epochs
        if epoch not in self.rungs[:-1]:
            return False
        eta = self.rungs[self.rungs.index(epoch) + 1] / epoch
        values = [other.curve[epoch] for other in others if epoch in other.curve and other.number != record.number]
        # The first few pass: there is nothing yet to compare with.
        if len(values) + 1 < eta:
            return False
        value = record.curve[epoch]
        better = sum(v > value if self.direction == "maximize" else v < value for v in values)
        return better >= (len(values) + 1) / eta
