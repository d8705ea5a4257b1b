"""Random search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metanas.controller._strategy import Accept, Observation, Proposal, Strategy, random_proposal
from metanas.space import SearchSpace


@dataclass(frozen=True, slots=True)
class RandomSearch(Strategy):
    """Each decision drawn by its prior: the baseline that others must beat (Li & Talwalkar 2019)."""

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        return random_proposal(space, accept, rng)
