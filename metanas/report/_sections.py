"""What the sections of the page hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from metanas.report._importance import Importance, OptionMean, option_means
from metanas.report._status import state
from metanas.report._summary import DecisionSummary, Objective, RunSummary
from metanas.trial import Status, TrialRecord, comparable, pareto_front

_BEST_CURVES = 10
_SHOWN_DECISIONS = 6
_SHOWN_ROWS = 500
"""A table of more rows helps nobody and makes the page heavy."""
_WORTH_SHOWING = 0.01
"""A smaller drop in R² is not told from chance."""
_REMEDIES = {
    Status.DIVERGED: "Lower train.lr, lengthen its warm-up, or search over it.",
    Status.OUT_OF_MEMORY: "Lower train.batch_size, or bound the networks with a constraint such as “params <= 1e6”.",
    Status.TOO_LARGE: "Refused before training. Add a constraint so that such networks are not proposed, or raise the limit.",
    Status.INVALID: "The space allows networks that these data do not suit; a constraint keeps them from being proposed.",
    Status.FAILED: "An unexpected error; the log in the run folder holds it in full.",
    Status.LOST: "The worker process died, often for want of memory; run fewer workers, and see the log.",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot and its words."""

    title: str
    """What it shows."""
    svg: Markup
    """An SVG element."""
    note: str
    """How to read it."""


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A decision that mattered."""

    decision: DecisionSummary
    """The decision."""
    options: Sequence[tuple[OptionMean, float, float]]
    """Each option with its mean and standard error as shares (0 to 1) of the chart's width."""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Trials that failed in the same way."""

    status: Status
    """How."""
    message: str
    """What the first of them said."""
    remedy: str
    """What usually helps."""
    numbers: Sequence[int]
    """The trials."""


@dataclass(frozen=True, slots=True)
class Table:
    """The table of trials."""

    rows: Sequence[TrialRecord]
    """Trials shown, by number."""
    total: int
    """Trials there are."""
    costs: Sequence[str]
    """Which of ``params`` and ``flops`` have a column."""
    origins: bool
    """Whether anyone noted who proposed."""
    best: int | None
    """Number of the best trial."""
    again: Mapping[int, int]
    """Trials of a network that had a result of its own before -> the first trial of it."""


def figures(summary: RunSummary, trials: Sequence[TrialRecord], best: TrialRecord | None) -> list[Figure]:
    """The plots that these trials allow."""
    from metanas.report import _plots

    good = comparable(trials)
    if not good:
        return []
    objective = summary.objectives[0]
    failed = [t.number for t in trials if is_failure(t)]
    several = f" Of {len(summary.objectives)} objectives, the first." if len(summary.objectives) > 1 else ""
    chosen = best.number if best else -1
    found = [
        Figure(
            f"{objective[0]} over trials",
            _plots.progress(trials, failed, objective, chosen),
            f"Each dot is a trial, the line is the best so far ({objective[1]}).{several}"
            + (" Crosses mark trials that failed." if failed else "")
            + " A triangle at the edge lies outside the axis.",
        )
    ]
    if gap := _plots.regret(trials, objective):
        note = "How far the best so far is from the best of this search, which need not be the best of the space."
        found.append(Figure("Regret over trials", gap, note + several))
    ranked = sorted(good, key=lambda t: _merit(t, objective), reverse=True)
    top = list(dict.fromkeys([chosen, *(t.number for t in ranked if t.duplicate_of is None)]))[:_BEST_CURVES]
    if lines := _plots.curves(trials, top, objective):
        note = f"{objective[0]} after each epoch: the best {'trial' if len(top) == 1 else f'{len(top)} trials'} against the others."
        found.append(Figure("Learning curves", lines, note + " Lines that end early were stopped."))
    return found + _fronts(summary, good, best) + _timeline(summary)


def _timeline(summary: RunSummary) -> list[Figure]:
    """What each worker did."""
    from metanas.report import _plots

    used = summary.timeline.utilisation
    if used is None or not (svg := _plots.timeline(summary.timeline)):
        return []
    note = f"Each bar is a trial. The workers were busy {used:.0%} of the time; pauses between sessions are left out."
    return [Figure("What the workers did", svg, note + " Those in another colour came to nothing.")]


