"""What is special to worker processes of this machine: their surroundings, logs, and the coordinator's death."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from metanas.errors import MetanasError
from metanas.testing.engine_contract import (
    is_running,
    listen,
    make_job,
    results_of,
    run_jobs,
    run_one,
    wait_until_gone,
)
from metanas.testing.evaluators import SCRIPTED_SETUP, score
from metanas.trial import Job, Result, Status
from metanas.worker import Device, Ended, Event, LocalEngine, Reported, Started, make_engine, plan_slots

CPU = plan_slots(2, devices=[], cores=4)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

COORDINATOR = """
import time
from metanas.testing.engine_contract import make_job
from metanas.testing.evaluators import SCRIPTED_SETUP, score
from metanas.worker import LocalEngine, Reported, plan_slots

engine = LocalEngine(SCRIPTED_SETUP, plan_slots(2, devices=[], cores=2))
engine.submit(make_job(1, epochs=100_000, sleep=0.02))
while not any(isinstance(event, Reported) for event in engine.events(1)):
    pass
print(*engine.pids.values(), flush=True)
time.sleep(60)
"""

SCRIPT = """
from metanas.testing.engine_contract import make_job, run_one
from metanas.worker import LocalEngine, plan_slots

setup = {"evaluator": {"python": "mine:Mine"}, "allow_python": True}
with LocalEngine(setup, plan_slots(1, devices=[], cores=1)) as engine:
    print(run_one(engine, make_job(1)).metrics)
"""

MINE = """
from metanas.trial import Job, Result, Status

class Mine:
    def __init__(self, setup, *, device, threads):
        pass

    def evaluate(self, job, report):
        return Result(job_id=job.id, status=Status.COMPLETE, metrics={"mine": 0.1 + 0.2})
"""

PARENT = """
import os, subprocess, sys
from metanas.trial import Job, Result, Status

class Parent:
    def __init__(self, setup, *, device, threads):
        pass

    def evaluate(self, job, report):
        # The child holds every descriptor it can get.
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
        with open(os.environ["CHILD_FILE"], "w") as file:
            file.write(str(child.pid))
        os.kill(os.getpid(), 9)
