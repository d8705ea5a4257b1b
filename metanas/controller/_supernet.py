"""The strategy that evaluates the best networks of a supernet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from metanas.controller._evolution import Evolution
from metanas.controller._meta import Meta
from metanas.controller._strategy import Accept, Observation, Proposal, Strategy
from metanas.errors import MetanasError
from metanas.evaluator import METHODS
from metanas.predictor import SpaceModel, encoder_of
from metanas.space import SearchSpace, did_you_mean

_THEN = ("meta", "ranking")


@dataclass(frozen=True, slots=True)
class SupernetRanking(Strategy):
    """All networks are trained as one, by shared weights; the search begins at those that are best so."""

    method: str = "spos"
    """How the supernet is trained: a name of :data:`metanas.evaluator.METHODS`."""
    epochs: int = 40
    """Epochs of its training."""
    candidates: int = 200
    """Networks that it ranks."""
    then: str = "meta"
    """Who proposes after that: ``meta``, to which its losses are a source task, or ``ranking``, its best networks in order."""
    check: int = 8
    """Evaluations after which ``ranking`` is held against them; where they disagree, the search goes on by evolution. ``meta``
    weighs each of them."""
    ranking: tuple[tuple[tuple[int, ...], ...], tuple[float, ...]] = ((), ())
    """Rows, best first, and their losses with shared weights; empty where there is no supernet."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise MetanasError(
                f"no supernet method has the name {self.method!r}", remedy=did_you_mean(self.method, METHODS)
            )
        if self.then not in _THEN:
            raise MetanasError(
                "supernet.then is meta or ranking", found=repr(self.then), remedy=did_you_mean(self.then, _THEN)
            )
        if min(self.epochs, self.candidates) < 1 or self.check < 2:
            raise MetanasError("supernet.epochs and candidates are at least 1, check at least 2")

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        if self.agreement(observations) > 0:
            for row in self.ranking[0]:
                candidate = np.array(row, dtype=np.int64)
                if accept(candidate):
                    return Proposal(candidate, "supernet")
        return Evolution().propose(space, observations, accept, rng)

    def guided(self, space: SearchSpace) -> Meta:
        """The strategy ``meta`` for trainings of single networks, to which the losses with shared weights are a source."""
        rows, losses = self.ranking
        if not rows:
            return Meta(single=True)
        values = {"supernet": -np.array(losses)}
        return Meta(single=True, model=SpaceModel.of_proxies(encoder_of(space), np.array(rows, dtype=np.int64), values))

    def agreement(self, observations: Sequence[Observation]) -> float:
        """Kendall's τ between the losses with shared weights and those found; 1 before there are enough to tell."""
        known = dict(zip(*self.ranking, strict=True))
        pairs = [
            (known[observation.row], observation.losses[0])
            for observation in observations
            if observation.losses is not None and observation.row in known
        ]
        if len(pairs) < self.check:
            return 1.0
        tau = kendalltau(*zip(*pairs, strict=True)).statistic
        return float(tau) if np.isfinite(tau) else 0.0
