"""Several objectives as one number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

_ALL_COUNT = 0.05
"""Weight of the sum beside the worst objective, so that no weakly dominated point is best (Knowles 2006, section III)."""


def scalar_losses(losses: Sequence[tuple[float, ...] | None], rng: np.random.Generator | None) -> npt.NDArray[Any]:
    """One loss for each, ``(n,)``; infinite for a failure (None).

    With one objective it is the loss itself. With several, each is replaced by its rank, and the result is the
    augmented Chebyshev distance under weights that are drawn by ``rng`` (ParEGO: Knowles 2006), so that proposals
    spread along the Pareto front; without a generator all weigh the same.
    """
    n = len(losses)
    result = np.full(n, np.inf)
    alive = [i for i, values in enumerate(losses) if values is not None and np.isfinite(values).all()]
    if not alive:
        return result
    table = np.array([losses[i] for i in alive], dtype=float)
    if table.shape[1] == 1:
        result[alive] = table[:, 0]
        return result
    ranks = (rankdata(table, axis=0) - 0.5) / len(alive)
    k = table.shape[1]
    weights = np.full(k, 1 / k) if rng is None else rng.dirichlet(np.ones(k))
    weighted = ranks * weights
    result[alive] = weighted.max(axis=1) + _ALL_COUNT * weighted.sum(axis=1)
    return result
