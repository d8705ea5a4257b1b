"""Values of tasks brought to one scale, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

Array = npt.NDArray[Any]


def normal_scores(losses: Array) -> Array:
    """The normal quantiles of the ranks of losses ``(n,)``, the best highest; ties share their mean rank.

    Ranks become (rank - 1/2) / n: symmetric, and never 0 or 1. What failed is to be given as infinity: it ranks last,
    whatever a failure is worth.
    """
    return np.asarray(ndtri((rankdata(-np.asarray(losses, dtype=float)) - 0.5) / len(losses)))


@dataclass(frozen=True, slots=True)
class Warp:
    """The map between losses and normal scores of one task: straight between its results, and beyond them."""

    losses: Array
    """Distinct finite losses, descending, ``(k,)``."""
    scores: Array
    """Their scores, ascending, ``(k,)``."""
    slopes: tuple[float, float]
    """Loss a unit of score beyond the worst and the best, at most 0."""

    @classmethod
    def fit(cls, losses: Array) -> Warp:
        """From the results of a task, ``(n,)``; infinite ones are failures."""
        scores = normal_scores(losses)
        finite = np.isfinite(losses)
        if not finite.any():
            return cls(np.zeros(1), np.zeros(1), (0.0, 0.0))
        distinct, first = np.unique(-losses[finite], return_index=True)
        knots, at = -distinct, scores[finite][first]
        # Over a third of the results each: the last two alone would make a wild slope.
        third = max(len(knots) // 3, 1)
        low = _slope(knots[: third + 1], at[: third + 1])
        high = _slope(knots[-third - 1 :], at[-third - 1 :])
        return cls(knots, at, (low, high))

    def to_losses(self, scores: Array) -> Array:
        """Losses of scores, any shape."""
        scores = np.asarray(scores, dtype=float)
        inside = np.interp(scores, self.scores, self.losses)
        below, above = scores < self.scores[0], scores > self.scores[-1]
        inside = np.where(below, self.losses[0] + self.slopes[0] * (scores - self.scores[0]), inside)
        return np.asarray(np.where(above, self.losses[-1] + self.slopes[1] * (scores - self.scores[-1]), inside))


def _slope(losses: Array, scores: Array) -> float:
    if len(losses) < 2:
        return 0.0
    return float((losses[-1] - losses[0]) / (scores[-1] - scores[0]))
