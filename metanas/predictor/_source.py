"""What one source task says of any network: the mean of two smoothed versions of its results.

Each is a Gaussian process with one Matérn kernel. One is on decisions, of a length some times as long as the likeliest; the other on
all features, each scaled by what it is worth in predicting these results. The latter ranks unseen networks a little better, but
of the few that it, or a shorter length, puts first of thousands more are there by chance. Together they rank better than decisions
alone, and searches are about as quick. Zero-cost proxies, and what a supernet tells, are smoothed by all features alone:
by decisions searches that begin with them are slower.
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
from metanas.predictor._warp import normal_scores
from metanas.space import SearchSpace
from metanas.tables import TaskData

Array = npt.NDArray[Any]

KERNEL = Kernel((MATERN,))
_START = np.array([0.0, 0.0, -2.0])
"""Scales that fit the tables of both benchmarks alike."""
_STRETCH = 1.0
"""Log factor of the likeliest length of decisions. By these alone, searches on NAS-Bench-Graph are much quicker by 1 than by 0, and
about as quick by 1.5; on NAS-Bench-201 1.5 is too long."""
_FITTED_ON = 250
"""Results that the scales are fitted on: more do not change them, and cost their cube."""
MOST = 1_500
"""Most results that the Gaussian process is conditioned on."""
_CHUNK = 2_000
_FEW = 20
"""Results below which a forest says nothing of features."""
_TREES, _LEAF, _SHARE = 60, 2, 0.33
"""Of the forest: trees, least samples a leaf, and share of the features tried at a split."""
_VARIED = 1e-9
"""Variance below which a feature is a constant."""
_POWER = 0.75
"""Of the forest's importances: 1/2 to 1 rank about as well, this one best where results are few."""


@dataclass(frozen=True, kw_only=True)
class Smoother:
    """A Gaussian process on a task's results."""

    by_features: bool
    """Whether it sees all features by their relevance, or decisions."""
    theta: Array
    """Scales of the kernel."""
    weights: Array
    """Of each result, ``(n,)``: the inverse covariance times the scores."""

    @classmethod
    def fit(
        cls, blocks: Sequence[Array], relevance: Array, scores: Array, doubt: Array, some: npt.NDArray[np.intp], *,
        by_features: bool,
    ) -> Smoother:  # fmt: skip
        """From encodings, scores ``(n,)`` and their variances beside the noise ``(n,)``; scales from ``some`` of them."""
        known = _seen(blocks, relevance, by_features).astype(np.float64)
        lesson = KERNEL.products([known[some]], [known[some]]), scores[some]
        theta = KERNEL.fit([lesson], _START, precision=0.2, iterations=15)
        theta += np.array([0.0, 0.0 if by_features else _STRETCH, 0.0])
        matrix = KERNEL(theta, KERNEL.products([known], [known]))
        matrix[np.diag_indices(len(known))] += np.exp(theta[-1]) + JITTER + doubt
        weights = cho_solve(cho_factor(matrix, lower=True), scores).astype(np.float32)
        return cls(by_features=by_features, theta=theta, weights=weights)

    def __call__(self, blocks: Sequence[Array], known: Sequence[Array], relevance: Array) -> Array:
        """Scores of networks ``(m,)`` from their encodings and those of the results."""
        # In double precision: terms of the sum are far greater than it, and in single precision it would depend on their order.
        new = _seen(blocks, relevance, self.by_features)
        seen = _seen(known, relevance, self.by_features).astype(np.float64)
        return np.concatenate(
            [
                KERNEL(self.theta, KERNEL.products([new[i : i + _CHUNK].astype(np.float64)], [seen])) @ self.weights
                for i in range(0, len(new), _CHUNK)
            ]
        )


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
    relevance: Array
    """Factor of each feature's squared differences, ``(d,)``, features of both encodings in order."""
    smoothers: tuple[Smoother, ...]
    """Whose mean it is."""
    blocks: tuple[Array, Array] = field(repr=False)
    """Encodings of ``rows``; not saved."""
    doubt: Array | None = None
    """Variances ``(n,)`` of the losses that are guesses, as in :class:`metanas.tables.TaskData`; None where all are results."""
    elsewhere: int = 0
    """Results that the task has in the space that it is of, where that is another one; 0 in its own space."""
    _known: list[tuple[Array, Array]] = field(default_factory=list, init=False, repr=False, compare=False)
    """The first block of the last large call, and the scores."""

    @classmethod
    def fit(cls, task: TaskData, blocks: Sequence[Array], *, decisions: bool = True) -> Source:
        """From a task, whose rows' encodings are ``blocks``; smoothed by features, and by ``decisions``, too."""
        name, rows = task.name, task.rows
        losses = np.where(np.isnan(task.mean_losses), np.inf, task.mean_losses)
        scores = normal_scores(losses)
        rng = generator(0, "source", name, len(rows))
        kept = np.sort(rng.permutation(len(rows))[:MOST])
        doubt = np.zeros(len(kept)) if task.doubt is None else task.doubt[kept]
        # Of results first: guesses would pass for noise.
        mixed = rng.permutation(len(kept))
        some = np.sort(mixed[np.argsort(doubt[mixed], kind="stable")][:_FITTED_ON])
        relevance = relevance_of(np.concatenate(blocks, axis=1), scores, derive_seed(0, "trees", name) % 2**31)
        points = blocks[0][kept], blocks[1][kept]
        smoothers = tuple(
            Smoother.fit(points, relevance, scores[kept], doubt, some, by_features=by_features)
            for by_features in ((False, True) if decisions else (True,))
        )
        return cls(
            name=name, count=len(rows), facts=dict(task.facts), repeats=task.losses.shape[1], rows=rows[kept],
            losses=losses[kept], relevance=relevance, smoothers=smoothers, blocks=points, doubt=doubt if doubt.any() else None,
        )  # fmt: skip

    def task(self, space: SearchSpace) -> TaskData:
        """What is kept of the task; ``space`` is what it is of."""
        losses = self.losses[:, None]
        return TaskData(name=self.name, space=space, rows=self.rows, losses=losses, facts=self.facts, doubt=self.doubt)

    def __call__(self, blocks: Sequence[Array]) -> Array:
        """Scores of networks ``(n,)`` from their encodings: about standard normal over the task's own networks, high is good."""
        # A table's networks are scored for one target after the other.
        if self._known and self._known[0][0] is blocks[0]:
            return self._known[0][1]
        scores = np.mean([smoother(blocks, self.blocks, self.relevance) for smoother in self.smoothers], axis=0)
        if len(blocks[0]) > _CHUNK:
            self._known[:] = [(blocks[0], scores)]
        return np.asarray(scores)


