"""The first objective of trials that trained for different times, made comparable."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metanas.trial import Status, TrialRecord, comparable


def full_values(trials: Sequence[TrialRecord]) -> dict[int, float]:
    """Trial number to first objective, as if every trial had trained to the end.

    A trial that was stopped early is credited with what the complete ones gained on average after the epoch at which it
    stopped: left as it is, its short training would pass for a fault of its architecture, and left out, the bad
    architectures would be missing. It is never credited with more than the best complete trial reached: it was stopped
    because others were better. Where no complete trial has a curve to tell, it is left out.
    """
    good = comparable(trials)
    complete = [t for t in good if t.status is Status.COMPLETE]
    reached = [t.values[0] for t in complete if t.values]
    least, most = min(reached, default=math.nan), max(reached, default=math.nan)
    gains: dict[int, float | None] = {}
    values: dict[int, float] = {}
    for trial in good:
        value = (trial.values or (math.nan,))[0]
        if trial.status is Status.PRUNED:
            if trial.epochs not in gains:
                gains[trial.epochs] = _gain(complete, trial.epochs)
            gain = gains[trial.epochs]
            if gain is None:
                continue
            value = min(value + gain, max(value, most)) if gain > 0 else max(value + gain, min(value, least))
        values[trial.number] = value
    return values


def _gain(complete: Sequence[TrialRecord], epoch: int) -> float | None:
    """Mean change of the first objective from ``epoch`` to the end; None where no curve has that epoch."""
    gains = [t.values[0] - t.curve[epoch] for t in complete if t.values and math.isfinite(t.curve.get(epoch, math.nan))]
    return math.fsum(gains) / len(gains) if gains else None
