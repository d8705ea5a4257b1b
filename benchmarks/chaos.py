"""A search under torment for longer than the tests take: ``python benchmarks/chaos.py --trials 2000 --rounds 3``.

Workers are killed at random about every second, the coordinator is killed and resumed, the disk is filled; each round has
another seed. Prints what was done to each search as JSON, and fails if a trial was lost, doubled or wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

from metanas.testing.chaos import torment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.2, help="of one evaluation")
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds between two killed workers")
    parser.add_argument("--coordinator-kills", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for seed in range(arguments.seed, arguments.seed + arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            done = torment(
                Path(folder), trials=arguments.trials, workers=arguments.workers, seconds=arguments.seconds,
                kill_every=arguments.kill_every, coordinator_kills=arguments.coordinator_kills, seed=seed,
            )  # fmt: skip
        print(json.dumps({"seed": seed, "date": time.strftime("%Y-%m-%d"), **dataclasses.asdict(done)}), flush=True)


if __name__ == "__main__":
    main()
