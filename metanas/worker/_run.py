"""Running one job so that nothing but a result comes out."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping

from metanas.errors import MetanasError
from metanas.evaluator import Evaluator
from metanas.trial import EpochReport, Job, Result, Status
from metanas.worker._spool import write_spooled

SPOOLING = threading.Lock()
"""Held while a result is written, for whoever ends the process from another thread."""
_LONGEST = 500
"""Characters of an exception's text that are told; the log has all of it."""
_log = logging.getLogger(__name__)


def run_job(evaluator: Evaluator, job: Job, report: Callable[[EpochReport], Status | None]) -> Result:
    """``evaluator.evaluate(job, report)``, with any exception turned into a failed result.

    Numbers become plain ones, also in the reports: evaluators hand over numpy and torch scalars. The result is in the
    job's spool, if it has one, before this returns.
    """
    reports: list[EpochReport] = []

    def plain_report(epoch: EpochReport) -> Status | None:
        seconds = float(epoch.seconds)
        plain = EpochReport(job_id=job.id, epoch=int(epoch.epoch), metrics=_plain(epoch.metrics), seconds=seconds)
        reports.append(plain)
        return report(plain)

    result = _evaluate(evaluator, job, plain_report, reports)
    if job.spool:
        try:
            with SPOOLING:
                write_spooled(job, result, reports)
        except OSError:
            # It is sent all the same; only if that fails too is the evaluation lost.
            _log.error("the result of job %s could not be written to its spool", job.id, exc_info=True)
    return result


def _evaluate(
    evaluator: Evaluator, job: Job, report: Callable[[EpochReport], Status | None], reports: list[EpochReport]
) -> Result:
    began = time.perf_counter()
    try:
        result = evaluator.evaluate(job, report)
        if not isinstance(result, Result) or result.job_id != job.id:
            raise TypeError(f"evaluate() must return the Result of job {job.id}, found {result!r}")
        seconds = time.perf_counter() - began if result.seconds is None else float(result.seconds)
        return dataclasses.replace(result, metrics=_plain(result.metrics), epochs=int(result.epochs), seconds=seconds)
    # SystemExit: a user's sys.exit() must not end the worker.
    except (Exception, SystemExit) as error:
        _log.error("job %s failed", job.id, exc_info=True)
        return Result(
            job_id=job.id,
            status=Status.FAILED,
            epochs=reports[-1].epoch if reports else 0,
            seconds=time.perf_counter() - began,
            message=describe(error),
            remedy=error.remedy if isinstance(error, MetanasError) else "",
        )


def describe(error: BaseException) -> str:
    """Type, text and origin of an exception on one line; a long text is cut, as it is for people to read."""
    said = " ".join(str(error).split())
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name})" if frames else text


def _plain(metrics: Mapping[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in metrics.items()}
