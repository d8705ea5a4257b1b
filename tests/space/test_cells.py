"""Cells with ops on nodes, and cells of steps."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from metanas.architecture import Architecture, CanonicalIds, ShapeError
from metanas.space import LanguageError, SearchSpace, load_space, parse_space_text


def cell(graph: str, extra: str = "") -> SearchSpace:
    return parse_space_text(
        f"space: s\n{extra}\nnetwork: [{{conv_bn: {{out: 8}}}}, {{id: cell, graph: {graph}}}, head]\n"
    )


def ops(space: SearchSpace, **values: object) -> list[str]:
    architecture = Architecture.from_values(
        space, {f"cell.{name.replace('__', '->')}": v for name, v in values.items()}
    )
    return [node.op for node in architecture.graph.nodes]


NODES = "{nodes: {a: {choice: [relu, silu]}, b: bn}, every_edge: optional, output: concat, max_edges: 4}"


def test_nodes_apply_their_op_to_what_they_merge() -> None:
    space = cell(NODES)
    edges = ["input__a", "input__b", "a__b", "input__output", "a__output", "b__output"]
    assert [d.name for d in space.decisions] == [f"cell.{e.replace('__', '->')}" for e in ["input__a", "input__b", "a__b"]] + [
        "cell.input->output", "cell.a->output", "cell.b->output", "cell.a",
    ]  # fmt: skip
    chain = ops(space, **{e: e in ("input__a", "a__b", "b__output") for e in edges}, a="silu")
    assert chain == ["input", "conv_bn", "silu", "bn", "head"]
    merged = ops(space, **{e: e in ("input__a", "input__output", "a__output") for e in edges}, a="relu")
    assert merged == ["input", "conv_bn", "relu", "concat", "head"]


def test_a_bound_on_edges_holds_in_counts_samples_and_rows() -> None:
    space = cell(NODES)
    expected = 2 * sum(comb(6, k) for k in range(5))
    assert space.size == expected == len(space.rows(1000))
    rows = space.sample(200, np.random.default_rng(0))
    edges = [k for k, d in enumerate(space.decisions) if "->" in d.name]
    assert (rows[:, edges] == 1).sum(axis=1).max() <= 4


def test_a_bound_on_edges_of_two_cells_counts_each() -> None:
    text = "space: s\nblocks: {c: {graph: {nodes: 3, every_edge: optional, max_edges: 2}}}\nnetwork: [{new: c}, {id: d, new: c}, head]\n"
    assert parse_space_text(text).size == 7 * 7


def test_nasbench101_has_the_rows_of_its_definition() -> None:
    assert load_space("nasbench101").size == 3**5 * sum(comb(21, k) for k in range(10))


STEPS = "{inputs: [before, previous], steps: 2, each_step: {inputs: 2, op: {choice: {skip: identity, conv: {relu_conv_bn: {}}}}}}"


def test_steps_choose_states_and_ops() -> None:
    space = cell(STEPS)
    assert [d.name for d in space.decisions] == [
        "cell.step1.op1", "cell.step1.op2", "cell.step2.inputs", "cell.step2.op1", "cell.step2.op2",
    ]  # fmt: skip
    assert list(space.decisions[2].values) == ["before+previous", "before+step1", "previous+step1"]
    assert space.size == 2**4 * 3


def test_darts_has_the_rows_of_its_paper() -> None:
    """Each cell: pairs of earlier states times 7 operations on both (Liu et al. 2019, section 3.1, without 'none')."""
    space = load_space("darts")
    one_cell = np.prod([comb(k, 2) * 7**2 for k in (2, 3, 4, 5)])
    assert space.size == int(one_cell) ** 2


def test_before_is_what_the_cell_before_read() -> None:
    space = parse_space_text(
        "space: s\nblocks: {c: {graph: {inputs: [before, previous], steps: 1, each_step: {inputs: 2, op: relu}, merge: sum}}}\n"
        "network: [conv_bn, {repeat: c, times: 2}, head]\n"
    )
    nodes = Architecture(space, ()).graph.nodes
    stem = next(k for k, node in enumerate(nodes) if node.op == "conv_bn")
    sums = [k for k, node in enumerate(nodes) if node.op == "sum"]
    second = [nodes[i].inputs[0] for i in nodes[sums[1]].inputs]
    assert sorted(second) == [stem, sums[0]]


def test_a_reduction_halves_both_inputs_of_the_cells_after_it() -> None:
    text = """
