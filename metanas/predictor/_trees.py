"""A forest of extremely randomised trees as plain arrays (Geurts et al. 2006, *Extremely randomized trees*).

scikit-learn grows it; what is kept are arrays, so that a file of it can be opened without executing anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LEAF, _SHARE = 2, 0.33
"""Samples a leaf, and share of the features tried at a split: best of those tried on NAS-Bench-201 and NAS-Bench-Graph."""


@dataclass(frozen=True)
class Trees:
    """All nodes of all trees in one table; ``m`` nodes, ``t`` trees."""

    feature: Array
    """Column that a node splits on, ``(m,)`` int32; −1 in a leaf."""
    threshold: Array
    """Values up to this go left, ``(m,)`` float32."""
    left: Array
    """Node to the left, ``(m,)`` int32; the node on the right of it is ``right``."""
    right: Array
    """Node to the right, ``(m,)`` int32."""
    value: Array
    """Mean target of the samples in a node, ``(m,)`` float32."""
    roots: Array
    """First node of each tree, ``(t,)`` int32."""

    @classmethod
    def grow(cls, features: Array, targets: Array, count: int, seed: int) -> Trees:
        """A forest of ``count`` trees on features ``(n, d)`` and targets ``(n,)``."""
        from sklearn.ensemble import ExtraTreesRegressor

        forest = ExtraTreesRegressor(count, min_samples_leaf=_LEAF, max_features=_SHARE, random_state=seed, n_jobs=1)
        forest.fit(features, targets)
        parts: list[tuple[Array, ...]] = []
        roots, start = [], 0
        for tree in (estimator.tree_ for estimator in forest.estimators_):
            inner = tree.children_left >= 0
            roots.append(start)
            parts.append(
                (
                    np.where(inner, tree.feature, -1), tree.threshold, np.where(inner, tree.children_left + start, 0),
                    np.where(inner, tree.children_right + start, 0), tree.value[:, 0, 0],
                )
            )  # fmt: skip
            start += tree.node_count
        feature, threshold, left, right, value = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return cls(
            feature.astype(np.int32), threshold.astype(np.float32), left.astype(np.int32), right.astype(np.int32),
            value.astype(np.float32), np.array(roots, dtype=np.int32),
        )  # fmt: skip

    def __call__(self, features: Array) -> Array:
        """Mean prediction over the trees, ``(n,)`` float32."""
        total = np.zeros(len(features), dtype=np.float32)
        lines = np.arange(len(features))
        for root in self.roots:
            node = np.full(len(features), root, dtype=np.int32)
            going = lines
            while len(going):
                column = self.feature[node[going]]
                going, column = going[column >= 0], column[column >= 0]
                at = node[going]
                node[going] = np.where(features[going, column] <= self.threshold[at], self.left[at], self.right[at])
            total += self.value[node]
        return total / np.float32(len(self.roots))

    def arrays(self) -> dict[str, Array]:
        """The table, to be saved."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def is_sound(self, width: int) -> bool:
        """Whether walking it ends: every child lies behind its parent, and every column is one of ``width``."""
        m = len(self.feature)
        same = all(len(a) == m for a in (self.threshold, self.left, self.right, self.value))
        if not m or not same or not len(self.roots) or self.roots.min() < 0 or self.roots.max() >= m:
            return False
        inner = np.flatnonzero(self.feature >= 0)
        children = np.stack([self.left[inner], self.right[inner]])
        numbers = np.isfinite(self.threshold[inner]).all() and np.isfinite(self.value).all()
        return bool(numbers and (self.feature < width).all() and (children > inner).all() and (children < m).all())
