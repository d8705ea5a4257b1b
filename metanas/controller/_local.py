"""Local search (White et al. 2021, *Exploring the Loss Landscape in Neural Architecture Search*)."""

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


@dataclass(frozen=True, slots=True)
class LocalSearch(Strategy):
    """A neighbour, in random order, of the best architecture that has one left.

    A neighbour differs in one decision. Once all neighbours of the best are used up it is a local optimum, and the
    next best is taken: so no restart is needed, and none of what is known is forgotten.
    """

    start: int = 5
    """Random architectures first, of which the best is the start."""

    def __post_init__(self) -> None:
        if self.start < 1:
            raise MetanasError(
                "local search starts from one architecture or more", found=self.start, where="search.strategy"
            )

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        if sum(o.losses is not None or o.pending for o in observations) < self.start:
            return random_proposal(space, accept, rng)
        for best in rank_observations(observations):
            neighbours = space.neighbours(np.array(best.row, dtype=np.int64), rng)
            for index in rng.permutation(len(neighbours)):
                if accept(neighbours[index]):
                    return Proposal(neighbours[index], "neighbour")
        return random_proposal(space, accept, rng)
