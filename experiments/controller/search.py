"""Searches in spaces too large to list: what climbing an acquisition value is worth in evaluations.

The loss is a sum over decisions, and over pairs of them, with noise; see ``compare.py``. Prints the least loss without noise
that each strategy evaluated, as Markdown: ``python experiments/controller/search.py --seeds 10``. With ``--part transfer``, that of
``meta`` with and without the results of three searches by evolution on related losses.
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
from metanas.tables import TaskData

_SOURCES, _OF_A_SOURCE = 3, 60
"""Related losses that ``meta`` knows, and evaluations of each."""


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
            every = np.array([searched(space, make(), seed, trials, loss_of(space, seed))[1] for seed in seeds])
            reached = every[:, [n - 1 for n in at]]
            cells = [f"{np.mean(column):.2f} ± {np.std(column):.2f}" for column in reached.T]
            print(f"| {label} | {' | '.join(cells)} |", flush=True)


def loss_of(space: SearchSpace, seed: int) -> Callable[[Any], Any]:
    """The loss of a seed."""
    rng = np.random.default_rng([seed, 1])
    return losses_of(space, rng.normal(size=Layout(space).width), rng)


def transfer(spaces: Sequence[str], seeds: range, trials: int) -> None:
    """Print the least loss, without noise, that ``meta`` evaluated with sources and without."""
    at = tuple(sorted({1, trials // 3, 2 * trials // 3, trials}))
    for name in spaces:
        space = space_of(name)
        print(f"\n{name}\n\n| | {' | '.join(f'{n} evaluations' for n in at)} |\n| --- {'| --- ' * len(at)}|")
        found: dict[str, list[Any]] = {"with sources": [], "without": []}
        for seed in seeds:
            sources = tuple(
                source_of(space, seed, number, _OF_A_SOURCE, related(space, seed, number)) for number in range(_SOURCES)
            )
            for label, known in zip(found, (sources, ()), strict=True):
                observed = searched(
                    space, Meta(sources=known, single=True), seed, trials, related(space, seed, _SOURCES)
                )[1]
                found[label].append(observed[[n - 1 for n in at]])
        for label, every in found.items():
            cells = [f"{np.mean(column):.2f} ± {np.std(column):.2f}" for column in np.array(every).T]
            print(f"| {label} | {' | '.join(cells)} |", flush=True)


def related(space: SearchSpace, seed: int, number: int) -> Callable[[Any], Any]:
    """One of a seed's losses: they share the interplay of decisions, and most of what each is worth (correlation 0.64)."""
    width = Layout(space).width
    shared, own = (np.random.default_rng([seed, *key]).normal(size=width) for key in ((1,), (2, number)))
    return losses_of(space, 0.8 * shared + 0.6 * own, np.random.default_rng([seed, 9]))


def source_of(space: SearchSpace, seed: int, number: int, count: int, loss: Callable[[Any], Any]) -> TaskData:
    """What a search by evolution found out about a loss in so many evaluations."""
    seen, _ = searched(space, Evolution(), seed, count, loss, number)
    rows = np.array([observation.row for observation in seen])
    return TaskData(name=f"source {number}", space=space, rows=rows, losses=np.array([o.losses for o in seen]))


def searched(
    space: SearchSpace, strategy: Strategy, seed: int, trials: int, loss: Callable[[Any], Any], *stream: int
) -> tuple[list[Observation], Any]:
    """What was observed, and the least loss after each evaluation; ``stream`` tells searches of a seed apart."""
    seen, losses = list[Observation](), []
    for number in range(trials):
        known = {observation.row for observation in seen}
        proposal = strategy.propose(
            space,
            seen,
            lambda row, known=known: tuple(row.tolist()) not in known,
            np.random.default_rng([seed, *stream, number]),
        )
        assert proposal is not None
        losses.append(float(loss(proposal.row[None])[0]))
        noisy = losses[-1] + 0.1 * np.random.default_rng([seed, *stream, number, 3]).normal()
        seen.append(Observation(number=number, row=tuple(proposal.row.tolist()), losses=(noisy,)))
    return seen, np.minimum.accumulate(losses)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="strategies", choices=("strategies", "transfer"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--spaces", nargs="+", default=("slots30", "darts", "mobile"), choices=SPACES)
    parser.add_argument("--trials", type=int, default=45)
    arguments = parser.parse_args()
    print(" ".join(sys.argv), file=sys.stderr)
    part = search if arguments.part == "strategies" else transfer
    part(arguments.spaces, range(arguments.seeds), arguments.trials)


if __name__ == "__main__":
    main()
