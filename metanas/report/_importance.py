"""Which decisions mattered: permutation importance in a random forest, scored out of bag.

Notation: n trials, d decisions, f features. A choice becomes one feature an option, a number one feature; an inactive
decision is an option of its own. For each tree, the rows it was not grown on are predicted as they are and with one
decision shuffled among them (Breiman 2001, "Random Forests", section 10); the drop in R² is the decision's importance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metanas.report._format import scalar
from metanas.report._summary import DecisionSummary
from metanas.report._values import full_values
from metanas.trial import Scalar, TrialRecord, comparable

MIN_TRIALS = 10
"""Fewer points than this fit any story."""
_MAX_TRIALS = 1000
"""More points change the answer little and take seconds."""
_TREES = 200
INACTIVE = "(inactive)"
_BINS = 4
"""A range's values are shown by quartile."""


@dataclass(frozen=True, slots=True)
class OptionMean:
    """The trials that took one option of a decision."""

    option: str
    """The option, or a range of values."""
    count: int
    """Trials."""
    mean: float
    """Mean of the first objective over them, as if trained in full."""
    error: float | None
    """Standard error of that mean; None for one trial."""
    best: float
    """Best of the first objective over them."""


@dataclass(frozen=True, slots=True)
class Importance:
    """What a forest says about the decisions."""

    r2: float
    """Out-of-bag R² of the forest: how much to trust the rest. At most 1; 0 is no better than the mean."""
    trials: int
    """Trials that it was fitted on."""
    drops: Mapping[str, float]
    """Decision to the drop in R² when it is shuffled, greatest first."""


def distinct(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The comparable trials, each network once: a copy would be in the bag and out of it."""
    return list({t.canonical_id: t for t in reversed(comparable(trials))}.values())


def decision_importance(
    trials: Sequence[TrialRecord], decisions: Sequence[DecisionSummary], seed: int
) -> Importance | None:
    """Importance for the first objective, or None with fewer than 10 distinct networks or all values equal."""
    full = full_values(trials)
    rows = [t for t in distinct(trials) if t.number in full]
    rng = np.random.default_rng(seed)
    if len(rows) > _MAX_TRIALS:
        rows = [rows[i] for i in sorted(rng.choice(len(rows), _MAX_TRIALS, replace=False))]
    values = np.array([full[t.number] for t in rows])
    if len(rows) < MIN_TRIALS or not decisions or np.ptp(values) == 0:
        return None
    blocks = [_features(rows, d) for d in decisions]
    groups = np.split(np.arange(sum(b.shape[1] for b in blocks)), np.cumsum([b.shape[1] for b in blocks])[:-1])
    r2, drops = _permutation(np.hstack(blocks), values, groups, seed, rng)
    order = np.argsort(-drops, kind="stable")
    return Importance(r2, len(rows), {decisions[i].name: float(drops[i]) for i in order})


def option_means(trials: Sequence[TrialRecord], decision: DecisionSummary, maximise: bool) -> list[OptionMean]:
    """Mean value by option of one decision, options that occur only, in the order of the space."""
    full = full_values(trials)
    rows = [t for t in distinct(trials) if t.number in full]
    groups: dict[str, list[TrialRecord]] = {}
    for label, trial in zip(_labels(rows, decision), rows, strict=True):
        groups.setdefault(label, []).append(trial)
    order = {scalar(v): i for i, v in enumerate(decision.values)} if decision.kind == "choice" else {}
    return [
        _mean(label, [full[t.number] for t in group], [t.values[0] for t in group if t.values], maximise)
        for label, group in sorted(groups.items(), key=lambda item: _position(item[0], order))
    ]


def _mean(option: str, full: Sequence[float], seen: Sequence[float], maximise: bool) -> OptionMean:
    return OptionMean(
        option=option,
        count=len(full),
        mean=float(np.mean(full)),
        error=float(np.std(full, ddof=1) / np.sqrt(len(full))) if len(full) > 1 else None,
        best=max(seen) if maximise else min(seen),
    )


def _features(rows: Sequence[TrialRecord], decision: DecisionSummary) -> NDArray[np.float32]:
    """(n, options) for a choice, (n, 1) for a range; an inactive decision is all zeros, or below the range."""
    if _is_range(rows, decision):
        numbers = np.array([float(t.decisions.get(decision.name, np.nan)) for t in rows])
        floor = np.nanmin(numbers, initial=np.inf)
        filled = np.where(np.isnan(numbers), floor - 1.0 if np.isfinite(floor) else 0.0, numbers)
        return np.asarray(filled[:, None], dtype=np.float32)
    chosen = np.array([str(t.decisions.get(decision.name, INACTIVE)) for t in rows])
    return np.asarray(chosen[:, None] == np.unique(chosen)[None], dtype=np.float32)


def _permutation(
    x: NDArray[np.float32], y: NDArray[np.float64], groups: Sequence[NDArray[Any]], seed: int, rng: np.random.Generator
) -> tuple[float, NDArray[np.float64]]:
    """Out-of-bag R², and its drop for each group of columns shuffled, (d,)."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(_TREES, min_samples_leaf=2, max_features=0.5, random_state=seed % 2**32, n_jobs=1)
    forest.fit(x, y)
    sums, counts = np.zeros((1 + len(groups), len(y))), np.zeros(len(y))
    for tree, bag in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        out = np.setdiff1d(np.arange(len(y)), bag)
        if not out.size:
            continue
        rows = np.ascontiguousarray(x[out])
        plain = tree.tree_.predict(rows)[:, 0]
        sums[:, out] += plain
        counts[out] += 1
        used = set(tree.tree_.feature.tolist())
        for i, columns in enumerate(groups, start=1):
            if used.isdisjoint(columns.tolist()):
                continue
            shuffled = rows.copy()
            shuffled[:, columns] = rows[rng.permutation(len(out))][:, columns]
            sums[i, out] += tree.tree_.predict(shuffled)[:, 0] - plain
    seen = counts > 0
    errors = np.square(sums[:, seen] / counts[seen] - y[seen]).mean(axis=1) / y[seen].var()
    return float(1.0 - errors[0]), errors[1:] - errors[0]


def _labels(rows: Sequence[TrialRecord], decision: DecisionSummary) -> list[str]:
    """What each row chose, ranges of many values cut at their quartiles."""
    chosen: list[Scalar] = [t.decisions.get(decision.name, INACTIVE) for t in rows]
    numbers = np.array([float(v) for v in chosen if v != INACTIVE]) if _is_range(rows, decision) else np.array([])
    if len(np.unique(numbers)) <= 2 * _BINS:
        return [scalar(v) for v in chosen]
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _BINS + 1)))
    names = [f"{a:.3g} to {b:.3g}" for a, b in pairwise(edges)]
    return [
        INACTIVE if v == INACTIVE else names[min(int(np.searchsorted(edges, float(v), "right")), len(names)) - 1]
        for v in chosen
    ]


def _position(label: str, order: Mapping[str, int]) -> tuple[float, float]:
    """Sort key: the option's place in the space, numbers by size, inactive last."""
    if label == INACTIVE:
        return 2.0, 0.0
    if label in order:
        return 0.0, order[label]
    try:
        return 1.0, float(label.split(" to ")[0])
    except ValueError:
        return 1.0, 0.0


def _is_range(rows: Sequence[TrialRecord], decision: DecisionSummary) -> bool:
    """Whether the decision is a range, and all its values numbers."""
    return decision.kind in ("int", "float") and all(
        isinstance(t.decisions.get(decision.name, 0), int | float) for t in rows
    )
