"""Canonical ids: equal exactly for rows that denote the same computation."""

import gc
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from metanas.architecture import Architecture, CanonicalIds, OpGraph
from metanas.space import SearchSpace, load_space, parse_space_text

CELL = """
space: cell
network:
  - graph:
      nodes: 4
      every_edge: {choice: [none, identity, relu_conv_bn, avg_pool]}
  - head
"""
MERGES = """
space: merges
blocks:
  part:
    depth: 2
    choice:
      leaf: {choice: [relu, bn, identity]}
      two: [{new: part}, {new: part}]
      fork: {parallel: [{new: part}, {new: part}], merge: sum}
      mean: {parallel: [{new: part}, {new: part}], merge: mean}
      cat: {parallel: [{new: part}, {new: part}], merge: concat}
      times: {parallel: [{new: part}, relu], merge: product}
      skip: {residual: {new: part}}
network: [{new: part}, {new: part}, head]
"""
TRIPLE = """
space: triple
network:
  - graph:
      nodes: 3
      edges: {0->1: {choice: [none, identity, relu, bn]}, 0->2: {choice: [none, identity, relu]}, 1->2: {choice: [identity, relu, bn]}}
      merge: MERGE
  - {choice: {a: {parallel: [relu, relu]}, b: {parallel: [relu, identity, identity]}, c: bn, d: {residual: {residual: relu}}}}
  - head
"""


def dissolved(graph: OpGraph) -> "nx.DiGraph[Any]":
    """The labelled graph of op instances, written down from the language's definition: sums become multisets."""
    result: nx.DiGraph[Any] = nx.DiGraph()
    result.add_node("end", label="output")
    if graph.output is None:
        return result
    values: list[Counter[Any]] = []
    for index, node in enumerate(graph.nodes):
        if node.op in ("sum", "residual"):
            values.append(sum((values[i] for i in node.inputs), Counter()))
            continue
        parameters = {k: v for k, v in sorted(node.parameters.items()) if v is not None}
        result.add_node(index, label=f"{node.op} {parameters}")
        for place, source in enumerate(node.inputs):
            result.add_node((index, place), label="port")
            result.add_edge((index, place), index, count=1)
            for instance, count in values[source].items():
                result.add_edge(instance, (index, place), count=count)
        values.append(Counter({index: 1}))
    for instance, count in values[graph.output].items():
        result.add_edge(instance, "end", count=count)
    keep = nx.ancestors(result, "end") | {"end"}
    return result.subgraph(keep).copy()


def same(a: "nx.DiGraph[Any]", b: "nx.DiGraph[Any]") -> bool:
    return nx.is_isomorphic(
        a, b, node_match=lambda x, y: x["label"] == y["label"], edge_match=lambda x, y: x["count"] == y["count"]
    )


def networks(text: str, rows: int | None = None) -> list[tuple[str, "nx.DiGraph[Any]"]]:
    space = parse_space_text(text)
    ids = CanonicalIds(space)
    table = space.rows(20_000) if rows is None else space.sample(rows, np.random.default_rng(0))
    return [(ids.of(row), dissolved(Architecture(space, tuple(row.tolist())).graph)) for row in table]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (CELL, 120),
        (MERGES, 150),
        *((TRIPLE.replace("MERGE", kind), None) for kind in ("sum", "mean", "concat", "product")),
    ],
    ids=["cell", "merges", "sum", "mean", "concat", "product"],
)
def test_ids_are_equal_exactly_for_isomorphic_graphs(text: str, rows: int | None) -> None:
    kinds: dict[str, nx.DiGraph[Any]] = {}
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for name, graph in networks(text, rows):
        if name in kinds:
            assert same(kinds[name], graph)
            continue
        kinds[name] = graph
        groups[(len(graph), graph.size(), *sorted(label for _, label in graph.nodes(data="label")))].append(name)
    for names in groups.values():  # graphs of other sizes or labels are not isomorphic
        for one, other in combinations(names[:40], 2):
            assert not same(kinds[one], kinds[other])
    assert len(kinds) > 10


