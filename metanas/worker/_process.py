"""The program of a worker process: ``python -m metanas.worker._process``, started by the local engine."""

from __future__ import annotations

import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from typing import IO, Any, NoReturn

from metanas.errors import MetanasError
from metanas.evaluator import Evaluator
from metanas.trial import EpochReport, Job, Result, Status
from metanas.worker._channel import decode, encode
from metanas.worker._run import SPOOLING, run_job, start_evaluator

_PATIENCE = 30.0
"""Seconds that a job waits to be told whether to go on: a search may be busy proposing, and the device is idle meanwhile."""
_SPOOL_SECONDS = 5.0
"""A disk that takes longer for a kilobyte may never come back."""


class _Coordinator:
    """The engine, as its worker sees it."""

    def __init__(self, receiving: IO[bytes], sending: IO[bytes]) -> None:
        self._receiving = receiving
        self._sending = sending
        self._sends = threading.Lock()
        self._changes = threading.Condition()
        self._stop: tuple[str, Status] | None = None
        self._told = ("", 0)
        """Job, and the epoch after which it may go on."""
        self._open: set[str] = set()
        """Ids of jobs that have not ended."""
        self.jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        """Jobs to do, in order."""

    def setup(self) -> dict[str, Any]:
        """The first message. From then on a thread listens, so that a cancel is heard during an evaluation."""
        kind, body = decode(self._receiving.readline())
        assert kind == "setup"
        threading.Thread(target=self._listen, name="metanas-listen", daemon=True).start()
        return body

    def send(self, kind: str, body: dict[str, Any]) -> None:
        """Send a message."""
        line = encode(kind, body)
        try:
            with self._sends:
                self._sending.write(line)
                self._sending.flush()
        except OSError:
            _leave()

    def stop(self, job_id: str) -> Status | None:
        """How the job is to end now; None to go on."""
        stop = self._stop
        return stop[1] if stop is not None and stop[0] == job_id else None

    def answer(self, job: Job, epoch: int) -> Status | None:
        """The same after an epoch; where the job pauses, what the search says to it, for which this waits."""
        if epoch in job.pauses:
            with self._changes:
                self._changes.wait_for(
                    lambda: self.stop(job.id) is not None or (self._told[0] == job.id and self._told[1] >= epoch),
                    _PATIENCE,
                )
        return self.stop(job.id)

    def forget(self, job_id: str) -> None:
        """A job has ended: a cancel that comes too late must not reach another attempt that has its id."""
        with self._changes:
            self._open.discard(job_id)
            self._stop = None

    def _leave_with(self, job_id: str, grace: float) -> None:
        """Exit where the job has not ended after so many seconds."""

        def look() -> None:
            if job_id in self._open:
                _leave()

        timer = threading.Timer(grace, look)
        timer.daemon = True
        timer.start()

    def _listen(self) -> None:
        try:
            for line in self._receiving:
                kind, body = decode(line)
                with self._changes:
                    if kind == "cancel" and body["job_id"] in self._open:
                        # It may be said more than once.
                        if body["grace"] is not None and self.stop(body["job_id"]) is not Status(body["status"]):
                            self._leave_with(body["job_id"], body["grace"])
                        self._stop = (body["job_id"], Status(body["status"]))
                    elif kind == "go_on":
                        self._told = (body["job_id"], int(body["epoch"]))
                    elif kind == "job":
                        self._open.add(body["id"])
                        self.jobs.put(Job.from_json(body))
                    self._changes.notify_all()
        finally:
            _leave()


def main() -> None:
    """Read the setup, then evaluate jobs until the engine closes the channel or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        coordinator = _take_stdio()
        evaluator = _build(coordinator)
        coordinator.send("ready", {})
        while True:
            _evaluate(evaluator, coordinator.jobs.get(), coordinator)
    except BaseException:
        # Not a normal exit: it would wait for, or abort on, the thread that reads the channel.
        traceback.print_exc()
        os._exit(1)


def _take_stdio() -> _Coordinator:
    """Keep the pipes for the channel alone: whatever else reads stdin gets nothing, what is printed goes to stderr."""
    receiving = os.fdopen(os.dup(0), "rb")
    sending = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    return _Coordinator(receiving, sending)


def _build(coordinator: _Coordinator) -> Evaluator:
    message = coordinator.setup()
    sys.path[:] = message["path"]  # so that a user's modules are found as in the coordinator
    try:
        return start_evaluator(message["setup"], device=message["device"], threads=message["threads"])
    except MetanasError as error:
        found = None if error.found is None else str(error.found)
        body = {"rule": error.rule, "found": found, "remedy": error.remedy, "where": error.where}
        coordinator.send("refused", body)
        raise


def _evaluate(evaluator: Evaluator, job: Job, coordinator: _Coordinator) -> None:
    def report(epoch: EpochReport) -> Status | None:
        coordinator.send("report", epoch.to_json())
        return coordinator.answer(job, epoch.epoch)

    if coordinator.stop(job.id) is not None:
        result = Result(job_id=job.id, status=Status.CANCELLED, message="cancelled before it began")
    else:
        coordinator.send("started", {"job_id": job.id})
        result = run_job(evaluator, job, report)
    coordinator.forget(job.id)
    coordinator.send("result", result.to_json())


def _leave() -> NoReturn:
    """Exit at once, together with whatever the evaluator has started; a result that is being written gets written."""
    SPOOLING.acquire(timeout=_SPOOL_SECONDS)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()
