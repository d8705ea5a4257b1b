"""Searches by ``meta`` in a small space with a learning rate, knowing three related tasks or none.

The loss is a sum over decisions, and over pairs of choices, with noise; a parabola in the learning rate's logarithm. Related ones share
the pairs, and most of what each decision is worth. Prints the least loss without noise, as Markdown:
``python experiments/controller/ranges.py --seeds 28``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from search import searched, source_of

from metanas.controller import Meta
from metanas.space import SearchSpace, parse_space_text

SPACE = """
space: ranges
language: 1
input: table
let:
  width: {choice: [8, 16, 32, 64]}
  act: {choice: [relu, gelu, silu]}
network:
  - id: stem
    dense: {units: $width, act: $act, norm: {choice: [none, batch, layer]}}
  - id: body
    repeat: {choice: {plain: {dense: {units: $width, act: $act}}, res: {residual: {dense: {units: $width, act: $act}}}}}
    times: {int: [0, 3]}
  - id: drop
    optional: {dropout: {rate: {choice: [0.1, 0.3]}}}
  - head
train:
  lr: {float: [1e-3, 3e-2], log: true}
"""
TRIALS, AT = 30, (5, 10, 15, 20, 30)
SOURCES, TARGET = 3, 9
"""Related tasks, and the number of the one that is searched."""


def loss_of(space: SearchSpace, seed: int, number: int) -> Callable[[Any], Any]:
    """The loss of a seed's task with this number."""
    shared, own = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2, number])
    tables = []
    for decision in space.decisions:
        if decision.kind == "choice":
            tables.append(0.8 * shared.normal(size=decision.size + 1) + 0.6 * own.normal(size=decision.size + 1))
        else:
            best, weight = np.clip(shared.uniform(0.2, 0.9) + 0.1 * own.normal(), 0, 1), shared.uniform(0.5, 2)
            # The last is for a decision that is not there.
            tables.append(np.append(weight * ((np.linspace(0, 1, decision.size) - best) / 0.35) ** 2, 0.0))
    choices = [j for j, decision in enumerate(space.decisions) if decision.kind == "choice"]
    pairs = {
        (i, j): 0.5 * np.random.default_rng([seed, 9, i, j]).normal(size=(7, 7))
        for i in choices
        for j in choices
        if j < i
    }

    def loss(rows: Any) -> Any:
        interplay = sum(table[rows[:, i] % 7, rows[:, j] % 7] for (i, j), table in pairs.items())
        return sum(table[rows[:, j]] for j, table in enumerate(tables)) + interplay

    return loss


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=28)
    arguments = parser.parse_args()
    space = parse_space_text(SPACE)
    print(f"| evaluations of each source | {' | '.join(f'after {n}' for n in AT)} |\n| --- {'| --- ' * len(AT)}|")
    for count in (15, 40, 0):
        found = []
        for seed in range(arguments.seeds):
            known = range(SOURCES if count else 0)
            sources = [source_of(space, seed, number, count, loss_of(space, seed, number)) for number in known]
            strategy = Meta(sources=tuple(sources), single=True)
            found.append(searched(space, strategy, seed, TRIALS, loss_of(space, seed, TARGET))[1][[n - 1 for n in AT]])
        error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
        cells = [f"{mean:.2f} ± {e:.2f}" for mean, e in zip(np.mean(found, axis=0), error, strict=True)]
        print(f"| {count or 'no sources'} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
