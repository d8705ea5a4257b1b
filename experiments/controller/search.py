"""Searches in spaces too large to list: what climbing an acquisition value is worth in evaluations.

The loss is a sum over decisions, and over pairs of them, with noise; see ``compare.py``. Prints the least loss without noise
that each strategy evaluated, as Markdown: ``python experiments/controller/search.py --seeds 10``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from compare import SPACES, losses_of, space_of

from metanas.controller import Evolution, GaussianProcess, Layout, Meta, Observation, Strategy
from metanas.space import SearchSpace


class Listed(GaussianProcess):
    """The process on a pool of random rows, and mutations of the best."""

    def climbed(self, *_: Any) -> None:
        """No ascent."""


def search(spaces: Sequence[str], seeds: range, trials: int) -> None:
    """Print the least loss, without noise, that strategies evaluated."""
    contestants: dict[str, Callable[[], Strategy]] = {
        "gp": GaussianProcess,
        "gp, region: 0": lambda: GaussianProcess(region=0),
        "gp on a pool": Listed,
        "meta": Meta,
        "evolution": Evolution,
    }
    at = (trials // 3, 2 * trials // 3, trials)
    for name in spaces:
        space = space_of(name)
        print(f"\n{name}\n\n| strategy | {' | '.join(f'{n} evaluations' for n in at)} |\n| --- | --- | --- | --- |")
        for label, make in contestants.items():
            every = np.array([searched(space, make(), seed, trials) for seed in seeds])
            reached = every[:, [n - 1 for n in at]]
            cells = [f"{np.mean(column):.2f} ± {np.std(column):.2f}" for column in reached.T]
            print(f"| {label} | {' | '.join(cells)} |", flush=True)


def searched(space: SearchSpace, strategy: Strategy, seed: int, trials: int) -> Any:
    """The least loss after each evaluation."""
    rng, seen, losses = np.random.default_rng([seed, 1]), list[Observation](), []
    loss = losses_of(space, rng.normal(size=Layout(space).width), rng)
    for number in range(trials):
        known = {observation.row for observation in seen}
        proposal = strategy.propose(
            space,
            seen,
            lambda row, known=known: tuple(row.tolist()) not in known,
            np.random.default_rng([seed, number]),
        )
        assert proposal is not None
        losses.append(float(loss(proposal.row[None])[0]))
        noisy = losses[-1] + 0.1 * np.random.default_rng([seed, number, 3]).normal()
        seen.append(Observation(number=number, row=tuple(proposal.row.tolist()), losses=(noisy,)))
    return np.minimum.accumulate(losses)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--spaces", nargs="+", default=("slots30", "darts", "mobile"), choices=SPACES)
    parser.add_argument("--trials", type=int, default=45)
    arguments = parser.parse_args()
    print(" ".join(sys.argv), file=sys.stderr)
    search(arguments.spaces, range(arguments.seeds), arguments.trials)


if __name__ == "__main__":
    main()
