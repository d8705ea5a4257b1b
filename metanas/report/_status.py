"""Where a search stands, as plain numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from metanas.report._summary import Objective
from metanas.trial import Status, TrialRecord, best_trial


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTable:
    """What ``metanas status`` prints."""

    trials: int
    """All trials, those that run included."""
    counts: Mapping[str, int]
    """State (see :func:`state`) to trials in it; states that occur only."""
    evaluations: int
    """Trials that a worker has finished."""
    duplicates: int
    """Trials that took the result of an earlier one."""
    best: int | None
    """Number of the best trial; None while there is none."""
    values: Mapping[str, float]
    """Objective to the best trial's value; empty while there is none."""
    metrics: Mapping[str, float]
    """Metrics and costs of the best trial."""
    seconds: float
    """Time in workers, summed over trials."""
    mean_seconds: float | None
    """The same for one evaluation; None before the first."""
    epochs: int
    """Epochs trained, those of all trials together."""
    epochs_saved: int | None
    """Epochs that trials which were stopped early did not train; None where no trial went to the end, to tell how many
    that would have been."""
    elapsed: float | None
    """Seconds from the first proposal to the last result; pauses of a resumed search count. None before the first
    result."""

    def to_json(self) -> dict[str, Any]:
        """The table as JSON values."""
        return asdict(self) | {key: dict(getattr(self, key)) for key in ("counts", "values", "metrics")}


def status_table(
    trials: Sequence[TrialRecord], objectives: Sequence[Objective], *, under_way: bool = True
) -> StatusTable:
    """Count the trials and find the best of them; ``objectives`` and ``under_way`` as in :class:`RunSummary`."""
    best = best_trial(trials, [direction for _, direction in objectives])
    evaluated = [t for t in trials if t.status is not None and t.duplicate_of is None]
    seconds = sum(t.seconds for t in trials)
    started = [t.started for t in trials if t.started is not None]
    ended = [t.ended for t in trials if t.ended is not None]
    return StatusTable(
        trials=len(trials),
        counts=dict(Counter(state(t, under_way=under_way) for t in trials)),
        evaluations=len(evaluated),
        duplicates=sum(t.duplicate_of is not None for t in trials),
        best=best.number if best else None,
        values=dict(zip((name for name, _ in objectives), best.values or (), strict=True)) if best else {},
        metrics=dict(best.metrics) if best else {},
        seconds=seconds,
        mean_seconds=sum(t.seconds for t in evaluated) / len(evaluated) if evaluated else None,
        epochs=sum(t.epochs for t in evaluated),
        epochs_saved=_saved(evaluated),
        elapsed=max(ended) - min(started) if started and ended else None,
    )


def _saved(evaluated: Sequence[TrialRecord]) -> int | None:
    full = max((t.epochs for t in evaluated if t.status is Status.COMPLETE), default=None)
    return None if full is None else sum(max(0, full - t.epochs) for t in evaluated if t.status is Status.PRUNED)


def state(trial: TrialRecord, *, under_way: bool = True) -> str:
    """How the trial ended; ``running``, or ``cut_off`` where no search is under way: it goes on in the next session."""
    return trial.status.value if trial.status else "running" if under_way else "cut_off"
