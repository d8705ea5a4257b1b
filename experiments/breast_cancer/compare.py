"""Searches with several seeds, each beside logistic regression on the same split; prints balanced accuracy on the test part.

    python experiments/breast_cancer/compare.py --seeds 5

A seed sets the split, the search and the training. Logistic regression sees what the final network sees: training and
validation data, prepared alike; its strength is chosen by cross-validation on them.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import balanced_accuracy_score

from metanas._search import start
from metanas.data import fit_preparation, load_dataset, split
from metanas.study import read_run_file

HERE = Path(__file__).parent


def logistic_regression(seed: int) -> float:
    """Balanced accuracy on the test part of the split of ``seed``."""
    dataset = load_dataset("breast_cancer", base=HERE)
    parts = split(dataset, seed=seed)
    prepared = fit_preparation(dataset, parts.train).transform(dataset.inputs)
    known = parts.final().train
    model = LogisticRegressionCV(
        Cs=10, cv=5, scoring="balanced_accuracy", max_iter=2000, l1_ratios=(0,), use_legacy_attributes=False
    )
    model.fit(prepared[known], dataset.targets[known])
    return float(balanced_accuracy_score(dataset.targets[parts.test], model.predict(prepared[parts.test])))


def network(seed: int, runs: Path) -> float:
    """The same for the network that a search with ``seed`` finds."""
    result = start(read_run_file(HERE / "run.yaml", sets=[f"search.seed={seed}"]), runs=runs, quiet=True)
    return result.metrics["test_balanced_accuracy"]


def main() -> None:
    """Print a line a seed, then means and spreads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to this one less (default: 5)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for run folders")
    arguments = parser.parse_args()
    found, linear = [], []
    for seed in range(arguments.seeds):
        found.append(network(seed, arguments.runs))
        linear.append(logistic_regression(seed))
        print(f"seed {seed}: network {found[-1]:.4f}, logistic regression {linear[-1]:.4f}", flush=True)
    for name, values in (("network", found), ("logistic regression", linear)):
        print(f"{name}: mean {np.mean(values):.4f}, standard deviation {statistics.pstdev(values):.4f}")


if __name__ == "__main__":
    main()
