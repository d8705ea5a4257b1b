"""The search of a run file against random search of equal wall time, seed by seed: best validation and test accuracy."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import metanas
from metanas.study import RunFile, read_run_file

HERE = Path(__file__).parent


def search(
    run: RunFile, space: Path, data: str, seed: int, strategy: object, **limits: object
) -> tuple[dict[str, float], int, float]:
    """Metrics of the network found, trials, and seconds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = metanas.search(
            space, data, strategy=strategy, seed=seed, epochs=run.rungs[-1], runs=folder, workers=1,
            progress=False, **limits,
        )  # fmt: skip
        best = max(record.metrics["accuracy"] for record in result.trials if record.values is not None)
        found = {"validation": best, "test": result.metrics["test_accuracy"]}
        return found, len(result.trials), time.monotonic() - began


def main() -> None:
    """Print a line of JSON a seed, then the means."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("run", type=Path, nargs="?", default=HERE / "run.yaml", help="beside its space.yaml")
    options.add_argument("--data", default="digits", help="a built-in set, or a path")
    options.add_argument("--seeds", type=int, default=5)
    given = options.parse_args()
    run, space = read_run_file(given.run), given.run.parent / "space.yaml"
    differences: dict[str, list[float]] = {"validation": [], "test": []}
    for seed in range(given.seeds):
        ours, trials, seconds = search(
            run, space, given.data, seed, {run.strategy: dict(run.strategy_options)}, trials=run.trials
        )
        # The final training, alike in both, is not part of what random search may use; it is short.
        theirs, others, used = search(run, space, given.data, seed, "random", time=seconds)
        for key, values in differences.items():
            values.append(ours[key] - theirs[key])
        line = {
            "seed": seed,
            run.strategy: ours,
            "random": theirs,
            "trials": [trials, others],
            "seconds": [seconds, used],
        }
        print(json.dumps(line), flush=True)
    for key, values in differences.items():
        print(f"{key}: {run.strategy} - random {statistics.mean(values):+.4f} +- {statistics.stdev(values):.4f}")


if __name__ == "__main__":
    main()
