"""Who proposes the next trial: a strategy of ours, or one of Optuna's samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from metanas._rng import derive_seed, generator
from metanas.controller import Observation, RandomSearch, Strategy
from metanas.space import Rows
from metanas.study._gate import Gate
from metanas.study._strategies import STRATEGIES, asks_inactive, make_sampler, make_strategy, sampler_errors
from metanas.study._trials import Trials
from metanas.trial import Status, TrialRecord, best_trial

Row = npt.NDArray[np.int64]

_MAX_KNOWN, _MAX_REFUSED = 200, 200
"""Proposals of a sampler in a row that are known already, and for one trial that may not be evaluated, after which one
is drawn at random."""


class Proposer(ABC):
    """Makes trials."""

    strategy: Strategy | None = None
    """A strategy of ours, if that is what proposes."""
    observations: Sequence[Observation] = ()
    """What it sees of the trials."""

    @abstractmethod
    def next(self) -> TrialRecord | None:
        """A new trial, running; None when nothing new can be found.

        A trial of a network that is known already has ``duplicate_of`` set, and is not to be evaluated; unless it is to
        be trained again, with another seed.
        """

    def recommended(self) -> TrialRecord | None:
        """The trial whose network should be handed out; None to leave it to the values."""
        return None

    def sureness(self) -> float | None:
        """The probability that its network is the best of those evaluated; None where nobody can tell."""
        return None


def make_proposer(
    name: str,
    options: Mapping[str, Any],
    trials: Trials,
    gate: Gate,
    *,
    seed: int,
    knowledge: Mapping[str, Any] | None = None,
) -> Proposer:
    """The proposer of a strategy's name; ``knowledge`` is given to a strategy that transfers.

    Raises
    ------
    MetanasError
        If the strategy does not take the options or does not suit the space.

    """
    if name in STRATEGIES:
        return _StrategyProposer(make_strategy(name, {**options, **(knowledge or {})}), trials, gate, seed)
    # A sampler's own state is not kept; after a resume it draws from another stream.
    sampler = make_sampler(name, options, trials.space, derive_seed(seed, "sampler", len(trials.records)) % 2**32)
    return _SamplerProposer(sampler, name, options, trials, gate, seed)


class Observations(Sequence[Observation]):
    """The trials as strategies see them, in order of proposal, each changed when its trial changes."""

    def __init__(self, trials: Trials) -> None:
        self._signs = [-1.0 if direction == "maximize" else 1.0 for _, direction in trials.objectives]
        self._rows = trials.rows
        self._places: dict[int, int] = {}
        self._observations: list[Observation] = []
        trials.watch(self._update)

    def __len__(self) -> int:
        return len(self._observations)

    @overload
    def __getitem__(self, index: int) -> Observation: ...
    @overload
    def __getitem__(self, index: slice) -> list[Observation]: ...
    def __getitem__(self, index: int | slice) -> Observation | list[Observation]:
        return self._observations[index]

    def __iter__(self) -> Iterator[Observation]:
        return iter(self._observations)

    def _update(self, record: TrialRecord) -> None:
        place = self._places.get(record.number)
        if place is None:
            row = tuple(int(v) for v in self._rows[record.number])
            place = self._places[record.number] = len(self._observations)
            self._observations.append(Observation(number=record.number, row=row, losses=None, pending=True))
        known = self._observations[place]
        if not known.pending:
            return
        curve = {epoch: self._signs[0] * value for epoch, value in record.curve.items()}
        if record.status is None:
            self._observations[place] = replace(known, curve=curve)
            return
        losses = None
        if record.values is not None:
            losses = tuple(sign * value for sign, value in zip(self._signs, record.values, strict=True))
        self._observations[place] = replace(
            known, losses=losses, pending=False, curve=curve, stopped=record.status is Status.PRUNED
        )


class _StrategyProposer(Proposer):
    strategy: Strategy

    def __init__(self, strategy: Strategy, trials: Trials, gate: Gate, seed: int) -> None:
        self.strategy = strategy
        self.trials = trials
        self.gate = gate
        self.seed = seed
        self.observations = Observations(trials)

    def next(self) -> TrialRecord | None:
        rng = generator(self.seed, "proposal", self.trials.next_number)
        proposal = self.strategy.propose(self.trials.space, self.observations, _accept(self.gate, self.trials), rng)
        if proposal is None:
            return None
        canonical_id = self.gate.canonical_id(proposal.row)
        return self.trials.create(proposal.row, origin=proposal.origin, canonical_id=canonical_id)

    def recommended(self) -> TrialRecord | None:
        if len(self.trials.objectives) > 1:
            return None
        row = self.strategy.recommend(self.trials.space, self.observations)
        if row is None:
            return None
        canonical_id = self.gate.canonical_id(row)
        same = [record for record in self.trials.records.values() if record.canonical_id == canonical_id]
        return best_trial(same, [direction for _, direction in self.trials.objectives])

    def sureness(self) -> float | None:
        if len(self.trials.objectives) > 1:
            return None
        return self.strategy.sureness(self.trials.space, self.observations)


class _New:
    """Accepts rows whose network is none of a trial's and passes the gate."""

    def __init__(self, gate: Gate, trials: Trials) -> None:
        self.gate = gate
        self.trials = trials
        self._refused: set[bytes] = set()

    def __call__(self, row: Row) -> bool:
        key = row.tobytes()
        if key in self._refused:
            return False
        known = self.trials.first_of(self.gate.canonical_id(row)) is not None
        if known or self.gate.refusal(row):
            self._refused.add(key)
            return False
        return True

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        return self.gate.sample(n, rng)

    def likely(self, rows: Rows) -> npt.NDArray[np.bool_]:
        return self.gate.likely(rows)


