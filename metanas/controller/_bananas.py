"""BANANAS (White et al. 2021, *BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search*)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from metanas.controller._features import path_bits
from metanas.controller._models import Floats, ensemble
from metanas.controller._pool import Pool, known_losses, listable, normal_losses, propose_best
from metanas.controller._strategy import Accept, Observation, Proposal, Strategy, random_proposal, rank_observations
from metanas.errors import MetanasError
from metanas.space import Rows, SearchSpace

_CANDIDATES, _FEWER = 1000, 300
"""Scored for a proposal, besides the neighbours of the ten best; and in spaces whose networks cannot be listed, where they are
new each time, and their paths have to be found."""


@dataclass(frozen=True)
class Bananas(Strategy):
    """An ensemble of small networks; independent Thompson sampling among neighbours of the best and random architectures.

    The ensemble is fitted anew after every ``batch`` results, as in the paper's algorithm 1 (``k = 10``). Its networks
    have three layers of 20 units instead of ten: they learn as well from so few results, and faster. They read which
    paths there are, as the paper's do, and decisions where no paths tell of them.
    """

    start: int = 10
    """Random architectures first."""
    batch: int = 10
    """Results after which the ensemble is fitted anew."""
    members: int = 5
    """Networks of the ensemble."""

    def __post_init__(self) -> None:
        if min(self.start, self.batch, self.members) < 1:
            raise MetanasError("bananas needs start, batch and members from 1", where="search.strategy")

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        rows, losses = known_losses(observations)
        begun = sum(o.losses is not None or o.pending for o in observations)
        if begun < self.start or len(losses) < 2:
            return random_proposal(space, accept, rng)
        best = np.array([o.row for o in rank_observations(observations)[:10]], dtype=np.int64)
        most = _CANDIDATES if listable(space, accept) else _FEWER
        pool = Pool.of(space, observations, accept, rng).thinned(most, best, rng)
        each = self._each(space, rows, losses, pool.rows)
        # Independent Thompson sampling, section 3.3 there: each candidate by one draw of its own.
        draws = each.mean(axis=0) + each.std(axis=0) * rng.standard_normal(each.shape[1])
        return propose_best(pool, -draws, space, accept, rng, "bananas")

    def predict(
        self, space: SearchSpace, observations: Sequence[Observation], rows: Rows, rng: np.random.Generator
    ) -> Floats | None:
        """See :meth:`Strategy.predict`."""
        known, losses = known_losses(observations)
        return None if len(losses) < 2 else self._each(space, known, losses, rows).mean(axis=0)

    def _each(self, space: SearchSpace, rows: Rows, losses: Floats, at: Rows) -> Floats:
        """What each network says of candidates, ``(members, m)``."""
        count = len(rows) - (len(rows) - self.start) % self.batch if len(rows) > self.start else len(rows)
        models = _fitted(_Key(space, rows[:count].tobytes(), losses[:count].tobytes()), self.members)
        inputs = path_bits(space, at)
        return np.stack([model.predict(inputs) for model in models])


@dataclass(frozen=True)
class _Key:
    space: SearchSpace
    rows: bytes
    losses: bytes

    def __hash__(self) -> int:
        return hash((id(self.space), self.rows, self.losses))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Key)
            and self.space is other.space
            and (self.rows, self.losses) == (other.rows, other.losses)
        )


@lru_cache(maxsize=4)
def _fitted(key: _Key, members: int) -> list[Any]:
    rows = np.frombuffer(key.rows, dtype=np.int64).reshape(-1, len(key.space.decisions))
    return ensemble(path_bits(key.space, rows), normal_losses(np.frombuffer(key.losses)), members, len(rows))
