"""Ctrl-C and kill -9, on the real program with real workers."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metanas.study import RunFolder
from metanas.trial import Status

PATIENCE = 60


@pytest.fixture
def running(toy: Any) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command of metanas; what is left of it at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "metanas", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=toy.folder,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def wait(condition: Callable[[], Any]) -> Any:
    """Its first true value."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError("waited in vain")


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """What the log has of a kind; a process may be writing its last line."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / "log.jsonl").read_text().splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                found += [event] if event["event"] == kind else []
    return found


def evaluations(path: Path) -> list[tuple[int, int, int]]:
    """Trial, attempt and process of each evaluation that was begun."""
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []  # type: ignore[misc]


def alive(pid: int) -> bool:
    """Whether a process runs, and is no zombie that nobody has asked about."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(") ", 1)[1][0] != "Z"


@pytest.fixture
def slow(toy: Any, orders: Any, tmp_path: Path) -> Path:
    """A run file of 20 trials that take some hundredths of a second; its evaluations are listed in ``begun``."""
    orders(sleep=0.02, log=str(tmp_path / "begun"))
    path: Path = toy.write(workers=2, search={"trials": 20, "strategy": "local", "retries": 9}, fidelity={"epochs": 3})
    return path


def start(running: Any, path: Path) -> tuple[subprocess.Popen[str], Path]:
    """A search, and its run folder as soon as it is there."""
    process = running("search", path, "--allow-python")
    return process, wait(lambda: next(iter(path.parent.glob("runs/toy-*")), None))


def finish(command: Any, folder: Path) -> None:
    """Resume until the end; in this process, which saves a start."""
    code, out, err = command("resume", folder, "--allow-python", "-q")
    assert code == 0, err
    assert out.startswith("Best on validation")


def check_whole(toy: Any, trials: Any, folder: Path, count: int = 20) -> None:
    """Every trial ended, once, with the value of its decisions; none is missing; no worker is left."""
    found = trials(RunFolder.open(folder))
    assert [t.number for t in found] == list(range(count))
    assert {t.status for t in found} == {Status.COMPLETE}
    assert len({t.canonical_id for t in found}) == count
    for trial in found:
        assert trial.values == pytest.approx([sum(trial.decisions.values()) / 100])
        assert dict(trial.curve) == pytest.approx({e: trial.values[0] * e / 3 for e in (1, 2, 3)})
    ends = [event["trial"] for event in events(folder, "trial_ended") if event["status"] != Status.CANCELLED]
    assert sorted(set(ends)) == list(range(count))
    pids = {pid for _, _, pid in evaluations(toy.folder / "begun")}
    wait(lambda: not any(alive(pid) for pid in pids))
    assert not (folder / ".owner.json").exists()


def test_ctrl_c_once_finishes_what_runs_and_resume_finishes_the_search(
    toy: Any, running: Any, slow: Path, trials: Any, command: Any
) -> None:
    process, folder = start(running, slow)
    wait(lambda: len(events(folder, "trial_ended")) >= 4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out == ""
    # Unless both trials ended at the very moment.
    assert "finishing. Press Ctrl-C again to stop at once." in err or "Stopping." in err
    assert f"go on with: metanas resume {folder.relative_to(toy.folder)}" in err
    assert "Traceback" not in err
    found = trials(RunFolder.open(folder))
    assert 4 <= len(found) < 20
    assert {t.status for t in found} == {Status.COMPLETE}, "what ran was waited for"
    assert (folder / "report.html").exists()
    finish(command, folder)
    check_whole(toy, trials, folder)
    assert len(evaluations(toy.folder / "begun")) == 20, "nothing was done twice"


def test_ctrl_c_twice_stops_at_once_and_resume_finishes_the_search(
    toy: Any, running: Any, orders: Any, slow: Path, trials: Any, command: Any
) -> None:
    orders(sleep=0.01, crawl={"5": 100}, log=str(toy.folder / "begun"))
    process, folder = start(running, slow)
    wait(lambda: any(event["trial"] == 5 for event in events(folder, "trial_started")))
    process.send_signal(signal.SIGINT)
    assert "Ctrl-C again" in wait(lambda: _line_with(process, "Ctrl-C again"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "metanas resume" in err
    assert "Traceback" not in err
    running_trials = [t.number for t in trials(RunFolder.open(folder)) if t.status is None]
    assert 5 in running_trials
    wait(lambda: not any(alive(pid) for _, _, pid in evaluations(toy.folder / "begun")))
    orders(log=str(toy.folder / "begun"))
    finish(command, folder)
    check_whole(toy, trials, folder)


def _line_with(process: subprocess.Popen[str], words: str) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"no line with {words!r}")


def test_the_search_killed_at_random_moments_loses_and_doubles_nothing(
    toy: Any, running: Any, slow: Path, trials: Any, command: Any
) -> None:
    rng = random.Random(7)
    process, folder = start(running, slow)
    kept: list[Any] = []
    for session in range(3):
        if session:
            process = running("resume", folder, "--allow-python")
        before = len(events(folder, "trial_ended"))
        wait(lambda before=before: len(events(folder, "trial_ended")) > before)
        time.sleep(rng.uniform(0, 0.08))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        ended = [t for t in trials(RunFolder.open(folder)) if t.status is not None]
        assert all(t in ended for t in kept), "what was told is kept"
        kept = ended
    finish(command, folder)
    check_whole(toy, trials, folder)
    final = trials(RunFolder.open(folder))
    assert all(t in final for t in kept)


def test_workers_killed_by_others_are_replaced(toy: Any, running: Any, slow: Path, orders: Any, trials: Any) -> None:
    # So long that the worker whose trial was the last to begin is still at it when it is killed.
    orders(sleep=0.15, log=str(toy.folder / "begun"))
    process, folder = start(running, slow)
    for goal in (3, 8, 13):
        wait(lambda goal=goal: len(events(folder, "trial_ended")) >= goal)
        with contextlib.suppress(ProcessLookupError):
            os.kill(evaluations(toy.folder / "begun")[-1][2], signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    check_whole(toy, trials, folder)
    assert len({pid for _, _, pid in evaluations(toy.folder / "begun")}) >= 4
    assert any(t.attempts > 1 for t in trials(RunFolder.open(folder)))


def test_a_second_search_in_the_folder_is_refused_and_status_is_not(
    toy: Any, running: Any, slow: Path, command: Any
) -> None:
    process, folder = start(running, slow)
    wait(lambda: len(events(folder, "trial_ended")) >= 3)
    process.send_signal(signal.SIGSTOP)  # so that it cannot end meanwhile
    try:
        code, out, _ = command("status", folder, "--json")
        table = json.loads(out)
        assert code == 0
        assert (table["budget"], table["final"]) == (20, None)
        assert 2 <= table["evaluations"] < 20, "the log may be ahead of the study by one"
        assert table["counts"]["complete"] == table["evaluations"]
        assert table["counts"]["running"] >= 1
        code, _, err = command("resume", folder, "--allow-python", "-q")
        assert code == 2
        assert f"process {process.pid} on {socket.gethostname()}, since 2" in err
    finally:
        process.send_signal(signal.SIGCONT)
