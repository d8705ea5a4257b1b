"""Searches that go on: with code that changed, with other workers, and only where their trials are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]

CODE = """
from metanas.trial import Result, Status

class {name}:
    def __init__(self, setup, *, device, threads):
        pass

    def evaluate(self, job, report):
        return Result(job_id=job.id, status=Status.COMPLETE, metrics={{"score": {score}}})
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run file of two trials by an evaluator of the user's, which takes no time."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_scores.py").write_text(CODE.format(name="Own", score="1.0 + job.trial"))
    keys = {
        "space": "mlp", "data": "iris", "evaluator": {"python": "own_scores:Own"}, "objective": {"maximize": "score"},
        "search": {"trials": 2, "strategy": "random"}, "workers": 5,
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(json.dumps(keys))
    return tmp_path / "run.yaml"


def test_changed_code_is_told_and_another_evaluator_refused(tmp_path: Path, command: Command, run: Path) -> None:
    code = tmp_path / "own_scores.py"
    (tmp_path / "other_scores.py").write_text(CODE.format(name="Other", score="5.0"))
    assert command("search", run, "--runs", tmp_path / "runs", "--allow-python")[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    says = "own_scores changed since the session before, so that results of both may not be comparable"
    code_, _, err = command("resume", folder, "--allow-python", "--set", "search.trials=3")
    assert code_ == 0
    assert says not in err
    code.write_text(CODE.format(name="Own", score="100.0 + job.trial"))
    code_, _, err = command("resume", folder, "--allow-python", "--set", "search.trials=4")
    assert code_ == 0
    assert says in err
    assert says not in command("resume", folder, "--allow-python", "--set", "search.trials=5")[2], "it is told once"
    code_, _, err = command("resume", folder, "--allow-python", "--set", "evaluator.python=other_scores:Other")
    assert code_ == 2
    assert "a study keeps its evaluator" in err
    assert "python other_scores:Other instead of own_scores:Own" in err


def test_there_are_no_more_workers_than_trials(tmp_path: Path, command: Command, run: Path) -> None:
    code, _, err = command("search", run, "--runs", tmp_path / "runs", "--allow-python")
    assert code == 0
    assert "with 2 workers" in err
    (folder,) = (tmp_path / "runs").iterdir()
    err = command("resume", folder, "--allow-python", "--set", "search.trials=3")[2]
    assert "with 1 worker," in err
    assert "workers: 5" in (folder / "run.yaml").read_text()


def test_a_search_does_not_begin_anew_in_another_database(tmp_path: Path, command: Command, run: Path) -> None:
    assert command("search", run, "--runs", tmp_path / "runs", "--allow-python")[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    before = (folder / "run.yaml").read_text()
    other = f"sqlite:///{tmp_path / 'other.db'}"
    for arguments in (("--set", f"storage={other}"), ("--storage", other)):
        code, _, err = command("resume", folder, "--allow-python", *arguments)
        assert code == 2
        assert "a search goes on in the storage that has its trials" in err
        assert not (tmp_path / "other.db").exists()
    assert "give the storage that it began with" in command("status", folder, "--storage", other)[2]
    assert (folder / "run.yaml").read_text() == before
    assert command("resume", folder, "--allow-python", "--set", "search.trials=3")[0] == 0
    # A journal that is gone, as of a run that is in a database, is no reason to begin anew.
    (folder / "study.journal").rename(tmp_path / "kept")
    code, _, err = command("resume", folder, "--allow-python")
    assert code == 2
    assert "a search goes on in the storage that has its trials" in err
