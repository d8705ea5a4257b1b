"""Networks as decisions and structure."""

from __future__ import annotations

import numpy as np
import pytest

from metanas.architecture import CanonicalIds
from metanas.encoding import NetworkEncoder, StructureEncoder
from metanas.space import builtin_spaces, load_space, parse_space_text

CELL = """
space: cell
language: 1
input: image
blocks:
  cell:
    graph:
      nodes: 3
      every_edge: {choice: {none: none, skip: identity, conv: {conv_bn_act: {kernel: 3}}}}
      merge: sum
network: [{conv_bn_act: {out: 8, kernel: 3}}, cell, global_pool, head]
"""


@pytest.mark.parametrize("name", builtin_spaces())
def test_every_space_is_encoded_and_equal_networks_alike(name: str) -> None:
    space = load_space(name)
    rng = np.random.default_rng(0)
    rows = space.sample(40, rng)
    rows = np.concatenate([rows, space.mutate(rows, rng)])
    encoder = StructureEncoder.learn(space, rows)
    counts = encoder(rows)
    assert counts.shape == (80, len(encoder.names))
    assert encoder.names
    assert np.isfinite(counts).all()
    assert (StructureEncoder(space, encoder.names)(rows) == counts).all()
    if space.tabular:
        return
    ids = CanonicalIds(space)
    first: dict[str, int] = {}
    numeric = [k for k, column in enumerate(encoder.names) if not column.startswith("position ")]
    for k, row in enumerate(rows):
        j = first.setdefault(ids.of(row), k)
        assert (counts[k, numeric] == counts[j, numeric]).all()


def test_what_lies_on_no_path_does_not_matter() -> None:
    space = parse_space_text(CELL)
    rows = space.rows(100)
    live = StructureEncoder(space, ()).live(rows)
    # Columns are edges 0-1, 0-2, 1-2: node 1 leads to node 2 by the last edge alone.
    names = [decision.name for decision in space.decisions]
    assert len(names) == 3
    cut = rows[:, 2] == 0
    assert (live[cut, 0] == -1).all()
    whole = (rows != 0).all(axis=1)
    assert (live[whole] == rows[whole]).all()


def test_equal_networks_have_equal_encodings_where_rows_can_be_listed() -> None:
    space = parse_space_text(CELL)
    rows = space.rows(100)
    encoder = NetworkEncoder.learn(space, np.random.default_rng(0))
    decisions, structure = encoder(rows)
    ids = CanonicalIds(space)
    groups: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        groups.setdefault(ids.of(row), []).append(k)
    assert len(groups) < len(rows)
    for places in groups.values():
        assert np.ptp(decisions[places], axis=0).max() < 1e-6
        assert np.ptp(structure[places], axis=0).max() < 1e-6
    # Different networks differ, but for order along a path.
    assert len(np.unique(np.round(np.concatenate([decisions, structure], axis=1), 5), axis=0)) == len(groups)
