"""The engine on a Ray cluster of two nodes, on loopback, with GPUs that are not there; one joins late and is killed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metanas.errors import MetanasError
from metanas.study import Ending, Listener, run_session
from metanas.testing.engine_contract import make_job, results_of, run_jobs
from metanas.testing.evaluators import SCRIPTED_SETUP, score
from metanas.trial import Status, TrialRecord
from metanas.worker import Ended, Event, RayOptions, Started
from metanas.worker._ray import RayEngine

if importlib.util.find_spec("ray") is None:  # not imported here: it would not see the token
    pytest.skip("the package ray is not installed (extra ray)", allow_module_level=True)
if not sys.platform.startswith("linux"):
    pytest.skip("Ray has clusters of several nodes on one host on Linux only", allow_module_level=True)

_STARTS = 120
"""Seconds in which a node has started, however busy the machine is."""
_LONG = ("20", "21", "22", "23")
"""Trials of a search that take so long that each is on another worker."""
pytestmark = pytest.mark.timeout(400)


class Nodes:
    """``ray start`` and kill -9, with a token, ports and folders of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *arguments]
        command += ["--num-cpus=2", "--num-gpus=1", "--object-store-memory=80000000", "--node-ip-address=127.0.0.1"]
        orders = {"crawl": dict.fromkeys(_LONG, 2)}
        # What the workers of a killed node leave behind goes with the folder.
        environment = {**os.environ, "FAKE": json.dumps(orders), "TMPDIR": str(self.folder)}
        with (self.folder / "out").open("ab") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True, env=environment
            )
        self._processes.append(process)
        return process

    def start_head(self) -> None:
        port = self.address.partition(":")[2]
        self.start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self.folder}")

    def start_another(self) -> subprocess.Popen[bytes]:
        return self.start(f"--address={self.address}")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        for pid in [process.pid, *_descendants(process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                self.kill(process)


def _descendants(pid: int) -> list[int]:
    """All that a process has started, and that was started by what it started: a node's power goes for all at once."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


@pytest.fixture(scope="module")
def nodes(ray_token: str) -> Iterator[Nodes]:
    """A cluster of its head alone."""
    folder = Path(tempfile.mkdtemp(prefix="mn-ray-"))  # short, because of the paths of sockets
    cluster = Nodes(folder)
    cluster.start_head()
    deadline = time.monotonic() + _STARTS
    host, _, port = cluster.address.partition(":")
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                break
        time.sleep(0.1)
    yield cluster
    cluster.close()
    shutil.rmtree(folder, ignore_errors=True)


def connect(nodes: Nodes, folder: Path, **options: Any) -> RayEngine:
    """An engine once the head takes workers; half a GPU a worker."""
    deadline = time.monotonic() + _STARTS
    while True:
        try:
            return RayEngine(
                SCRIPTED_SETUP, RayOptions(address=nodes.address, gpus_per_trial=0.5, **options), log_dir=folder
            )
        except MetanasError as error:
            if time.monotonic() > deadline:
                error.add_note((nodes.folder / "out").read_text())
                raise
            time.sleep(0.5)


def test_a_node_that_joins_is_used_and_one_that_is_killed_loses_nothing(nodes: Nodes, tmp_path: Path) -> None:
    jobs = [make_job(number, sleep=0.05) for number in range(60)]
    waiting = list(jobs)
    events: list[Event] = []
    done: set[int] = set()
    workers: set[str] = set()
    grown = 0
    killed = False
    with connect(nodes, tmp_path) as engine:
        assert engine.capacity == 2
        assert engine.gpus == 0.5
        other = nodes.start_another()
        deadline = time.monotonic() + _STARTS
        while len(done) < len(jobs):
            assert time.monotonic() < deadline
            # Not all before the node has joined.
            while engine.free and waiting and (grown or len(jobs) - len(waiting) < 20):
                engine.submit(waiting.pop(0))
            for event in engine.events(0.5):
                events.append(event)
                if isinstance(event, Started):
                    workers.add(event.worker)
                if isinstance(event, Ended) and event.result.status is Status.LOST:
                    number = int(event.result.job_id.partition(".")[0])
                    waiting.append(make_job(number, attempt=1, sleep=0.05))
                elif isinstance(event, Ended):
                    done.add(int(event.result.job_id.partition(".")[0]))
            if engine.capacity == 4 and not grown:
                grown = len(events)
                deadline = time.monotonic() + _STARTS
            if grown and not killed and len(workers) == 4:
                killed = True
                nodes.kill(other)
        results = results_of(events)
        complete = [result for result in results.values() if result.status is Status.COMPLETE]
        lost = [result for result in results.values() if result.status is Status.LOST]
        assert len(complete) == len({result.job_id.partition(".")[0] for result in complete}) == 60
        assert 1 <= len(lost) <= 2, "those that ran on the node, once each"
        assert all("died with its actor" in result.message for result in lost)
        for job in jobs:
            result = results.get(job.id)
            if result is None or result.status is Status.LOST:
                result, job = results[f"{job.trial}.1"], make_job(job.trial, attempt=1, sleep=0.05)
            assert result.metrics["value"] == score(job.decisions, 3, job.seed)
        assert engine.capacity == 2
        # What is left works.
        assert {r.status for r in results_of(run_jobs(engine, [make_job(100), make_job(101)])).values()} == {
            Status.COMPLETE
        }
    assert "worker-0" in (tmp_path / "worker-0.log").read_text()


class _Killer(Listener):
    """Kills a node while each worker has a long trial."""

    def __init__(self, nodes: Nodes, node: subprocess.Popen[bytes]) -> None:
        self.nodes = nodes
        self.node: subprocess.Popen[bytes] | None = node

    def trial_started(self, record: TrialRecord, worker: str) -> None:
        if record.number == int(_LONG[-1]) and self.node is not None:
            self.nodes.kill(self.node)
            self.node = None


def test_a_search_whose_node_is_killed_finishes_each_trial_once(
    nodes: Nodes, toy: Any, trials: Any, tmp_path: Path
) -> None:
    other = nodes.start_another()
    with connect(nodes, tmp_path / "logs") as engine:
        deadline = time.monotonic() + _STARTS
        while engine.capacity < 4:
            engine.events(0.2)
            assert time.monotonic() < deadline
    workers = {"engine": "ray", "address": nodes.address, "gpus_per_trial": 0.5}
    folder = toy.create(workers=workers, search={"trials": 60, "strategy": "random"}, fidelity={"epochs": 2})
    killer = _Killer(nodes, other)
    outcome = run_session(folder, allow_python=True, listener=killer)
    assert killer.node is None
    assert outcome.ending is Ending.TRIALS
    evaluated = [record for record in trials(folder) if record.duplicate_of is None]
    assert len(evaluated) == 60
    assert {record.status for record in evaluated} == {Status.COMPLETE}
    again = [str(record.number) for record in evaluated if record.attempts > 1]
    assert len(again) == 2
    assert {*again} <= {*_LONG}
    best = max(record.values[0] for record in evaluated)
    assert best == max(sum(record.decisions.values()) / 100 for record in evaluated)
    # The modules of the evaluator went along, and the workers' logs came back.
    assert "worker-3 on" in (folder.workers / "worker-3.log").read_text()


def test_a_worker_that_fits_nowhere_is_an_error_at_once(nodes: Nodes, tmp_path: Path) -> None:
    connect(nodes, tmp_path).close()
    with pytest.raises(MetanasError, match=r"1 CPU, 8 GPUs\) must fit on a node"):
        RayEngine(SCRIPTED_SETUP, RayOptions(address=nodes.address, gpus_per_trial=8), log_dir=tmp_path)


def test_no_cluster_at_an_address_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MetanasError, match="a Ray cluster must take this search.*127.0.0.1:9.*address: local"):
        RayEngine(SCRIPTED_SETUP, RayOptions(address="127.0.0.1:9"), log_dir=tmp_path)
