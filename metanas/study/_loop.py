"""The loop of a search: propose, submit, listen, tell, until a limit is reached; then train the best for good."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace

from metanas.controller import Meta, SupernetRanking
from metanas.errors import StudyError
from metanas.study._final import train_final
from metanas.study._folder import RunFolder
from metanas.study._gate import Gate
from metanas.study._jobs import Jobs
from metanas.study._limits import Ending, Limits, Tally, seconds_spent
from metanas.study._listener import Listener, Log
from metanas.study._proposer import Proposer
from metanas.study._proxies import Score, with_proxies
from metanas.study._recovery import Recovery
from metanas.study._run_file import DEFAULT_TRIALS, RunFile
from metanas.study._stopping import make_stopping
from metanas.study._supernet import train_supernet
from metanas.study._timeline import time_so_far
from metanas.study._trials import Trials
from metanas.trial import Attempt, EpochReport, Result, Status, TrialRecord
from metanas.worker import Ended, Engine, Event, Reported, Spooled, Started, drop_spooled

_POLL = 0.5
"""Seconds that the loop waits for events before it looks at its clock."""
_PROXIES_SHARE, _SUPERNET_SHARE = 0.25, 0.5
"""Parts of a search's time that proxies, and the training of a supernet, may take."""
_FAILURES = 5
"""So many first evaluations that all fail with an error end the search: the next ones would, too."""


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
        guard: Callable[[], None] = lambda: None,
        score: Score | None = None,
    ) -> None:
        self.run_file = run
        self.folder = folder
        self.trials = trials
        self.gate = gate
        self.proposer = proposer
        self.engine = engine
        self.listener = listener
        self.guard = guard
        """Raises when the study is another's now."""
        self.score = score
        """Zero-cost proxies of networks, where there are data."""
        self.log = Log(folder.log, engine.time)
        self.directions = [direction for _, direction in trials.objectives]
        self.stopping = make_stopping(run.stop, run.stop_options, trials, rungs=run.rungs, directions=self.directions)
        self.jobs = Jobs(run, folder, gate, engine, self.stopping.pauses(run.rungs[-1]))
        self.recovery = Recovery(folder, trials, self.jobs, self.log)
        self.tally = Tally(self.directions)
        trials.watch(self.tally.update)
        trials.watch(self.stopping.update)
        self._spent = 0.0
        """Seconds of a limited time that earlier sessions took."""
        if run.time is not None:
            # Trials alone do not tell how long those ran that were cut off.
            self._spent = max(seconds_spent(list(trials.records.values())), time_so_far(folder.log)[0])
        self.limits = self._limits()
        engine.until = self.limits.deadline
        self._stop = False
        self._ranking_left = False
        self._waiting: deque[int] = deque()
        """Trials to submit again: their worker, or an earlier session, died."""
        self._losses: Counter[int] = Counter()
        """Trial -> workers that died with it."""
        self._followers: dict[int, list[int]] = {}
        """Trial under way -> trials of the same network that take its result."""

    def stop(self) -> None:
        """Propose nothing more, wait for what runs, and end. Safe in a signal handler."""
        self._stop = True

    def best(self) -> TrialRecord | None:
        """The best trial so far; of several objectives, the best by the first."""
        return self.tally.best

    def _limits(self) -> Limits:
        run = self.run_file
        deadline = None if run.time is None else self.engine.time() + max(0.0, run.time - self._spent)
        gpu_seconds = None if run.gpu_hours is None else 3600 * run.gpu_hours
        # Without GPUs their hours limit nothing.
        endless = run.trials is None and run.time is None and run.target is None and not self.engine.gpus
        return Limits(
            trials=DEFAULT_TRIALS if endless else run.trials,
            deadline=deadline,
            gpu_seconds=gpu_seconds,
            target=run.target,
        )

    # --- the search

    def search(self) -> Ending:
        """Evaluate until a limit is reached.

        Raises
        ------
        MetanasError
            If nothing can be proposed from the start, every evaluation fails, or the study cannot be written.

        """
        self.listener.began(
            folder=self.folder.path, trials=self.limits.trials, time=None if self.engine.virtual else self.run_file.time,
            spent=self._spent, workers=self.engine.capacity, known=self.tally.evaluated,
        )  # fmt: skip
        if self.limits.trials != self.run_file.trials:
            self.listener.noted(
                f"no worker has a GPU, so that gpu_hours limits nothing; it ends after {self.limits.trials} trials"
            )
        if any(constraint.measures for constraint in self.gate.space.constraints):
            steering = self.gate.steering
            self.listener.constrained(steering.plain_share, steering.share)
        self.log.write("session_began", known=self.tally.evaluated, workers=self.engine.capacity)
        if not self._score_networks() or not self._train_supernet():
            self.log.write("session_ended", reason=Ending.INTERRUPTED, evaluations=self.tally.evaluated)
            return Ending.INTERRUPTED
        self._take_over()
        ending: Ending | None = None
        drained = False
        while True:
            self.guard()
            if ending is None:
                ending = self._limit() or self._fill()
            elif ending is Ending.EXHAUSTED:
                # Nothing new is left, but a worker may have died with a trial, and a limit may come before the last ends.
                self._submit_waiting()
                ending = (self._limit() if self.jobs else None) or ending
            if self._stop and ending is not Ending.INTERRUPTED:
                ending = Ending.INTERRUPTED
            if ending is Ending.INTERRUPTED and not drained:
                drained = True
                self.listener.draining(len(self.jobs))
            if ending in (Ending.TIME, Ending.GPU_HOURS, Ending.TARGET):
                self._cancel_all()
            if not self.jobs and ending is not None and not (self._waiting and ending is Ending.EXHAUSTED):
                break
            for event in self.engine.events(_POLL):
                self._hear(event)
            for number, spooled in self.recovery.found():
                self._adopt(number, spooled)
        self.log.write("session_ended", reason=ending, evaluations=self.tally.evaluated)
        self.listener.search_ended(ending)
        self.recovery.clear()
        return ending

    def _score_networks(self) -> bool:
        """Where the strategy begins with proxies, have them computed. False when the search was stopped meanwhile."""
        strategy = self.proposer.strategy
        if not isinstance(strategy, Meta) or self.score is None:
            return True
        told = with_proxies(
            strategy, self.score, folder=self.folder, gate=self.gate, seed=self.run_file.seed, listener=self.listener,
            log=self.log, stopped=lambda: self._stop, seconds=self._seconds_left(_PROXIES_SHARE),
        )  # fmt: skip
        self.proposer.strategy = told or strategy
        return told is not None

    def _seconds_left(self, share: float) -> float | None:
        """What is left, before the first trial, of a share of the search's time; None where it is not limited."""
        time = self.run_file.time
        return None if time is None else max(0.0, share * time - self._spent)

    def _train_supernet(self) -> bool:
        """Where the strategy ranks by a supernet, have it trained. False when the search was stopped meanwhile."""
        strategy = self.proposer.strategy
        if not isinstance(strategy, SupernetRanking):
            return True
        trained = train_supernet(
            strategy, folder=self.folder, jobs=self.jobs, engine=self.engine, retries=self.run_file.retries,
            listener=self.listener, log=self.log, stopped=lambda: self._stop, seconds=self._seconds_left(_SUPERNET_SHARE), poll=_POLL,
        )  # fmt: skip
        strategy = trained or strategy
        self.proposer.strategy = strategy.guided(self.gate.space) if strategy.then == "meta" else strategy
        return trained is not None

    def _watch_ranking(self) -> None:
        """Say so once where a supernet's ranking disagrees with what was evaluated, and its strategy leaves it."""
        strategy = self.proposer.strategy
        if not isinstance(strategy, SupernetRanking) or self._ranking_left:
            return
        agreement = strategy.agreement(self.proposer.observations)
        if agreement <= 0:
            self._ranking_left = True
            self.log.write("supernet_left", agreement=agreement)
            self.listener.supernet_left(agreement)

    def _take_over(self) -> None:
        """Record what workers of an earlier session could not send, and queue again what it left running."""
        for record in self.trials.records.values():
            # Not record.attempts: it counts interrupted sessions too, which are no fault of the trial.
            self._losses[record.number] = sum(attempt.status is Status.LOST for attempt in record.history)
        for number, spooled in self.recovery.found(at_once=True):
            self._adopt(number, spooled)
        for record in self.recovery.left_running():
            if record.duplicate_of is not None:
                self._follow(record)
            else:
                self._waiting.append(record.number)

    def _fill(self) -> Ending | None:
        """Keep every worker busy."""
        self._submit_waiting()
        while self.engine.free > 0 and not self._stop:
            if self.limits.trials is not None and self.tally.evaluated + len(self.jobs) >= self.limits.trials:
                return None
            self._watch_ranking()
            record = self.proposer.next()
            if record is None:
                if not self.jobs and not self.tally.evaluated and (error := self.gate.explain_nothing_left()):
                    raise error
                return Ending.EXHAUSTED
            if record.duplicate_of is not None:
                self._follow(record)
            else:
                self.jobs.submit(record)
        return None

    def _submit_waiting(self) -> None:
        while self._waiting and self.engine.free > 0 and not self._stop:
            record = self.trials.records[self._waiting.popleft()]
            if record.status is None:  # its result may have been found meanwhile
                self.jobs.submit(record)

    def _limit(self) -> Ending | None:
        if self._stop:
            return Ending.INTERRUPTED
        ending = self.limits.reached(self.tally, now=self.engine.time(), gpus=self.engine.gpus)
        return None if ending is Ending.TRIALS and self._waiting else ending

    # --- events

    def _hear(self, event: Event) -> None:
        match event:
            case Started(job_id, worker):
                record = self.trials.records[self.jobs.trials[job_id]]
                self.log.write(
                    "trial_started", trial=record.number, job=job_id, worker=worker, attempt=record.attempts - 1
                )
                self.listener.trial_started(record, worker)
            case Reported(report):
                self._hear_report(self.jobs.trials[report.job_id], report)
            case Ended(result):
                self._hear_end(result)

    def _hear_report(self, number: int, report: EpochReport) -> None:
        if self.trials.records[number].status is not None:
            return
        looks = report.epoch in self.stopping.points
        self.trials.report(number, report.epoch, report.metrics, all_objectives=looks)
        record = self.trials.records[number]
        self.listener.trial_reported(record, report)
        # After its last epoch a trial is complete, whatever others think of it.
        if report.epoch < self.run_file.rungs[-1] and self.stopping.stops(record):
            self.engine.cancel(report.job_id, status=Status.PRUNED)
        elif report.epoch in self.jobs.pauses:
            self.engine.go_on(report.job_id, report.epoch)

    def _hear_end(self, result: Result) -> None:
        number = self.jobs.trials.pop(result.job_id)
        self._write_end(number, result)
        if self.trials.records[number].status is not None:
            self.recovery.late(number, result)
        elif result.status is Status.LOST:
            self._lose(number, result)
        elif result.status is Status.CANCELLED:
            # It goes on in the next session, with the same number.
            drop_spooled(self.folder.spool, result.job_id)
        else:
            self._end(number, result)

    def _lose(self, number: int, result: Result) -> None:
        """Try a trial again whose worker died, unless it had written the result, or dies each time."""
        if (spooled := self.recovery.unsent(result.job_id)) is not None:
            self._adopt(number, spooled)
            return
        self._losses[number] += 1
        attempt = Attempt(
            job_id=result.job_id, status=result.status, epochs=result.epochs, seconds=result.seconds or 0.0,
            message=result.message,
        )  # fmt: skip
        if self._losses[number] <= self.run_file.retries:
            self._waiting.append(self.trials.retry(number, attempt).number)
            self.log.write("trial_queued_again", trial=number, losses=self._losses[number])
            return
        message = f"{result.message}, in each of {self._losses[number]} attempts"
        remedy = result.remedy or "see the workers' logs in the run folder"
        self._end(number, replace(result, message=message, remedy=remedy))

    def _adopt(self, number: int, spooled: Spooled) -> None:
        """Take a result that its worker wrote and could not send; whoever evaluates the trial now need not go on."""
        self.log.write("result_found", trial=number, job=spooled.result.job_id)
        self._write_end(number, spooled.result)
        for report in spooled.reports:
            if report.epoch not in self.trials.records[number].curve:
                looks = report.epoch in self.stopping.points
                self.trials.report(number, report.epoch, report.metrics, all_objectives=looks)
        self._end(number, spooled.result)
        for job_id in self.jobs.of(number):
            self.engine.cancel(job_id)

    def _end(self, number: int, result: Result) -> None:
        self._finish(number, result)
        self.jobs.drop_checkpoint(number)
        drop_spooled(self.folder.spool, result.job_id)
        for follower in self._followers.pop(number, []):
            self._copy(follower, number)
        self._check_failures()

    def _finish(self, number: int, result: Result) -> None:
        record = self.trials.finish(number, result)
        self.listener.trial_ended(record, self.best())

    def _write_end(self, number: int, result: Result) -> None:
        said = {key: value for key, value in result.to_json().items() if key != "job_id" and value not in ("", {})}
        self.log.write("trial_ended", trial=number, job=result.job_id, **said)

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
        ended, last = self.tally.evaluated, self.tally.last_failure
        if last is not None and ended >= _FAILURES and self.tally.failed == ended:
            raise StudyError(
                "an evaluation must succeed now and then", found=f"{ended} of {ended} that failed: {last.message}",
                where=str(self.folder.path), remedy=f"mend the cause (details in {self.folder.workers}) and start again",
            )  # fmt: skip

    def _cancel_all(self) -> None:
        for job_id in self.jobs.trials:
            self.engine.cancel(job_id)

    def train_best(self) -> Result | None:
        """Train the architecture that the strategy recommends on training and validation data, test it once, and keep it.

        None when no trial has a value, or on interruption. What is there already is not done again.
        """
        recommended = self.proposer.recommended()
        best = recommended or self.best()
        if best is None:
            return None
        return train_final(
            best, sureness=self.proposer.sureness() if recommended else None, folder=self.folder, jobs=self.jobs,
            engine=self.engine, retries=self.run_file.retries, listener=self.listener, log=self.log, stopped=lambda: self._stop, poll=_POLL,
        )  # fmt: skip