def relevance_of(features: Array, scores: Array, seed: int) -> Array:
    """What squared differences of each feature are worth, ``(d,)`` float32; of features ``(n, d)`` and scores ``(n,)``.

    The importances of a forest of extremely randomised trees (Geurts et al. 2006, *Extremely randomized trees*) over the
    features' variances, such that networks lie a squared distance of 2 apart on average.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    d = features.shape[1]
    if len(features) < _FEW:
        # Encodings come with about this spread, half of it in each.
        return np.full(d, 0.5, dtype=np.float32)
    forest = ExtraTreesRegressor(_TREES, min_samples_leaf=_LEAF, max_features=_SHARE, random_state=seed, n_jobs=1)
    # Where features tell all there is to tell, rounding may make an importance a trifle less than nothing.
    worth = np.maximum(forest.fit(features, scores).feature_importances_, 0.0) ** _POWER
    if not worth.sum() > 0:
        return np.full(d, 0.5, dtype=np.float32)
    variance = features.var(axis=0, dtype=np.float64)
    varied = variance > _VARIED
    relevance = np.where(varied, worth / np.where(varied, variance, 1.0), 0.0) / worth.sum()
    return np.asarray(relevance, dtype=np.float32)


def _seen(blocks: Sequence[Array], relevance: Array, by_features: bool) -> Array:
    """What a kernel sees of networks, ``(n, d)``: all features by their relevance, or decisions."""
    return weighed(blocks, relevance) if by_features else blocks[0]


def weighed(blocks: Sequence[Array], relevance: Array) -> Array:
    """The features of both encodings side by side, ``(n, d)``, scaled by their relevance ``(d,)``."""
    return np.asarray(np.concatenate(blocks, axis=1) * np.sqrt(relevance))
