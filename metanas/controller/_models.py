"""Strategies that fit a model of one search's own results, and evaluate where it expects an improvement.

Losses become normal scores (quantiles of their ranks), which no outlier bends. ``n`` results, ``m`` candidates.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.controller._climb import climb
from metanas.controller._critic import ProcessCritic, log_improvement
from metanas.controller._features import structural
from metanas.controller._hamming import HammingGP
from metanas.controller._layout import Layout
from metanas.controller._policy import Policy
from metanas.controller._pool import (
    Pool,
    expected_improvement,
    known_losses,
    listable,
    normal_losses,
    pending_rows,
    propose_best,
)
from metanas.controller._strategy import (
    Accept,
    Observation,
    Proposal,
    Row,
    Strategy,
    random_proposal,
    rank_observations,
)
from metanas.errors import MetanasError
from metanas.space import Rows, SearchSpace

Floats = npt.NDArray[np.float64]

_SCORED = 2000
"""Candidates that a model of trees or networks scores for a proposal, besides the neighbours of the best three: all of
a table would take a second."""


class ModelStrategy(Strategy):
    """Random at first, then the candidate with the greatest expected improvement under a model."""

    start: int
    """Random architectures before the model counts."""
    origin: str
    """Of the proposals."""
    scored: int | None = None
    """Candidates that are scored; None for all."""

    @abstractmethod
    def believe(
        self, space: SearchSpace, rows: Rows, scores: Floats, at: Rows, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(m,)`` of the scores of ``at``, given scores ``(n,)`` of ``rows``."""

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        rows, losses = known_losses(observations)
        begun = sum(o.losses is not None or o.pending for o in observations)
        if begun < self.start or not len(losses):
            return random_proposal(space, accept, rng)
        if not listable(space, accept):
            climbed = self.climbed(space, rows, losses, pending_rows(observations), accept, rng)
            if climbed is not None:
                return climbed
        pool = Pool.of(space, observations, accept, rng)
        if self.scored is not None:
            best = [o.row for o in rank_observations(observations)[:3]]
            pool = pool.thinned(self.scored, np.array(best, dtype=np.int64), rng)
        scores = normal_losses(losses)
        waiting = pending_rows(observations)
        if len(waiting):
            # What is under way counts as average, so that workers spread.
            rows, scores = np.concatenate([rows, waiting]), np.concatenate([scores, np.zeros(len(waiting))])
        mean, deviation = self.believe(space, rows, scores, pool.rows, rng)
        values = expected_improvement(mean, deviation, float(scores.min()))
        return propose_best(pool, values, space, accept, rng, self.origin)

    def climbed(
        self, space: SearchSpace, rows: Rows, losses: Floats, waiting: Rows, accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """A proposal by the model's gradient, given losses ``(n,)`` of ``rows`` and others under way; None without one."""
        return None

    def predict(
        self, space: SearchSpace, observations: Sequence[Observation], rows: Rows, rng: np.random.Generator
    ) -> Floats | None:
        """See :meth:`Strategy.predict`."""
        known, losses = known_losses(observations)
        if len(losses) < 2:
            return None
        return self.believe(space, known, normal_losses(losses), rows, rng)[0]


@dataclass(frozen=True)
class GaussianProcess(ModelStrategy):
    """A Gaussian process with an ARD Hamming kernel on the decisions; expected improvement, by its gradient in large spaces.

    Where all candidates can be listed, all of them are scored.
    """

    start: int = 10
    """Random architectures before the model counts."""
    region: int = 4
    """Decisions that a proposal may differ in from the best ten results, in spaces too large to list; 0 for no bound. A
    process of few results promises much where it knows nothing (Wan et al. 2021, *CASMOPOLITAN*, section 3.2)."""

    origin = "gp"

    def __post_init__(self) -> None:
        if self.region < 0:
            raise MetanasError("gp.region is a number of decisions, or 0", found=self.region, where="search.strategy")

    def believe(
        self, space: SearchSpace, rows: Rows, scores: Floats, at: Rows, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """See :meth:`ModelStrategy.believe`."""
        return fitted(rows, scores, lengths_of(space)).predict(at)

    def climbed(
        self, space: SearchSpace, rows: Rows, losses: Floats, waiting: Rows, accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`ModelStrategy.climbed`."""
        policy = Policy.prior(space)
        scores = normal_losses(losses)
        process = fitted(rows, scores, policy.layout.lengths)
        critic = ProcessCritic(process, policy.layout, log_improvement(float(scores.min())))
        if len(waiting):
            rows, critic = np.concatenate([rows, waiting]), critic.believing(waiting)
        found = climb(critic, policy, rows, losses, accept, rng, region=self.region or None)
        return Proposal(found[0], self.origin) if found else None

    def recommend(self, space: SearchSpace, observations: Sequence[Observation]) -> Row | None:
        """The evaluated architecture with the best posterior mean: a lucky training does not win."""
        rows, losses = known_losses(observations)
        if len(losses) < max(self.start, 2):
            return Strategy.recommend(self, space, observations)
        mean, _ = fitted(rows, normal_losses(losses), lengths_of(space)).predict(rows)
        return np.asarray(rows[mean.argmin()])


def fitted(rows: Rows, scores: Floats, lengths: Floats | None = None) -> HammingGP:
    """The process of these results; a recommendation asks for the same one as the next proposal."""
    lengths = np.zeros(rows.shape[1]) if lengths is None else lengths
    return _fitted(rows.tobytes(), rows.shape[1], scores.tobytes(), lengths.tobytes())


@lru_cache(maxsize=4)
def _fitted(rows: bytes, columns: int, scores: bytes, lengths: bytes) -> HammingGP:
    known = np.frombuffer(rows, dtype=np.int64).reshape(-1, columns)
    return HammingGP.fit(known, np.frombuffer(scores), np.frombuffer(lengths))


def lengths_of(space: SearchSpace) -> Floats:
    """See :attr:`Layout.lengths`."""
    return Layout(space).lengths


@dataclass(frozen=True)
class Forest(ModelStrategy):
    """A random forest, whose trees' spread is its uncertainty (Hutter et al. 2011, SMAC); expected improvement.

    It reads decisions and, in spaces of up to 65,000 rows, the structure of networks.
    """

    start: int = 10
    """Random architectures before the model counts."""
    trees: int = 60
    """Of the forest."""

    origin = "forest"
    scored = _SCORED

    def __post_init__(self) -> None:
        if self.trees < 2:
            raise MetanasError("a forest has two trees or more", found=self.trees, where="search.strategy")

    def believe(
        self, space: SearchSpace, rows: Rows, scores: Floats, at: Rows, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """See :meth:`ModelStrategy.believe`."""
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(self.trees, max_features=0.5, random_state=int(rng.integers(2**31)))
        forest.fit(structural(space, rows), scores)
        inputs = structural(space, at)
        each = np.stack([tree.predict(inputs, check_input=False) for tree in forest.estimators_])
        return each.mean(axis=0), each.std(axis=0)


@dataclass(frozen=True)
class BoostedTrees(ModelStrategy):
    """Gradient-boosted trees, some on bootstraps of the results for an uncertainty; expected improvement.

    They read what a forest does.
    """

    start: int = 10
    """Random architectures before the model counts."""
    members: int = 3
    """Models, each on a bootstrap."""

    origin = "trees"
    scored = _SCORED

    def __post_init__(self) -> None:
        if self.members < 2:
            raise MetanasError("an ensemble has two members or more", found=self.members, where="search.strategy")

    def believe(
        self, space: SearchSpace, rows: Rows, scores: Floats, at: Rows, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """See :meth:`ModelStrategy.believe`."""
        from sklearn.ensemble import GradientBoostingRegressor

        known, inputs = structural(space, rows), structural(space, at)
        each = []
        for _ in range(self.members):
            chosen = rng.integers(len(rows), size=len(rows))
            model = GradientBoostingRegressor(
                n_estimators=40, max_depth=3, learning_rate=0.15, max_features=0.5,
                random_state=int(rng.integers(2**31)),
            )  # fmt: skip
            each.append(model.fit(known[chosen], scores[chosen]).predict(inputs))
        return np.mean(each, axis=0), np.std(each, axis=0)


def ensemble(inputs: Any, scores: Floats, members: int, seed: int) -> list[Any]:
    """Small networks that differ in their seeds, each fitted to scores ``(n,)`` of inputs ``(n, k)``."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    models = []
    for member in range(members):
        model = MLPRegressor(
            hidden_layer_sizes=(20, 20, 20),
            solver="adam",
            learning_rate_init=0.01,
            alpha=1e-4,
            max_iter=150,
            random_state=seed + member,
        )
        with warnings.catch_warnings():
            # It stops when its time is up, as the paper's does.
            warnings.simplefilter("ignore", ConvergenceWarning)
            models.append(model.fit(inputs, scores))
    return models