@pytest.fixture(scope="module")
def nasbench201() -> list[str]:
    space = load_space("nasbench201")
    return CanonicalIds(space).of_all(space.rows(15_625))


def test_nasbench201_has_5425_networks(nasbench201: list[str]) -> None:
    """The language's definition on 15,625 rows; one of the networks is the one that cuts every path."""
    assert len(nasbench201) == 15_625
    assert len(set(nasbench201)) == 5_425


@pytest.mark.parametrize("name", ["nasbench201", "darts", "mobile", "mlp", "nasbench_graph"])
def test_rows_at_once_have_the_ids_of_rows_one_by_one(name: str) -> None:
    space = load_space(name)
    rows = space.sample(50, np.random.default_rng(0))
    ids = CanonicalIds(space)
    assert CanonicalIds(space).of_all(rows) == [ids.of(row) for row in rows]
    assert gc.isenabled()


def ids_of(*networks_: str) -> list[str]:
    found = []
    for network in networks_:
        space = parse_space_text(f"space: s\nnetwork: {network}\n")
        found.append(Architecture(space, tuple(space.rows(1)[0].tolist())).canonical_id)
    return found


@pytest.mark.parametrize(
    "spellings",
    [
        ("[relu, identity, bn, head]", "[relu, bn, head]", "[[relu], [], bn, head]"),
        # A sum of sums is one sum.
        (
            "[{parallel: [relu, {parallel: [bn, gelu]}]}, head]",
            "[{parallel: [relu, bn, gelu]}, head]",
            "[{parallel: [{parallel: [gelu, relu]}, bn]}, head]",
        ),
        ("[{residual: {residual: relu}}, head]", "[{parallel: [identity, relu, identity]}, head]"),
        (
            "[{graph: {nodes: 3, edges: {0->1: relu, 1->2: bn, 0->2: identity}}}, head]",
            "[{residual: [relu, bn]}, head]",
        ),
        # Dead edges: what nothing reads, and what reads nothing.
        ("[{graph: {nodes: 4, edges: {0->1: relu, 1->3: bn, 0->2: conv, 2->3: none}}}, head]", "[relu, bn, head]"),
        ("[{graph: {nodes: 4, edges: {0->1: none, 1->2: conv, 2->3: bn, 0->3: relu}}}, head]", "[relu, head]"),
        ("[{graph: {nodes: 3, edges: {0->1: conv, 0->2: relu}}}, head]", "[relu, head]"),
        ("[{parallel: [relu, none]}, head]", "[relu, head]"),
        ("[{parallel: [relu, none], merge: concat}, head]", "[relu, head]"),
        ("[{residual: none}, relu, head]", "[relu, head]"),
        ("[none, relu, head]", "[{parallel: [none, none]}, head]", "[relu, none]"),
        # The order of branches and nodes says nothing.
        (
            "[{graph: {nodes: 4, edges: {0->1: relu, 0->2: bn, 1->3: gelu, 2->3: silu}}}, head]",
            "[{graph: {nodes: 4, edges: {0->1: bn, 0->2: relu, 1->3: silu, 2->3: gelu}}}, head]",
        ),
        ("[{parallel: [relu, bn], merge: concat}, head]", "[{parallel: [bn, relu], merge: concat}, head]"),
        # A parameter at its default is the parameter not given.
        ("[conv, head]", "[{conv: {kernel: 3, stride: 1}}, head]"),
    ],
)
def test_one_computation_has_one_id(spellings: tuple[str, ...]) -> None:
    assert len(set(ids_of(*spellings))) == 1


