"""A search under torment: workers and coordinator are killed at random, and the disk is filled. Nothing may be lost.

``torment`` runs real ``metanas`` commands on a toy problem whose values are known, and checks the study afterwards. It
needs Linux, for ``/proc`` and limits of resources.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metanas.study import RunFolder, SearchResult
from metanas.trial import EpochReport, Job, Result, Scalar, Status

_SPACE = """\
space: torment
language: 1
input: table
let: {x1: {int: [1, 8]}, x2: {int: [1, 8]}, x3: {int: [1, 8]}, x4: {int: [1, 8]}}
network: [{dense: {units: $x1}}, {dense: {units: $x2}}, {dense: {units: $x3}}, {dense: {units: $x4}}, head]
"""
_EPOCHS = 2
_SECONDS = "METANAS_TORMENT_SECONDS"
_PATIENCE = 600.0
"""Seconds for a session to end by itself."""


def value_of(decisions: Mapping[str, Scalar]) -> float:
    """What an architecture is worth; no two neighbours are alike."""
    return sum(float(value) ** (index + 1) for index, (_, value) in enumerate(sorted(decisions.items()))) / 1e4


class TormentEvaluator:
    """Sleeps, and keeps the epochs that it has done in the job's checkpoint."""

    def __init__(self, setup: Mapping[str, Any], *, device: str, threads: int) -> None:
        self._seconds = float(os.environ.get(_SECONDS, "0"))

    def evaluate(self, job: Job, report: Callable[[EpochReport], Status | None]) -> Result:
        """Give :func:`value_of`, a part of it after each epoch but the last."""
        kept = Path(job.checkpoint, "epoch") if job.checkpoint else None
        done = int(kept.read_text()) if kept is not None and kept.exists() else 0
        metrics: dict[str, float] = {}
        for epoch in range(max(1, done), job.epochs + 1):
            if epoch != done:  # which is only told again
                time.sleep(self._seconds / job.epochs)
            metrics = {"score": value_of(job.decisions) * epoch / job.epochs}
            report(EpochReport(job_id=job.id, epoch=epoch, metrics=metrics))
            if kept is not None and epoch < job.epochs:
                with contextlib.suppress(OSError):
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    kept.with_suffix(".new").write_text(str(epoch))
                    kept.with_suffix(".new").replace(kept)
        return Result(job_id=job.id, status=Status.COMPLETE, metrics=metrics, epochs=job.epochs, seconds=self._seconds)


@dataclass(frozen=True, kw_only=True)
class Torment:
    """What was done to a search."""

    trials: int
    """Trials that ended, each once and with the right value."""
    sessions: int
    """Sessions, the killed ones included."""
    coordinator_kills: int
    worker_kills: int
    disk_full: int
    """Sessions that ended because the disk was full."""
    attempts: int
    """Attempts over all trials."""
    found_unsent: int
    """Results that were found in the spool."""
    late: int
    """Results that came too late, and did not count."""
    seconds: float
    """Wall time."""


