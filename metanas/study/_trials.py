"""The trials of a study, in Optuna's storage and in memory.

One process reads and writes them. Each trial is created running, with all its decisions, in one write; each change
after that is one write more, and the memory follows, so that nothing is ever read back.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import FrozenTrial, TrialState

from metanas.errors import MetanasError, StudyError
from metanas.space import SearchSpace
from metanas.study._suggest import active_parameters, distribution_of, suggest_row
from metanas.trial import Attempt, Result, Status, TrialRecord

Row = npt.NDArray[np.int64]

_STATES = {
    Status.COMPLETE: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
}
_ID, _ORIGIN, _ATTEMPTS, _HISTORY, _RESULT, _DUPLICATE, _POINTS = (
    "metanas:id", "metanas:origin", "metanas:attempts", "metanas:history", "metanas:result", "metanas:duplicate_of",
    "metanas:points",
)  # fmt: skip
"""User attributes of trials; the prefix keeps them apart from a user's own."""
_LATE = "metanas:late"
"""The same of the study: number of a trial that had ended -> attempts that came after its end."""


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
        self._storage = storage
        self._study_id = open_study(storage, name, objectives, read_only=read_only)
        self.study = optuna.load_study(storage=storage, study_name=name)
        self._distributions = {d.name: distribution_of(d) for d in space.decisions}
        # Nothing is evaluated that breaks a constraint. In the old form, which is all that optuna-dashboard reads.
        self._feasible: dict[str, Any] = {"constraints": [-1.0] * len(space.constraints)} if space.constraints else {}
        self._ids: dict[int, int] = {}
        self._jobs: dict[int, str] = {}
        self._next = 0
        self._first: dict[str, int] = {}
        self._watchers: list[Callable[[TrialRecord], None]] = []
        self.clock: Callable[[], float] = time.time
        """Dates trials, in Unix time."""
        self.records: dict[int, TrialRecord] = {}
        """What is known, by number."""
        self.rows: dict[int, Row] = {}
        """Their architectures in the space, in the same order; kept, as a proposal may ask for all of them."""
        self.unread: list[tuple[int, str]] = []
        """Trials of the storage that are none of this space, with the reason; a plain Optuna script may add such."""
        self._late: dict[str, list[dict[str, Any]]] = dict(storage.get_study_user_attrs(self._study_id).get(_LATE, {}))
        for trial in storage.get_all_trials(self._study_id, deepcopy=False):
            self._load(trial)

    def _load(self, trial: FrozenTrial) -> None:
        self._ids[trial.number] = trial._trial_id
        attributes = trial.user_attrs
        try:
            if _ID not in attributes:
                raise MetanasError("it holds no architecture of this space")
            # A sampler's real values are between the points of a range; the nearest was evaluated.
            row = self.space.to_row(active_parameters(self.space, trial.params))
        except MetanasError as error:
            self.unread.append((trial.number, str(error)))
            return
        self.rows[trial.number] = row
        record = TrialRecord(
            number=trial.number,
            decisions=self.space.to_values(row),
            canonical_id=attributes[_ID],
            origin=attributes.get(_ORIGIN, ""),
            status=None,
            curve=dict(trial.intermediate_values),
            points={int(epoch): tuple(point) for epoch, point in attributes.get(_POINTS, {}).items()},
            epochs=max(trial.intermediate_values, default=0),
            attempts=attributes.get(_ATTEMPTS, 1),
            history=tuple(
                Attempt.from_json(attempt)
                for attempt in (*attributes.get(_HISTORY, ()), *self._late.get(str(trial.number), ()))
            ),
            started=trial.datetime_start.timestamp() if trial.datetime_start else None,
            duplicate_of=attributes.get(_DUPLICATE),
        )
        self._set(record)
        if _RESULT in attributes:
            stored = dict(attributes[_RESULT])
            ended = stored.pop("ended", None)
            self._jobs[trial.number] = stored["job_id"]
            self._set(self._with_result(record, Result.from_json(stored), ended))
            if not trial.state.is_finished() and not self._read_only:
                # The process died between the result and the state.
                self._close(trial.number)

    def watch(self, watcher: Callable[[TrialRecord], None]) -> None:
        """Have ``watcher`` called with each record there is, in order, and with each that changes from now on."""
        for _, record in sorted(self.records.items()):
            watcher(record)
        self._watchers.append(watcher)

    def first_of(self, canonical_id: str) -> int | None:
        """The first trial of a network; None for a network that is new."""
        return self._first.get(canonical_id)

    def job_of(self, number: int) -> str:
        """Id of the job that gave a trial its result; empty before it has one."""
        return self._jobs.get(number, "")

    @property
    def next_number(self) -> int:
        """One more than the greatest number so far."""
        return self._next

    def _set(self, record: TrialRecord) -> None:
        self.records[record.number] = record
        self._first.setdefault(record.canonical_id, record.number)
        self._next = max(self._next, record.number + 1)
        for watcher in self._watchers:
            watcher(record)

    # --- changes

    def create(self, row: Row, *, origin: str, canonical_id: str, duplicate_of: int | None = None) -> TrialRecord:
        """A new trial, running."""
        decisions = self.space.to_values(row)
        attributes: dict[str, Any] = {_ID: canonical_id, _ORIGIN: origin}
        if duplicate_of is not None:
            attributes[_DUPLICATE] = duplicate_of
        started = self.clock()
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=decisions,
            distributions={name: self._distributions[name] for name in decisions},
            user_attrs=attributes,
            system_attrs=self._feasible,
        )
        template.datetime_start = datetime.fromtimestamp(started)
        trial_id = self._storage.create_new_trial(self._study_id, template)
        number = self._storage.get_trial_number_from_id(trial_id)
        self._ids[number] = trial_id
        self.rows[number] = row.copy()
        record = TrialRecord(
            number=number, decisions=decisions, canonical_id=canonical_id, origin=origin, status=None,
            started=started, duplicate_of=duplicate_of,
        )  # fmt: skip
        self._set(record)
        return record

    def ask(
        self, sampler: optuna.samplers.BaseSampler, *, inactive: bool = False, row: Row | None = None
    ) -> tuple[int, Row]:
        """A trial that an Optuna sampler proposes: decisions suggested in the order of the table, of the inactive ones
        too if so asked. With a ``row`` it has the say on nothing but the inactive ones.

        The trial is in the storage and not yet among the records; see :meth:`adopt` and :meth:`refuse`.
        """
        self.study.sampler = sampler
        if row is not None:
            self.study.enqueue_trial(self.space.to_values(row))
        trial = self.study.ask()
        row = suggest_row(trial, self.space, inactive=inactive)
        self._ids[trial.number] = trial._trial_id
        return trial.number, row

    def adopt(
        self, number: int, row: Row, *, origin: str, canonical_id: str, duplicate_of: int | None = None
    ) -> TrialRecord:
        """Make a record of a trial that :meth:`ask` returned."""
        attributes = {_ORIGIN: origin} | ({} if duplicate_of is None else {_DUPLICATE: duplicate_of})
        for key, value in attributes.items():
            self._storage.set_trial_user_attr(self._ids[number], key, value)
        for key, value in self._feasible.items():
            self._storage.set_trial_system_attr(self._ids[number], key, value)
        # Last, because it marks the trial as one of ours.
        self._storage.set_trial_user_attr(self._ids[number], _ID, canonical_id)
        self.rows[number] = row.copy()
        record = TrialRecord(
            number=number, decisions=self.space.to_values(row), canonical_id=canonical_id, origin=origin, status=None,
            started=self.clock(), duplicate_of=duplicate_of,
        )  # fmt: skip
        self._set(record)
        return record

    def refuse(self, number: int, reason: str) -> None:
        """End a trial that :meth:`ask` returned and that cannot be evaluated."""
        self._storage.set_trial_user_attr(self._ids[number], "metanas:refused", reason)
        self._storage.set_trial_state_values(self._ids[number], TrialState.FAIL)

    def report(self, number: int, epoch: int, metrics: Mapping[str, float], *, all_objectives: bool = False) -> None:
        """Keep the first objective's value after an epoch, or the values of all of them."""
        value = metrics.get(self.objectives[0][0])
        if value is None:
            return
        self._storage.set_trial_intermediate_value(self._ids[number], epoch, value)
        record = self.records[number]
        points = record.points
        if all_objectives:
            points = {**points, epoch: tuple(metrics.get(name, math.nan) for name, _ in self.objectives)}
            kept = {str(key): list(point) for key, point in points.items()}
            self._storage.set_trial_user_attr(self._ids[number], _POINTS, _plain_json(kept))
        self._set(replace(record, curve={**record.curve, epoch: value}, points=points, epochs=epoch))

    def prunes(self, number: int, pruner: optuna.pruners.BasePruner) -> bool:
        """Whether one of Optuna's pruners would stop a trial that has just reported."""
        return pruner.prune(self.study, self._storage.get_trial(self._ids[number]))

    def retry(self, number: int, failed: Attempt) -> TrialRecord:
        """Note that a trial is tried once more, with the same number, and what became of the attempt before."""
        record = self.records[number]
        record = replace(record, attempts=record.attempts + 1, history=(*record.history, failed))
        self._storage.set_trial_user_attr(self._ids[number], _HISTORY, _history_json(record))
        self._storage.set_trial_user_attr(self._ids[number], _ATTEMPTS, record.attempts)
        self._set(record)
        return record

    def note(self, number: int, late: Attempt) -> None:
        """Note an attempt whose result counts for nothing."""
        record = self.records[number]
        record = replace(record, history=(*record.history, late))
        if record.status is None:
            self._storage.set_trial_user_attr(self._ids[number], _HISTORY, _history_json(record))
        else:  # Optuna lets nobody change a trial that has ended.
            self._late.setdefault(str(number), []).append(_plain_json(late.to_json()))
            self._storage.set_study_user_attr(self._study_id, _LATE, self._late)
        self._set(record)

    def finish(self, number: int, result: Result) -> TrialRecord:
        """Keep the end of a trial."""
        ended = self.clock()
        record = self._with_result(self.records[number], result, ended)
        self._jobs[number] = result.job_id
        stored = {**_plain_json(result.to_json()), "ended": ended}
        self._storage.set_trial_user_attr(self._ids[number], _RESULT, stored)
        self._set(record)
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
            status, message = Status.FAILED, _unmeasured([name for name, _ in self.objectives], result.metrics)
        return replace(
            record, status=status, values=tuple(values) if whole else None, metrics=dict(result.metrics),
            epochs=result.epochs, seconds=0.0 if record.duplicate_of is not None else result.seconds or 0.0,
            ended=ended, message=message,
        )  # fmt: skip


