"""Running one job so that nothing but a result comes out."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from metanas.errors import MetanasError, describe
from metanas.evaluator import Evaluator, build_evaluator
from metanas.trial import EpochReport, Job, Result, Status
from metanas.worker._spool import write_spooled

SPOOLING = threading.Lock()
"""Held while a result is written, for whoever ends the process from another thread."""
_log = logging.getLogger(__name__)


def start_evaluator(setup: Mapping[str, Any], *, device: str, threads: int) -> Evaluator:
    """What :func:`metanas.evaluator.build_evaluator` makes, with any exception turned into a MetanasError of one line."""
    try:
        return build_evaluator(setup, device=device, threads=threads)
    except MetanasError:
        raise
    except Exception as error:
        raise MetanasError("the evaluator must start", found=describe(error), where="evaluator") from error


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


def _plain(metrics: Mapping[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in metrics.items()}
