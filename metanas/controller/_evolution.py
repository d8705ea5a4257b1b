"""Regularized evolution (Real et al. 2019, *Regularized Evolution for Image Classifier Architecture Search*, algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metanas.controller._strategy import (
    Accept,
    Observation,
    Proposal,
    Strategy,
    random_proposal,
    rank_observations,
)
from metanas.errors import MetanasError
from metanas.space import SearchSpace

_MUTATIONS = 64
"""Children tried for one proposal; each tenth try mutates once more, to leave a neighbourhood that is used up."""


@dataclass(frozen=True, slots=True)
class Evolution(Strategy):
    """The best of a random sample of the youngest architectures is mutated.

    The population is the last ``population`` that were evaluated with success: the oldest leaves, not the worst, so
    that a lucky training does not live for ever. With several objectives the best is the first by
    :func:`rank_observations`.
    """

    population: int = 20
    """Architectures that may have children; the first as many are random."""
    sample: int = 5
    """Size of the tournament."""

    def __post_init__(self) -> None:
        if not 1 <= self.sample <= self.population:
            raise MetanasError(
                "evolution needs 1 <= sample <= population",
                found=f"sample {self.sample}, population {self.population}",
                where="search.strategy",
            )

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        alive = [o for o in observations if o.losses is not None][-self.population :]
        # Those under way count, so that many workers do not prolong the random start.
        begun = sum(o.losses is not None or o.pending for o in observations)
        if begun < self.population or not alive:
            return random_proposal(space, accept, rng)
        entrants = rng.choice(len(alive), size=min(self.sample, len(alive)), replace=False)
        ranked = rank_observations([alive[i] for i in entrants])
        if ranked:
            parent = np.array([ranked[0].row], dtype=np.int64)
            for attempt in range(_MUTATIONS):
                child = parent
                for _ in range(1 + attempt // 10):
                    child = space.mutate(child, rng)
                if accept(child[0]):
                    return Proposal(child[0], "mutation")
        return random_proposal(space, accept, rng)
