"""Strategies that learn from other data sets in simple ways: what a learned predictor has to beat.

``S`` source tasks. What a source says of a candidate is a normal score of its rank there: the result where the source
has it, else the prediction of extremely randomised trees fitted to the source's results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from metanas.controller._features import one_hot
from metanas.controller._models import fitted
from metanas.controller._pool import (
    Pool,
    expected_improvement,
    known_losses,
    normal_losses,
    propose_best,
    remembered,
)
from metanas.controller._strategy import Accept, Observation, Proposal, Strategy, random_proposal
from metanas.encoding import OneHot
from metanas.space import Rows, SearchSpace
from metanas.tables import TaskData

Floats = npt.NDArray[np.float64]
T = TypeVar("T")

_TREES = 60


def source_scores(space: SearchSpace, sources: Sequence[TaskData], rows: Rows, pool: Rows | None = None) -> Floats:
    """What each source says of rows ``(m, n_decisions)``: normal scores ``(m, S)``, less is better.

    It is quicker for some of the rows of a ``pool`` that was asked for before.
    """
    each = [remembered("source", (source, rows), partial(_scores_of, space, source, rows, pool)) for source in sources]
    return np.stack(each, axis=1)


def _scores_of(space: SearchSpace, source: TaskData, rows: Rows, pool: Rows | None) -> Floats:
    known = remembered("known", (source,), lambda: _by_row(source.rows, source.mean_losses))
    values = np.array([known.get(row.tobytes(), np.nan) for row in np.ascontiguousarray(rows)])
    missing = np.isnan(values)
    if missing.any():
        # One scale for results and predictions, so that neither kind is preferred.
        scores = np.where(missing, _predicted(space, source, rows, pool), 0.0)
        own = _predicted(space, source, source.rows)
        scores[~missing] = np.interp(values[~missing], np.sort(source.mean_losses), np.sort(own))
        return normal_losses(scores)
    return normal_losses(values)


def _predicted(space: SearchSpace, source: TaskData, rows: Rows, pool: Rows | None = None) -> Floats:
    """What trees fitted to a source say of rows ``(n,)``."""
    if pool is not None and pool is not rows:
        # A forest takes 20 ms for a single row, too.
        said = _predicted(space, source, pool)
        places = remembered("places", (pool,), lambda: _by_row(pool, range(len(pool))))
        found = [places.get(row.tobytes(), -1) for row in np.ascontiguousarray(rows)]
        if min(found) >= 0:
            return said[found]
    return remembered("predicted", (source, rows), partial(_trees_predict, space, source, rows))


def _trees_predict(space: SearchSpace, source: TaskData, rows: Rows) -> Floats:
    from sklearn.ensemble import ExtraTreesRegressor

    def grow() -> ExtraTreesRegressor:
        trees = ExtraTreesRegressor(_TREES, min_samples_leaf=2, max_features=0.33, random_state=0)
        return trees.fit(one_hot(space, source.rows), normal_losses(source.mean_losses))

    return np.asarray(remembered("trees", (source,), grow).predict(one_hot(space, rows)))


def _by_row(rows: Rows, values: Iterable[T]) -> dict[bytes, T]:
    return {row.tobytes(): value for row, value in zip(np.ascontiguousarray(rows), values, strict=True)}


@dataclass(frozen=True)
class SourceRank(Strategy):
    """By the mean rank that the source tasks give, whatever the results are."""

    sources: tuple[TaskData, ...] = ()
    """The source tasks."""

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        if not self.sources:
            return random_proposal(space, accept, rng)
        pool = Pool.of(space, observations, accept, rng)
        return propose_best(pool, -_mean(space, self.sources, pool.rows), space, accept, rng, "source rank")

    def predict(
        self, space: SearchSpace, observations: Sequence[Observation], rows: Rows, rng: np.random.Generator
    ) -> Floats | None:
        """See :meth:`Strategy.predict`."""
        return _mean(space, self.sources, rows) if self.sources else None


def _mean(space: SearchSpace, sources: Sequence[TaskData], rows: Rows) -> Floats:
    """Mean score ``(m,)``."""
    return np.asarray(source_scores(space, sources, rows).mean(axis=1))


class _Corrected(Strategy):
    """Source ranks, and a model of what they get wrong here."""

    sources: tuple[TaskData, ...]

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        if not self.sources:
            return random_proposal(space, accept, rng)
        pool = Pool.of(space, observations, accept, rng)
        rows, losses = known_losses(observations)
        if not len(losses):
            return propose_best(pool, -_mean(space, self.sources, pool.rows), space, accept, rng, "source rank")
        mean, deviation, best = self._believe(space, rows, losses, pool.rows)
        values = expected_improvement(mean, deviation, best)
        return propose_best(pool, values, space, accept, rng, "source rank, corrected")

    def predict(
        self, space: SearchSpace, observations: Sequence[Observation], rows: Rows, rng: np.random.Generator
    ) -> Floats | None:
        """See :meth:`Strategy.predict`."""
        if not self.sources:
            return None
        known, losses = known_losses(observations)
        return self._believe(space, known, losses, rows)[0] if len(losses) else _mean(space, self.sources, rows)

    def _believe(self, space: SearchSpace, rows: Rows, losses: Floats, at: Rows) -> tuple[Floats, Floats, float]:
        """Mean and deviation ``(m,)`` at candidates, and the best value so far, on one scale."""
        raise NotImplementedError


_SLOPES = np.array([[0.03, 0.3, 1.0], [0.003, 0.03, 0.1]])
"""Prior variances tried: of each source's departure from their mean, and of each value of a decision."""
_NOISES = (0.03, 0.1, 0.3, 1.0)
_OFFSET = 4.0
"""Prior variance of the level: results of a search are no sample of all, so their scores have a level of their own."""


