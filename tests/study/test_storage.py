"""The study's file: torn ends are cut, other files refused, full disks survived; plain Optuna reads it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from metanas.errors import StudyError
from metanas.study import Ending, SearchResult, read_run


def optuna_study(journal: Path, name: str) -> optuna.Study:
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_plain_optuna_reads_the_study(toy: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 6})
    toy.session(folder)
    study = optuna_study(folder.journal, folder.path.name)
    found = trials(folder)
    assert [t.params for t in study.trials] == [t.decisions for t in found]
    assert [t.values for t in study.trials] == [list(t.values) for t in found]
    assert [t.intermediate_values for t in study.trials] == [dict(t.curve) for t in found]
    assert study.best_trial.number == SearchResult.load(folder.path).best.number
    assert study.metric_names == ["accuracy"]
    assert {t.state.name for t in study.trials} == {"COMPLETE"}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_trials_that_plain_optuna_added_do_no_harm(toy: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 4})
    toy.session(folder, stop_after=2)
    study = optuna_study(folder.journal, folder.path.name)
    study.optimize(lambda trial: trial.suggest_float("mine", 0, 1), n_trials=2)
    toy.session(folder)
    assert [t.number for t in trials(folder)] == [0, 1, 4, 5]
    assert [number for number, _ in read_run(folder)[2].unread] == [2, 3]


SQLITE = b"SQLite format 3\x00"


def _replace(journal: Path, what: str) -> None:
    if what == "sqlite":
        journal.unlink()
        with sqlite3.connect(journal) as database:
            database.execute("create table trials (number integer)")
        database.close()
        assert journal.read_bytes().startswith(SQLITE)
    elif what == "binary":
        journal.write_bytes(bytes(range(256)) * 8)
    elif what == "text":
        journal.write_text("Once upon a time\nthere was a study.\n")
    elif what == "json":
        journal.write_text('{"a": 1}\n{"b": 2}\n')
    elif what == "middle":
        lines = journal.read_bytes().splitlines(keepends=True)
        lines[len(lines) // 2] = b"garbage\n"
        journal.write_bytes(b"".join(lines))


@pytest.mark.parametrize("what", ["sqlite", "binary", "text", "json", "middle"])
def test_a_file_that_is_no_study_is_refused_and_left_alone(toy: Any, what: str) -> None:
    folder = toy.create(search={"trials": 6})
    toy.session(folder, stop_after=3)
    _replace(folder.journal, what)
    before = folder.journal.read_bytes()
    for use in (lambda: toy.session(folder), lambda: read_run(folder)):
        with pytest.raises(StudyError, match="must be a study's journal.*restore it from a copy") as caught:
            use()
        assert str(folder.journal) in str(caught.value)
    assert folder.journal.read_bytes() == before
    assert not (folder.path / ".owner.json").exists(), "the lease is given back"


def test_a_database_that_is_no_study(toy: Any) -> None:
    path = toy.folder / "notes.txt"
    path.write_text("not a database " * 100)
    folder = toy.create(storage=f"sqlite:///{path}")
    with pytest.raises(StudyError, match="must be a database that Optuna reaches"):
        toy.session(folder)
    assert path.read_text() == "not a database " * 100


def test_a_study_in_a_database(toy: Any, trials: Any) -> None:
    folder = toy.create(storage=f"sqlite:///{toy.folder / 'study.db'}", search={"trials": 4})
    toy.session(folder, stop_after=2)
    assert not folder.journal.exists()
    toy.session(folder)
    assert [t.number for t in trials(folder)] == [0, 1, 2, 3]
    assert len(SearchResult.load(folder.path).study.trials) == 4


def test_no_study_yet(toy: Any) -> None:
    folder = toy.create()
    with pytest.raises(StudyError, match="no file"):
        read_run(folder)
    folder.journal.touch()
    with pytest.raises(StudyError, match="resume"):
        read_run(folder)
    assert toy.session(folder).ending is Ending.TRIALS, "an empty file is a study that did not get far"


def test_a_torn_end_is_cut_wherever_it_was_torn(toy: Any, trials: Any) -> None:
    options = {"search": {"trials": 4, "strategy": "random"}}
    folder = toy.create(**options)
    toy.session(folder)
    whole, content = trials(folder), folder.journal.read_bytes()
    starts = [i + 1 for i, byte in enumerate(content) if byte == 10]
    cuts = [1, 9, starts[0] - 1, *(s + o for s in starts[2:-1:7] for o in (1, 12)), len(content) - 1]
    for cut in cuts:
        folder.journal.write_bytes(content[:cut])
        toy.session(folder)
        found = trials(folder)
        assert [t.number for t in found] == [0, 1, 2, 3], cut
        assert [(t.decisions, t.values, t.status) for t in found] == [
            (t.decisions, t.values, t.status) for t in whole
        ], cut


def test_garbage_after_the_last_entry_is_cut(toy: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 3})
    toy.session(folder, stop_after=2)
    before = trials(folder)
    with folder.journal.open("ab") as file:
        file.write(b"\x00" * 512)  # what some file systems leave after a power cut
    toy.session(folder)
    assert trials(folder)[:2] == before
    assert len(trials(folder)) == 3


_LIMITED = """
import resource, sys
from pathlib import Path
from metanas.errors import StudyError
from metanas.study import RunFolder, run_session
folder = RunFolder.open(Path(sys.argv[1]))
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    run_session(folder, allow_python=True)
except StudyError as error:
    print(error)
    sys.exit(2)
"""


def test_a_full_disk_keeps_all_results_and_the_search_goes_on_after(toy: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 12})
    toy.session(folder, stop_after=4)
    before = trials(folder)
    limit = folder.journal.stat().st_size + 2500
    run = subprocess.run([sys.executable, "-c", _LIMITED, str(folder.path), str(limit)], capture_output=True, text=True)
    assert run.returncode == 2, run.stderr
    assert "the disk must have room for the study" in run.stdout
    assert f"metanas resume {folder.path}" in run.stdout
    assert run.stderr == ""
    found = trials(folder)
    assert found[:4] == before
    assert 4 < len(found) < 12
    ended = [t for t in found if t.status is not None]
    toy.session(folder)
    assert [t.number for t in trials(folder)] == list(range(12))
    assert all(t.status is not None for t in trials(folder))
    assert trials(folder)[: len(ended)] == ended


def test_a_disk_that_is_full_from_the_start(toy: Any) -> None:
    folder = toy.create()
    run = subprocess.run([sys.executable, "-c", _LIMITED, str(folder.path), "100"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (2, "")
    assert "the disk must have room" in run.stdout
    assert toy.session(folder).ending is Ending.TRIALS


def test_a_place_where_no_folder_can_be_made(toy: Any) -> None:
    (toy.folder / "runs").write_text("a file")
    with pytest.raises(StudyError, match="choose another place with --runs"):
        toy.create()


def test_a_run_folder_can_be_moved(toy: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 4})
    toy.session(folder, stop_after=2)
    moved = type(folder).open(Path(shutil.move(folder.path, toy.folder / "elsewhere")))
    toy.session(moved)
    assert len(trials(moved)) == 4


def test_nothing_but_the_lock_of_the_folder(toy: Any) -> None:
    folder = toy.create(search={"trials": 2})
    toy.session(folder)
    assert not [name for name in os.listdir(folder.path) if name.startswith("study.journal.")]
