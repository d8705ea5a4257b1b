"""What an engine costs: start, a job that does nothing, and another worker in place of one that was killed.

For each engine, with ``--workers`` workers: seconds from making it to the first result; wall and processor time (of the
process that has the engine) of a job, over ``--jobs`` of them that evaluate nothing; median seconds from the end of a job
whose worker was killed to the end of the next job of an engine with one worker, over ``--kills``. ``ray`` is a private
cluster of this machine.

Prints JSON: ``python benchmarks/engines.py``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from metanas.testing.engine_contract import make_job, results_of, run_jobs, run_one
from metanas.testing.evaluators import SCRIPTED_SETUP
from metanas.trial import Status
from metanas.worker import Engine, make_engine, plan_slots


def start(name: str, workers: int) -> Engine:
    return make_engine(name, SCRIPTED_SETUP, plan_slots(workers, devices=[]), count=workers)


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    with start(name, arguments.workers) as engine:
        run_one(engine, make_job(0, epochs=1))
        started = time.monotonic() - began
        run_jobs(engine, [make_job(n, epochs=1) for n in range(1, 50)])
        wall, cpu = time.monotonic(), time.process_time()
        results = results_of(run_jobs(engine, [make_job(100 + n, epochs=1) for n in range(arguments.jobs)]))
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        assert {result.status for result in results.values()} == {Status.COMPLETE}
    again = []
    with start(name, 1) as engine:
        for kill in range(arguments.kills):
            run_one(engine, make_job(10_000 + 2 * kill, epochs=1))
            assert run_one(engine, make_job(20_000 + kill, act="kill")).status is Status.LOST
            died = time.monotonic()
            assert run_one(engine, make_job(10_001 + 2 * kill, epochs=1)).status is Status.COMPLETE
            again.append(time.monotonic() - died)
    return {
        "seconds_to_first_result": round(started, 2), "wall_ms_a_job": round(1e3 * wall / arguments.jobs, 2),
        "cpu_ms_a_job": round(1e3 * cpu / arguments.jobs, 2), "seconds_to_another_worker": round(statistics.median(again), 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=["local", "ray"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--kills", type=int, default=5)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "workers": arguments.workers}
    for name in arguments.engines:
        found[name] = measure(name, arguments)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
