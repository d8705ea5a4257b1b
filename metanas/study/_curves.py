"""Stopping a training whose learning curve will not come near the best: what the first epochs of the trials that went to
the end foretold of their last, read off a regression.

Baker et al. 2018, *Accelerating Neural Architecture Search using Performance Prediction*, stop a training when the
probability that it ends above the best so far is small, predicted from its curve. Here the predictor is the Bayesian
linear regression of the last value on the present one and its last change, whose predictive distribution (Student's t,
Gelman et al., *Bayesian Data Analysis*, section 14.2) is wide while few trials have ended.

n: trials that went to the end, and have a value at this epoch; k: features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from metanas.study._pruning import StoppingRule
from metanas.trial import Status, TrialRecord

_RIDGE = 1e-9
"""Keeps the regression solvable where all curves are alike; small against features of standard deviation 1."""


class CurveRule(StoppingRule):
    """Stops a trial that is improbable to end better than the best complete one."""

    def __init__(self, direction: str, *, percent: int = 5, complete: int = 8, epochs: int = 1) -> None:
        self._sign = 1.0 if direction == "maximize" else -1.0
        self._percent = percent
        self._enough = max(complete, 5)
        self._least = epochs
        self._complete: dict[int, tuple[Mapping[int, float], float]] = {}

    def update(self, record: TrialRecord) -> None:
        """Note the curve of a trial that has gone to its end."""
        if record.status is Status.COMPLETE and record.values and record.duplicate_of is None and record.curve:
            self._complete[record.number] = (record.curve, record.values[0])

    def stops(self, record: TrialRecord) -> bool:
        """Whether it ends better than the best complete trial with less than ``percent`` in a hundred."""
        epoch = record.epochs
        if epoch < self._least or epoch not in record.curve:
            return False
        probability = self.probability(record.curve, epoch)
        return probability is not None and 100 * probability < self._percent

    def probability(self, curve: Mapping[int, float], epoch: int) -> float | None:
        """Of ending better than the best complete trial; None while too few trials tell."""
        from scipy.stats import t as student

        features = _features(curve, epoch)
        known = [(row, last) for c, last in self._complete.values() if (row := _features(c, epoch)) is not None]
        if features is None or len(known) < self._enough:
            return None
        x = np.array([row for row, _ in known])  # (n, k)
        y = self._sign * np.array([last for _, last in known])  # (n,)
        best = max(self._sign * last for _, last in self._complete.values())
        centre, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-12)
        x = np.column_stack([np.ones(len(x)), (x - centre) / scale])
        new = np.array([1.0, *((np.array(features) - centre) / scale)])
        gram = x.T @ x + _RIDGE * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x.T @ y)
        freedom = len(x) - x.shape[1]
        variance = float(((y - x @ weights) ** 2).sum()) / freedom * (1.0 + float(new @ np.linalg.solve(gram, new)))
        mean = float(new @ weights)
        if variance <= 0:
            return float(mean > best)
        return float(student.sf((best - mean) / math.sqrt(variance), freedom))


def _features(curve: Mapping[int, float], epoch: int) -> tuple[float, ...] | None:
    """The value after ``epoch``, and from the second on its last change; None where they are not there."""
    value, before = curve.get(epoch), curve.get(epoch - 1)
    if value is None or not math.isfinite(value):
        return None
    if epoch == 1:
        return (value,)
    return (value, value - before) if before is not None and math.isfinite(before) else None
