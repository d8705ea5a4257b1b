"""The contract of a strategy, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from metanas.space import Rows, SearchSpace
from metanas.trial import pareto_front

Row = npt.NDArray[np.int64]
Accept = Callable[[Row], bool]
"""Whether a row may be proposed: it can be built, meets the constraints, and no equal network was proposed before."""


@runtime_checkable
class Sampler(Protocol):
    """An :data:`Accept` that knows where acceptable rows are."""

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` random rows ``(n, n_decisions)``, many of which it is likely to accept."""


@runtime_checkable
class Filter(Protocol):
    """An :data:`Accept` that can tell cheaply what it is likely to refuse."""

    def likely(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows ``(n, n_decisions)`` seem to meet the constraints on measures, ``(n,)``."""


@runtime_checkable
class Candidates(Protocol):
    """An :data:`Accept` that can list what there is, for strategies that rank all of it."""

    def candidates(self) -> Rows:
        """All architectures ``(n, n_decisions)``, those proposed before too; the same array at each call."""

    def open(self) -> npt.NDArray[np.bool_]:
        """Which of them may be proposed now, ``(n,)``."""


ENUMERABLE = 20_000
"""Spaces of at most this many rows are searched to the last architecture."""
_TRIES = 400
"""Random rows tried for one proposal before the strategy gives up or enumerates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """An architecture that was proposed, and what came of it."""

    number: int
    """Order in which it was proposed."""
    row: tuple[int, ...]
    """Its row in the table of decisions."""
    losses: tuple[float, ...] | None
    """One value an objective, less is better; None while it runs and after a failure."""
    pending: bool = False
    """Whether it is still being evaluated."""
    curve: Mapping[int, float] = field(default_factory=dict)
    """Epoch to the loss of the first objective after it, as far as it is known."""
    stopped: bool = False
    """Whether it was stopped early; its losses are those of its last epoch."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to evaluate next."""

    row: Row
    """Row ``(n_decisions,)`` of the space."""
    origin: str
    """How it came about, such as ``random`` or ``mutation``."""
    repeat: bool = False
    """Whether it is an architecture that was evaluated before, to be trained again with another seed."""


class Strategy(ABC):
    """Proposes architectures. Holds settings only: what happened comes in as observations, so a resumed search goes on
    as if it had never stopped.
    """

    @abstractmethod
    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """The next architecture, one that ``accept`` takes; None when none is left that can be found.

        ``observations`` are in order of proposal and hold those under way; an architecture that was evaluated
        repeatedly stands there repeatedly. ``rng`` is fresh for each proposal.
        """

    def recommend(self, space: SearchSpace, observations: Sequence[Observation]) -> Row | None:
        """The architecture to hand out after these observations; None when none has a value.

        Here the one whose values have the best mean, by the first objective. A strategy with a model of the noise
        knows better.
        """
        values: dict[tuple[int, ...], list[float]] = {}
        for observation in observations:
            if observation.losses is not None and np.isfinite(observation.losses[0]):
                values.setdefault(observation.row, []).append(observation.losses[0])
        if not values:
            return None
        return np.array(min(values, key=lambda row: float(np.mean(values[row]))), dtype=np.int64)

    def sureness(self, space: SearchSpace, observations: Sequence[Observation]) -> float | None:
        """The probability that the recommended architecture is the best of those evaluated; None without a model of it."""
        return None

    def predict(
        self, space: SearchSpace, observations: Sequence[Observation], rows: Rows, rng: np.random.Generator
    ) -> npt.NDArray[np.float64] | None:
        """Expected losses ``(n,)``, of the first objective, of rows ``(n, n_decisions)``; None without a model.

        Only their order counts.
        """
        return None


def random_proposal(space: SearchSpace, accept: Accept, rng: np.random.Generator) -> Proposal | None:
    """A random row that ``accept`` takes, each decision drawn by its prior; a small space is searched to the end."""
    sample = accept.sample if isinstance(accept, Sampler) else space.sample
    for rows in (sample(min(_TRIES, 8 * 2**k), rng) for k in range(7)):
        for row in rows:
            if accept(row):
                return Proposal(row, "random")
    if space.size is not None and space.size <= ENUMERABLE:
        rows = space.rows(ENUMERABLE)
        for index in rng.permutation(len(rows)):
            if accept(rows[index]):
                return Proposal(rows[index], "random")
    return None


def rank_observations(observations: Sequence[Observation]) -> list[Observation]:
    """Those with losses, best first.

    With several objectives: by front of non-dominated architectures, and within a front by crowding distance, the
    lonelier first (Deb et al. 2002, NSGA-II, sections III-A and III-B).
    """
    finished = [o for o in observations if o.losses is not None and np.isfinite(o.losses).all()]
    if not finished:
        return []
    losses = np.array([o.losses for o in finished], dtype=float)
    if losses.shape[1] == 1:
        return [finished[i] for i in np.argsort(losses[:, 0], kind="stable")]
    order: list[int] = []
    left = np.arange(len(finished))
    while len(left):
        front = left[pareto_front(losses[left], ["minimize"] * losses.shape[1])]
        lonely = _crowding(losses[front])
        order.extend(int(front[i]) for i in np.argsort(-lonely, kind="stable"))
        left = np.setdiff1d(left, front)
    return [finished[i] for i in order]


def _crowding(losses: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Crowding distance ``(n,)`` of ``(n, m)`` losses; infinite at the ends of each objective."""
    distance = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if spread > 0 and len(order) > 2:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distance
