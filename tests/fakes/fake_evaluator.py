"""An evaluator without training, told by the environment variable FAKE (JSON) what to do.

``sleep``: seconds an epoch; ``log``: file that gets a line ``trial attempt pid`` an evaluation; ``raise``: every
evaluation fails; ``kill``: trial -> attempts in which its worker is killed; ``nan``: trials without a finite value;
``crawl``: trial -> seconds an epoch.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from metanas.trial import EpochReport, Job, Result, Scalar, Status


def accuracy(decisions: Mapping[str, Scalar]) -> float:
    """Sum of the decisions that are numbers, over 100."""
    return sum(float(value) for _, value in sorted(decisions.items()) if not isinstance(value, str)) / 100


def cost(decisions: Mapping[str, Scalar]) -> float:
    """At odds with :func:`accuracy` in ``x1`` and not in the others."""
    return 10 * float(decisions.get("x1", 0)) - sum(
        float(v) for k, v in decisions.items() if k.startswith("x") and k != "x1"
    )


class Fake:
    """Gives :func:`accuracy`, growing over the epochs, and :func:`cost` as ``params``."""

    def __init__(self, setup: Mapping[str, Any], *, device: str, threads: int) -> None:
        self.orders = json.loads(os.environ.get("FAKE", "{}"))

    def evaluate(self, job: Job, report: Callable[[EpochReport], Status | None]) -> Result:
        orders, trial = self.orders, str(job.trial)
        if path := orders.get("log"):
            with open(path, "a", encoding="utf-8") as log:
                log.write(f"{trial} {job.attempt} {os.getpid()}\n")
        if orders.get("raise"):
            raise RuntimeError("told to raise")
        if job.attempt < orders.get("kill", {}).get(trial, 0):
            os.kill(os.getpid(), signal.SIGKILL)
        value = float("nan") if job.trial in orders.get("nan", []) else accuracy(job.decisions)
        status, metrics, epoch = Status.COMPLETE, {}, 0
        for epoch in range(1, job.epochs + 1):
            time.sleep(orders.get("crawl", {}).get(trial, orders.get("sleep", 0)))
            metrics = {"accuracy": value * epoch / job.epochs, "params": cost(job.decisions)}
            stop = report(EpochReport(job_id=job.id, epoch=epoch, metrics=metrics))
            if stop is not None:
                status = stop
                break
        return Result(job_id=job.id, status=status, metrics=metrics, epochs=epoch, seconds=0.001 * epoch)
