"""Networks as decisions and structure."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest

from metanas.architecture import CanonicalIds, Instances, Multiset
from metanas.encoding import NetworkEncoder, StructureEncoder
from metanas.encoding._scopes import Scopes
from metanas.encoding._structure import features_of
from metanas.encoding._structure_encoder import unlike_most
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
    encoded = encoder(rows)
    assert encoded.shape == (80, len(encoder.names))
    assert encoder.names
    assert np.isfinite(encoded).all()
    assert (StructureEncoder(space, encoder.names)(rows) == encoded).all()
    if space.tabular:
        return
    ids = CanonicalIds(space)
    first: dict[str, int] = {}
    # Positions of decisions are told of rows, also where the network does not depend on them.
    of_graphs = [k for k, column in enumerate(encoder.names) if not column.startswith("position ")]
    for k, row in enumerate(rows):
        j = first.setdefault(ids.of(row), k)
        assert (encoded[k, of_graphs] == encoded[j, of_graphs]).all()


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
def test_features_tell_what_paths_hold(edges: tuple[int, int, int], expected: dict[str, float]) -> None:
    space = parse_space_text(CELL)
    (cell, _), _ = Scopes(space).of(edges)
    found = features_of(cell.graph)
    assert {name: found.get(f"{name} {CONV}", 0.0) for name in expected} == expected


def by_paths(graph: Instances) -> dict[str, float]:
    """Features of a graph by going through all its paths, for as long as they are few."""
    reads = [*([pair for port in ports for pair in port] for ports in graph.ports), graph.output]
    end = len(graph.labels)
    paths: list[tuple[tuple[int, ...], Fraction]] = []

    def walk(node: int, behind: tuple[int, ...], share: Fraction) -> None:
        if node == 0:
            paths.append((behind, share))
            return
        fan_in = sum(count for _, count in reads[node])
        for source, count in reads[node]:
            for _ in range(count):
                walk(source, (source, *behind) if source else behind, share / fan_in)

    walk(end, (), Fraction(1))
    found: dict[str, float] = defaultdict(float, {"flow of input": 1.0, "paths": len(paths), "nodes": end - 1})
    found["longest"], found["shortest"] = (bound(len(path) for path, _ in paths) for bound in (max, min))
    found["edges"] = sum(count for each in reads[:end] for _, count in each)
    found["to output"] = sum(count for _, count in reads[end])
    found["from input"] = sum(count for each in reads for source, count in each if source == 0)
    for path, _ in paths:
        found["path " + " > ".join(graph.labels[v] for v in path)] += 1
        found[f"length {len(path)}"] += 1
    for kind in set(graph.labels[1:]):
        on = [sum(graph.labels[v] == kind for v in path) for path, _ in paths]
        found[f"most {kind}"], found[f"fewest {kind}"] = max(on), min(on)
        found[f"mean {kind}"] = sum(on) / len(on)
        found[f"through {kind}"] = sum(n > 0 for n in on) / len(on)
        found[f"flow {kind}"] = float(sum(share * n for (_, share), n in zip(paths, on, strict=True)))
    for v in range(1, end + 1):
        for source, count in reads[v]:
            if source:
                found[f"edge {graph.labels[source]} > {graph.labels[v] if v < end else 'output'}"] += count
    for v in range(1, end):
        before = [path.index(v) + 1 for path, _ in paths if v in path]
        behind = [len(path) - path.index(v) for path, _ in paths if v in path]
        fan_in = sum(count for _, count in reads[v])
        readers = sum(count for each in reads for source, count in each if source == v)
        places = {
            "depth": max(before),
            "near": min(before),
            "in": fan_in,
            "out": readers,
            "height": max(behind),
            "low": min(behind),
        }
        for place, number in places.items():
            found[f"{place} {min(number, 6)}"] += 1
            found[f"{place} {min(number, 6)} {graph.labels[v]}"] += 1
        found[f"op {graph.labels[v]}"] += 1
    return {name: value for name, value in found.items() if value}


def random_graph(rng: np.random.Generator) -> Instances:
    """Up to seven ops of three kinds that read up to three nodes once or twice, some by two ports."""
    size = int(rng.integers(8))
    labels = ("", *rng.choice(list("abc"), size).tolist())

    def some(upto: int) -> Multiset:
        chosen = rng.choice(upto, min(upto, int(rng.integers(1, 4))), replace=False)
        return tuple((int(source), int(rng.integers(1, 3))) for source in sorted(chosen))

    ports = [(), *(tuple(sorted(some(v) for _ in range(rng.integers(1, 3)))) for v in range(1, size + 1))]
    used = {source for each in ports for port in each for source, _ in port}
    output = tuple((v, int(rng.integers(1, 3))) for v in range(size + 1) if v not in used or v == size)
    return Instances(labels, tuple(ports), output)


def test_features_are_those_of_all_paths() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        graph = random_graph(rng)
        assert features_of(graph) == pytest.approx(by_paths(graph), abs=1e-8)


def test_of_columns_that_tell_the_same_there_is_one() -> None:
    space = load_space("mlp")
    rows = space.sample(500, np.random.default_rng(0), prior=False)
    columns = StructureEncoder.learn(space, rows)(rows)
    alike = np.abs(np.corrcoef(columns.T.astype(np.float64)))
    assert (alike[np.triu_indices(len(alike), 1)] < 1 - 1e-9).all()


def test_a_column_weighs_as_much_as_networks_differ_in_it() -> None:
    space = load_space("nasbench201")
    encoder = NetworkEncoder.learn(space, np.random.default_rng(0))
    rows = space.sample(2_000, np.random.default_rng(1), prior=False)
    structure = encoder(rows)[1]
    assert structure.shape == (2_000, len(encoder.structure.names))
    assert (structure**2).sum(axis=1).mean() == pytest.approx(1, abs=0.1)
    shares = unlike_most(encoder.structure(rows))
    weights = structure.var(axis=0)
    assert weights / weights.sum() == pytest.approx(shares / shares.sum(), rel=0.3, abs=1e-3)


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


def test_what_was_encoded_last_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metanas.encoding._network_encoder._REMEMBERED", 2)
    space = parse_space_text(CELL)
    encoder = NetworkEncoder.learn(space, np.random.default_rng(0))
    first, second, third = space.rows(27).reshape(3, 9, -1)
    known = encoder(first)
    encoder(second)
    # Asked for again, it is no longer the one to be forgotten for a third.
    assert encoder(first.copy()) is known
    encoder(third)
    assert encoder(first) is known
    encoder(second)
    encoder(third)
    again = encoder(first)
    assert again is not known
    assert all((a == b).all() for a, b in zip(again, known, strict=True))


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
