"""Studies in databases: any URL, killed and resumed from elsewhere, one owner, and no password anywhere."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest

from metanas.errors import MetanasError, StudyError
from metanas.study import Ending, RunFolder, SearchResult, _lease, read_run
from metanas.study._storage import open_storage
from metanas.study._url import storage_problem, without_password
from metanas.trial import Status

PATIENCE = 60


@pytest.fixture(params=["sqlite", "postgresql", "proxy"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    found: str = request.getfixturevalue(request.param)
    return found


def test_a_search_goes_on_in_any_storage(toy: Any, url: str) -> None:
    folder = toy.create(storage=url, search={"trials": 6, "retries": 1}, constraints=["x1 + x2 <= 7"])
    toy.session(folder, stop_after=3, storage=url)
    assert not folder.journal.exists()
    assert toy.session(folder, storage=url).ending is Ending.TRIALS
    result = SearchResult.load(folder.path, storage=url)
    assert [trial.number for trial in result.trials] == list(range(6))
    assert {trial.status for trial in result.trials} == {Status.COMPLETE}
    found = result.study.trials
    assert [trial.params for trial in found] == [dict(trial.decisions) for trial in result.trials]
    assert [trial.values for trial in found] == [list(trial.values or ()) for trial in result.trials]
    assert [trial.intermediate_values for trial in found] == [dict(trial.curve) for trial in result.trials]
    assert all(trial.system_attrs["constraints"] == [-1.0] for trial in found), "as optuna-dashboard reads them"
    assert "metanas:owner" not in {k for k, v in result.study.user_attrs.items() if v}, "given back"


def test_another_folder_goes_on_with_a_study(toy: Any, url: str) -> None:
    first = toy.create(storage=url, search={"trials": 6})
    toy.session(first, stop_after=2, storage=url)
    name = first.read_info()["study"]
    from metanas.study import create_run, plan, read_run_file

    planned = plan(read_run_file(toy.folder / "run.yaml"), allow_python=True)
    with pytest.raises(StudyError, match=f"no '{name}x', but .*{name}"):
        create_run(planned, toy.folder / "elsewhere", study=f"{name}x")
    assert not (toy.folder / "elsewhere").exists()
    second = create_run(planned, toy.folder / "elsewhere", study=name)
    assert toy.session(second, storage=url).ending is Ending.TRIALS
    trials = SearchResult.load(second.path, storage=url).trials
    assert [trial.number for trial in trials] == list(range(6))
    assert SearchResult.load(first.path, storage=url).trials == trials


def test_a_study_of_another_space_or_of_other_data_is_refused(toy: Any, tmp_path: Path) -> None:
    from metanas.study import create_run, plan, read_run_file

    url = f"sqlite:///{tmp_path / 'study.db'}"
    first = toy.create(storage=url, search={"trials": 2})
    toy.session(first)
    name = first.read_info()["study"]
    path = toy.write(storage=url)
    (toy.folder / "space.yaml").write_text((toy.folder / "space.yaml").read_text().replace("[1, 2, 3, 4]", "[1, 2, 3]"))
    planned = plan(read_run_file(path), allow_python=True)
    with pytest.raises(StudyError, match="a study keeps its space"):
        create_run(planned, tmp_path / "elsewhere", study=name)
    assert not (tmp_path / "elsewhere").exists(), "no folder that could not be gone on with"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("search.seed=7", "a study keeps its seed, found 7 instead of 0"),
        ("train.batch_size={choice: [8, 16]}", "a study keeps its decisions"),
        (
            "data={arrays: HERE/data.npz, test: 0.4}",
            "a study keeps its split, found not what it was in its first session",
        ),
        ("constraints=[params <= 1000]", "a study keeps its constraints, found params <= 1000 instead of none"),
        ("train.lr=0.5", "a study keeps its training, found train.lr 0.5 instead of the default"),
        ("fidelity.epochs=7", "a study keeps its training, found epochs 7 instead of "),
    ],
)
def test_a_resume_that_would_part_trials_from_earlier_ones_is_refused(toy: Any, change: str, says: str) -> None:
    folder = toy.create(search={"trials": 2})
    toy.session(folder)
    before = folder.run_file.read_text()
    with pytest.raises(StudyError, match=says):
        toy.session(folder, sets=[change.replace("HERE", str(toy.folder)), "search.trials=3"])
    assert folder.run_file.read_text() == before
    same = f"data={{arrays: {toy.folder}/data.npz, test: 0.2}}"
    toy.session(folder, sets=["search.trials=3", "search.seed=0", "fidelity.epochs=[1, 2]", same])
    assert len(SearchResult.load(folder.path).trials) == 3


def test_two_searches_of_one_name_do_not_meet_in_a_storage(toy: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    names = {toy.create(storage=url).read_info()["study"] for _ in range(3)}
    assert len(names) == 3


def start(toy: Any, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "metanas", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=toy.folder,
        env=os.environ | environment,
    )  # fmt: skip


def ended(folder: Path) -> int:
    try:
        return (folder / "log.jsonl").read_text().count('"trial_ended"')
    except FileNotFoundError:
        return 0


def test_a_search_in_postgresql_is_killed_and_resumed_from_another_folder(
    toy: Any, orders: Any, postgresql: str, tmp_path: Path
) -> None:
    orders(sleep=0.05)
    path = toy.write(search={"trials": 12}, workers={"engine": "local", "count": 2})
    process = start(toy, "search", path, "--storage", postgresql, "--allow-python")
    end = time.monotonic() + PATIENCE
    folder = Path()
    while time.monotonic() < end:
        for folder in (toy.folder / "runs").glob("toy-*"):
            if ended(folder) >= 4:
                break
        else:
            time.sleep(0.01)
            continue
        break
    process.kill()
    out, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    name = RunFolder.open(folder).read_info()["study"]
    # The URL in the environment, and nothing of the first folder.
    second = start(
        toy, "search", path, "--study", name, "--runs", tmp_path / "there", "--allow-python", "--json",
        METANAS_STORAGE=postgresql,
    )  # fmt: skip
    out, err = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, err
    there = Path(json.loads(out)["run"])
    trials = SearchResult.load(there, storage=postgresql).trials
    assert [trial.number for trial in trials] == list(range(12))
    assert {trial.status for trial in trials} == {Status.COMPLETE}
    # The password is in no file, and in nothing that was said.
    for place in (folder, there):
        for file in place.rglob("*"):
            assert not (file.is_file() and b"s3cret" in file.read_bytes()), file
    assert "s3cret" not in out + err
    # Without it, the folder says what is missing.
    third = start(toy, "resume", there, "--allow-python", "-q", PGPASSFILE="/dev/null")
    out, err = third.communicate(timeout=PATIENCE)
    assert third.returncode == 2
    assert "METANAS_STORAGE" in err
    assert "s3cret" not in out + err


def test_a_wrong_password_is_not_repeated(toy: Any, postgresql: str) -> None:
    wrong = postgresql.replace("s3cret", "wr0ng")
    folder = toy.create(storage=wrong)
    with pytest.raises(StudyError, match="must be a database that Optuna reaches") as caught:
        toy.session(folder, storage=wrong)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("postgresql://me:pa:ss@w@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me:p%40ss@host/db", "postgresql://me@host/db"),
        ("mysql+pymysql://me:pass@host/db?charset=utf8", "mysql+pymysql://me@host/db?charset=utf8"),
        ("postgresql://host/db?user=me&password=pass", "postgresql://host/db?user=me"),
        ("postgresql://host/db?password=pass&sslmode=require", "postgresql://host/db?sslmode=require"),
        ("sqlite:////tmp/study.db", "sqlite:////tmp/study.db"),
        ("grpc://host:13000", "grpc://host:13000"),
    ],
)
def test_a_url_without_its_password(url: str, plain: str) -> None:
    assert without_password(url) == plain


@pytest.mark.parametrize(
    "url", ["redis://host", "postgres", "grpc://", "grpc://host:0", "grpc://host:70000", "file:///x"]
)
def test_what_is_no_url_of_a_storage(url: str) -> None:
    assert storage_problem(url)


def test_a_server_that_is_not_there(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("grpc", reason="the package grpcio is not installed")
    from metanas.study import _storage

    monkeypatch.setattr(_storage, "_GRPC_SECONDS", 0.2)
    folder = toy.create(storage="grpc://127.0.0.1:9")
    with pytest.raises(StudyError, match="no answer from 127.0.0.1:9"):
        toy.session(folder)


def test_the_status_of_a_study_that_another_folder_works_on(toy: Any, tmp_path: Path, command: Any) -> None:
    from metanas.study import create_run, plan, read_run_file

    url = f"sqlite:///{tmp_path / 'study.db'}"
    first = toy.create(storage=url, search={"trials": 4})
    toy.session(first, stop_after=2, storage=url)
    name = first.read_info()["study"]
    storage = open_storage(first.journal, url)
    code, out, _ = command("status", first.path)
    assert "metanas resume" in out
    with _lease.StudyLease(storage, storage.get_study_id_from_name(name)):
        code, out, _ = command("status", first.path)
        assert code == 0
        assert f"The study is worked on from another run folder: process {os.getpid()} on " in out
        assert "resume" not in out
        # A search that is refused for it leaves no folder behind.
        run = toy.folder / "run.yaml"
        code, _, err = command(
            "search", run, "--runs", toy.folder / "elsewhere", "--storage", url, "--study", name, "--allow-python"
        )
        assert code == 2
        assert "one process at a time works on a study" in err
        assert not list((toy.folder / "elsewhere").iterdir())
    assert create_run(plan(read_run_file(run), allow_python=True), toy.folder / "elsewhere", study=name)


def test_a_second_coordinator_is_refused_with_host_and_time(toy: Any, url: str) -> None:
    folder = toy.create(storage=url, search={"trials": 4})
    toy.session(folder, stop_after=1, storage=url)
    study = read_run(folder, storage=url)[2].study
    now = time.time()
    owner = {"host": "gpu-7", "pid": 4711, "since": "2026-11-25 10:00:00", "token": "other", "beat": now}
    study.set_user_attr("metanas:owner", owner)
    with pytest.raises(StudyError, match="process 4711 on gpu-7, since 2026-11-25 10:00:00, heard of"):
        toy.session(folder, storage=url)
    study.set_user_attr("metanas:owner", owner | {"beat": now - 600})
    assert toy.session(folder, storage=url).ending is Ending.TRIALS, "one that is silent for long is dead"


def test_of_two_coordinators_that_start_at_the_same_moment_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage)._study_id
    read = threading.Barrier(2)
    beat = _lease.StudyLease._beat

    def late(lease: _lease.StudyLease) -> None:
        turn = read.wait(PATIENCE)  # both have read that there is nobody
        time.sleep(0.1 * turn)
        beat(lease)

    monkeypatch.setattr(_lease.StudyLease, "_beat", late)

    def enters(lease: _lease.StudyLease) -> bool:
        try:
            lease.__enter__()
        except StudyError:
            return False
        return True

    leases = [_lease.StudyLease(storage, study) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(enters, leases)) == [False, True]
    for lease in leases:
        lease.__exit__(None, None, None)


def test_an_owner_of_this_machine_that_is_gone_is_dead_at_once(toy: Any, tmp_path: Path) -> None:
    import socket

    url = f"sqlite:///{tmp_path / 'study.db'}"
    folder = toy.create(storage=url, search={"trials": 2})
    toy.session(folder, stop_after=1)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    owner = {"host": socket.gethostname(), "pid": gone.pid, "since": "x", "token": "other", "beat": time.time()}
    read_run(folder)[2].study.set_user_attr("metanas:owner", owner)
    assert toy.session(folder).ending is Ending.TRIALS


def test_an_owner_that_lost_its_study_stops(
    toy: Any, orders: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_lease, "_BEAT_SECONDS", 0.05)
    orders(sleep=0.05)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    folder = toy.create(storage=url, search={"trials": 200})
    storage = open_storage(folder.journal, url)

    def steal(search: Any) -> None:
        study = storage.get_study_id_from_name(folder.read_info()["study"])
        thief = {"host": "gpu-8", "pid": 1, "since": "now", "token": "thief", "beat": time.time()}
        owner = None
        while owner != thief:  # the owner may have looked just before, and write after: a real one settles, too
            storage.set_study_user_attr(study, "metanas:owner", thief)
            time.sleep(0.3)
            owner = storage.get_study_user_attrs(study).get("metanas:owner")

    from metanas.study import run_session

    with pytest.raises(StudyError, match="process 1 on gpu-8, since now, took it over"):
        run_session(folder, allow_python=True, on_search=steal)


def test_a_storage_that_goes_away_is_an_error_that_says_what_to_do(
    toy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    folder = toy.create(storage=url, search={"trials": 5})
    writes = iter(range(100))
    finish = optuna.storages.RDBStorage.set_trial_state_values

    def fail(self: Any, *arguments: Any, **options: Any) -> bool:
        if next(writes) == 2:
            raise optuna.exceptions.StorageInternalError("gone") from ValueError("postgresql://me:pass@host is gone")
        done: bool = finish(self, *arguments, **options)
        return done

    monkeypatch.setattr(optuna.storages.RDBStorage, "set_trial_state_values", fail)
    with pytest.raises(MetanasError, match="storage must answer.*postgresql://me@host is gone.*metanas resume"):
        toy.session(folder)
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "fakes"))
    toy.session(folder)
    trials = SearchResult.load(folder.path).trials
    assert [trial.number for trial in trials] == list(range(5))
    assert all(trial.status is Status.COMPLETE and trial.attempts == 1 for trial in trials)
