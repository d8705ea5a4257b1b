"""How well supernets rank: Kendall's tau between losses with shared weights and those of networks trained from scratch.

Random different networks of experiments/supernet_digits/space.yaml (NAS-Bench-201's cell) on scikit-learn's digits, or on
images of a file, each trained by metanas' own loop; then for each method and seed a supernet on the same split. With ``--table`` the losses are those of NAS-Bench-201's
table instead, and nothing is trained but supernets.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau

from metanas._rng import derive_seed, generator
from metanas.architecture import Architecture
from metanas.data import Dataset, Preparation, Tensors, fit_preparation, load_dataset, split, to_device
from metanas.evaluator import METHODS, Recipe
from metanas.evaluator._supernet_policy import Policy
from metanas.evaluator._supernet_ranking import shared_loss
from metanas.evaluator._supernet_training import SupernetTraining
from metanas.evaluator._training import train
from metanas.network import Supernet, build_network
from metanas.space import Rows, SearchSpace, load_space
from metanas.tables import load_benchmark

SPACE = Path(__file__).parent.parent / "supernet_digits" / "space.yaml"


def drawn(space: SearchSpace, count: int) -> list[Architecture]:
    """Different networks with a path."""
    found: dict[str, Architecture] = {}
    rows: Rows = space.sample(20 * count, generator(0, "networks"))
    for row in rows:
        architecture = Architecture(space, tuple(row.tolist()))
        if architecture.graph.output is not None and len(found) < count:
            found.setdefault(architecture.canonical_id, architecture)
    return list(found.values())


def losses_by_training(
    networks: list[Architecture], dataset: Dataset, preparation: Preparation, data: Tensors, epochs: int, times: int
) -> list[float]:
    """Each network's mean validation loss over ``times`` trainings; prints how they spread, and agree."""
    losses, accuracies = np.zeros((times, len(networks))), []
    for number, architecture in enumerate(networks):
        layers = architecture.layers(preparation.input_shape, dataset.n_outputs)
        for turn in range(times):
            seed = number + turn * len(networks)
            outcome = train(
                build_network(layers, seed=derive_seed(seed, "weights")), data.train, data.validation, recipe=Recipe(),
                epochs=epochs, task="classification", metrics=["loss", "accuracy"], device="cpu", seed=seed,
            )  # fmt: skip
            losses[turn, number] = outcome.metrics["loss"]
            accuracies.append(outcome.metrics["accuracy"])
        print(f"{number + 1} of {len(networks)} networks trained", end="\r", file=sys.stderr, flush=True)
    line = {"networks": len(networks), "accuracy": [min(accuracies), max(accuracies)]}
    if times > 1:
        line["agreement"] = round(float(kendalltau(losses[0], losses[1]).statistic), 3)
    print(json.dumps(line), flush=True)
    return list(losses.mean(axis=0))


def losses_by_table(networks: list[Architecture], dataset: str) -> list[float]:
    """Each network's mean validation loss (minus accuracy) in NAS-Bench-201's table."""
    table = load_benchmark("nasbench201", dataset)
    rows = np.array([table.space.to_row(architecture.values) for architecture in networks])
    return list(table.mean_losses[table.index(rows)])


def main() -> None:
    """Print JSON: the spread of the networks, then a line for each supernet, then means."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", default="digits", help="a built-in set, an .npz file or a folder of images")
    options.add_argument("--networks", type=int, default=60)
    options.add_argument("--epochs", type=int, default=6, help="of a network from scratch")
    options.add_argument("--times", type=int, default=1, help="trainings of each network from scratch")
    options.add_argument("--table", help="data set of NAS-Bench-201 whose table tells how good networks are")
    options.add_argument("--supernet-epochs", type=int, default=30)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--methods", nargs="+", default=["spos"], choices=list(METHODS))
    options.add_argument(
        "--out", type=Path, help="folder that keeps the shared losses of each supernet, as METHOD-SEED.json"
    )
    given = options.parse_args()
    torch.set_num_threads(1)
    space, dataset = load_space(SPACE), load_dataset(given.data, base=Path())
    splits = split(dataset, seed=0)
    preparation = fit_preparation(dataset, splits.train)
    data = to_device(dataset, splits, preparation, "cpu")
    recipe, loss = Recipe(), torch.nn.functional.cross_entropy
    networks = drawn(space, given.networks)
    if given.table:
        truth = losses_by_table(networks, given.table)
    else:
        truth = losses_by_training(networks, dataset, preparation, data, given.epochs, given.times)
    for name in given.methods:
        taus = []
        for seed in range(given.seeds):
            method = METHODS[name]
            supernet = Supernet(space, preparation.input_shape, dataset.n_outputs, partial=method.partial, seed=seed)
            policy = Policy(space, method, hard=supernet.hard, seed=seed)
            torch.manual_seed(seed)
            training = SupernetTraining(
                supernet, policy, recipe=recipe, loss=loss, train=data.train, validation=data.validation, seed=seed
            )
            progress = training.run(given.supernet_epochs)
            shared = [shared_loss(supernet, np.array(a.row), data.validation, loss, batch_size=512) for a in networks]
            taus.append(float(kendalltau(shared, truth).statistic))
            likeliest = Architecture(space, tuple(policy.draw(1, np.random.default_rng(seed))[0].tolist())).values
            line = {
                "method": name, "seed": seed, "tau": round(taus[-1], 3), "collapsed": progress.collapsed,
                "free_share": [round(progress.free_shares[0], 3), round(progress.free_shares[-1], 3)],
                "train_loss": round(progress.losses[-1], 3), "likeliest": list(likeliest.values()) if method.learns else None,
            }  # fmt: skip
            print(json.dumps(line), flush=True)
            if given.out:
                given.out.mkdir(parents=True, exist_ok=True)
                kept = {
                    "table": given.table,
                    "rows": [list(a.row) for a in networks],
                    "proxies": [{"supernet": -x} for x in shared],
                }
                (given.out / f"{name}-{seed}.json").write_text(json.dumps(kept))
        spread = statistics.stdev(taus) if len(taus) > 1 else 0.0
        print(f"{name}: tau {statistics.mean(taus):.3f} +- {spread:.3f}, {given.seeds} seeds", flush=True)


if __name__ == "__main__":
    main()
