"""What strategies that rank architectures share: which there are, their features, and what improves on the best."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from metanas.controller._strategy import (
    ENUMERABLE,
    Accept,
    Candidates,
    Observation,
    Proposal,
    Row,
    Sampler,
    random_proposal,
    rank_observations,
)
from metanas.space import Rows, SearchSpace

Floats = npt.NDArray[np.float64]
T = TypeVar("T")

_DRAWN, _PARENTS, _CHILDREN = 2000, 10, 50
"""Of a space that cannot be listed: random rows, and mutations of so many of the best."""
_REMEMBERED = 96
"""Things that are kept at a time: features of a pool, and what each source says of it."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Architectures that a strategy chooses among."""

    rows: Rows
    """``(n, n_decisions)``; the same array at each proposal where they can be listed."""
    open: npt.NDArray[np.bool_] | None
    """Which may be proposed ``(n,)``; None where ``accept`` must be asked."""

    @classmethod
    def of(
        cls, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Pool:
        """All architectures there are, or of many some that are random and some that are near the best."""
        if isinstance(accept, Candidates):
            return cls(accept.candidates(), accept.open())
        if space.size is not None and space.size <= ENUMERABLE:
            return cls(remembered("rows", (space,), lambda: space.rows(ENUMERABLE)), None)
        drawn = accept.sample(_DRAWN, rng) if isinstance(accept, Sampler) else space.sample(_DRAWN, rng)
        best = [o.row for o in rank_observations(observations)[:_PARENTS]]
        near = np.repeat(np.array(best, dtype=np.int64).reshape(len(best), drawn.shape[1]), _CHILDREN, axis=0)
        return cls(np.unique(np.concatenate([drawn, space.mutate(near, rng)]), axis=0), None)

    def thinned(self, most: int, near: Rows, rng: np.random.Generator) -> Pool:
        """A random part of at most ``most`` open rows, and all that differ from one of ``near`` in one decision."""
        places = np.arange(len(self.rows)) if self.open is None else np.flatnonzero(self.open)
        if len(places) <= most:
            return Pool(self.rows[places], None)
        chosen = rng.choice(places, size=most, replace=False)
        beside = [places[(self.rows[places] != row).sum(axis=1) <= 1] for row in near]
        return Pool(self.rows[np.unique(np.concatenate([chosen, *beside]))], None)

    def best(self, values: Floats, accept: Accept, rng: np.random.Generator) -> Row | None:
        """The acceptable row whose value ``(n,)`` is greatest; ties are broken at random."""
        order = np.lexsort((rng.random(len(values)), -values))
        for place in order:
            if (self.open is None or self.open[place]) and accept(self.rows[place]):
                return np.asarray(self.rows[place])
        return None


def listable(space: SearchSpace, accept: Accept) -> bool:
    """Whether all architectures can be scored: those of a table, or of a small space."""
    return isinstance(accept, Candidates) or (space.size is not None and space.size <= ENUMERABLE)


def propose_best(
    pool: Pool, values: Floats, space: SearchSpace, accept: Accept, rng: np.random.Generator, origin: str
) -> Proposal | None:
    """The best of a pool, or a random row where it has none left."""
    row = pool.best(values, accept, rng)
    return random_proposal(space, accept, rng) if row is None else Proposal(row, origin)


def known_losses(observations: Sequence[Observation]) -> tuple[Rows, Floats]:
    """Each architecture that was evaluated ``(n, n_decisions)``, and the mean ``(n,)`` of its first objective.

    A failed one counts as the worst, so that its neighbours are not tried next.
    """
    values: dict[tuple[int, ...], list[float]] = {}
    failed: set[tuple[int, ...]] = set()
    for o in observations:
        if o.losses is not None and np.isfinite(o.losses[0]):
            values.setdefault(o.row, []).append(o.losses[0])
        elif not o.pending:
            failed.add(o.row)
    if not values:
        return np.empty((0, 0), dtype=np.int64), np.empty(0)
    means = {row: float(np.mean(v)) for row, v in values.items()}
    means |= dict.fromkeys(failed - set(values), max(means.values()))
    return np.array(list(means), dtype=np.int64), np.array(list(means.values()))


def pending_rows(observations: Sequence[Observation]) -> Rows:
    """What is being evaluated ``(m, n_decisions)``."""
    rows = [o.row for o in observations if o.pending]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(rows[0]) if rows else 0)


def normal_losses(values: Floats) -> Floats:
    """Losses ``(n,)`` -> normal quantiles of their ranks, ties sharing theirs (Blom 1958): still losses, less is better.

    The predictor's ``normal_scores`` are of the other sign.
    """
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    ranks = (ends - (count - 1) / 2)[inverse.reshape(-1)]
    scores: Floats = ndtri((ranks - 0.375) / (len(values) + 0.25))
    return scores


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """How much less than ``best`` a loss is expected to be ``(n,)`` (Jones et al. 1998, equation 15)."""
    deviation = np.maximum(deviation, 1e-9)
    z = (best - mean) / deviation
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    improvement: Floats = (best - mean) * ndtr(z) + deviation * density
    return improvement


# --- what is derived from objects that live longer than a proposal

_memory: dict[tuple[object, ...], tuple[tuple[weakref.ref[object], ...], object]] = {}


def remembered(what: str, of: tuple[object, ...], make: Callable[[], T]) -> T:
    """``make()``, made once for these very objects; the memory holds the last few, and nothing of objects that are gone."""
    key = (what, *(id(each) for each in of))
    known = _memory.pop(key, None)
    if known is None or any(ref() is not each for ref, each in zip(known[0], of, strict=True)):
        known = (tuple(weakref.ref(each) for each in of), make())
        for other in [k for k, (refs, _) in _memory.items() if any(ref() is None for ref in refs)]:
            del _memory[other]
        while len(_memory) >= _REMEMBERED:
            del _memory[next(iter(_memory))]
    # The last used come last.
    _memory[key] = known
    return known[1]  # type: ignore[return-value]
