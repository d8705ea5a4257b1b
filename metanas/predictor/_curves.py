"""What a training that was stopped early says of its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LIKENESS, _LIKENESS_COUNT = 0.6, 5.0
"""Correlation of an early value with the last one that is assumed, and how many trainings' worth the assumption is."""
_LEAST_LIKENESS, _MOST_LIKENESS = 0.1, 0.98


def full_losses(losses: Array, curves: Sequence[Mapping[int, float]], stopped: Array) -> tuple[Array, Array]:
    """Losses that trainings would have ended with, and the variance that is doubtful about each, in normal scores.

    ``losses`` ``(n,)`` and ``curves`` (epoch to loss) of trainings, some of which were ``stopped`` ``(n,)`` after the
    last epoch of their curves. Those that were not say how far, in the median, a loss still falls from that epoch on,
    and, by their correlation, how much it tells. Domhan et al. 2015 fit curves of many forms; with the few full
    trainings that a search has, a shift is what can be told.
    """
    full = np.array(losses, dtype=float)
    doubt = np.zeros(len(full))
    done = [i for i in range(len(full)) if not stopped[i] and np.isfinite(full[i])]
    for i in range(len(full)):
        if not stopped[i] or not np.isfinite(full[i]):
            continue
        epoch = max(curves[i], default=0)
        pairs = np.array([(curves[j][epoch], full[j]) for j in done if epoch in curves[j]]).reshape(-1, 2)
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        likeness = _LIKENESS
        if len(pairs):
            full[i] += float(np.median(pairs[:, 1] - pairs[:, 0]))
        if len(pairs) > 2 and (pairs.std(axis=0) > 0).all():
            found = float(np.corrcoef(pairs.T)[0, 1])
            likeness = (len(pairs) * found + _LIKENESS_COUNT * _LIKENESS) / (len(pairs) + _LIKENESS_COUNT)
        doubt[i] = 1 - float(np.clip(likeness, _LEAST_LIKENESS, _MOST_LIKENESS)) ** 2
    return full, doubt
