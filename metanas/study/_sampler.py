"""Strategies of metanas in a study of one's own: an Optuna sampler, and how a trial becomes an architecture."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from metanas._rng import generator
from metanas.architecture import Architecture, CanonicalIds, Shape
from metanas.controller import Observation, Strategy
from metanas.errors import ConstraintError, MetanasError
from metanas.space import Rows, SearchSpace
from metanas.study._gate import Gate
from metanas.study._run_file import DEFAULT_STRATEGY
from metanas.study._strategies import TRAINING, make_strategy, proxies_problem, strategy_problem
from metanas.study._suggest import distribution_of, suggest_row

Row = npt.NDArray[np.int64]

_ROW = "metanas:row"
"""System attribute of a trial: the row that was proposed for it, so that other processes know before it is suggested."""
_CLAIMS, _WAIT = 10, 0.1
"""Proposals until one that another process made at the same moment is taken all the same; and seconds at most between two, at
random, or both processes would come to the same again and again."""
_ONE_AT_A_TIME = threading.Lock()
"""Threads of a study (``n_jobs``) propose one after the other: what strategies and encoders remember is shared by them."""


def suggest(trial: optuna.trial.BaseTrial, space: SearchSpace) -> Architecture:
    """The architecture that a trial proposes, each active decision suggested in the order of the space's table.

    Works with any sampler; :class:`MetaSampler` proposes all decisions together.
    """
    row = suggest_row(trial, space)
    return Architecture(space, tuple(int(value) for value in row))


class MetaSampler(BaseSampler):
    """A strategy of metanas as an Optuna sampler, for studies whose objective calls :func:`suggest`.

    Proposals depend on the seed, the number of the trial, and what the study holds: the sampler itself keeps nothing that
    matters, so any number of threads may share it, and any number of processes a study in any storage, each with a sampler of its own. Trials under way
    count as pending; of two processes that come to the same network at the same moment the later one proposes again.
    Parameters that are none of the space's are drawn at random. A space that is searched to its end is proposed
    from again at random.

    Parameters
    ----------
    space
        What :func:`metanas.load_space` returns.
    strategy
        Name of a strategy of metanas, as in a run file, or a :class:`~metanas.controller.Strategy`.
    options
        Settings of a strategy that is given by name.
    input_shape, outputs
        Of the data, where constraints of the space bound measures: shape of a sample, and classes (1 for a regression).
    samples
        How many there are to train on, which the batch size may depend on.
    seed
        None for a random one, which each process then has for itself.

    Raises
    ------
    MetanasError
        For an unknown strategy or settings, and where constraints need ``input_shape`` and ``outputs``.

    """

    def __init__(
        self,
        space: SearchSpace,
        strategy: str | Strategy = DEFAULT_STRATEGY,
        *,
        options: Mapping[str, Any] | None = None,
        input_shape: Shape | None = None,
        outputs: int | None = None,
        samples: int = 50_000,
        seed: int | None = None,
    ) -> None:
        if not isinstance(space, SearchSpace):
            raise MetanasError(
                "MetaSampler takes a space that was loaded",
                found=repr(space),
                remedy=f"write metanas.load_space({str(space)!r})",
            )
        self.space = space
        self.strategy = _strategy(strategy, options or {})
        self._seed = secrets.randbits(63) if seed is None else seed
        self._distributions = {decision.name: distribution_of(decision) for decision in space.decisions}
        self._random = RandomSampler(seed=None if seed is None else seed % 2**32)
        self._ids = CanonicalIds(space)
        self._gate: Gate | None = None
        if input_shape is not None and outputs is not None:
            self._gate = Gate(space, input_shape, outputs, samples=samples)
        elif any(constraint.measures for constraint in space.constraints):
            raise ConstraintError(
                "constraints on measures need the shape of the data", found="none", where=f"space {space.name}",
                remedy="give MetaSampler input_shape and outputs",
            )  # fmt: skip
        self._rows: dict[int, Row | None] = {}
        self._names: dict[int, str] = {}

    def reseed_rng(self) -> None:
        """See :class:`optuna.samplers.BaseSampler`. Proposals have a stream a trial, so only the random rest is changed."""
        self._random.reseed_rng()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All decisions of the space; those that are inactive get no value."""
        return dict(self._distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """An architecture: a value for each of its decisions that is asked for; other parameters at random."""
        rest = {
            name: self.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
            if name not in self._distributions
        }
        if len(rest) == len(search_space):
            return rest
        rng = generator(self._seed, "sampler", trial.number)
        for _ in range(_CLAIMS):
            with _ONE_AT_A_TIME:
                row, new = self._claimed(study, trial, rng)
            if new:
                break
            time.sleep(rng.uniform(0, _WAIT))
        return rest | {name: value for name, value in self.space.to_values(row).items() if name in search_space}

    def _claimed(self, study: optuna.Study, trial: FrozenTrial, rng: np.random.Generator) -> tuple[Row, bool]:
        """What is proposed for a trial, which the study knows from now on; and whether no other trial has it, or it may."""
        observations = self._of_others(study, trial)
        accept = _Accept(self, {self._name(observation) for observation in observations})
        proposal = self.strategy.propose(self.space, observations, accept, rng)
        row = self.space.sample(1, rng)[0] if proposal is None else proposal.row
        study._storage.set_trial_system_attr(trial._trial_id, _ROW, [int(value) for value in row])
        if proposal is None or proposal.repeat:
            return row, True
        # Another process, which saw the same, may have come to the same meanwhile.
        name = self._ids.of(row)
        return row, all(self._name(other) != name for other in self._of_others(study, trial))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value, for what is none of the space's or was fixed otherwise by others."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def acceptable(self, row: Row) -> bool:
        """Whether constraints let a row be proposed."""
        if self._gate is not None:
            return not self._gate.refusal(row)
        return bool(self.space.satisfies(row[None])[0])

    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` random rows, steered towards those that meet constraints on measures."""
        return self.space.sample(n, rng) if self._gate is None else self._gate.sample(n, rng)

    def canonical_id(self, row: Row) -> str:
        """The id of the row's network."""
        return self._ids.of(row)

    def _of_others(self, study: optuna.Study, own: FrozenTrial) -> list[Observation]:
        """What the study holds but for a trial of our own."""
        signs = [-1.0 if direction is optuna.study.StudyDirection.MAXIMIZE else 1.0 for direction in study.directions]
        observations = []
        for trial in study.get_trials(deepcopy=False):
            row = None if trial.number == own.number else self._row(trial)
            if row is None:
                continue
            pending, losses = not trial.state.is_finished(), None
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.values is not None:
                losses = tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))
            observations.append(
                Observation(
                    number=trial.number, row=tuple(int(v) for v in row), losses=losses, pending=pending,
                    curve={step: signs[0] * value for step, value in trial.intermediate_values.items()},
                    stopped=trial.state is TrialState.PRUNED,
                )
            )  # fmt: skip
        return observations

    def _row(self, trial: FrozenTrial) -> Row | None:
        """The row of a trial's architecture; None for one of something else, or that is not known yet."""
        if trial.number in self._rows:
            return self._rows[trial.number]
        if not trial.state.is_finished():
            row = trial.system_attrs.get(_ROW)
            return None if row is None else np.array(row, dtype=np.int64)
        try:
            kept = {name: value for name, value in trial.params.items() if name in self._distributions}
            self._rows[trial.number] = self.space.to_row(kept) if kept else None
        except MetanasError:
            self._rows[trial.number] = None
        return self._rows[trial.number]

    def _name(self, observation: Observation) -> str:
        if observation.pending:
            return self._ids.of(np.array(observation.row, dtype=np.int64))
        if observation.number not in self._names:
            self._names[observation.number] = self._ids.of(np.array(observation.row, dtype=np.int64))
        return self._names[observation.number]


class _Accept:
    """Takes rows that constraints allow and whose network no trial has."""

    def __init__(self, sampler: MetaSampler, known: set[str]) -> None:
        self._sampler = sampler
        self._known = known

    def __call__(self, row: Row) -> bool:
        return self._sampler.canonical_id(row) not in self._known and self._sampler.acceptable(row)

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        return self._sampler.draw(n, rng)


def _strategy(strategy: str | Strategy, options: Mapping[str, Any]) -> Strategy:
    if isinstance(strategy, Strategy):
        return strategy
    if strategy.startswith("optuna:"):
        raise MetanasError(
            "MetaSampler takes a strategy of metanas", found=repr(strategy), remedy="use Optuna's sampler itself"
        )
    if problem := strategy_problem(strategy, options) or proxies_problem(options):
        raise problem
    if strategy in TRAINING:
        raise MetanasError(
            "MetaSampler proposes for objectives of your own, and trains nothing itself", found=repr(strategy),
            remedy="use another strategy",
        )  # fmt: skip
    return make_strategy(strategy, options)
