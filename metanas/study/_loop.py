"""The loop of a search: propose, submit, listen, tell, until a limit is reached; then train the best for good."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum

from metanas._rng import derive_seed
from metanas.errors import StudyError
from metanas.study._folder import RunFolder, write_atomically
from metanas.study._gate import Gate
from metanas.study._listener import Listener, Log
from metanas.study._proposer import Proposer
from metanas.study._pruning import Rungs
from metanas.study._run_file import RunFile
from metanas.study._trials import Trials
from metanas.trial import EpochReport, Job, Purpose, Result, Status, TrialRecord, best_trial
from metanas.worker import Ended, Engine, Event, Reported, Started

_POLL = 0.5
"""Seconds that the loop waits for events before it looks at its clock."""
_FAILURES = 5
"""So many first evaluations that all fail with an error end the search: the next ones would, too."""


class Ending(StrEnum):
    """Why a search stopped proposing."""

    TRIALS = "the number of trials was reached"
    TIME = "the time is up"
    TARGET = "the target was reached"
    EXHAUSTED = "every architecture that can be proposed was evaluated"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search ends."""

    trials: int | None
    """Evaluations, those of earlier sessions included."""
    deadline: float | None
    """Monotonic time."""
    target: float | None
    """Value of the first objective."""


class Search:
    """One session of a search."""

    def __init__(
        self,
        run: RunFile,
        folder: RunFolder,
        trials: Trials,
        gate: Gate,
        proposer: Proposer,
        engine: Engine,
        *,
        listener: Listener,
    ) -> None:
        self.run_file = run
        self.folder = folder
        self.trials = trials
        self.gate = gate
        self.proposer = proposer
        self.engine = engine
        self.listener = listener
        self.log = Log(folder.log)
        self.directions = [direction for _, direction in trials.objectives]
        self.rungs = Rungs(run.rungs, self.directions[0])
        self.limits = Limits(
            run.trials,
            None if run.time is None else time.monotonic() + max(0.0, run.time - self._time_spent()),
            run.target,
        )
        self._stop = False
        self._jobs: dict[str, int] = {}
        self._waiting: list[int] = []
        """Trials to submit again: their worker, or an earlier session, died."""
        self._losses: Counter[int] = Counter()
        """Trial -> workers that died with it in this session."""
        self._followers: dict[int, list[int]] = {}
        """Trial under way -> trials of the same network that take its result."""

    def stop(self) -> None:
        """Propose nothing more, wait for what runs, and end. Safe in a signal handler."""
        self._stop = True

    # --- the search

    def search(self) -> Ending:
        """Evaluate until a limit is reached.

        Raises
        ------
        MetanasError
            If nothing can be proposed from the start, every evaluation fails, or the study cannot be written.

        """
        self._take_over()
        self.listener.began(
            folder=self.folder.path, trials=self.limits.trials, time=self.run_file.time, workers=self.engine.capacity,
            known=self._evaluated(),
        )  # fmt: skip
        if any(constraint.measures for constraint in self.gate.space.constraints):
            steering = self.gate.steering
            self.listener.constrained(steering.plain_share, steering.share)
        self.log.write("session_began", known=self._evaluated(), workers=self.engine.capacity)
        ending: Ending | None = None
        drained = False
        while True:
            if ending is None:
                ending = self._limit() or self._fill()
            elif ending is Ending.EXHAUSTED:
                # Nothing new is left, but a worker may have died with a trial.
                self._submit_waiting()
            if self._stop and ending is not Ending.INTERRUPTED:
                ending = Ending.INTERRUPTED
            if ending is Ending.INTERRUPTED and not drained:
                drained = True
                self.listener.draining(len(self._jobs))
            if ending in (Ending.TIME, Ending.TARGET):
                self._cancel_all()
            if not self._jobs and ending is not None and not (self._waiting and ending is Ending.EXHAUSTED):
                break
            for event in self.engine.events(_POLL):
                self._hear(event)
        self.log.write("session_ended", reason=ending, evaluations=self._evaluated())
        return ending

    def _take_over(self) -> None:
        """Queue again what an earlier session left running."""
        for record in list(self.trials.records.values()):
            if record.status is not None:
                continue
            if record.duplicate_of is not None:
                self._follow(record)
            else:
                self._waiting.append(self.trials.retry(record.number).number)

    def _fill(self) -> Ending | None:
        """Keep every worker busy."""
        self._submit_waiting()
        while self.engine.free > 0 and not self._stop:
            if self.limits.trials is not None and self._evaluated() + len(self._jobs) >= self.limits.trials:
                return None
            record = self.proposer.next()
            if record is None:
                if not self._jobs and (error := self.gate.explain_nothing_left()):
                    raise error
                return Ending.EXHAUSTED
            if record.duplicate_of is not None:
                self._follow(record)
            else:
                self._submit(record)
        return None

    def _submit_waiting(self) -> None:
        while self._waiting and self.engine.free > 0 and not self._stop:
            self._submit(self.trials.records[self._waiting.pop(0)])

    def _limit(self) -> Ending | None:
        limits = self.limits
        if self._stop:
            return Ending.INTERRUPTED
        if limits.trials is not None and self._evaluated() >= limits.trials and not self._waiting:
            return Ending.TRIALS
        if limits.deadline is not None and time.monotonic() >= limits.deadline:
            return Ending.TIME
        best = self.best()
        if limits.target is not None and best is not None and best.values is not None:
            reached = (
                best.values[0] >= limits.target if self.directions[0] == "maximize" else best.values[0] <= limits.target
            )
            if reached:
                return Ending.TARGET
        return None

    def _evaluated(self) -> int:
        return sum(r.status is not None and r.duplicate_of is None for r in self.trials.records.values())

    def best(self) -> TrialRecord | None:
        """The best trial so far; of several objectives, the best by the first."""
        return best_trial(self.trials.records.values(), self.directions)

    def _submit(self, record: TrialRecord) -> None:
        job = Job(
            id=f"t{record.number}-a{record.attempts - 1}", trial=record.number, attempt=record.attempts - 1,
            decisions=record.decisions, epochs=self.run_file.rungs[-1],
            seed=derive_seed(self.run_file.seed, "training", record.number),
        )  # fmt: skip
        self._jobs[job.id] = record.number
        self.engine.submit(job)

    # --- events

    def _hear(self, event: Event) -> None:
        match event:
            case Started(job_id, worker):
                record = self.trials.records[self._jobs[job_id]]
                self.log.write("trial_started", trial=record.number, job=job_id, worker=worker)
                self.listener.trial_started(record, worker)
            case Reported(report):
                self._hear_report(report)
            case Ended(result):
                self._hear_end(result)

    def _hear_report(self, report: EpochReport) -> None:
        number = self._jobs[report.job_id]
        self.trials.report(number, report.epoch, report.metrics)
        record = self.trials.records[number]
        self.listener.trial_reported(record, report)
        if len(self.rungs.rungs) > 1 and self.rungs.stops(record, list(self.trials.records.values())):
            self.engine.cancel(report.job_id, status=Status.PRUNED)

    def _hear_end(self, result: Result) -> None:
        number = self._jobs.pop(result.job_id)
        self.log.write("trial_ended", trial=number, **{k: v for k, v in result.to_json().items() if v not in ("", {})})
        if result.status is Status.CANCELLED:
            # It goes on in the next session, with the same number.
            return
        if result.status is Status.LOST:
            # Not record.attempts: it counts interrupted sessions too, which are no fault of the trial.
            self._losses[number] += 1
            if self._losses[number] <= self.run_file.retries:
                self._waiting.append(self.trials.retry(number).number)
                return
            message = f"{result.message}, in each of {self._losses[number]} attempts"
            result = replace(result, message=message, remedy=result.remedy or "see the workers' logs in the run folder")
        self._finish(number, result)
        for follower in self._followers.pop(number, []):
            self._copy(follower, number)
        self._check_failures()

    def _finish(self, number: int, result: Result) -> None:
        record = self.trials.finish(number, result)
        self.listener.trial_ended(record, self.best())

    def _follow(self, record: TrialRecord) -> None:
        """A trial of a network that is known: take its result, now or when it is there."""
        first = record.duplicate_of
        assert first is not None
        if self.trials.records[first].status is None:
            self._followers.setdefault(first, []).append(record.number)
        else:
            self._copy(record.number, first)

    def _copy(self, number: int, first: int) -> None:
        source = self.trials.records[first]
        assert source.status is not None
        self._finish(
            number,
            Result(
                job_id=f"t{number}", status=source.status, metrics=source.metrics, epochs=source.epochs,
                message=source.message,
            ),
        )  # fmt: skip

    def _check_failures(self) -> None:
        ended = [r for r in self.trials.records.values() if r.status is not None and r.duplicate_of is None]
        if len(ended) >= _FAILURES and all(r.status is Status.FAILED for r in ended):
            raise StudyError(
                "an evaluation must succeed now and then", found=f"{len(ended)} of {len(ended)} that failed: {ended[-1].message}",
                where=str(self.folder.path), remedy=f"mend the cause (details in {self.folder.workers}) and start again",
            )  # fmt: skip

    def _cancel_all(self) -> None:
        for job_id in self._jobs:
            self.engine.cancel(job_id)

    def _time_spent(self) -> float:
        """Seconds of search in earlier sessions: the union of their trials' times, gaps of a minute bridged."""
        spans = sorted((r.started, r.ended) for r in self.trials.records.values() if r.started and r.ended)
        total, end = 0.0, 0.0
        for began, ended in spans:
            total += max(0.0, ended - (max(began, end) if began < end + 60 else began))
            end = max(end, ended)
        return total

    # --- the final training

    def train_best(self) -> Result | None:
        """Train the best architecture on training and validation data, test it once, and keep it.

        None when no trial has a value, or on interruption. What is there already is not done again.
        """
        best = self.best()
        if best is None:
            return None
        done = self.final_result()
        if done is not None and done.job_id == f"final-t{best.number}":
            return done
        job = Job(
            id=f"final-t{best.number}", trial=best.number, decisions=best.decisions, epochs=self.run_file.rungs[-1],
            seed=derive_seed(self.run_file.seed, "final", best.number), purpose=Purpose.FINAL, output=str(self.folder.best),
        )  # fmt: skip
        self.listener.final_started(best, job.epochs)
        for attempt in range(self.run_file.retries + 1):
            result = self._evaluate_final(replace(job, attempt=attempt))
            if result is None or result.status is not Status.LOST:
                break
        if result is None:
            return None
        self.log.write("final_ended", **result.to_json())
        if result.status is Status.COMPLETE:
            self.folder.best.mkdir(exist_ok=True)
            _write_final(self.folder, result)
        self.listener.final_ended(result)
        return result

    def _evaluate_final(self, job: Job) -> Result | None:
        self.engine.submit(job)
        while not self._stop:
            for event in self.engine.events(_POLL):
                if isinstance(event, Reported):
                    self.listener.final_reported(event.report)
                elif isinstance(event, Ended):
                    return event.result
        return None

    def final_result(self) -> Result | None:
        """What the final training of this or an earlier session gave."""
        return read_final(self.folder)


def read_final(folder: RunFolder) -> Result | None:
    """The result of a run's final training; None when there is none yet."""
    try:
        return Result.from_json(json.loads((folder.best / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_final(folder: RunFolder, result: Result) -> None:
    write_atomically(folder.best / "result.json", json.dumps(result.to_json(), indent=2) + "\n")
