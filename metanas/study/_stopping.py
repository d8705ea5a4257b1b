"""Names of rules that stop trials early, as a run file has them -> rules."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metanas.errors import MetanasError
from metanas.space import did_you_mean
from metanas.study._curves import CurveRule
from metanas.study._pruning import FrontRungs, GoOn, Rungs, StoppingRule
from metanas.study._trials import Trials
from metanas.trial import TrialRecord

PRUNERS: Mapping[str, str] = {
    "hyperband": "HyperbandPruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
}
"""Name behind ``optuna:`` -> class in ``optuna.pruners``."""
_CURVE: Mapping[str, range] = {"percent": range(1, 51), "complete": range(5, 1001), "epochs": range(1, 10_001)}
"""Setting of the rule ``curve`` -> its values."""


def stopping_names() -> list[str]:
    """All names that ``fidelity.stop`` takes."""
    return ["none", "asha", "curve", *(f"optuna:{name}" for name in PRUNERS)]


def stopping_problem(
    name: str, settings: Mapping[str, Any], *, rungs: Sequence[int], objectives: int
) -> MetanasError | None:
    """What keeps ``name`` with ``settings`` from being a rule, if anything. Loads no Optuna."""
    if name not in stopping_names():
        return MetanasError(f"no rule has the name {name!r}", remedy=did_you_mean(name, stopping_names()))
    if name == "asha" and len(rungs) < 2:
        return MetanasError("asha needs rungs", found=f"epochs: {rungs[-1]}", remedy="write e.g. epochs: [3, 6, 12]")
    if name.startswith("optuna:"):
        if objectives > 1:
            return MetanasError("Optuna's pruners compare one objective", found=str(objectives), remedy="use asha")
        return None
    for key, value in settings.items():
        known = _CURVE if name == "curve" else {}
        if key not in known:
            return MetanasError(f"{name} has no setting {key!r}", remedy=did_you_mean(key, known))
        if isinstance(value, bool) or value not in known[key]:
            low, high = known[key][0], known[key][-1]
            return MetanasError(f"{name}.{key} is a whole number from {low} to {high}", found=repr(value))
    return None


def make_stopping(
    name: str, settings: Mapping[str, Any], trials: Trials, *, rungs: Sequence[int], directions: Sequence[str]
) -> StoppingRule:
    """The rule of a name; ``rungs`` are the run file's epochs, of which the last is the full training."""
    if name == "none":
        return GoOn()
    if name == "asha":
        return Rungs(rungs, directions[0]) if len(directions) == 1 else FrontRungs(rungs, directions)
    if name == "curve":
        return CurveRule(directions[0], **settings)
    return _Pruner(make_pruner(name, settings, rungs), trials.prunes)


class _Pruner(StoppingRule):
    """One of Optuna's, which looks into the study."""

    def __init__(self, pruner: Any, prunes: Callable[[int, Any], bool]) -> None:
        self._pruner = pruner
        self._prunes = prunes

    def stops(self, record: TrialRecord) -> bool:
        return self._prunes(record.number, self._pruner)


def make_pruner(name: str, settings: Mapping[str, Any], rungs: Sequence[int]) -> Any:
    """The Optuna pruner behind ``optuna:name``.

    Hyperband and successive halving go from the first rung, or one epoch, to the last, by the ratio of the first two.

    Raises
    ------
    MetanasError
        If it does not take the settings.

    """
    import optuna

    short = name.removeprefix("optuna:")
    arguments: dict[str, Any] = {}
    if short in ("hyperband", "successive_halving"):
        first = rungs[0] if len(rungs) > 1 else 1
        arguments = {
            "min_resource": first,
            "reduction_factor": max(2, round(rungs[1] / first)) if len(rungs) > 1 else 3,
        }
    if short == "hyperband":
        arguments["max_resource"] = rungs[-1]
    if short == "percentile":
        arguments["percentile"] = 25.0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return getattr(optuna.pruners, PRUNERS[short])(**arguments | dict(settings))
    except (TypeError, ValueError) as error:
        raise MetanasError(
            f"optuna.pruners.{PRUNERS[short]} must take the settings", found=str(error), where="fidelity.stop"
        ) from error
