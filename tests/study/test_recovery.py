"""Results that could not be sent, results that come too late, and trainings that go on from their checkpoint."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metanas.study import (
    Listener,
    RunFolder,
    Search,
    Trials,
    _recovery,
    _session,
    create_run,
    plan,
    read_run,
    read_run_file,
    run_session,
)
from metanas.study._storage import open_storage
from metanas.trial import Attempt, EpochReport, Job, Result, Status, TrialRecord
from metanas.worker import Ended, Event, InlineEngine, LocalEngine, all_spooled, write_spooled


def events(folder: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, folder.log.read_text().splitlines()) if event["event"] == kind]


def open_trials(folder: RunFolder) -> Trials:
    """The trials of a folder, to write to."""
    run, space, _ = read_run(folder)
    return Trials(open_storage(folder.journal, None), folder.path.name, space, run.objectives)


def spool(folder: RunFolder, record: TrialRecord, *, value: float, job_id: str = "", **changes: Any) -> None:
    """What a worker writes when it has evaluated a trial."""
    job = Job(
        id=job_id or f"t{record.number}-a0-old", trial=record.number, decisions=record.decisions, epochs=2, seed=0,
        spool=str(folder.spool),
    )  # fmt: skip
    metrics = {"accuracy": value, "params": 1.0}
    result = Result(
        job_id=job.id, status=changes.get("status", Status.COMPLETE), metrics=metrics, epochs=2, seconds=5.0
    )
    reports = [EpochReport(job_id=job.id, epoch=epoch, metrics={"accuracy": value * epoch / 2}) for epoch in (1, 2)]
    write_spooled(job, result, reports)


def left_running(toy: Any, number: int = 2) -> tuple[RunFolder, TrialRecord]:
    """A folder whose session was killed while trial ``number`` was under way."""
    folder = toy.create(search={"trials": 5})
    toy.session(folder, stop_after=number)
    trials = open_trials(folder)
    row = trials.space.rows(256)[100]
    return folder, trials.create(row, origin="random", canonical_id="mine")


def test_a_result_that_could_not_be_sent_is_found(toy: Any, orders: Any, trials: Any, tmp_path: Path) -> None:
    folder, record = left_running(toy)
    spool(folder, record, value=0.125)
    orders(log=str(tmp_path / "begun"))
    toy.session(folder)
    found = trials(folder)
    assert [trial.number for trial in found] == [0, 1, 2, 3, 4]
    assert (found[2].status, found[2].values, found[2].attempts) == (Status.COMPLETE, (0.125,), 1)
    assert (dict(found[2].curve), found[2].seconds) == ({1: 0.0625, 2: 0.125}, 5.0)
    assert not any(line.startswith("2 ") for line in (tmp_path / "begun").read_text().splitlines()), "not again"
    assert [event["trial"] for event in events(folder, "result_found")] == [2]
    assert not folder.spool.exists()


class InOrder(Listener):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def began(self, **said: Any) -> None:
        self.heard.append(f"began, {said['known']} known")

    def trial_ended(self, record: TrialRecord, best: TrialRecord | None) -> None:
        self.heard.append(f"{record.number} ended")


def test_a_result_that_is_found_is_told_of_after_the_beginning(toy: Any) -> None:
    folder, record = left_running(toy)
    spool(folder, record, value=0.125)
    listener = InOrder()
    run_session(folder, allow_python=True, listener=listener)
    assert listener.heard[:2] == ["began, 2 known", "2 ended"]
    told = [event["event"] for event in map(json.loads, folder.log.read_text().splitlines())]
    assert told.index("result_found") > max(n for n, kind in enumerate(told) if kind == "session_began")


@pytest.mark.parametrize("what", ["another", "cancelled", "torn", "stranger", "nothing"])
def test_without_a_result_that_counts_the_trial_is_begun_again(toy: Any, trials: Any, what: str) -> None:
    folder, record = left_running(toy)
    if what == "another":  # its number was given twice, as a power cut can do
        other = open_trials(folder).records[0]
        spool(folder, TrialRecord(number=2, decisions=other.decisions, canonical_id="", status=None), value=0.125)
    elif what == "stranger":
        spool(folder, TrialRecord(number=77, decisions={}, canonical_id="", status=None), value=0.125)
    elif what == "cancelled":
        spool(folder, record, value=0.125, status=Status.CANCELLED)
    elif what == "torn":
        spool(folder, record, value=0.125)
        (file,) = folder.spool.iterdir()
        file.write_bytes(b"")
    toy.session(folder)
    found = trials(folder)
    assert len(found) == 5
    assert (found[2].status, found[2].attempts) == (Status.COMPLETE, 2)
    assert found[2].values == pytest.approx([sum(found[2].decisions.values()) / 100])
    (attempt,) = found[2].history
    assert (attempt.status, attempt.late) == (Status.CANCELLED, False)
    assert "session" in attempt.message
    assert not folder.spool.exists()


def test_a_late_result_is_noted_and_counts_for_nothing(toy: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 4})
    toy.session(folder, stop_after=2)
    before = trials(folder)
    spool(folder, before[1], value=0.9)
    toy.session(folder)
    found = trials(folder)
    assert (found[1].values, found[1].attempts) == (before[1].values, 1)
    (attempt,) = found[1].history
    assert (attempt.job_id, attempt.status, attempt.late, attempt.seconds) == ("t1-a0-old", Status.COMPLETE, True, 5.0)
    assert [event["job"] for event in events(folder, "result_late")] == ["t1-a0-old"]
    assert len(found) == 4
    toy.session(folder, sets=["search.trials=6"])
    assert len(trials(folder)[1].history) == 1, "once"


def test_a_result_that_was_recorded_and_not_yet_forgotten_is_not_late(toy: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 4})
    toy.session(folder, stop_after=2)
    record = trials(folder)[1]
    spool(folder, record, value=0.9, job_id=open_trials(folder).job_of(1))
    toy.session(folder)
    assert trials(folder)[1] == record
    assert events(folder, "result_late") == []


class Mute(InlineEngine):
    """An engine whose worker dies after it wrote the result of trial 1 and before it sent it."""

    def events(self, timeout: float) -> list[Event]:
        return [self._cut(event) for event in super().events(timeout)]

    @staticmethod
    def _cut(event: Event) -> Event:
        if isinstance(event, Ended) and event.result.job_id.startswith("t1-a0"):
            return Ended(Result(job_id=event.result.job_id, status=Status.LOST, message="died"))
        return event


def test_the_result_of_a_worker_that_died_before_it_sent_it_counts(
    toy: Any, orders: Any, trials: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_session, "make_engine", lambda name, setup, *rest, **options: Mute(setup))
    orders(log=str(tmp_path / "begun"))
    _, found = toy.search(search={"trials": 3})
    assert (found[1].status, found[1].attempts, found[1].history) == (Status.COMPLETE, 1, ())
    assert [line.split()[0] for line in (tmp_path / "begun").read_text().splitlines()] == ["0", "1", "2"]


class Spools(Listener):
    """Has the given-up worker of trial 1 finish while the trial is evaluated again."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.done = False

    def trial_reported(self, record: TrialRecord, report: EpochReport) -> None:
        if record.number == 1 and not self.done:
            self.done = True
            spool(self.folder, record, value=0.5)


