"""What one source task says of any network: a smoothed version of its results.

Half a Gaussian process on decisions and structure, half extremely randomised trees on both: each alone ranks unseen
networks about as well as the other, and their mean a little better than either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from metanas._rng import derive_seed, generator
from metanas.predictor._kernels import JITTER, MATERN, Kernel
from metanas.predictor._trees import Trees
from metanas.predictor._warp import normal_scores
from metanas.tables import TaskData

Array = npt.NDArray[Any]

KERNEL = Kernel((MATERN, MATERN))
_START = np.array([0.0, -0.2, 0.0, 0.5, -1.8])
"""Scales that fit the tables of both benchmarks alike."""
_FITTED_ON = 250
"""Results that the scales are fitted on: more do not change them, and cost their cube."""
MOST = 1_500
"""Most results that the Gaussian process is conditioned on."""
_CHUNK = 2_000
_FEW = 20
"""Results below which trees say nothing."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One task's smoothed results."""

    name: str
    """Of the task."""
    count: int
    """Results known of it."""
    facts: Mapping[str, float]
    """What is known of its data set, by name."""
    repeats: int
    """Most trainings that one of the results is the mean of."""
    rows: Array
    """Rows ``(n, n_decisions)`` of the results that are kept, at most :data:`MOST`."""
    losses: Array
    """Their losses ``(n,)``, less is better; infinite for failures."""
    weights: Array
    """Of each of them, ``(n,)``: the inverse covariance times the scores."""
    theta: Array
    """Scales of the kernel on decisions and structure."""
    trees: Trees | None
    """On both encodings side by side; None when results are few."""
    blocks: tuple[Array, Array] = field(repr=False)
    """Encodings of ``rows``; not saved."""
    _known: list[tuple[Array, Array]] = field(default_factory=list, init=False, repr=False, compare=False)
    """The first block of the last large call, and the scores."""

    @classmethod
    def fit(cls, task: TaskData, blocks: Sequence[Array], *, trees: int) -> Source:
        """From a task, whose rows' encodings are ``blocks``."""
        name, rows = task.name, task.rows
        losses = np.where(np.isnan(task.mean_losses), np.inf, task.mean_losses)
        scores = normal_scores(losses)
        rng = generator(0, "source", name, len(rows))
        kept = np.sort(rng.permutation(len(rows))[:MOST])
        some = kept[np.sort(rng.permutation(len(kept))[:_FITTED_ON])]
        pairs = [block[some].astype(np.float64) for block in blocks]
        theta = KERNEL.fit([(KERNEL.products(pairs, pairs), scores[some])], _START, precision=0.2, iterations=15)
        points = [block[kept] for block in blocks]
        exact = [block.astype(np.float64) for block in points]
        matrix = KERNEL(theta, KERNEL.products(exact, exact))
        matrix[np.diag_indices(len(kept))] += np.exp(theta[-1]) + JITTER
        weights = cho_solve(cho_factor(matrix, lower=True), scores[kept]).astype(np.float32)
        forest = None
        if trees and len(rows) >= _FEW:
            seed = derive_seed(0, "trees", name) % 2**31
            forest = Trees.grow(np.concatenate(blocks, axis=1), scores, trees, seed)
        return cls(
            name=name, count=len(rows), facts=dict(task.facts), repeats=task.losses.shape[1], rows=rows[kept],
            losses=losses[kept], weights=weights, theta=theta, trees=forest, blocks=(points[0], points[1]),
        )  # fmt: skip

    def __call__(self, blocks: Sequence[Array]) -> Array:
        """Scores of networks ``(n,)`` from their encodings: standard normal over the task's own networks, high is good."""
        # A table's networks are scored for one target after the other.
        if self._known and self._known[0][0] is blocks[0]:
            return self._known[0][1]
        scores = self._scores(blocks)
        if len(blocks[0]) > _CHUNK:
            self._known[:] = [(blocks[0], scores)]
        return scores

    def _scores(self, blocks: Sequence[Array]) -> Array:
        smooth = np.concatenate(
            [
                KERNEL(self.theta, KERNEL.products([b[i : i + _CHUNK] for b in blocks], self.blocks)) @ self.weights
                for i in range(0, len(blocks[0]), _CHUNK)
            ]
        )
        if self.trees is None:
            return smooth
        return np.asarray((smooth + self.trees(np.concatenate(blocks, axis=1))) / 2)
