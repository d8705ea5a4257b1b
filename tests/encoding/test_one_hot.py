"""The one-hot encoding of rows."""

from __future__ import annotations

import numpy as np
import pytest

from metanas.encoding import OneHot
from metanas.space import builtin_spaces, load_space, parse_space_text


def test_each_value_has_its_column() -> None:
    space = load_space("nasbench201")
    rows = space.sample(50, np.random.default_rng(0))
    encode = OneHot(space)
    encoded = encode(rows)
    assert encoded.shape == (50, 30)
    assert encoded.dtype == np.float32
    assert np.array_equal(encoded.reshape(50, 6, 5).argmax(axis=2), rows)
    assert np.array_equal(encoded.sum(axis=1), np.full(50, 6))
    assert encode.names[1] == "cell.0->1=skip"


def test_inactive_decisions_are_zero_and_long_ranges_take_two_columns() -> None:
    space = parse_space_text(
        "space: s\ninput: image\nnetwork: [{id: a, optional: {dropout: {rate: {float: [0.1, 0.5]}}}}, head]\n"
    )
    encode = OneHot(space)
    assert encode.names == ("a=False", "a=True", "a.dropout.rate active", "a.dropout.rate position")
    rows = np.array([[0, -1], [1, 0], [1, 500], [1, 1000]])
    assert encode(rows).tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0.5], [0, 1, 1, 1]]


@pytest.mark.parametrize("name", builtin_spaces())
def test_different_rows_are_encoded_differently(name: str) -> None:
    space = load_space(name)
    rows = np.unique(space.sample(300, np.random.default_rng(1)), axis=0)
    encode = OneHot(space)
    encoded = encode(rows)
    assert encoded.shape == (len(rows), len(encode.names))
    assert len(np.unique(encoded, axis=0)) == len(rows)
    assert encoded.min() >= 0
    assert encoded.max() <= 1
