"""An evaluator without training, whose jobs say what it does. Loads no torch."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metanas.errors import MetanasError
from metanas.trial import EpochReport, Job, Result, Scalar, Status

SCRIPTED_SETUP: dict[str, Any] = {
    "evaluator": {"python": "metanas.testing.evaluators:ScriptedEvaluator"},
    "allow_python": True,
}
"""The setup of a :class:`ScriptedEvaluator`; add ``"start": …`` to have its start fail."""


def score(decisions: Mapping[str, Scalar], epoch: int, seed: int) -> float:
    """The value that a :class:`ScriptedEvaluator` gives: of the decisions named ``x…``, the epoch and the seed."""
    total = sum(float(value) for name, value in sorted(decisions.items()) if name.startswith("x"))
    return math.sin(total + seed / 7) + epoch / 3


def inspect_process() -> dict[str, float]:
    """Facts of this process as metrics: its number, whether torch is loaded, its threads, whether it sees a GPU."""
    return {
        "pid": os.getpid(),
        "torch": "torch" in sys.modules,
        "omp_threads": float(os.environ.get("OMP_NUM_THREADS", -1)),
        "cuda_hidden": os.environ.get("CUDA_VISIBLE_DEVICES") == "",
    }


class ScriptedEvaluator:
    """Reports :func:`score` each epoch and does, in its second epoch (or its only one), what the job asks for.

    Decisions it reads: every ``x…``, a number; ``sleep``, seconds an epoch; ``act``, one of ``raise``, ``exit``
    (``sys.exit``), ``kill`` (``kill -9`` of its own process), ``nan``, ``print`` (a lot, to stdout and to its file
    descriptor), ``read`` (stdin), ``stubborn`` (does not obey a cancel), ``inspect`` (adds :func:`inspect_process` to
    the metrics), ``wrong`` (returns no Result); ``until``, the first attempt that behaves, so that with 1 only
    attempt 0 acts.

    A job with a checkpoint folder goes on after the last epoch that an earlier attempt kept, which it tells again.

    ``setup["start"]`` makes the start fail: ``raise``, ``exit``, ``kill``, or ``refuse`` (a MetanasError).
    """

    def __init__(self, setup: Mapping[str, Any], *, device: str, threads: int) -> None:
        self._device = device
        self._threads = threads
        _fail(str(setup.get("start", "")))

    def evaluate(self, job: Job, report: Callable[[EpochReport], Status | None]) -> Result:
        """Do what the job's decisions say."""
        began = time.perf_counter()
        act = str(job.decisions.get("act", ""))
        if job.attempt >= int(job.decisions.get("until", job.attempt + 1)):
            act = ""
        status, epoch, metrics = Status.COMPLETE, 0, {"value": 0.0}
        extra: dict[str, float] = {}
        kept = _kept(job)
        for epoch in range(max(1, kept), job.epochs + 1):
            if epoch != kept:  # which is only told again
                time.sleep(float(job.decisions.get("sleep", 0)))
                if epoch == min(2, job.epochs):
                    extra = _act(act)
            metrics = {"value": score(job.decisions, epoch, job.seed), "threads": self._threads, **extra}
            stop = report(EpochReport(job_id=job.id, epoch=epoch, metrics=metrics))
            if stop is not None and act != "stubborn":
                status = stop
                break
            _keep(job, epoch)
        if act == "wrong":
            return None  # type: ignore[return-value]
        return Result(job_id=job.id, status=status, metrics=metrics, epochs=epoch, seconds=time.perf_counter() - began)


def _kept(job: Job) -> int:
    """Epochs that an earlier attempt finished."""
    file = Path(job.checkpoint, "epoch")
    return int(file.read_text()) if job.checkpoint and file.exists() else 0


def _keep(job: Job, epoch: int) -> None:
    if job.checkpoint and epoch < job.epochs:
        folder = Path(job.checkpoint)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "new").write_text(str(epoch))
        (folder / "new").replace(folder / "epoch")


def _act(act: str) -> dict[str, float]:
    _fail(act)
    if act == "nan":
        return {"nan": math.nan, "inf": math.inf, "minus_inf": -math.inf}
    if act == "inspect":
        return inspect_process()
    if act == "read":
        return {"read": len(sys.stdin.read())}
    if act == "print":
        for number in range(2000):
            print('{"kind": "result", "body": {}}', number)
        os.write(1, b"not a message\n\xff\x00" * 1000)
    return {}


def _fail(how: str) -> None:
    if how == "raise":
        raise RuntimeError("told to raise")
    if how == "exit":
        print("told to exit", file=sys.stderr)
        sys.exit(3)
    if how == "kill":
        print("told to kill itself", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    if how == "refuse":
        raise MetanasError("the fake must be allowed to start", found="start: refuse", remedy="drop it")
