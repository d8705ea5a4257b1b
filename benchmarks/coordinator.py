"""What the process that owns a study costs: its processor time a trial, and how busy it keeps its workers.

``--part cost``: the coordinator's own work alone, in one process with an engine whose evaluations take no time: proposal,
checks, jobs, reports, writes to the study, log. Processor time of this process over trials, at the 1,000th and the
10,000th trial, for each storage that is asked for.

``--part busy``: 16 workers whose trials take 2 seconds of sleep, so that a small machine can hold as many. Utilisation is
the time in evaluations over the time of all workers, from the first start to the last end, without the start of the
processes and the last trials, when nothing is left to give out.

Prints a table to standard error and JSON to standard output: ``python benchmarks/coordinator.py --part cost``.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from metanas.study import Listener, create_run, parse_run_text, plan, run_session
from metanas.study import _session as session
from metanas.testing.evaluators import SCRIPTED_SETUP, score
from metanas.trial import EpochReport, Job, Result, Status, TrialRecord
from metanas.worker import Ended, Engine, Event, Reported, Started

COST_TARGETS_MS = {1_000: 10, 10_000: 15}
"""Trials -> greatest processor time of one at that point."""
WINDOW = 500
"""Trials before that point over which the time is taken."""
BUSY_TARGET = 0.9


class Instant(Engine):
    """Evaluates at once."""

    capacity, free = 1, 1

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def submit(self, job: Job) -> None:
        metrics = {"value": score(job.decisions, 1, job.seed)}
        self._events += [
            Started(job.id, "none"),
            Reported(EpochReport(job_id=job.id, epoch=1, metrics=metrics)),
            Ended(Result(job_id=job.id, status=Status.COMPLETE, metrics=metrics, epochs=1, seconds=0.001)),
        ]
        self.free = 0

    def events(self, timeout: float) -> list[Event]:
        events, self.free = list(self._events), 1
        self._events.clear()
        return events

    def cancel(self, job_id: str, *, status: Status = Status.CANCELLED) -> None:
        pass

    def close(self, kill: bool = False) -> None:
        pass


class Clock(Listener):
    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def trial_ended(self, record: TrialRecord, best: TrialRecord | None) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.cpu.append(usage.ru_utime + usage.ru_stime)
        self.wall.append(time.monotonic())


def run(settings: dict[str, Any], listener: Listener, runs: str) -> Path:
    text = json.dumps({"data": "digits", "objective": {"maximize": "value"}, "fidelity": {"epochs": 1}} | settings)
    planned = plan(parse_run_text(text, "<benchmark>", base=Path.cwd()), allow_python=True)
    folder = create_run(planned, Path(runs))
    run_session(folder, listener=listener, allow_python=True, storage=settings.get("storage"))
    return folder.path


def measure_cost(arguments: argparse.Namespace) -> dict[str, Any]:
    session.make_engine = lambda *_, **__: Instant()
    cases: dict[str, Any] = {}
    for space in arguments.spaces:
        for strategy in arguments.strategies:
            clock = Clock()
            with tempfile.TemporaryDirectory() as runs:
                settings = {
                    "space": space, "evaluator": SCRIPTED_SETUP["evaluator"],
                    "search": {"strategy": strategy, "trials": arguments.trials, "seed": arguments.seed},
                }  # fmt: skip
                if arguments.storage:
                    settings["storage"] = arguments.storage.replace("RUNS", runs)
                run(settings, clock, runs)
            costs = {}
            for trials in COST_TARGETS_MS:
                if len(clock.cpu) >= trials:
                    spent = clock.cpu[trials - 1] - clock.cpu[trials - WINDOW]
                    elapsed = clock.wall[trials - 1] - clock.wall[trials - WINDOW]
                    costs[trials] = {"cpu_ms": 1e3 * spent / (WINDOW - 1), "wall_ms": 1e3 * elapsed / (WINDOW - 1)}
            cases[f"{space}, {strategy}"] = costs
            for trials, cost in costs.items():
                met = "met" if cost["cpu_ms"] <= COST_TARGETS_MS[trials] else "missed"
                print(
                    f"{space + ', ' + strategy:<28}{trials:>7} trials {cost['cpu_ms']:>7.2f} ms of processor time"
                    f"{cost['wall_ms']:>8.2f} ms in all   ({COST_TARGETS_MS[trials]} ms: {met})", file=sys.stderr,
                )  # fmt: skip
    return {"targets_ms": COST_TARGETS_MS, "storage": arguments.storage or "default", "cases": cases}


def measure_busy(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = {
        "space": "convnet", "evaluator": {"python": "coordinator:Sleeper"}, "workers": arguments.workers,
        "search": {"strategy": "random", "trials": arguments.workers * arguments.rounds, "seed": arguments.seed},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as runs:
        folder = run(settings, Listener(), runs)
        events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    started = {event["job"]: event for event in events if event["event"] == "trial_started"}
    ended = [event for event in events if event["event"] == "trial_ended"]
    # From when all have begun to when the first finds nothing to do.
    begun = sorted(event["time"] for event in started.values())
    first, last = begun[arguments.workers - 1], begun[-1]
    spans = [(started[event["job"]]["time"], event["seconds"]) for event in ended]
    busy = sum(max(0.0, min(begin + seconds, last) - max(begin, first)) for begin, seconds in spans)
    share = busy / (arguments.workers * (last - first))
    met = "met" if share >= BUSY_TARGET else "missed"
    print(f"{arguments.workers} workers, trials of 2 s: busy {share:.1%}  ({BUSY_TARGET:.0%}: {met})", file=sys.stderr)
    return {"workers": arguments.workers, "trials": len(ended), "seconds": last - first, "busy": share}


class Sleeper:
    """An evaluator that waits for two seconds."""

    def __init__(self, setup: dict[str, Any], *, device: str, threads: int) -> None:
        pass

    def evaluate(self, job: Job, report: Any) -> Result:
        began = time.perf_counter()
        time.sleep(2.0)
        metrics = {"value": score(job.decisions, 1, job.seed)}
        report(EpochReport(job_id=job.id, epoch=1, metrics=metrics))
        seconds = time.perf_counter() - began
        return Result(job_id=job.id, status=Status.COMPLETE, metrics=metrics, epochs=1, seconds=seconds)


PARTS = {"cost": measure_cost, "busy": measure_busy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--spaces", nargs="+", default=["convnet", "nasbench201"])
    parser.add_argument("--strategies", nargs="+", default=["random"])
    parser.add_argument("--storage", help="URL instead of the run folder's file; RUNS in it is a temporary folder")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=8, help="trials a worker, in the part 'busy'")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"python": platform.python_version(), "date": time.strftime("%Y-%m-%d")}
    for part in PARTS if arguments.part == "all" else [arguments.part]:
        results[part] = PARTS[part](arguments)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
