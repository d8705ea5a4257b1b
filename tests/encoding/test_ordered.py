"""Decisions as columns in which numbers keep their order."""

from __future__ import annotations

import numpy as np
import pytest

from metanas.encoding._one_hot import OneHot
from metanas.encoding._ordered import Ordered
from metanas.space import load_space, parse_space_text

TEXT = """
space: s
input: image
network:
  - conv_bn_act: {out: {choice: [32, 8, 16]}, kernel: 3, act: {choice: [relu, silu, gelu]}}
  - {id: a, optional: {dropout: {rate: {choice: [0.1, 0.2, 0.3, 0.5, 0.7]}}}}
  - head
"""


def distances(rows: np.ndarray) -> np.ndarray:
    encoded = Ordered(parse_space_text(TEXT))(rows)
    return np.asarray(((encoded[:, None] - encoded[None]) ** 2).sum(axis=2))


def test_numbers_are_as_far_apart_as_values_lie_between_them() -> None:
    # Channels stand as 32, 8, 16.
    out = distances(np.array([[1, 0, 0, -1], [2, 0, 0, -1], [0, 0, 0, -1]]))
    assert out == pytest.approx(np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]]))
    rate = distances(np.array([[0, 0, 1, v] for v in range(5)]))
    assert rate == pytest.approx(np.abs(np.subtract.outer(range(5), range(5))) / 2)


def test_other_values_are_all_equally_far_apart() -> None:
    act = distances(np.array([[0, v, 0, -1] for v in range(3)]))
    assert act == pytest.approx(2 * (1 - np.eye(3)))


def test_an_inactive_decision_is_equally_far_from_every_value() -> None:
    encoded = Ordered(parse_space_text(TEXT))(np.array([[0, 0, 0, -1], *([0, 0, 1, v] for v in range(5))]))
    # Three columns for channels, three for the activation, two for whether there is dropout; then its rate.
    rate = encoded[:, 8:]
    assert not rate[0].any()
    assert (rate[1:] ** 2).sum(axis=1) == pytest.approx(1.0)


def test_ends_of_a_long_range_are_as_far_apart_as_those_of_a_short_one() -> None:
    space = parse_space_text(
        "space: s\ninput: image\nnetwork: [{id: a, optional: {dropout: {rate: {float: [0.1, 0.5]}}}}, head]\n"
    )
    encoded = Ordered(space)(np.array([[1, 0], [1, 500], [1, 1000], [0, -1]]))[:, 2:]
    apart = ((encoded[:, None] - encoded[None]) ** 2).sum(axis=2)
    assert apart[0] == pytest.approx([0, 0.5, 2, 1])
    assert not encoded[3].any()


def test_choices_among_blocks_alone_are_as_one_hot() -> None:
    space = load_space("nasbench201")
    rows = space.sample(50, np.random.default_rng(0))
    assert np.array_equal(Ordered(space)(rows), OneHot(space)(rows))
