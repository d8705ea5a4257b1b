"""How well a belief ranks networks, and how far they lie from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from metanas.predictor._belief import Opinion
from metanas.predictor._warp import Warp

Array = npt.NDArray[Any]

NORMAL_80 = 1.2816
"""Half the width of a normal distribution's 80 % interval, in standard deviations."""
_FARTHEST, _STEPS = 4.0, 81


def rank_correlation(scores: Array, losses: Array) -> float:
    """Kendall's rank correlation of scores with how good losses are; 0 where either does not vary."""
    finite = np.isfinite(losses)
    if finite.sum() < 2 or np.ptp(scores[finite]) == 0:
        return 0.0
    tau = float(kendalltau(scores[finite], -losses[finite])[0])
    return tau if np.isfinite(tau) else 0.0


def deviations(opinion: Opinion, known: Array, losses: Array) -> Array:
    """How many standard deviations each network's loss lies from what an opinion expects of one evaluation, ``(N,)``.

    Up to 4, in steps of 1/20. The opinion, after losses ``known``, is in normal scores of them, and losses between or
    beyond are brought to scores by :class:`Warp`.
    """
    warp = Warp.fit(known)
    std = np.hypot(opinion.std, opinion.noise)
    off = np.full(len(std), _FARTHEST)
    for step in np.linspace(_FARTHEST, 0, _STEPS):
        worst, best = (warp.to_losses(opinion.mean + sign * step * std) for sign in (-1, 1))
        off[(losses <= worst) & (losses >= best)] = step
    return off
