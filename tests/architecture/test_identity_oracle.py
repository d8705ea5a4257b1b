"""Ids against isomorphism of whole graphs, on random small spaces."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter, defaultdict

import networkx as nx
import numpy as np
import pytest

from metanas.architecture import Architecture, CanonicalIds, OpGraph
from metanas.space import SearchSpace, parse_space_text

MERGES = ["sum", "sum", "sum", "mean", "concat", "product"]


def random_module(rng: random.Random, depth: int) -> object:
    """A module expression that has few ops, so that its networks are often the same."""
    if depth == 0 or rng.random() < 0.15:
        leaves = ["relu", "tanh", "identity", "identity", "none", {"avg_pool": {"kernel": {"choice": [1, 3]}}}]
        return rng.choice(leaves[:4] + leaves[-1:] if rng.random() < 0.7 else leaves)

    def inner() -> object:
        return random_module(rng, depth - 1)

    match rng.randrange(8):
        case 0:
            return [inner() for _ in range(rng.randint(2, 3))]
        case 1:
            return {"choice": {"abc"[k]: inner() for k in range(rng.randint(2, 3))}}
        case 2:
            return {"optional": inner()}
        case 3:
            return {"repeat": inner(), "times": {"int": [1, 2]}, "share": rng.random() < 0.5}
        case 4:
            return {"residual": inner()}
        case 5 | 6:
            return {"parallel": [inner() for _ in range(rng.randint(2, 3))], "merge": rng.choice(MERGES)}
        case _:
            return {"graph": {"nodes": rng.randint(3, 4), "every_edge": inner(), "merge": rng.choice(MERGES)}}


def random_space(seed: int) -> SearchSpace:
    rng = random.Random(seed)
    network = [random_module(rng, rng.randint(1, 3)) for _ in range(rng.randint(1, 3))]
    return space_of(network)


def space_of(network: object) -> SearchSpace:
    return parse_space_text(json.dumps({"space": "oracle", "language": 1, "input": "image", "network": network}))


def whole(graph: OpGraph) -> nx.DiGraph:
    """The dissolved graph of a whole network: instances, a node for each port, multiplicities on edges."""
    result = nx.DiGraph()
    if graph.output is None:
        return result

    def read(port: object, value: Counter[int]) -> None:
        result.add_node(port, label="port")
        for source, count in value.items():
            result.add_edge(source, port, count=count)

    values: list[Counter[int]] = []
    for index, node in enumerate(graph.nodes):
        inputs = [values[k] for k in node.inputs]
        if node.op in ("sum", "residual"):
            values.append(sum(inputs, Counter()))
            continue
        result.add_node(index, label=f"{node.op} {sorted(node.parameters.items(), key=str)}")
        for k, value in enumerate(inputs):
            read((index, k), value)
            result.add_edge((index, k), index, count=1)
        values.append(Counter([index]))
    read("output", values[graph.output])
    result.nodes["output"]["label"] = "output"
    return result


def same(a: nx.DiGraph, b: nx.DiGraph) -> bool:
    return nx.is_isomorphic(
        a, b, node_match=lambda p, q: p["label"] == q["label"], edge_match=lambda p, q: p["count"] == q["count"]
    )


def check(space: SearchSpace, n: int) -> int:
    """How many of the networks of ``n`` random rows were drawn in two ways or more."""
    rows = np.unique(space.sample(n, np.random.default_rng(0)), axis=0)
    ids = CanonicalIds(space)
    groups: dict[str, list[nx.DiGraph]] = defaultdict(list)
    for row in rows:
        graph = whole(Architecture(space, tuple(int(v) for v in row)).graph)
        if len(graph) < 120:
            groups[ids.of(row)].append(graph)
    for group in groups.values():
        assert all(same(group[0], other) for other in group[1:])
    by_hash: dict[str, list[nx.DiGraph]] = defaultdict(list)
    for group in groups.values():
        # The hash only spares comparisons: graphs of different hash are not isomorphic.
        hashed = nx.weisfeiler_lehman_graph_hash(group[0].to_undirected(), node_attr="label", edge_attr="count")
        by_hash[hashed].append(group[0])
    for alike in by_hash.values():
        assert not any(same(a, b) for a, b in itertools.combinations(alike, 2))
    return sum(len(group) > 1 for group in groups.values())


@pytest.mark.parametrize("block", range(5))
def test_ids_are_equal_exactly_when_whole_graphs_are_isomorphic(block):
    assert sum(check(random_space(seed), 40) for seed in range(8 * block, 8 * block + 8)) > 0


ENTRIES = [{"conv": {"kernel": 1}}, {"conv": {"kernel": 1, "out": {"choice": [4, 8]}}}, "bn", "relu", None]


def random_steps(rng: random.Random, *, reduces: bool) -> dict[str, object]:
    """A cell of the kind of DARTS, with few ops."""
    ops = ["identity", {"avg_pool": {"kernel": 3}}, {"max_pool": {"kernel": 3}}, "none"]
    options = ops[:2] if rng.random() < 0.3 else ops[: rng.randint(3, 4)]
    steps: dict[str, object] = {
        "inputs": ["before", "previous"],
        "steps": rng.choice([1, 2, 2, 2]),
        "each_step": {
            "inputs": rng.choice([1, 2, 2]),
            "op": {"choice": {"abcd"[k]: op for k, op in enumerate(options)}},
        },
        "output": rng.choice(["concat", "concat", "mean", "sum"]),
    }
    entry = rng.choice(ENTRIES[:2] if rng.random() < 0.7 else ENTRIES)
    if entry is not None:
        steps["each_input"] = entry
    return {"graph": steps | ({"stride": 2} if reduces else {})}


def random_relay(seed: int) -> SearchSpace:
    """Cells that read the two modules before them, one after another, with or without modules between."""
    rng = random.Random(seed)
    blocks = {"normal": random_steps(rng, reduces=False), "reduction": random_steps(rng, reduces=True)}
    between = [["relu"], [], [], [{"residual": "tanh"}], [{"avg_pool": {"stride": 2}}]]
    network: list[object] = [*rng.choice(between)]
    for _ in range(rng.randint(2, 3)):
        cell = rng.choice(["normal", "normal", "reduction", {"new": "normal"}])
        network += [
            cell if rng.random() < 0.7 else {"repeat": cell, "times": 2},
            *rng.choice(between[1:3] * 3 + between),
        ]
    text = json.dumps(
        {"space": "oracle", "language": 1, "input": "image", "blocks": blocks, "network": [*network, "gelu"]}
    )
    return parse_space_text(text)


@pytest.mark.parametrize("block", range(5))
def test_ids_of_cells_that_read_two_modules(block):
    assert sum(check(random_relay(seed), 40) for seed in range(8 * block, 8 * block + 8)) > 0


@pytest.mark.parametrize("cells", [["two"], [{"new": "two"}, {"new": "two"}], ["two", "two"]], ids=str)
def test_entries_of_the_first_cell_may_be_swapped(cells):
    options = {"a": "identity", "b": {"avg_pool": {"kernel": 3}}, "c": "none"}
    steps = {"inputs": 2, "op": {"choice": options}}
    graph = {"inputs": ["before", "previous"], "steps": 2, "each_input": "conv", "each_step": steps}
    space = {"space": "s", "blocks": {"two": {"graph": graph | {"output": "concat"}}}, "network": ["relu", *cells]}
    assert check(parse_space_text(json.dumps(space)), 120) > 0


DOUBLE = {"parallel": ["identity", "identity"]}
LOOK_ALIKES = {
    "a scale before a residual": [
        [DOUBLE, {"parallel": ["identity", ["relu"], [DOUBLE, "relu"]]}],
        {"parallel": [[DOUBLE, "identity"], [DOUBLE, "relu"], [DOUBLE, DOUBLE, "relu"]]},
    ],
    "twice before, or after": [
        [DOUBLE, {"parallel": ["identity", [DOUBLE, "relu", DOUBLE]]}],
        [{"parallel": ["identity", [DOUBLE, DOUBLE, "relu"]]}, DOUBLE],
    ],
    "branches of a mean": [
        {"parallel": ["relu", {"residual": "relu"}], "merge": "mean"},
        {"parallel": [{"residual": "relu"}, "relu"], "merge": "mean"},
    ],
    "many equal branches": [
        {"parallel": [*[["relu", "tanh"]] * 12, ["tanh", "relu"]]},
        {"parallel": [["tanh", "relu"], *[["relu", "tanh"]] * 12]},
    ],
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_one_network_written_in_two_ways(name):
    space = space_of([{"choice": {"a": LOOK_ALIKES[name][0], "b": LOOK_ALIKES[name][1]}}, "relu"])
    first, second = space.rows(2)
    assert CanonicalIds(space).of(first) == CanonicalIds(space).of(second)


def test_one_instance_used_twice_is_not_two():
    twice = ["relu", DOUBLE]
    two = {"parallel": ["relu", "relu"]}
    space = space_of({"choice": {"twice": twice, "two": two}})
    assert check(space, 20) == 0
    first, second = space.rows(2)
    assert CanonicalIds(space).of(first) != CanonicalIds(space).of(second)