def _unmeasured(objectives: Sequence[str], metrics: Mapping[str, float]) -> str:
    """Which objectives an evaluation did not give, or else which are no finite numbers."""
    if missing := [name for name in objectives if name not in metrics]:
        has = f"it has: {', '.join(sorted(metrics))}" if metrics else "it has no metrics"
        return f"the evaluation gave no {', '.join(missing)}; {has}"
    bad = (f"{name}, found {metrics[name]}" for name in objectives if not math.isfinite(metrics[name]))
    return f"the evaluation gave no finite value of {'; '.join(bad)}"


def open_study(
    storage: optuna.storages.BaseStorage, name: str, objectives: Sequence[tuple[str, str]], *, read_only: bool = False
) -> int:
    """Id of the study ``name``, which is made where there is none.

    Raises StudyError if it has other objectives, and KeyError if it is to be read only and is not there.
    """
    directions = [optuna.study.StudyDirection[direction.upper()] for _, direction in objectives]
    # Optuna says on standard error that it created a study; the progress of the search says it better.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = (
        optuna.load_study(storage=storage, study_name=name)
        if read_only
        else optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    )
    names = [metric for metric, _ in objectives]
    if study.directions != directions or study.metric_names not in (None, names):
        known = study.metric_names or [""] * len(study.directions)
        found = ", ".join(f"{d.name.lower()} {n}".strip() for d, n in zip(study.directions, known, strict=True))
        raise StudyError("a study keeps its objectives", found=found, where=name, remedy="start a new search")
    if study.metric_names != names and not read_only:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(names)
    return study._study_id


def _history_json(record: TrialRecord) -> list[dict[str, Any]]:
    return [dict(_plain_json(attempt.to_json())) for attempt in record.history]


def _plain_json(data: Any) -> Any:
    """``data`` as it comes back from JSON, which in Python holds NaN and infinities too."""
    return json.loads(json.dumps(data))
