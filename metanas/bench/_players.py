"""Strategies and Optuna's samplers, as one search in memory plays them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from metanas.bench._target import Target
from metanas.controller import Observation, Proposal, RandomSearch, Strategy
from metanas.space import Rows, SearchSpace
from metanas.study import MemorySampler

Row = npt.NDArray[np.int64]

_MAX_STALE, _MAX_BUSY = 200, 5
"""Proposals of a sampler in a row that bring nothing new, and among them of what is under way, after which one is drawn at random.
In a table of fewer rows, as many as it has."""


class Player(ABC):
    """Proposes, and is told what came of it."""

    @abstractmethod
    def propose(self, target: Target, rng: np.random.Generator) -> Proposal | None:
        """What to evaluate next; None when nothing is left."""

    @abstractmethod
    def begin(self, row: Row) -> int:
        """The proposal is under way; the number by which its end will be told."""

    @abstractmethod
    def end(self, number: int, loss: float) -> None:
        """What it came to."""

    @abstractmethod
    def recommend(self) -> Row | None:
        """The architecture that it would hand out now."""

    @abstractmethod
    def predict(self, rows: Rows, rng: np.random.Generator) -> npt.NDArray[np.float64] | None:
        """Expected losses ``(n,)``; None without a model."""


class StrategyPlayer(Player):
    """A strategy of ours, with the observations that it is given each time."""

    def __init__(self, strategy: Strategy, space: SearchSpace) -> None:
        self._strategy = strategy
        self._space = space
        self._observations: list[Observation] = []

    def propose(self, target: Target, rng: np.random.Generator) -> Proposal | None:
        return self._strategy.propose(self._space, self._observations, target, rng)

    def begin(self, row: Row) -> int:
        number = len(self._observations)
        under_way = Observation(number=number, row=tuple(int(v) for v in row), losses=None, pending=True)
        self._observations.append(under_way)
        return number

    def end(self, number: int, loss: float) -> None:
        self._observations[number] = replace(self._observations[number], losses=(loss,), pending=False)

    def recommend(self) -> Row | None:
        return self._strategy.recommend(self._space, self._observations)

    def predict(self, rows: Rows, rng: np.random.Generator) -> npt.NDArray[np.float64] | None:
        return self._strategy.predict(self._space, self._observations, rows, rng)


class SamplerPlayer(StrategyPlayer):
    """A sampler of Optuna's on a study in memory. What it proposes again is told it again, and costs no evaluation."""

    def __init__(self, sampler: MemorySampler, space: SearchSpace) -> None:
        super().__init__(RandomSearch(), space)
        self._sampler = sampler
        self._asked: int | None = None
        self._trials: dict[int, int] = {}
        self._losses: dict[tuple[int, ...], float] = {}

    def propose(self, target: Target, rng: np.random.Generator) -> Proposal | None:
        busy = {observation.row for observation in self._observations if observation.pending}
        met = 0
        # A process takes seconds a proposal, so the few rows of a small table are not worth as many.
        for _ in range(min(_MAX_STALE, len(target.candidates()))):
            number, row = self._sampler.ask()
            if target(row):
                self._asked = number
                return Proposal(row, "sampler")
            # A row that denotes a known network by another spelling has no loss of its own, and is refused.
            known = tuple(row.tolist())
            self._sampler.tell(number, self._losses.get(known))
            # No result of it leads the sampler elsewhere.
            met += known in busy
            if met == _MAX_BUSY:
                break
        return super().propose(target, rng)

    def begin(self, row: Row) -> int:
        number = super().begin(row)
        if self._asked is not None:
            self._trials[number] = self._asked
        self._asked = None
        return number

    def end(self, number: int, loss: float) -> None:
        super().end(number, loss)
        row = self._observations[number].row
        self._losses[row] = loss
        if number in self._trials:
            self._sampler.tell(self._trials.pop(number), loss)
        else:
            self._sampler.add(np.array(row), loss)
