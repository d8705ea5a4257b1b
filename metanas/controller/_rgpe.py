"""RGPE (Feurer et al. 2018, *Scalable Meta-Learning for Bayesian Optimization using Ranking-Weighted Gaussian Process
Ensembles*).

``S`` source tasks, ``n`` results of the target, ``m`` candidates, ``B`` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from metanas._rng import generator
from metanas.controller._hamming import HammingGP
from metanas.controller._models import fitted
from metanas.controller._pool import Pool, expected_improvement, known_losses, normal_losses, propose_best, remembered
from metanas.controller._strategy import Accept, Observation, Proposal, Strategy, random_proposal
from metanas.errors import MetanasError
from metanas.space import Rows, SearchSpace
from metanas.tables import TaskData

Floats = npt.NDArray[np.float64]

_FITTED_ON = 200
"""Results of a source that its process is conditioned on: its cost grows with their cube."""


@dataclass(frozen=True)
class RankingWeightedEnsemble(Strategy):
    """RGPE: the Gaussian processes of the sources and of the target, weighted by how often each ranks the target's results best."""

    sources: tuple[TaskData, ...] = ()
    """The source tasks."""
    draws: int = 256
    """Draws by which the weights are estimated."""

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise MetanasError("rgpe needs one draw or more", found=self.draws, where="search.strategy")

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        rows, losses = known_losses(observations)
        if not self.sources and len(losses) < 2:
            return random_proposal(space, accept, rng)
        pool = Pool.of(space, observations, accept, rng)
        mean, deviation, best = self._believe(rows, losses, pool.rows, rng)
        values = -mean if best is None else expected_improvement(mean, deviation, best)
        return propose_best(pool, values, space, accept, rng, "rgpe")

    def predict(
        self, space: SearchSpace, observations: Sequence[Observation], rows: Rows, rng: np.random.Generator
    ) -> Floats | None:
        """See :meth:`Strategy.predict`."""
        known, losses = known_losses(observations)
        if not self.sources and len(losses) < 2:
            return None
        return self._believe(known, losses, rows, rng)[0]

    def _believe(
        self, rows: Rows, losses: Floats, at: Rows, rng: np.random.Generator
    ) -> tuple[Floats, Floats, float | None]:
        """Mean and deviation of the ensemble ``(m,)``, and the best result; all as normal scores."""
        parts = [remembered("rgpe", (s, at), partial(_predicted, s, at)) for s in self.sources]
        if len(losses) < 2:
            return np.mean([mean for mean, _ in parts], axis=0), np.mean([std for _, std in parts], axis=0), None
        scores = normal_losses(losses)
        target = fitted(rows, scores)
        weights = self._weights(rows, scores, target, rng)
        parts.append(target.predict(at))
        mean = sum(w * m for w, (m, _) in zip(weights, parts, strict=True) if w)
        variance = sum(w * w * d * d for w, (_, d) in zip(weights, parts, strict=True) if w)
        return np.asarray(mean), np.sqrt(variance), float(scores.min())

    def _weights(self, rows: Rows, scores: Floats, target: HammingGP, rng: np.random.Generator) -> Floats:
        """``(S + 1,)``, the target's last: sections 4.2 and 4.3 there."""
        opinions = [_process(source).predict(rows) for source in self.sources] + [target.leave_one_out()]
        lost = np.stack(
            [_misranked(mean + std * rng.standard_normal((self.draws, len(rows))), scores) for mean, std in opinions]
        )
        # No dilution: a source whose typical loss is worse than nearly all of the target's has no say.
        limit = np.quantile(lost[-1], 0.95)
        for place in range(len(self.sources)):
            if np.median(lost[place]) > limit:
                lost[place] = np.inf
        least = lost == lost.min(axis=0)
        weights: Floats = (least / least.sum(axis=0)).mean(axis=1)
        return weights


def _misranked(draws: Floats, scores: Floats) -> Floats:
    """Pairs ``(B,)`` of results that each draw ``(B, n)`` orders wrongly (equation 2 there)."""
    true = scores[:, None] < scores[None, :]
    return np.array([float(np.count_nonzero((draw[:, None] < draw[None, :]) != true)) for draw in draws])


def _predicted(source: TaskData, at: Rows) -> tuple[Floats, Floats]:
    return _process(source).predict(at)


def _process(source: TaskData) -> HammingGP:
    def fit() -> HammingGP:
        rng = generator(0, "rgpe", source.name)
        chosen = rng.permutation(len(source.rows))[:_FITTED_ON]
        return HammingGP.fit(source.rows[chosen], normal_losses(source.mean_losses)[chosen])

    return remembered("process", (source,), fit)