def torment(
    folder: Path,
    *,
    trials: int = 300,
    workers: int = 8,
    seconds: float = 0.2,
    kill_every: float = 1.0,
    coordinator_kills: int = 3,
    fill_disk: bool = True,
    seed: int = 0,
) -> Torment:
    """Search in ``folder`` for ``trials`` evaluations of ``seconds`` each, and kill what can be killed.

    A worker is killed about every ``kill_every`` seconds (less often where workers take longer than four times that to
    start, or none would ever live to do a thing), the coordinator as often as asked for at random moments. In
    one session files cannot grow any more after some more writes, as on a full disk. Raises AssertionError where a
    trial is lost, doubled or wrong.
    """
    rng = random.Random(seed)
    began = time.monotonic()
    run_file = _write(folder, trials, workers, seed)
    environment = os.environ | {_SECONDS: str(seconds), "METANAS_STORAGE": ""}
    worker_kills = full = sessions = 0
    pause = kill_every
    run: Path | None = None
    # The kills are spread over the trials, and the full disk comes between them.
    goals = sorted(rng.sample(range(trials // 10, max(trials // 10 + 4, 9 * trials // 10)), coordinator_kills))
    plan: list[tuple[str, int]] = [("kill", goal) for goal in goals]
    if fill_disk:
        plan.insert(len(plan) // 2 + 1 if plan else 0, ("full", 0))
    for what, goal in [*plan, ("end", 0)]:
        sessions += 1
        limit = _size(run) + 20_000 if what == "full" and run is not None else None
        arguments = ["search", str(run_file), "--runs", str(folder / "runs")] if run is None else ["resume", str(run)]
        with (folder / "said.txt").open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "metanas", *arguments, "--allow-python", "-q"], stdout=said, stderr=said,
                cwd=folder, env=environment, preexec_fn=_limiter(limit),
            )  # fmt: skip
        start, before, works = time.monotonic(), _begun(run), False
        deadline, due = start + _PATIENCE, start
        try:
            while process.poll() is None:
                assert time.monotonic() < deadline, "a session does not end"
                time.sleep(0.02)
                run = run or next(iter(sorted((folder / "runs").glob("*/info.json"))), Path()).parent
                run = run if run.name else None
                if what == "kill" and run is not None and _ended(run) >= goal:
                    time.sleep(rng.uniform(0, 0.1))
                    process.kill()
                if not works and _begun(run) > before:
                    works, pause = True, max(pause, (time.monotonic() - start) / 4)
                if works and time.monotonic() >= due and process.poll() is None:
                    due = time.monotonic() + rng.uniform(0.5, 1.5) * pause
                    worker_kills += _kill_a_child(process.pid, rng)
        finally:
            process.kill()
            process.wait()
        words = (folder / "said.txt").read_text()[-2000:]
        if what == "full":
            assert process.returncode == 2, words
            full += 1
        assert what != "end" or process.returncode == 0, words
    assert run is not None
    done = _check(run, trials)
    log = (run / "log.jsonl").read_text()
    return Torment(
        trials=trials, sessions=sessions, coordinator_kills=coordinator_kills, worker_kills=worker_kills, disk_full=full,
        attempts=sum(trial.attempts for trial in done.trials), found_unsent=log.count('"result_found"'),
        late=log.count('"result_late"'), seconds=time.monotonic() - began,
    )  # fmt: skip


def _write(folder: Path, trials: int, workers: int, seed: int) -> Path:
    (folder / "space.yaml").write_text(_SPACE)
    np.savez(folder / "data.npz", x=np.random.default_rng(0).normal(size=(60, 3)), y=np.repeat(["a", "b"], 30))
    settings = {
        "name": "torment", "space": "space.yaml", "data": "data.npz", "objective": {"maximize": "score"},
        "evaluator": {"python": "metanas.testing.chaos:TormentEvaluator"}, "fidelity": {"epochs": _EPOCHS},
        "search": {"strategy": "random", "trials": trials, "seed": seed, "retries": 50}, "workers": workers,
    }  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(json.dumps(settings))
    return path


def _limiter(size: int | None) -> Callable[[], None] | None:
    """What lets no file of a new process grow over ``size`` bytes, with an error as of a full disk."""
    if size is None:
        return None

    def limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def _size(run: Path) -> int:
    return (run / "study.journal").stat().st_size


def _ended(run: Path) -> int:
    with contextlib.suppress(OSError):
        return (run / "log.jsonl").read_bytes().count(b'"trial_ended"')
    return 0


def _begun(run: Path | None) -> int:
    with contextlib.suppress(OSError):
        return 0 if run is None else (run / "log.jsonl").read_bytes().count(b'"trial_started"')
    return 0


def _kill_a_child(pid: int, rng: random.Random) -> int:
    """Kill one of the workers: how many died."""
    with contextlib.suppress(OSError):
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        if children:
            os.kill(rng.choice(children), signal.SIGKILL)
            return 1
    return 0


def _check(run: Path, expected: int) -> SearchResult:
    """Every trial ended exactly once, none is lost, none doubled, the best value is right."""
    result = SearchResult.load(run)
    trials = result.trials
    assert [trial.number for trial in trials] == list(range(expected)), "none lost, none too many"
    assert len({trial.canonical_id for trial in trials}) == expected, "none doubled"
    for trial in trials:
        assert trial.status is Status.COMPLETE, trial
        assert trial.values == (value_of(trial.decisions),), trial
        assert sorted(trial.curve) == [1, _EPOCHS], trial
        assert sum(not attempt.late for attempt in trial.history) == trial.attempts - 1, trial
    assert result.best.values == (max(value_of(trial.decisions) for trial in trials),)
    assert {trial.state.name for trial in result.study.trials} == {"COMPLETE"}
    assert not RunFolder(run).spool.exists() or not list(RunFolder(run).spool.glob("*.json"))
    return result
