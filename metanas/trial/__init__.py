"""The wire format between a study and its workers: what to evaluate, and what came of it.

Values only, each with a JSON form, so that nothing that crosses a process is ever unpickled.
"""

from metanas.trial._job import Job, Purpose, Scalar
from metanas.trial._pareto import best_trial, comparable, pareto_front
from metanas.trial._record import Attempt, TrialRecord
from metanas.trial._result import EpochReport, Result, Status
from metanas.trial._span import Span, Timeline

__all__ = [
    "Attempt",
    "EpochReport",
    "Job",
    "Purpose",
    "Result",
    "Scalar",
    "Span",
    "Status",
    "Timeline",
    "TrialRecord",
    "best_trial",
    "comparable",
    "pareto_front",
]
