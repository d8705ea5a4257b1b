"""Who proposes the next trial: a strategy of ours, or one of Optuna's samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas._rng import derive_seed, generator
from metanas.controller import Observation, Strategy
from metanas.space import Rows
from metanas.study._gate import Gate
from metanas.study._strategies import STRATEGIES, make_sampler
from metanas.study._trials import Trials
from metanas.trial import TrialRecord

Row = npt.NDArray[np.int64]

_MAX_DUPLICATES = 200
"""Proposals of a sampler in a row that bring nothing new, after which the space counts as searched."""


class Proposer(ABC):
    """Makes trials."""

    @abstractmethod
    def next(self) -> TrialRecord | None:
        """A new trial, running; None when nothing new can be found.

        A trial of a network that is known already has ``duplicate_of`` set, and is not to be evaluated.
        """


def make_proposer(name: str, options: Mapping[str, Any], trials: Trials, gate: Gate, *, seed: int) -> Proposer:
    """The proposer of a strategy's name.

    Raises
    ------
    MetanasError
        If the strategy does not take the options or does not suit the space.

    """
    if name in STRATEGIES:
        return _StrategyProposer(STRATEGIES[name](**options), trials, gate, seed)
    # A sampler's own state is not kept; after a resume it draws from another stream.
    sampler = make_sampler(name, options, trials.space, derive_seed(seed, "sampler", len(trials.records)) % 2**32)
    return _SamplerProposer(sampler, name, trials, gate)


class _StrategyProposer(Proposer):
    def __init__(self, strategy: Strategy, trials: Trials, gate: Gate, seed: int) -> None:
        self.strategy = strategy
        self.trials = trials
        self.gate = gate
        self.seed = seed
        self._rows: dict[int, tuple[int, ...]] = {}

    def next(self) -> TrialRecord | None:
        known = {record.canonical_id for record in self.trials.records.values()}
        number = max(self.trials.records, default=-1) + 1
        proposal = self.strategy.propose(
            self.trials.space, self._observations(), _New(self.gate, known), generator(self.seed, "proposal", number)
        )
        if proposal is None:
            return None
        canonical_id = self.gate.canonical_id(proposal.row)
        return self.trials.create(proposal.row, origin=proposal.origin, canonical_id=canonical_id)

    def _observations(self) -> list[Observation]:
        signs = [-1.0 if direction == "maximize" else 1.0 for _, direction in self.trials.objectives]
        observations = []
        for number, record in sorted(self.trials.records.items()):
            if number not in self._rows:
                self._rows[number] = tuple(int(v) for v in self.trials.space.to_row(record.decisions))
            losses = None
            if record.values is not None:
                losses = tuple(sign * value for sign, value in zip(signs, record.values, strict=True))
            pending = record.status is None
            observations.append(Observation(number=number, row=self._rows[number], losses=losses, pending=pending))
        return observations


class _New:
    """Accepts rows whose network is not among ``known`` and passes the gate."""

    def __init__(self, gate: Gate, known: Set[str]) -> None:
        self.gate = gate
        self.known = known
        self._refused: set[bytes] = set()

    def __call__(self, row: Row) -> bool:
        key = row.tobytes()
        if key in self._refused or self.gate.canonical_id(row) in self.known or self.gate.refusal(row):
            self._refused.add(key)
            return False
        return True

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        return self.gate.sample(n, rng)


class _SamplerProposer(Proposer):
    def __init__(self, sampler: Any, name: str, trials: Trials, gate: Gate) -> None:
        self.sampler = sampler
        self.name = name
        self.trials = trials
        self.gate = gate
        self._stale = 0

    def next(self) -> TrialRecord | None:
        while self._stale < _MAX_DUPLICATES:
            number, row = self.trials.ask(self.sampler)
            refusal = self.gate.refusal(row)
            if refusal:
                self._stale += 1
                self.trials.refuse(number, refusal)
                continue
            canonical_id = self.gate.canonical_id(row)
            first = min(
                (r.number for r in self.trials.records.values() if r.canonical_id == canonical_id), default=None
            )
            self._stale = 0 if first is None else self._stale + 1
            return self.trials.adopt(number, row, origin=self.name, canonical_id=canonical_id, duplicate_of=first)
        return None