space: s
let: {channels: 8}
ops: {enter: {relu_conv_bn: {out: $channels, kernel: 1}}}
blocks:
  normal: {graph: {inputs: [before, previous], steps: 2, each_input: enter, each_step: {inputs: 2, op: max_pool}}}
  reduction: {graph: {inputs: [before, previous], steps: 2, stride: 2, each_input: enter, each_step: {inputs: 2, op: max_pool}}}
network: [{conv_bn: {out: 24}}, normal, {reduction: {channels: 16}}, {repeat: {normal: {channels: 16}}, times: 2}, head]
"""
    space = parse_space_text(text)
    for row in space.sample(20, np.random.default_rng(1)):
        layers = Architecture(space, tuple(row.tolist())).layers((3, 16, 16), 5)
        assert layers.layers[layers.output].shape == (5,)
        assert (32, 8, 8) in {layer.shape for layer in layers.layers}


def test_ids_of_spaces_with_two_inputs_tell_networks_apart() -> None:
    space = cell(STEPS)
    ids = CanonicalIds(space)
    rows = space.rows(1000)
    assert 1 < len({ids.of(row) for row in rows}) < len(rows)
    fresh = [CanonicalIds(space).of(row) for row in rows[::7]]
    assert fresh == [ids.of(row) for row in rows[::7]]


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ("{steps: 2}", "each_step"),
        ("{each_step: {op: relu}}", "needs 'steps'"),
        ("{steps: 0, each_step: {op: relu}}", "whole number from 1 to 16"),
        ("{steps: 2, inputs: [a, b], each_step: {op: relu}}", "[before, previous]"),
        ("{steps: 2, stride: 2, each_step: {op: relu}}", "takes the stride"),
        ("{nodes: {input: relu}, every_edge: optional}", "not input or output"),
        ("{nodes: {a: relu}, every_edge: optional, max_edges: none}", "max_edges"),
        ("{nodes: {a: relu}, every_edge: optional, output: conact}", "did you mean 'concat'?"),
    ],
)
def test_breaches(graph: str, words: str) -> None:
    with pytest.raises(LanguageError) as caught:
        cell(graph)
    assert words in str(caught.value)


def test_a_block_takes_let_values() -> None:
    head = "space: s\nlet: {width: 8, wide: {choice: [16, 32]}}\nblocks: {b: {conv_bn: {out: $width}}}\n"
    space = parse_space_text(head + "network: [b, {b: {width: $wide}}, {b: {width: '$wide + 1'}}, head]\n")
    assert [d.name for d in space.decisions] == ["wide"]
    layers = Architecture.from_values(space, {"wide": 32}).layers((3, 8, 8), 2)
    assert [layer.shape[0] for layer in layers.layers if layer.kind == "Conv2d"] == [8, 32, 33]
    with pytest.raises(LanguageError, match="did you mean 'width'"):
        parse_space_text(head + "network: [{b: {widht: 3}}, head]\n")


def test_a_symbol_counts_and_cannot_be_built() -> None:
    space = parse_space_text(
        "space: s\nops: {gcn: {symbol: {name: gcn}}, gat: {symbol: {name: gat}}}\n"
        "network: [{parallel: [{choice: [gcn, gat]}, {id: other, choice: [gcn, gat]}]}]\n"
    )
    ids = CanonicalIds(space)
    assert len({ids.of(row) for row in space.rows(10)}) == 3
    with pytest.raises(ShapeError, match="symbol"):
        Architecture(space, (0, 0)).layers((4,), 2)