def test_the_first_result_ends_the_trial_and_the_other_attempt(
    toy: Any, trials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_recovery, "_LOOK_SECONDS", 0.0)
    folder = toy.create(search={"trials": 3}, fidelity={"epochs": 9})
    run_session(folder, allow_python=True, listener=Spools(folder))
    found = trials(folder)
    assert [trial.values for trial in found][1] == (0.5,)
    assert len(found) == 3
    (attempt,) = found[1].history
    assert (attempt.status, attempt.late) == (Status.CANCELLED, True)
    assert 1 <= attempt.epochs < 9, "it was not trained to the end"
    assert sum(trial.status is Status.COMPLETE for trial in found) == 3


def test_each_attempt_is_in_the_history(toy: Any, orders: Any) -> None:
    orders(kill={"1": 2})
    _, found = toy.search(search={"trials": 2, "retries": 2}, workers={"engine": "local", "count": 1})
    first, second = found[1].history
    assert (first.status, second.status) == (Status.LOST, Status.LOST)
    assert first.job_id.startswith("t1-a0-")
    assert second.job_id.startswith("t1-a1-")
    assert "SIGKILL" in first.message


def test_losses_of_earlier_sessions_count(toy: Any, orders: Any, trials: Any) -> None:
    orders(kill={"0": 9}, sleep=0.05)
    folder = toy.create(search={"trials": 2, "retries": 1}, workers={"engine": "local", "count": 1})
    planned = plan(read_run_file(folder.run_file), allow_python=True)
    stored = Trials(open_storage(folder.journal, None), folder.path.name, planned.space, planned.objectives)
    record = stored.create(stored.space.rows(256)[7], origin="random", canonical_id="x")
    stored.retry(record.number, Attempt(job_id="t0-a0-x", status=Status.LOST))
    toy.session(folder)
    assert (trials(folder)[0].status, trials(folder)[0].attempts) == (Status.LOST, 3)
    assert "2 attempts" in trials(folder)[0].message


TRAINED = """\
space: trained
language: 1
input: table
network: [{dense: {units: {choice: [64, 65, 66, 67, 68]}}}, head]
"""


class KillOnce(Listener):
    """Kills the worker of trial 0 after its 20th epoch, notes all epochs, and ends the search with the trial."""

    def __init__(self) -> None:
        self.search: Search | None = None
        self.epochs: list[int] = []

    def trial_reported(self, record: TrialRecord, report: EpochReport) -> None:
        if record.number != 0:
            return
        self.epochs.append(report.epoch)
        if self.epochs == list(range(1, 21)):
            assert self.search is not None
            engine = self.search.engine
            assert isinstance(engine, LocalEngine)
            os.kill(engine.pids["worker-0"], signal.SIGKILL)

    def trial_ended(self, record: TrialRecord, best: TrialRecord | None) -> None:
        assert self.search is not None
        self.search.stop()


def test_a_killed_training_goes_on_from_its_checkpoint(
    tmp_path: Path, trials: Callable[[RunFolder], list[TrialRecord]]
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1600, 20)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.where(x[:, 0] > 0, "yes", "no"))
    (tmp_path / "space.yaml").write_text(TRAINED)
    settings = {
        "space": "space.yaml", "data": "data.npz", "workers": 1, "search": {"trials": 1, "strategy": "random"},
        "fidelity": {"epochs": 25}, "train": {"batch_size": 16},
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(json.dumps(settings))
    folder = create_run(plan(read_run_file(tmp_path / "run.yaml")), tmp_path / "runs")
    listener = KillOnce()

    def begin(search: Search) -> None:
        listener.search = search

    run_session(folder, listener=listener, on_search=begin)
    (trial,) = trials(folder)
    assert (trial.status, trial.attempts, trial.epochs) == (Status.COMPLETE, 2, 25)
    # Of epochs this short not all are kept, but more than the first.
    assert listener.epochs[20] > 1, "the second attempt does not begin anew"
    assert sorted(trial.curve) == list(range(1, 26))
    assert not list(folder.checkpoints.glob("t*")), "what has ended keeps none"
    assert all_spooled(folder.spool) == []