class _NewInTable(_New):
    """The same where results are looked up: there the candidates can be listed."""

    def candidates(self) -> Rows:
        assert self.gate.table is not None
        return self.gate.table.rows

    def open(self) -> npt.NDArray[np.bool_]:
        assert self.gate.table is not None
        free = np.isfinite(self.gate.table.mean_losses)
        if self.trials.records:
            places = self.gate.table.index(np.array(list(self.trials.rows.values())))
            free[places[places >= 0]] = False
        return free


def _accept(gate: Gate, trials: Trials) -> _New:
    return _New(gate, trials) if gate.table is None else _NewInTable(gate, trials)


class _SamplerProposer(Proposer):
    def __init__(
        self, sampler: Any, name: str, options: Mapping[str, Any], trials: Trials, gate: Gate, seed: int
    ) -> None:
        self.sampler = sampler
        self.name = name
        self.trials = trials
        self.gate = gate
        self.seed = seed
        self._options = options
        self._inactive = asks_inactive(name, options)
        self._known = 0

    def next(self) -> TrialRecord | None:
        refused = 0
        while self._known < _MAX_KNOWN and refused < _MAX_REFUSED:
            with sampler_errors(self.name, self._options):
                number, row = self.trials.ask(self.sampler, inactive=self._inactive)
            refusal = self.gate.refusal(row)
            if refusal:
                refused += 1
                self.trials.refuse(number, refusal)
                continue
            canonical_id = self.gate.canonical_id(row)
            first = self.trials.first_of(canonical_id)
            self._known = 0 if first is None else self._known + 1
            return self.trials.adopt(number, row, origin=self.name, canonical_id=canonical_id, duplicate_of=first)
        return self._drawn()

    def _drawn(self) -> TrialRecord | None:
        """A trial at random, which the sampler learns from: what it never proposes may be there all the same."""
        rng = generator(self.seed, "proposal", self.trials.next_number)
        proposal = RandomSearch().propose(self.trials.space, (), _accept(self.gate, self.trials), rng)
        if proposal is None:
            return None
        # One that is known again is enough for the next draw.
        self._known = min(self._known, _MAX_KNOWN - 1)
        number, row = self.trials.ask(self.sampler, inactive=self._inactive, row=proposal.row)
        return self.trials.adopt(number, row, origin=proposal.origin, canonical_id=self.gate.canonical_id(row))