def _fronts(summary: RunSummary, good: Sequence[TrialRecord], best: TrialRecord | None) -> list[Figure]:
    """The first objective against each other one, or against the parameters where it is the only one."""
    from metanas.report import _plots

    y = summary.objectives[0]
    row = {t.number: i for i, t in enumerate(good)}
    if len(summary.objectives) > 1:
        values = np.array([t.values or () for t in good])
        members = pareto_front(values, summary.directions)
        line = len(summary.objectives) == 2
        note = "No trial is better than those on the front in one objective without being worse in another."
        note += "" if line else " The front is that of all objectives, seen here in two of them."
        return [
            Figure(
                f"{y[0]} against {x[0]}",
                _plots.front(values[:, [i, 0]], members, x, y, row.get(best.number) if best else None, line=line),
                note,
            )
            for i, x in enumerate(summary.objectives)
            if i > 0
        ]
    costed = [t for t in good if np.isfinite(t.metrics.get("params", np.nan))]
    if len(costed) < 2 or y[0] == "params":
        return []
    x: Objective = ("params", "minimize")
    points = np.array([[t.metrics["params"], (t.values or (np.nan,))[0]] for t in costed])
    row = {t.number: i for i, t in enumerate(costed)}
    members = pareto_front(points, (x[1], y[1]))
    svg = _plots.front(points, members, x, y, row.get(best.number) if best else None, line=True)
    note = "For orientation: the number of parameters was not an objective of this search."
    return [Figure(f"{y[0]} against parameters", svg, note)]


def front_members(summary: RunSummary, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """With several objectives, the trials on their front, each network once, best first objective first."""
    if len(summary.objectives) < 2:
        return []
    good = comparable(trials)
    members = [good[i] for i in pareto_front([t.values or () for t in good], summary.directions)]
    members = list({t.canonical_id: t for t in reversed(members)}.values())
    return sorted(members, key=lambda t: _merit(t, summary.objectives[0]), reverse=True)


def decisions_that_mattered(
    summary: RunSummary, trials: Sequence[TrialRecord], importance: Importance | None
) -> list[DecisionView]:
    """The most important decisions with the mean of the first objective by option."""
    if importance is None or importance.r2 <= 0:
        return []
    by_name = {d.name: d for d in summary.decisions}
    names = [name for name, drop in importance.drops.items() if drop >= _WORTH_SHOWING][:_SHOWN_DECISIONS]
    maximise = summary.directions[0] == "maximize"
    return [_view(by_name[name], option_means(trials, by_name[name], maximise)) for name in names]


def _view(decision: DecisionSummary, means: Sequence[OptionMean]) -> DecisionView:
    low = min(m.mean - (m.error or 0.0) for m in means)
    span = max(m.mean + (m.error or 0.0) for m in means) - low or 1.0
    return DecisionView(decision, [(m, (m.mean - low) / span, (m.error or 0.0) / span) for m in means])


def failures(trials: Sequence[TrialRecord]) -> list[FailureGroup]:
    """Failed trials by status and message (numbers in it aside), greatest group first."""
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in trials:
        if is_failure(trial):
            groups.setdefault((state(trial), re.sub(r"\d[\d.,]*", "#", trial.message)), []).append(trial)
    found = [
        FailureGroup(
            status=group[0].status or Status.FAILED,
            message=group[0].message
            or ("The value is not a finite number." if _has_status_of_success(group[0]) else ""),
            remedy=_REMEDIES.get(group[0].status or Status.FAILED, ""),
            numbers=[t.number for t in group],
        )
        for group in groups.values()
    ]
    return sorted(found, key=lambda g: -len(g.numbers))


def is_failure(trial: TrialRecord) -> bool:
    """Whether it ended, was not given up by the study, and has no value to compare."""
    return trial.status not in (None, Status.CANCELLED) and not comparable([trial])


def table(summary: RunSummary, trials: Sequence[TrialRecord], best: TrialRecord | None) -> Table:
    """All trials, or the best of them when there are too many."""
    rows = list(trials)
    if len(rows) > _SHOWN_ROWS:
        ranked = sorted(comparable(rows), key=lambda t: _merit(t, summary.objectives[0]), reverse=True)
        others = [t for t in rows if is_failure(t)]
        chosen = [t for t in (best, *ranked, *others) if t is not None]
        rows = sorted(list({t.number: t for t in chosen}.values())[:_SHOWN_ROWS], key=lambda t: t.number)
    names = {name for name, _ in summary.objectives}
    costs = [c for c in ("params", "flops") if c not in names and any(c in t.metrics for t in rows)]
    first: dict[str, int] = {}
    for trial in sorted(trials, key=lambda t: t.number):
        first.setdefault(trial.canonical_id, trial.number)
    again = {
        t.number: first[t.canonical_id] for t in rows if t.duplicate_of is None and first[t.canonical_id] != t.number
    }
    return Table(rows, len(trials), costs, any(t.origin for t in rows), best.number if best else None, again)


def _merit(trial: TrialRecord, objective: Objective) -> float:
    """The first objective, more is better."""
    value = (trial.values or (np.nan,))[0]
    return value if objective[1] == "maximize" else -value


def _has_status_of_success(trial: TrialRecord) -> bool:
    return trial.status is not None and trial.status.has_value
