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
    assert (StructureEncoder(space, encoder.counts, encoder.details)(rows) == counts).all()
    if space.tabular:
        return
    ids = CanonicalIds(space)
    first: dict[str, int] = {}
    numeric = [k for k, column in enumerate(encoder.names) if not column.startswith("position ")]
    for k, row in enumerate(rows):
        j = first.setdefault(ids.of(row), k)
        assert (counts[k, numeric] == counts[j, numeric]).all()


CONV = 'conv_bn_act {"act": "relu", "dilation": 1, "groups": 1, "kernel": 3, "stride": 1}'


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        # Choices at edges 0-1, 0-2 and 1-2: 0 is none, 1 a skip, 2 a convolution. Two in a row, beside a way with none.
        ((2, 1, 2), {"most": 2.0, "fewest": 0.0, "mean": 1.0, "through": 0.5, "flow": 1.0, "height 2": 1.0}),
        # Two in a row beside one, whose part of the output is half.
        ((2, 2, 2), {"most": 2.0, "fewest": 1.0, "mean": 1.5, "through": 1.0, "flow": 1.5, "height 2": 1.0}),
        # One that is all there is; node 1 leads nowhere.
        ((2, 2, 0), {"most": 1.0, "fewest": 1.0, "mean": 1.0, "through": 1.0, "flow": 1.0, "height 2": 0.0}),
        ((2, 0, 0), dict.fromkeys(("most", "fewest", "mean", "through", "flow", "height 2"), 0.0)),
    ],
)
def test_details_tell_what_paths_hold(edges: tuple[int, int, int], expected: dict[str, float]) -> None:
    space = parse_space_text(CELL)
    encoder = StructureEncoder.learn(space, space.rows(100))
    line = encoder(np.array([edges], dtype=np.int64))[0]
    found = dict(zip(encoder.names, line.tolist(), strict=True))
    assert {name: found[f"{name} {CONV}"] for name in expected} == expected


def test_details_tell_who_reads_whom() -> None:
    space = parse_space_text(CELL)
    encoder = StructureEncoder.learn(space, space.rows(100))
    line = encoder(np.array([[2, 2, 2]], dtype=np.int64))[0]
    found = dict(zip(encoder.names, line.tolist(), strict=True))
    assert found[f"edge {CONV} > {CONV}"] == 1
    assert found[f"edge {CONV} > output"] == 2


def test_counts_are_a_part_of_the_structure() -> None:
    space = parse_space_text(CELL)
    encoder = NetworkEncoder.learn(space, np.random.default_rng(0))
    rows = space.sample(2_000, np.random.default_rng(1), prior=False)
    structure = encoder(rows)[1]
    assert structure.shape == (2_000, len(encoder.structure.counts) + len(encoder.structure.details))
    counts = encoder.counts(structure)
    assert counts.shape == (2_000, len(encoder.structure.counts))
    # Typical networks have a squared norm of 1, and the counts the same weight each.
    for block in (structure, counts):
        assert (block**2).sum(axis=1).mean() == pytest.approx(1, abs=0.1)
    assert counts.var(axis=0) * counts.shape[1] == pytest.approx(1, abs=0.2)


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
