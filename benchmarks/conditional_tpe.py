"""How Optuna's TPE is best asked about a space in which some decisions depend on others: quality, and cost of a proposal.

The ways: ``default`` suggests each active decision as it comes; ``group`` is the same with ``multivariate=True, group=True``,
a joint model for each set of decisions that occur together; ``one_by_one`` is ``multivariate=False``; ``flat`` suggests all
decisions each time, also those that are inactive, which are then ignored: one joint model of a space without conditions.

``--part quality``: losses that are sums of random effects of decisions and of pairs of decisions that are active together,
with known seeds; the best after ``--evaluations``, as the share of the way from the median of random rows (0) to the best
of 20,000 of them (1, which may be passed), with the standard error over seeds. ``random`` is there to compare with.
``--part cost``: milliseconds of processor time for one proposal at a study of 200, 1,000 (and more) random trials, in memory.

Prints JSON: ``python benchmarks/conditional_tpe.py --part quality --spaces convnet --seeds 5``.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna

from metanas.space import SearchSpace, load_space
from metanas.study._suggest import distribution_of, suggest_row

WAYS = ("default", "group", "one_by_one", "flat", "random")


class Losses:
    """A random function of rows: effects of standard deviation 1 of each decision, 0.5 of each of some pairs."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        rng = np.random.default_rng([seed, 7])
        sizes = [decision.size if decision.kind != "float" else 16 for decision in space.decisions]
        self._singles = [rng.normal(size=size) for size in sizes]
        pairs = rng.integers(0, len(sizes), size=(2 * len(sizes), 2))
        self._pairs = [(a, b, 0.5 * rng.normal(size=(sizes[a], sizes[b]))) for a, b in pairs if a != b]

    def __call__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        losses = np.zeros(len(rows))
        for column, effects in enumerate(self._singles):
            active = rows[:, column] >= 0
            losses[active] += effects[rows[active, column] % len(effects)]
        for a, b, effects in self._pairs:
            active = (rows[:, a] >= 0) & (rows[:, b] >= 0)
            losses[active] += effects[rows[active, a] % len(effects), rows[active, b] % len(effects.T)]
        return losses


def make_sampler(way: str, seed: int) -> optuna.samplers.BaseSampler:
    if way == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    options: dict[str, Any] = {}
    if way == "group":
        options |= {"multivariate": True, "group": True}
    if way == "one_by_one":
        options = {"multivariate": False}
    return optuna.samplers.TPESampler(seed=seed, **options)


def ask(study: optuna.Study, space: SearchSpace, way: str) -> tuple[optuna.Trial, npt.NDArray[np.int64]]:
    if way != "flat":
        trial = study.ask()
        return trial, suggest_row(trial, space)
    trial = study.ask({decision.name: distribution_of(decision) for decision in space.decisions})
    row = np.full((1, len(space.decisions)), -1, dtype=np.int64)
    for column, decision in enumerate(space.decisions):
        if space.is_active(row, column)[0]:
            row[0, column] = decision.index_of(trial.params[decision.name])
    return trial, row[0]


def measure_quality(arguments: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in arguments.spaces:
        space = load_space(name)
        shares: dict[str, list[float]] = {way: [] for way in arguments.ways}
        for seed in range(arguments.seeds):
            losses = Losses(space, seed)
            sample = losses(space.sample(20_000, np.random.default_rng(seed)))
            for way in arguments.ways:
                study = optuna.create_study(sampler=make_sampler(way, seed))
                best = np.inf
                for _ in range(arguments.evaluations):
                    trial, row = ask(study, space, way)
                    loss = float(losses(row[None])[0])
                    study.tell(trial, loss)
                    best = min(best, loss)
                shares[way].append(float((np.median(sample) - best) / (np.median(sample) - sample.min())))
        found[name] = {
            way: {"share": float(np.mean(values)), "error": float(np.std(values, ddof=1) / np.sqrt(len(values)))}
            for way, values in shares.items()
        }
    return {"evaluations": arguments.evaluations, "seeds": arguments.seeds, "spaces": found}


def measure_cost(arguments: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in arguments.spaces:
        space = load_space(name)
        losses = Losses(space, 0)
        for way in arguments.ways:
            for size in arguments.sizes:
                study = optuna.create_study(sampler=make_sampler(way, 0))
                rng = np.random.default_rng(0)
                for row in space.sample(size, rng):
                    values = space.to_values(row)
                    if way == "flat":
                        every = {
                            d.name: d.values[int(rng.integers(d.size))] for d in space.decisions if d.kind != "float"
                        }
                        values = every | values
                    distributions = {d.name: distribution_of(d) for d in space.decisions if d.name in values}
                    value = float(losses(row[None])[0])
                    study.add_trial(optuna.trial.create_trial(params=values, distributions=distributions, value=value))
                ask(study, space, way)
                began = time.process_time()
                for _ in range(arguments.repetitions):
                    ask(study, space, way)
                spent = 1e3 * (time.process_time() - began) / arguments.repetitions
                found.setdefault(name, {}).setdefault(way, {})[size] = round(spent, 1)
    return {"cpu_ms_a_proposal": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["quality", "cost"], required=True)
    parser.add_argument("--spaces", nargs="+", default=["convnet", "resnet", "mobile"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--evaluations", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", type=int, default=[200, 1000])
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    measure = measure_quality if arguments.part == "quality" else measure_cost
    print(json.dumps({"date": time.strftime("%Y-%m-%d"), **measure(arguments)}, indent=2))


if __name__ == "__main__":
    main()
