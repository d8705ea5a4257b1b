"""A space of 162 networks, and tasks on it whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from metanas.predictor import SpaceModel
from metanas.space import Rows, SearchSpace, parse_space_text
from metanas.tables import TaskData

TEXT = """
space: toy
language: 1
input: image
network:
  - id: a
    choice: {x: {conv_bn_act: {out: 8, kernel: 3}}, y: {conv_bn_act: {out: 8, kernel: 5}}, z: {conv_bn_act: {out: 8, kernel: 1}}}
  - id: b
    choice: {x: {conv_bn_act: {out: 8, kernel: 3}}, y: {conv_bn_act: {out: 8, kernel: 5}}, s: identity}
  - id: c
    choice: {x: {conv_bn_act: {out: 16, kernel: 3}}, y: {conv_bn_act: {out: 16, kernel: 5}}, z: {conv_bn_act: {out: 16, kernel: 1}}}
  - id: d
    choice: {x: {conv_bn_act: {out: 16, kernel: 3}}, y: {max_pool: {kernel: 3}}, s: identity}
  - id: e
    choice: {x: {conv_bn_act: {out: 32, kernel: 3}}, y: {conv_bn_act: {out: 32, kernel: 1}}}
  - global_pool
  - head
"""


@pytest.fixture(scope="session")
def text() -> str:
    """Of the space."""
    return TEXT


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """Five decisions."""
    return parse_space_text(TEXT)


@pytest.fixture(scope="session")
def truth() -> Callable[[Rows, float], np.ndarray]:
    """Losses of rows under a tilt: what all tasks share, and what differs."""
    return _truth


@pytest.fixture(scope="session")
def task() -> Callable[..., TaskData]:
    """A task of a space by its name, tilt and number of results, maybe shuffled."""
    return _task


@pytest.fixture(scope="session")
def model(space: SearchSpace) -> SpaceModel:
    """Three tasks."""
    return SpaceModel.fit(space, [_task(space, n, t) for n, t in (("p", 0.0), ("q", 0.1), ("r", 0.3))])


def _truth(rows: Rows, tilt: float) -> np.ndarray:
    shared = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0], [0.5, 2.0, 0.0], [0.0, 1.5, 1.0], [0.0, 1.0, 0.0]])
    other = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 0.5], [0.0, 0.5, 1.5], [1.0, 0.0, 2.0], [1.0, 0.0, 0.0]])
    lines = np.arange(5)
    return (shared[lines, rows] * (1 - tilt) + other[lines, rows] * tilt).sum(axis=1)


def _task(space: SearchSpace, name: str, tilt: float, count: int = 80, *, shuffled: bool = False) -> TaskData:
    rng = np.random.default_rng(sum(map(ord, name)))
    rows = rng.permutation(space.rows(1000))[:count]
    losses = _truth(rows, tilt) + 0.05 * rng.standard_normal(count)
    return TaskData(
        name=name, space=space, rows=rows, losses=(rng.permutation(losses) if shuffled else losses)[:, None]
    )
