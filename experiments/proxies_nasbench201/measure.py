"""Zero-cost proxies of random NAS-Bench-201 networks against the accuracies in its table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy.stats import kendalltau, spearmanr

from metanas._rng import generator
from metanas.architecture import Architecture
from metanas.data import load_dataset
from metanas.evaluator import PROXIES, proxy_scores
from metanas.tables import load_benchmark


def main() -> None:
    """Print Spearman's and Kendall's coefficients for each proxy, and their spread over bootstraps."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", required=True, help="images: an .npz file or a folder")
    options.add_argument("--table", default="cifar10", help="data set of the table")
    options.add_argument("--count", type=int, default=100)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, help="JSON file that keeps what was computed, for search.py")
    given = options.parse_args()
    table = load_benchmark("nasbench201", given.table)
    rng = generator(given.seed, "networks")
    places = rng.permutation(len(table.rows))
    architectures, losses, known = [], [], set()
    for place in places:
        architecture = Architecture(table.space, tuple(table.rows[place].tolist()))
        # Networks without a path have nothing to score, and equal networks would count twice.
        if architecture.graph.output is None or architecture.canonical_id in known:
            continue
        known.add(architecture.canonical_id)
        architectures.append(architecture)
        losses.append(table.mean_losses[place])
        if len(architectures) == given.count:
            break
    scores = proxy_scores(
        architectures, load_dataset(given.data, base=Path()), list(PROXIES), seed=given.seed, batch_size=given.batch
    )
    found = list(track(scores, "scoring", total=len(architectures), console=Console(stderr=True)))
    if given.out:
        rows = [[int(value) for value in architecture.row] for architecture in architectures]
        given.out.write_text(json.dumps({"table": given.table, "rows": rows, "proxies": found}))
    accuracy = -np.array(losses)
    for name in PROXIES:
        values = np.array([np.nan if each[name] is None else each[name] for each in found], dtype=float)
        # What has no finite value ranks last.
        values = np.where(np.isfinite(values), values, np.nanmin(values) - 1)
        picks = [rng.integers(len(values), size=len(values)) for _ in range(200)]
        spread = np.std([spearmanr(values[pick], accuracy[pick]).statistic for pick in picks])
        result = {
            "proxy": name,
            "spearman": round(float(spearmanr(values, accuracy).statistic), 3),
            "spearman_std": round(float(spread), 3),
            "kendall": round(float(kendalltau(values, accuracy).statistic), 3),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
