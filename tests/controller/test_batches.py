"""Proposals while others are being evaluated: batches of networks that differ, not one network's neighbours."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from metanas.controller import Observation
from metanas.space import load_space
from metanas.study import make_strategy

SPACE = load_space("nasbench201")
WEIGHTS = np.random.default_rng(5).normal(size=(6, 5))
BATCH = 5


def loss(row: np.ndarray) -> float:
    """A function of rows that has one clear optimum, next to which everything is good."""
    return float(sum(WEIGHTS[column, value] for column, value in enumerate(row)))


def observed() -> list[Observation]:
    rows = SPACE.sample(40, np.random.default_rng(1))
    return [
        Observation(number=n, row=tuple(int(v) for v in row), losses=(loss(row),))
        for n, row in enumerate(np.unique(rows, axis=0))
    ]


def batch(name: str, seed: int, *, told: bool) -> list[tuple[int, ...]]:
    """Rows proposed one after another; ``told`` says whether the strategy knows of those before as pending."""
    observations = observed()
    known = {o.row for o in observations}
    rows: list[tuple[int, ...]] = []
    for n in range(BATCH):
        waiting = [Observation(number=100 + k, row=row, losses=None, pending=True) for k, row in enumerate(rows)]
        proposal = make_strategy(name, {}).propose(
            SPACE, observations + (waiting if told else []), lambda row: tuple(row) not in known,
            np.random.default_rng([seed, n]),
        )  # fmt: skip
        assert proposal is not None
        rows.append(tuple(int(v) for v in proposal.row))
        known.add(rows[-1])
    return rows


def spread(rows: list[tuple[int, ...]]) -> float:
    """Mean number of decisions in which two of them differ."""
    return float(np.mean([sum(a != b for a, b in zip(*pair, strict=True)) for pair in combinations(rows, 2)]))


@pytest.mark.parametrize("name", ["gp", "forest", "trees", "bananas", "meta"])
def test_a_batch_has_no_network_twice(name: str) -> None:
    assert len(set(batch(name, 0, told=True))) == BATCH


@pytest.mark.parametrize("name", ["gp", "meta"])
def test_a_batch_is_more_diverse_for_knowing_what_is_under_way(name: str) -> None:
    told, untold = ([spread(batch(name, seed, told=told)) for seed in range(2)] for told in (True, False))
    assert np.mean(told) > np.mean(untold)
