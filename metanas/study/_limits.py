"""When a search ends, and what it must count for that. Each trial is counted when it changes, never all of them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from metanas.trial import Status, TrialRecord, best_trial


class Ending(StrEnum):
    """Why a search stopped proposing."""

    TRIALS = "the number of trials was reached"
    TIME = "the time is up"
    GPU_HOURS = "the GPU-hours are used up"
    TARGET = "the target was reached"
    EXHAUSTED = "every architecture that can be proposed was evaluated"
    INTERRUPTED = "interrupted"


class Tally:
    """Counts over the trials of a study."""

    def __init__(self, directions: Sequence[str]) -> None:
        self.directions = tuple(directions)
        self.evaluated = 0
        """Trials that ended, without duplicates."""
        self.failed = 0
        """Those of them that failed with an error."""
        self.last_failure: TrialRecord | None = None
        """The latest of these."""
        self.best: TrialRecord | None = None
        """The best trial; of several objectives, the best by the first."""
        self._seconds: dict[int, float] = {}
        self._total = 0.0
        self._ended: set[int] = set()

    @property
    def seconds(self) -> float:
        """Time in workers, attempts that came to nothing included."""
        return self._total

    def update(self, record: TrialRecord) -> None:
        """Count a trial that is new or has changed."""
        seconds = record.seconds + sum(attempt.seconds for attempt in record.history)
        self._total += seconds - self._seconds.get(record.number, 0.0)
        self._seconds[record.number] = seconds
        if record.status is None or record.number in self._ended:
            return
        self._ended.add(record.number)
        self.best = best_trial([*([self.best] if self.best else []), record], self.directions)
        if record.duplicate_of is None:
            self.evaluated += 1
            if record.status is Status.FAILED:
                self.failed += 1
                self.last_failure = record


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What ends a search."""

    trials: int | None = None
    """Evaluations, those of earlier sessions included."""
    deadline: float | None = None
    """By the engine's clock."""
    gpu_seconds: float | None = None
    """Time in workers times the GPUs that each holds, that of earlier sessions included."""
    target: float | None = None
    """Value of the first objective."""

    def reached(self, tally: Tally, *, now: float, gpus: float) -> Ending | None:
        """The limit that is reached, if any. ``gpus`` is a worker's share."""
        if self.trials is not None and tally.evaluated >= self.trials:
            return Ending.TRIALS
        if self.deadline is not None and now >= self.deadline:
            return Ending.TIME
        if self.gpu_seconds is not None and tally.seconds * gpus >= self.gpu_seconds:
            return Ending.GPU_HOURS
        if self.target is not None and tally.best is not None and tally.best.values is not None:
            value = tally.best.values[0]
            if value >= self.target if tally.directions[0] == "maximize" else value <= self.target:
                return Ending.TARGET
        return None


def seconds_spent(records: Sequence[TrialRecord]) -> float:
    """Seconds of search in earlier sessions: the union of their trials' times."""
    spans = sorted((r.started, r.ended) for r in records if r.started and r.ended)
    total, end = 0.0, 0.0
    for began, ended in spans:
        total += max(0.0, ended - max(began, end))
        end = max(end, ended)
    return total
