"""Decisions as Optuna knows them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from metanas.space import Decision, SearchSpace
from metanas.trial import Scalar


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


def suggest_row(trial: optuna.trial.BaseTrial, space: SearchSpace, *, inactive: bool = False) -> npt.NDArray[np.int64]:
    """The row ``(n_decisions,)`` that a trial suggests: each active decision in the order of the table.

    With ``inactive`` the others are suggested too, and ignored: to the sampler the space then has no conditions.
    """
    if inactive:
        return space.to_row(active_parameters(space, {d.name: _suggest(trial, d) for d in space.decisions}))
    row = np.full((1, len(space.decisions)), -1, dtype=np.int64)
    for column, decision in enumerate(space.decisions):
        if space.is_active(row, column)[0]:
            row[0, column] = decision.index_of(_suggest(trial, decision))
    found: npt.NDArray[np.int64] = row[0]
    return found


def active_parameters(space: SearchSpace, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters without those of decisions that are inactive in it."""
    kept = dict(parameters)
    row = np.full((1, len(space.decisions)), -1, dtype=np.int64)
    for column, decision in enumerate(space.decisions):
        if decision.name not in kept:
            continue
        if space.is_active(row, column)[0]:
            with contextlib.suppress(ValueError):
                row[0, column] = decision.index_of(kept[decision.name])
        else:
            del kept[decision.name]
    return kept


def _suggest(trial: optuna.trial.BaseTrial, decision: Decision) -> Scalar:
    distribution = distribution_of(decision)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            decision.name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(decision.name, distribution.low, distribution.high, log=distribution.log)
    value: Scalar = trial.suggest_categorical(decision.name, list(decision.values))  # type: ignore[assignment]
    return value
