"""What an evaluator is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from metanas.trial import EpochReport, Job, Result, Status


class Evaluator(Protocol):
    """Says what an architecture is worth."""

    def evaluate(self, job: Job, report: Callable[[EpochReport], Status | None]) -> Result:
        """Evaluate ``job`` and return its result, whose ``job_id`` is ``job.id``.

        ``report`` sends the metrics after an epoch. It returns None to go on, or the status (pruned or cancelled)
        with which the evaluation must end now, its last metrics in the result. An expected failure (out of memory,
        a NaN loss) is a status of the result; any exception becomes a failed result.
        """
        ...
