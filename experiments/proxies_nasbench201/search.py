"""Searches of the strategy ``meta`` on NAS-Bench-201 that know no other data set: with proxies of random networks, and without.

The proxies are those that ``measure.py --out FILE`` computed: each search knows a random part of them. Losses with the shared
weights of a supernet are proxies, too (``supernet_nasbench201/rank.py --out``). Prints the mean simple regret and its standard
error as Markdown: ``python experiments/proxies_nasbench201/search.py FILE --seeds 20``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from metanas._rng import generator
from metanas.bench._target import Judge, Target
from metanas.controller import Meta, Observation
from metanas.predictor import SpaceModel, encoder_of
from metanas.tables import ResultTable, load_benchmark

AT = (10, 20, 50)


def model_of(kept: dict[str, Any], table: ResultTable, count: int, seed: int) -> SpaceModel:
    """What the proxies of ``count`` of the networks tell; the untrained model for none."""
    encoder = encoder_of(table.space)
    if not count:
        return SpaceModel.untrained(table.space, encoder)
    chosen = generator(seed, "known").permutation(len(kept["rows"]))[:count]
    rows = np.array(kept["rows"], dtype=np.int64)[chosen]
    proxies = {
        name: np.array([kept["proxies"][place][name] for place in chosen], dtype=float) for name in kept["proxies"][0]
    }
    return SpaceModel.of_proxies(encoder, rows, proxies)


def searched(table: ResultTable, model: SpaceModel, seed: int, *, single: bool) -> list[float]:
    """Simple regret after each number of evaluations."""
    target, judge = Target(table, seed=seed, values="repeat" if single else "mean"), Judge(table)
    strategy, seen, regrets = Meta(model=model, single=single), list[Observation](), []
    for number in range(max(AT)):
        proposal = strategy.propose(table.space, seen, target, generator(seed, "proposal", number))
        assert proposal is not None
        loss = target.evaluate(proposal.row)
        seen.append(Observation(number=number, row=tuple(proposal.row.tolist()), losses=(loss,)))
        if number + 1 in AT:
            regrets.append(judge.regret(strategy.recommend(table.space, seen)))
    return regrets


def main() -> None:
    """Read the command line, and search."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file", type=Path)
    options.add_argument("--counts", type=int, nargs="+", default=(0, 50, 100), help="networks whose proxies are known")
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--first-seed", type=int, default=300)
    given = options.parse_args()
    kept = json.loads(given.file.read_text())
    table = load_benchmark("nasbench201", kept["table"])
    print(
        "| evaluations are | proxies of | "
        + " | ".join(f"after {n}" for n in AT)
        + " |\n"
        + "| --- " * (2 + len(AT))
        + "|"
    )
    for single in (False, True):
        for count in given.counts:
            seeds = range(given.first_seed, given.first_seed + given.seeds)
            found = np.array(
                [
                    searched(table, model_of(kept, table, count, seed), seed, single=single)
                    for seed in track(list(seeds), f"{count} proxies", console=Console(stderr=True), transient=True)
                ]
            )
            error = found.std(axis=0, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.zeros(len(AT))
            cells = " | ".join(f"{m:.3f} ± {e:.3f}" for m, e in zip(found.mean(axis=0), error, strict=True))
            print(f"| {'single trainings' if single else 'means'} | {count or 'none'} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