@pytest.mark.parametrize(
    "networks_",
    [
        # One instance read twice is not two instances.
        (
            "[conv, {parallel: [bn, gelu]}, head]",
            "[{parallel: [[conv, bn], [conv, gelu]]}, head]",
        ),
        ("[relu, {parallel: [identity, identity]}, head]", "[{parallel: [relu, relu]}, head]", "[relu, head]"),
        ("[relu, bn, head]", "[bn, relu, head]"),
        ("[conv, head]", "[{conv: {kernel: 5}}, head]", "[{conv: {bias: false}}, head]", "[conv_bn, head]"),
        *[
            tuple(f"[{{parallel: [relu, bn], merge: {kind}}}, head]" for kind in ("sum", "mean", "concat", "product"))
        ],
        ("[{residual: relu}, head]", "[{residual: {residual: relu}}, head]", "[relu, head]"),
        # A mean of means is no mean of all.
        (
            "[{parallel: [relu, {parallel: [bn, gelu], merge: mean}], merge: mean}, head]",
            "[{parallel: [relu, bn, gelu], merge: mean}, head]",
        ),
        ("[{parallel: [identity, identity], merge: mean}, relu, head]", "[{parallel: [identity, identity]}, relu, head]"),
    ],
)  # fmt: skip
def test_other_computations_have_other_ids(networks_: tuple[str, ...]) -> None:
    assert len(set(ids_of(*networks_))) == len(networks_)


def test_unused_decisions_do_not_count() -> None:
    space = parse_space_text(
        "space: s\nnetwork: [{graph: {nodes: 3, edges: {0->1: {conv: {kernel: {choice: [1, 3]}}}, 1->2: {choice: [none, relu]}, 0->2: bn}}}, head]\n"
    )
    found = Counter(Architecture(space, tuple(row)).canonical_id for row in space.rows(9).tolist())
    assert sorted(found.values()) == [1, 1, 2]


def test_training_settings_are_part_of_the_id() -> None:
    space = parse_space_text(
        "space: s\nnetwork: [{choice: {a: relu, b: [relu, identity]}}, head]\ntrain: {lr: {choice: [0.1, 0.01]}}\n"
    )
    found = Counter(Architecture(space, tuple(row)).canonical_id for row in space.rows(9).tolist())
    assert sorted(found.values()) == [2, 2]


def some_ids(space: SearchSpace) -> list[str]:
    ids = CanonicalIds(space)
    return [ids.of(row) for row in space.sample(30, np.random.default_rng(3))]


def test_an_id_does_not_depend_on_what_was_asked_before_nor_on_the_process() -> None:
    space = load_space("convnet")
    together = some_ids(space)
    alone = [
        Architecture(space, tuple(row.tolist())).canonical_id for row in space.sample(30, np.random.default_rng(3))
    ]
    assert together == alone
    script = (
        "import numpy as np; from metanas.space import load_space; from metanas.architecture import CanonicalIds\n"
        "space = load_space('convnet'); ids = CanonicalIds(space)\n"
        "print([ids.of(row) for row in space.sample(30, np.random.default_rng(3))])\n"
    )
    root = str(Path(__file__).parents[2])
    other = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "5", "PYTHONPATH": root},
    )
    assert other.stdout.strip() == str(together)
    assert all(len(name) == 16 for name in together)


@pytest.mark.parametrize(
    ("name", "networks"),
    [
        ("nasbench_macro", 3_969),  # Su et al. 2021, section 5: an identity may stand anywhere in its stage
        ("nasbench_graph", 26_206),  # Qin et al. 2022, section 3.1
    ],
)
def test_networks_of_the_literature(name: str, networks: int) -> None:
    space = load_space(name)
    ids = CanonicalIds(space)
    rows = space.rows(60_000)  # those that meet the constraints
    rows = rows[space.satisfies(rows)]
    assert len({ids.of(row) for row in rows}) == networks


def test_all_sizes_of_nats_bench_are_different_networks() -> None:
    space = load_space("nats_bench_size")
    ids = CanonicalIds(space)
    rows = space.rows(8**5)[::16]
    assert len({ids.of(row) for row in rows}) == len(rows)