@dataclass(frozen=True)
class SourceRidge(_Corrected):
    """Source ranks, and a Bayesian ridge regression on each source and the decisions; expected improvement.

    The variances are those of highest evidence on a small grid.
    """

    sources: tuple[TaskData, ...] = ()
    """The source tasks."""

    def _believe(self, space: SearchSpace, rows: Rows, losses: Floats, at: Rows) -> tuple[Floats, Floats, float]:
        scores = normal_losses(losses)
        prior, parts = self._parts(space, rows, at)
        differs = scores - prior
        best, chosen = -np.inf, (0.0, 0.0, 0.0)
        products = [part @ part.T for part in parts]
        for departure in _SLOPES[0]:
            for decision in _SLOPES[1]:
                for noise in _NOISES:
                    matrix = _summed(products, departure, decision) + noise * np.eye(len(rows))
                    factor = np.linalg.cholesky(matrix)
                    white = solve_triangular(factor, differs, lower=True)
                    evidence = -0.5 * float(white @ white) - float(np.log(np.diag(factor)).sum())
                    if evidence > best:
                        best, chosen = evidence, (float(departure), float(decision), noise)
        factor = np.linalg.cholesky(_summed(products, *chosen[:2]) + chosen[2] * np.eye(len(rows)))
        prior_at, parts_at = self._parts(space, at)
        cross = _summed([a @ b.T for a, b in zip(parts, parts_at, strict=True)], *chosen[:2])
        explained = solve_triangular(factor, cross, lower=True)
        mean = prior_at + explained.T @ solve_triangular(factor, differs, lower=True)
        own = _summed([np.einsum("nd,nd->n", part, part) for part in parts_at], *chosen[:2])
        variance = own - np.einsum("nm,nm->m", explained, explained)
        return mean, np.sqrt(np.maximum(variance, 1e-9)), float(scores.min())

    def _parts(self, space: SearchSpace, rows: Rows, pool: Rows | None = None) -> tuple[Floats, list[Floats]]:
        """The mean score, and what its corrections are linear in: itself, departures of sources, decisions."""
        each = source_scores(space, self.sources, rows, pool)
        mean = each.mean(axis=1)
        # Scaled as on the sources' own networks, so that a few rows and all of them have one scale.
        mean = mean / _spread_of_mean(space, self.sources)
        decisions = OneHot(space)(rows).astype(np.float64)
        return mean, [mean[:, None], (each - each.mean(axis=1, keepdims=True)) / np.sqrt(len(self.sources)), decisions]


def _summed(products: Sequence[Floats], departure: float, decision: float) -> Floats:
    # The slope of the mean has the prior variance 1 about 1.
    return _OFFSET + products[0] + departure * products[1] + decision * products[2]


@dataclass(frozen=True)
class SourceProcess(_Corrected):
    """Source ranks, and a Gaussian process with a Hamming kernel on what they get wrong; expected improvement."""

    sources: tuple[TaskData, ...] = ()
    """The source tasks."""

    def _believe(self, space: SearchSpace, rows: Rows, losses: Floats, at: Rows) -> tuple[Floats, Floats, float]:
        scores = normal_losses(losses)
        scale = _spread_of_mean(space, self.sources)
        known = source_scores(space, self.sources, rows, at).mean(axis=1) / scale
        prior = source_scores(space, self.sources, at).mean(axis=1) / scale
        # The slope is regressed towards 1, by as much as one result of unit distance counts.
        away = known - known.mean()
        slope = (float(away @ (scores - scores.mean())) + 1) / (float(away @ away) + 1)
        mean, deviation = fitted(rows, scores - slope * known).predict(at)
        return mean + slope * prior, deviation, float(scores.min())


def _spread_of_mean(space: SearchSpace, sources: Sequence[TaskData]) -> float:
    """Standard deviation of the mean score over the networks of the first source: below 1 where sources disagree."""
    first = sources[0]
    return remembered(
        "spread", tuple(sources), lambda: float(source_scores(space, sources, first.rows).mean(axis=1).std()) or 1.0
    )
