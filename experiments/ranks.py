"""Mean ranks over all data sets of several benches: ``python experiments/ranks.py BENCH_FOLDER...``

Reads each folder's ``results.csv``. Strategies are ranked within each block, a task with a seed, that all of them were played in;
p is of Wilcoxon's test against the best mean rank, corrected by Holm.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from metanas.bench import mean_ranks


def read(folder: Path) -> dict[str, dict[tuple[str, str], dict[int, float]]]:
    """Of each strategy and block, the regret after each number of evaluations at which it is told."""
    found: dict[str, dict[tuple[str, str], dict[int, float]]] = {}
    with (folder / "results.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            block = found.setdefault(line["strategy"], {}).setdefault((line["task"], line["seed"]), {})
            block[int(line["evaluations"])] = float(line["regret"])
    return found


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders that `metanas bench` wrote")
    parser.add_argument("--strategies", nargs="+", help="only these")
    parser.add_argument("--budgets", type=int, nargs="+", default=[10, 20, 50, 100])
    chosen = parser.parse_args()
    results: dict[str, dict[tuple[str, str], dict[int, float]]] = {}
    for bench in map(read, chosen.folders):
        for strategy, searches in bench.items():
            results.setdefault(strategy, {}).update(searches)
    names = chosen.strategies or sorted(results)
    blocks = sorted(set.intersection(*(set(results.get(name, {})) for name in names)))
    if not blocks:
        parser.error(
            f"no task and seed was played by all of {', '.join(names)}; choose among {', '.join(sorted(results))}"
        )
    print(f"{len(blocks)} searches of each strategy on {len({task for task, _ in blocks})} data sets")
    for budget in chosen.budgets:
        values = np.array([[after(results[name][block], budget) for name in names] for block in blocks])
        ranks, p = mean_ranks(values)
        print(f"after {budget}")
        for place in np.argsort(ranks, kind="stable"):
            told = f"p {p[int(place)]:.2g}" if int(place) in p else ""
            print(f"  {names[place]:14} rank {ranks[place]:.2f}  regret {values[:, place].mean():.3f}  {told}")


def after(told: dict[int, float], budget: int) -> float:
    """The regret after so many evaluations, that of the last number at which it is told."""
    return told[max(number for number in told if number <= budget)]


if __name__ == "__main__":
    main()