"""


def finish(engine: LocalEngine) -> list[Result]:
    """Results of the jobs under way, and of whatever ends in the moment after."""
    heard, deadline = list[Event](), time.monotonic() + 30
    while engine.free < engine.capacity and time.monotonic() < deadline:
        heard += engine.events(1)
    heard += engine.events(0.1)
    return list(results_of(heard).values())


GPUS = [Device("GPU-large", 3 * 2**30), Device("GPU-small", 2 * 2**30)]
"""Each of two workers; without what their processes take, 2 and 1 GiB are for trainings."""


def _at_a_time(events: list[Event], among: set[str]) -> int:
    """The greatest number of jobs among some that were under way together."""
    running, most = set[str](), 0
    for event in events:
        if isinstance(event, Started) and event.job_id in among:
            running.add(event.job_id)
        elif isinstance(event, Ended):
            running.discard(event.result.job_id)
        most = max(most, len(running))
    return most


def test_on_a_gpu_run_as_many_trainings_as_its_memory_has_room_for(tmp_path: Path) -> None:
    small = [replace(make_job(n, sleep=0.01), memory=2**29) for n in range(2)]
    endless = [replace(make_job(n, epochs=10_000, sleep=0.01), memory=2**29) for n in range(4, 8)]
    large = [replace(make_job(n, sleep=0.05), memory=2 * 2**30) for n in range(10, 13)]
    with LocalEngine(SCRIPTED_SETUP, plan_slots(4, GPUS, 4), log_dir=tmp_path) as engine:
        for job in endless:
            engine.submit(job)
        begun = 0
        for event in listen(engine):
            begun += isinstance(event, Started)
            if begun == 4:  # all of them run
                break
        assert engine.free == 0
        for job in endless:
            engine.cancel(job.id)
        for event in listen(engine):
            begun -= isinstance(event, Ended)
            if begun == 0:
                break
        mixed = run_jobs(engine, [large[0], small[0], large[1], small[1], large[2]])
        assert {result.status for result in results_of(mixed).values()} == {Status.COMPLETE}
        assert _at_a_time(mixed, {job.id for job in large}) == 1, "two have no room on the large one, none on the small"
        places = {event.job_id: event.worker for event in mixed if isinstance(event, Started)}
        assert {places[job.id] for job in large} <= {"worker-0", "worker-2"}
        # What has room nowhere gets the largest for itself, where its evaluator refuses it.
        huge = replace(make_job(20), memory=2**40)
        assert run_one(engine, huge).status is Status.COMPLETE
        assert engine.free == engine.capacity == 4


def test_a_job_that_waits_for_memory_can_be_cancelled_and_lets_others_pass(tmp_path: Path) -> None:
    with LocalEngine(SCRIPTED_SETUP, plan_slots(2, GPUS[:1], 2), log_dir=tmp_path) as engine:
        first = replace(make_job(1, epochs=10_000, sleep=0.01), memory=2**30)
        waiting = replace(make_job(2), memory=2 * 2**30)
        engine.submit(first)
        assert engine.free == 1
        engine.submit(waiting)
        assert engine.free == 0, "what comes later must not keep it waiting"
        engine.cancel(waiting.id)
        assert engine.free == 1
        third = replace(make_job(3), memory=2**30)
        engine.submit(third)
        ended = []
        for event in listen(engine):
            if isinstance(event, Ended):
                ended.append((event.result.job_id, event.result.status))
                if event.result.job_id == third.id:
                    engine.cancel(first.id)
                if event.result.job_id == first.id:
                    break
        assert ended == [(waiting.id, Status.CANCELLED), (third.id, Status.COMPLETE), (first.id, Status.CANCELLED)]


def test_workers_know_their_threads_and_see_no_gpu() -> None:
    with LocalEngine(SCRIPTED_SETUP, CPU) as engine:
        metrics = run_one(engine, make_job(1, act="inspect")).metrics
    assert metrics["threads"] == metrics["omp_threads"] == 2
    assert metrics["cuda_hidden"] == 1


def test_a_gpu_worker_sees_its_own_gpu_only_and_its_share_of_memory(tmp_path: Path) -> None:
    (tmp_path / "seeing.py").write_text(
        "import os\n"
        "def refuse(setup, *, device, threads):\n"
        "    gpu = os.environ['CUDA_VISIBLE_DEVICES']\n"
        "    raise RuntimeError(f\"{device} is {gpu} with {setup['memory_limit']} bytes\")\n"
    )
    slots = plan_slots(2, devices=[Device("GPU-fake", 2000)], cores=1)
    setup = {"evaluator": {"python": "seeing:refuse"}, "allow_python": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        with (
            LocalEngine(setup, slots) as engine,
            pytest.raises(MetanasError, match="cuda:0 is GPU-fake with 1000 bytes"),
        ):
            run_one(engine, make_job(1))


def test_what_workers_print_is_in_their_logs(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "logs"
    with LocalEngine(SCRIPTED_SETUP, CPU[:1], log_dir=folder) as engine:
        run_jobs(engine, [make_job(1, act="print"), make_job(2, act="raise"), make_job(3, act="kill")])
        result = run_one(engine, make_job(4, act="kill"))
    log = (folder / "worker-0.log").read_text(errors="replace")
    assert '{"kind": "result", "body": {}} 1999\n' in log
    assert "not a message" in log
    assert "job 2.0 failed" in log
    assert "RuntimeError: told to raise" in log
    assert log.count("told to kill itself") == 2, "a replacement must not overwrite the log"
    assert str(folder / "worker-0.log") in result.remedy
    assert "memory" in result.remedy


def test_without_a_log_folder_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LocalEngine(SCRIPTED_SETUP, CPU[:1]) as engine:
        run_one(engine, make_job(1))
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_a_kill_from_outside_in_the_middle_of_a_job(tmp_path: Path) -> None:
    with LocalEngine(SCRIPTED_SETUP, CPU, log_dir=tmp_path) as engine:
        engine.submit(make_job(1, epochs=100_000, sleep=0.01))
        worker = ""
        for event in listen(engine):
            if isinstance(event, Started):
                worker = event.worker
            if isinstance(event, Reported) and event.report.epoch == 3:
                os.kill(engine.pids[worker], signal.SIGKILL)
                break
        (lost,) = finish(engine)
        assert lost.status is Status.LOST
        assert lost.message == f"{worker} died (killed by SIGKILL)"
        assert lost.epochs >= 3
        assert lost.seconds > 0
        assert run_one(engine, make_job(2)).status is Status.COMPLETE


def test_workers_killed_at_random_lose_no_job_and_double_none() -> None:
    random = Random(1)
    open_jobs = [make_job(number, epochs=4, sleep=0.002) for number in range(16)]
    under_way: dict[str, Job] = {}
    done: dict[int, float] = {}
    workers: dict[str, str] = {}
    lost = 0
    with LocalEngine(SCRIPTED_SETUP, CPU) as engine:
        while open_jobs or under_way:
            while open_jobs and engine.free:
                job = open_jobs.pop()
                engine.submit(job)
                under_way[job.id] = job
            for event in engine.events(10):
                if isinstance(event, Started):
                    workers[event.job_id] = event.worker
                if isinstance(event, Reported) and random.random() < 0.1:
                    # By now it may have ended this job, and begun another; or be dead already.
                    with contextlib.suppress(KeyError, ProcessLookupError):
                        os.kill(engine.pids[workers[event.report.job_id]], signal.SIGKILL)
                if isinstance(event, Ended):
                    job = under_way.pop(event.result.job_id)  # a second ending is a KeyError
                    if event.result.status is Status.LOST:
                        lost += 1
                        retry = make_job(job.trial, epochs=4, attempt=job.attempt + 1, sleep=0.002)
                        open_jobs.append(retry)
                    else:
                        done[job.trial] = event.result.metrics["value"]
    assert lost > 0
    assert done == {number: score({"x": number}, 4, number) for number in range(16)}


def test_workers_die_with_a_killed_coordinator(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COORDINATOR]
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as coordinator:
        assert coordinator.stdout is not None
        pids = {int(pid) for pid in coordinator.stdout.readline().split()}
        assert len(pids) == 2
        assert all(map(is_running, pids))
        coordinator.kill()
    assert not wait_until_gone(pids, 2)


def test_ctrl_c_is_the_coordinators_to_handle() -> None:
    with LocalEngine(SCRIPTED_SETUP, CPU[:1]) as engine:
        engine.submit(make_job(1, epochs=20, sleep=0.01))
        engine.events(10)
        (pid,) = engine.pids.values()
        assert os.getpgid(pid) != os.getpgid(0), "the terminal would interrupt it"
        os.kill(pid, signal.SIGINT)
        assert [result.status for result in finish(engine)] == [Status.COMPLETE]


def test_a_script_needs_no_main_guard_and_its_neighbours_are_found(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "mine.py").write_text(MINE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "json.py").write_text("raise RuntimeError('the working folder shadows a module')")
    command = [sys.executable, "-W", "error", str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=elsewhere, timeout=30)
    assert done.stdout == "{'mine': 0.30000000000000004}\n", done.stderr
    assert done.stderr == ""


def test_what_a_dead_worker_had_started_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CHILD_FILE", str(tmp_path / "child"))
    setup = {"evaluator": {"python": "parent:Parent"}, "allow_python": True}
    with LocalEngine(setup, CPU[:1]) as engine:
        assert run_one(engine, make_job(1)).status is Status.LOST
    assert not wait_until_gone([int((tmp_path / "child").read_text())], 1)


def test_a_job_given_to_a_worker_that_dies_before_it_begins_is_not_lost() -> None:
    with LocalEngine(SCRIPTED_SETUP, CPU[:1]) as engine:
        (pid,) = engine.pids.values()
        engine.submit(make_job(1))
        os.kill(pid, signal.SIGKILL)  # it is still starting
        assert [result.status for result in finish(engine)] == [Status.COMPLETE]
        assert pid not in engine.pids.values()


def test_engines_by_name(tmp_path: Path) -> None:
    for name in ("inline", "local"):
        with make_engine(name, SCRIPTED_SETUP, CPU, tmp_path) as engine:
            result = run_one(engine, make_job(1))
            assert result.metrics["threads"] == 2
    with pytest.raises(MetanasError, match=r"found 'lokal'; did you mean local\?"):
        make_engine("lokal", SCRIPTED_SETUP, CPU)
    with pytest.raises(MetanasError, match="at least one slot"):
        LocalEngine(SCRIPTED_SETUP, [])
