"""Which trials are best: by one objective, or by several at once.

``n`` trials, ``m`` objectives; a direction is ``maximize`` or ``minimize``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metanas.trial._record import TrialRecord

_SIGNS = {"maximize": -1.0, "minimize": 1.0}


def comparable(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials whose values may be compared: they ended with values, all of them finite."""
    return [t for t in trials if t.status is not None and t.status.has_value and t.values and _finite(t.values)]


def pareto_front(values: ArrayLike, directions: Sequence[str]) -> list[int]:
    """Indices, ascending, of the rows of ``values`` (n, m) that no other row dominates.

    A row dominates another when it is at least as good in each objective and better in one, so equal rows stay
    together. Rows with NaN or an infinity are never on the front. Raises ValueError for another shape or direction.
    """
    costs = _costs(values, directions)
    candidates = np.flatnonzero(np.isfinite(costs).all(axis=1))
    # In lexicographic order no row is dominated by a later one, so the first candidate left is always on the front.
    candidates = candidates[np.lexsort(costs[candidates].T[::-1])]
    front: list[int] = []
    while candidates.size:
        first = costs[candidates[0]]
        equal = (costs[candidates] == first).all(axis=1)
        front.extend(candidates[equal].tolist())
        candidates = candidates[(costs[candidates] < first).any(axis=1)]
    return sorted(front)


def best_trial(trials: Iterable[TrialRecord], directions: Sequence[str]) -> TrialRecord | None:
    """The best of the comparable trials, or None where there is none.

    With several objectives: the member of the Pareto front with the best first objective (ties go to the next
    objective, then to the earlier trial).
    """
    signs = _signs(directions)

    def rank(trial: TrialRecord) -> tuple[float, ...]:
        return (*(s * v for s, v in zip(signs, trial.values or (), strict=True)), trial.number)

    return min(comparable(trials), key=rank, default=None)


def _costs(values: ArrayLike, directions: Sequence[str]) -> NDArray[np.float64]:
    """``values`` with the sign of each objective set so that less is better."""
    signs = _signs(directions)
    array = np.asarray(values, dtype=np.float64).reshape(-1, len(signs)) if np.size(values) == 0 else np.asarray(values)
    if array.ndim != 2 or array.shape[1] != len(signs):
        raise ValueError(f"values have a row a trial and {len(signs)} columns, found shape {array.shape}")
    return array.astype(np.float64) * signs


def _signs(directions: Sequence[str]) -> NDArray[np.float64]:
    unknown = [d for d in directions if d not in _SIGNS]
    if unknown or not directions:
        raise ValueError(f"directions are 'maximize' or 'minimize', one an objective, found {list(directions)}")
    return np.array([_SIGNS[d] for d in directions])


def _finite(values: Iterable[float]) -> bool:
    return all(math.isfinite(v) for v in values)
