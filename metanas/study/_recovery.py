"""What an earlier session left behind: trials under way, and results that their workers could not send any more."""

from __future__ import annotations

import shutil
import time

from metanas.study._folder import RunFolder
from metanas.study._jobs import Jobs
from metanas.study._listener import Log
from metanas.study._trials import Trials
from metanas.trial import Attempt, Result, Status, TrialRecord
from metanas.worker import Spooled, all_spooled, drop_spooled, read_spooled

_LOOK_SECONDS = 2.0
"""How often the spool is searched for results that nobody waits for."""


class Recovery:
    """Reads the spool of one run."""

    def __init__(self, folder: RunFolder, trials: Trials, jobs: Jobs, log: Log) -> None:
        self._folder = folder
        self._trials = trials
        self._jobs = jobs
        self._log = log
        self._looked = 0.0

    def left_running(self) -> list[TrialRecord]:
        """The trials that an earlier session left under way, each noted as begun once more. Duplicates stay as they are."""
        self._jobs.drop_checkpoints({n for n, record in self._trials.records.items() if record.status is not None})
        left = []
        for record in list(self._trials.records.values()):
            if record.status is not None:
                continue
            if record.duplicate_of is not None:
                left.append(record)
            else:
                message = "its session was stopped or killed"
                attempt = Attempt(job_id="", status=Status.CANCELLED, epochs=record.epochs, message=message)
                left.append(self._trials.retry(record.number, attempt))
        return left

    def unsent(self, job_id: str) -> Spooled | None:
        """What a worker wrote of a job before it died; None for nothing that counts."""
        spooled = read_spooled(self._folder.spool, job_id)
        return spooled if spooled is not None and self._counts(spooled) else None

    def found(self, *, at_once: bool = False) -> list[tuple[int, Spooled]]:
        """Trial and result for each that lies in the spool, is waited for, and whose job is none of this session's.

        Looks now and then only, unless ``at_once``. Results that come too late are noted in their trial's history.
        """
        now = time.monotonic()
        if not at_once and now < self._looked + _LOOK_SECONDS:
            return []
        self._looked = now
        found: list[tuple[int, Spooled]] = []
        for spooled in all_spooled(self._folder.spool):
            job_id, number = spooled.result.job_id, spooled.trial
            if job_id in self._jobs.trials:
                continue
            record = self._trials.records.get(number)
            # After a power cut the number may be another architecture's.
            ours = record is not None and dict(record.decisions) == dict(spooled.decisions)
            if ours and record is not None and record.status is None and self._counts(spooled):
                if all(number != other for other, _ in found):
                    found.append((number, spooled))
                    continue
            elif ours and self._counts(spooled) and self._trials.job_of(number) != job_id:
                self.late(number, spooled.result)
            drop_spooled(self._folder.spool, job_id)
        return found

    def late(self, number: int, result: Result) -> None:
        """Note a result that came when its trial had ended."""
        message = result.message or "came when the trial had ended"
        self._trials.note(
            number,
            Attempt(
                job_id=result.job_id, status=result.status, epochs=result.epochs, seconds=result.seconds or 0.0,
                message=message, late=True,
            ),
        )  # fmt: skip
        self._log.write("result_late", trial=number, job=result.job_id, status=result.status)
        drop_spooled(self._folder.spool, result.job_id)

    def clear(self) -> None:
        """Forget what no trial needs any more: the search is over."""
        if not any(record.status is None for record in self._trials.records.values()):
            shutil.rmtree(self._folder.spool, ignore_errors=True)

    @staticmethod
    def _counts(spooled: Spooled) -> bool:
        return spooled.result.status not in (Status.CANCELLED, Status.LOST)
