"""The trials of a study, in Optuna's storage and in memory.

One process reads and writes them. Each trial is created running, with all its decisions, in one write; each change
after that is one write more, and the memory follows, so that nothing is ever read back.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from metanas.errors import MetanasError, StudyError
from metanas.space import Decision, SearchSpace
from metanas.trial import Result, Scalar, Status, TrialRecord

Row = npt.NDArray[np.int64]

_STATES = {
    Status.COMPLETE: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
}
_ID, _ORIGIN, _ATTEMPTS, _RESULT, _DUPLICATE = (
    "metanas:id", "metanas:origin", "metanas:attempts", "metanas:result", "metanas:duplicate_of",
)  # fmt: skip
"""User attributes; the prefix keeps them apart from a user's own."""


class Trials:
    """The trials of one study of one space."""

    def __init__(
        self,
        storage: optuna.storages.BaseStorage,
        name: str,
        space: SearchSpace,
        objectives: Sequence[tuple[str, str]],
        *,
        read_only: bool = False,
    ) -> None:
        self.space = space
        self.objectives = tuple(objectives)
        self._read_only = read_only
        self.study = self._open(storage, name)
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(name)
        self._distributions = {d.name: distribution_of(d) for d in space.decisions}
        self._ids: dict[int, int] = {}
        self.records: dict[int, TrialRecord] = {}
        """What is known, by number."""
        self.unread: list[tuple[int, str]] = []
        """Trials of the storage that are none of this space, with the reason; a plain Optuna script may add such."""
        for trial in storage.get_all_trials(self._study_id, deepcopy=False):
            self._load(trial)

    def _open(self, storage: optuna.storages.BaseStorage, name: str) -> optuna.Study:
        directions = [optuna.study.StudyDirection[direction.upper()] for _, direction in self.objectives]
        # Optuna says on standard error that it created a study; the progress of the search says it better.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = (
            optuna.load_study(storage=storage, study_name=name)
            if self._read_only
            else optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        )
        names = [metric for metric, _ in self.objectives]
        if study.directions != directions or study.metric_names not in (None, names):
            known = study.metric_names or [""] * len(study.directions)
            found = ", ".join(f"{d.name.lower()} {n}".strip() for d, n in zip(study.directions, known, strict=True))
            raise StudyError("a study keeps its objectives", found=found, where=name, remedy="start a new search")
        if study.metric_names != names and not self._read_only:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(names)
        return study

    def _load(self, trial: FrozenTrial) -> None:
        self._ids[trial.number] = trial._trial_id
        attributes = trial.user_attrs
        try:
            if _ID not in attributes:
                raise MetanasError("it holds no architecture of this space")
            # A sampler's real values are between the points of a range; the nearest was evaluated.
            decisions = self.space.to_values(self.space.to_row(trial.params))
        except MetanasError as error:
            self.unread.append((trial.number, str(error)))
            return
        record = TrialRecord(
            number=trial.number,
            decisions=decisions,
            canonical_id=attributes[_ID],
            origin=attributes.get(_ORIGIN, ""),
            status=None,
            curve=dict(trial.intermediate_values),
            attempts=attributes.get(_ATTEMPTS, 1),
            started=trial.datetime_start.timestamp() if trial.datetime_start else None,
            duplicate_of=attributes.get(_DUPLICATE),
        )
        self.records[trial.number] = record
        if _RESULT in attributes:
            ended = trial.datetime_complete.timestamp() if trial.datetime_complete else None
            self.records[trial.number] = self._with_result(record, Result.from_json(attributes[_RESULT]), ended)
            if not trial.state.is_finished() and not self._read_only:
                # The process died between the result and the state.
                self._close(trial.number)

    # --- changes

    def create(self, row: Row, *, origin: str, canonical_id: str, duplicate_of: int | None = None) -> TrialRecord:
        """A new trial, running."""
        decisions = self.space.to_values(row)
        attributes: dict[str, Any] = {_ID: canonical_id, _ORIGIN: origin}
        if duplicate_of is not None:
            attributes[_DUPLICATE] = duplicate_of
        started = datetime.now()
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=decisions,
            distributions={name: self._distributions[name] for name in decisions},
            user_attrs=attributes,
        )
        template.datetime_start = started
        trial_id = self._storage.create_new_trial(self._study_id, template)
        number = self._storage.get_trial_number_from_id(trial_id)
        self._ids[number] = trial_id
        record = TrialRecord(
            number=number, decisions=decisions, canonical_id=canonical_id, origin=origin, status=None,
            started=started.timestamp(), duplicate_of=duplicate_of,
        )  # fmt: skip
        self.records[number] = record
        return record

    def ask(self, sampler: optuna.samplers.BaseSampler) -> tuple[int, Row]:
        """A trial that an Optuna sampler proposes: each active decision suggested in the order of the table.

        The trial is in the storage and not yet among the records; see :meth:`adopt` and :meth:`refuse`.
        """
        self.study.sampler = sampler
        trial = self.study.ask()
        row = np.full((1, len(self.space.decisions)), -1, dtype=np.int64)
        for column, decision in enumerate(self.space.decisions):
            if self.space.is_active(row, column)[0]:
                row[0, column] = decision.index_of(_suggest(trial, decision))
        self._ids[trial.number] = trial._trial_id
        return trial.number, row[0]

    def adopt(
        self, number: int, row: Row, *, origin: str, canonical_id: str, duplicate_of: int | None = None
    ) -> TrialRecord:
        """Make a record of a trial that :meth:`ask` returned."""
        attributes = {_ORIGIN: origin} | ({} if duplicate_of is None else {_DUPLICATE: duplicate_of})
        for key, value in attributes.items():
            self._storage.set_trial_user_attr(self._ids[number], key, value)
        # Last, because it marks the trial as one of ours.
        self._storage.set_trial_user_attr(self._ids[number], _ID, canonical_id)
        record = TrialRecord(
            number=number, decisions=self.space.to_values(row), canonical_id=canonical_id, origin=origin, status=None,
            started=time.time(), duplicate_of=duplicate_of,
        )  # fmt: skip
        self.records[number] = record
        return record

    def refuse(self, number: int, reason: str) -> None:
        """End a trial that :meth:`ask` returned and that cannot be evaluated."""
        self._storage.set_trial_user_attr(self._ids[number], "metanas:refused", reason)
        self._storage.set_trial_state_values(self._ids[number], TrialState.FAIL)

    def report(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the first objective's value after an epoch."""
        value = metrics.get(self.objectives[0][0])
        if value is None:
            return
        self._storage.set_trial_intermediate_value(self._ids[number], epoch, value)
        record = self.records[number]
        self.records[number] = replace(record, curve={**record.curve, epoch: value}, epochs=epoch)

    def retry(self, number: int) -> TrialRecord:
        """Note that a trial is tried once more."""
        record = replace(self.records[number], attempts=self.records[number].attempts + 1, curve={})
        self._storage.set_trial_user_attr(self._ids[number], _ATTEMPTS, record.attempts)
        self.records[number] = record
        return record

    def finish(self, number: int, result: Result) -> TrialRecord:
        """Keep the end of a trial."""
        record = self._with_result(self.records[number], result, time.time())
        self._storage.set_trial_user_attr(self._ids[number], _RESULT, _finite_json(result.to_json()))
        self.records[number] = record
        self._close(number)
        return record

    def _close(self, number: int) -> None:
        record = self.records[number]
        assert record.status is not None
        state = _STATES.get(record.status, TrialState.FAIL)
        if state is TrialState.PRUNED and len(self.objectives) > 1:
            # Optuna knows no pruned trials with several objectives: TPE fails, fronts leave them out.
            state = TrialState.COMPLETE
        self._storage.set_trial_state_values(self._ids[number], state, record.values)

    def _with_result(self, record: TrialRecord, result: Result, ended: float | None) -> TrialRecord:
        values = [result.metrics.get(name, math.nan) for name, _ in self.objectives]
        whole = result.status.has_value and all(math.isfinite(value) for value in values)
        status, message = result.status, ": ".join(filter(None, (result.message, result.remedy)))
        if result.status.has_value and not whole:
            names = ", ".join(n for (n, _), v in zip(self.objectives, values, strict=True) if not math.isfinite(v))
            status, message = Status.FAILED, f"the evaluation gave no finite value of {names}"
        return replace(
            record, status=status, values=tuple(values) if whole else None, metrics=dict(result.metrics),
            epochs=result.epochs, seconds=0.0 if record.duplicate_of is not None else result.seconds, ended=ended,
            message=message,
        )  # fmt: skip


def distribution_of(decision: Decision) -> BaseDistribution:
    """The decision as Optuna knows it."""
    first, last = decision.values[0], decision.values[-1]
    if decision.kind == "int":
        low, high = int(first), int(last)
        step = 1 if decision.log or len(decision.values) < 2 else int(decision.values[1]) - low
        return IntDistribution(low, high, log=decision.log, step=step)
    if decision.kind == "float":
        return FloatDistribution(float(first), float(last), log=decision.log)
    return CategoricalDistribution(tuple(decision.values))


def _suggest(trial: optuna.Trial, decision: Decision) -> Scalar:
    distribution = distribution_of(decision)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            decision.name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(decision.name, distribution.low, distribution.high, log=distribution.log)
    value: Scalar = trial.suggest_categorical(decision.name, list(decision.values))  # type: ignore[assignment]
    return value


def _finite_json(data: Any) -> Any:
    """NaN and infinities as JSON lets Python write and read them; everything else checked to be JSON."""
    return json.loads(json.dumps(data))
