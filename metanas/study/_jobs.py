"""From trials to jobs: their ids, seeds and folders, and which of them are under way."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from metanas._rng import derive_seed
from metanas.study._folder import RunFolder
from metanas.study._gate import Gate
from metanas.study._run_file import RunFile
from metanas.trial import Job, Purpose, TrialRecord
from metanas.worker import Engine


class Jobs:
    """The jobs of one session."""

    def __init__(
        self, run: RunFile, folder: RunFolder, gate: Gate, engine: Engine, pauses: tuple[int, ...] = ()
    ) -> None:
        self._run = run
        self._folder = folder
        self._gate = gate
        self._engine = engine
        self.pauses = pauses
        """Epochs after which a trial waits for the search's word."""
        # After a power cut a session may give the same attempt of the same number to another architecture.
        self._session = secrets.token_hex(3)
        self._trains = run.trains
        self.trials: dict[str, int] = {}
        """Id of a job under way -> number of its trial."""

    def __len__(self) -> int:
        return len(self.trials)

    def submit(self, record: TrialRecord) -> None:
        """Have a worker evaluate a trial."""
        attempt = record.attempts - 1
        job = Job(
            id=f"t{record.number}-a{attempt}-{self._session}", trial=record.number, attempt=attempt,
            decisions=record.decisions, epochs=self._run.rungs[-1],
            seed=derive_seed(self._run.seed, "training", record.number), spool=str(self._folder.spool.absolute()),
            checkpoint=str(self._checkpoint(record.number)), pauses=self.pauses,
            memory=self._memory(record) if self._trains else 0,
        )  # fmt: skip
        self.trials[job.id] = record.number
        self._engine.submit(job)

    def final(self, record: TrialRecord) -> Job:
        """The job that trains a network for good."""
        return Job(
            id=f"final-t{record.number}", trial=record.number, decisions=record.decisions, epochs=self._run.rungs[-1],
            seed=derive_seed(self._run.seed, "final", record.number), purpose=Purpose.FINAL,
            output=str(self._folder.best.absolute()), checkpoint=str(self._folder.checkpoints.absolute() / "final"),
            memory=self._memory(record),
        )  # fmt: skip

    def supernet(self, epochs: int, seconds: float | None = None) -> Job:
        """The job that trains all networks as one, for so many seconds at most."""
        return Job(
            id="supernet", trial=-1, decisions={}, epochs=epochs, seed=derive_seed(self._run.seed, "supernet"),
            purpose=Purpose.SUPERNET, output=str(self._folder.supernet.absolute()),
            checkpoint=str(self._folder.checkpoints.absolute() / "supernet"), seconds=seconds,
        )  # fmt: skip

    def again(self, job: Job, attempt: int) -> Job:
        """Another attempt of a job."""
        return replace(job, attempt=attempt)

    def of(self, number: int) -> list[str]:
        """Ids of the jobs under way of a trial."""
        return [job_id for job_id, trial in self.trials.items() if trial == number]

    def drop_checkpoint(self, number: int) -> None:
        """Forget how far a trial had come that has ended."""
        shutil.rmtree(self._checkpoint(number), ignore_errors=True)

    def drop_checkpoints(self, ended: Set[int]) -> None:
        """The same for those of ``ended`` that still have something."""
        for folder in self._folder.checkpoints.glob("t*"):
            if folder.name[1:].isdigit() and int(folder.name[1:]) in ended:
                shutil.rmtree(folder, ignore_errors=True)

    def _checkpoint(self, number: int) -> Path:
        return self._folder.checkpoints.absolute() / f"t{number}"

    def _memory(self, record: TrialRecord) -> int:
        if self._gate.table is not None:
            return 0
        return int(self._gate.measures(self._gate.row_of(record.decisions)).memory)
