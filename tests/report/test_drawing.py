"""Drawings: what a reader must find in them, and that equal input gives equal bytes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest

from metanas.architecture import Architecture, OpGraph, OpNode
from metanas.errors import MetanasError
from metanas.report import describe_space, draw_architecture, draw_space
from metanas.report._labels import walk
from metanas.report._layout import Size, layered
from metanas.report._narrow import narrowed
from metanas.space import Cell, SearchSpace, Switch, builtin_spaces, load_space, parse_space_text, templates_in
from metanas.testing.samples import SAMPLES

SHIPPED = builtin_spaces()
NASBENCH = {"cell.0->1": "conv3x3", "cell.0->2": "skip", "cell.1->2": "conv1x1", "cell.0->3": "none",
            "cell.1->3": "avg_pool3x3", "cell.2->3": "conv3x3"}  # fmt: skip
RECURSIVE = """
space: recursive
language: 1
input: image
blocks:
  motif:
    depth: 4
    choice:
      leaf: {conv_bn_act: {kernel: {choice: [3, 5]}}}
      chain: [{new: motif}, {new: motif}]
      fork: {parallel: [{new: motif}, {new: motif}], merge: sum}
network: [{conv_bn: {out: 8}}, {new: motif}, head]
"""


def texts(svg: bytes) -> list[str]:
    """All texts of a drawing; fails when it is no XML."""
    return [element.text or "" for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def drawn(nodes: list[OpNode], output: int | None, **options: object) -> bytes:
    """The drawing of a graph made by hand."""
    space = load_space("mlp")
    architecture = Architecture(space, tuple(int(v) for v in space.sample(1, np.random.default_rng(0))[0]))
    architecture.__dict__["graph"] = OpGraph(tuple(nodes), output)  # in place of the cached property
    return draw_architecture(architecture, **{"format": "svg", **options})  # type: ignore[arg-type]


def random_graph(n: int, reach: int, seed: int = 0) -> list[OpNode]:
    """``n`` ops that read up to three of the ``reach`` before them."""
    rng = np.random.default_rng(seed)
    nodes = [OpNode("input", site="input")]
    for i in range(1, n):
        sources = rng.choice(min(i, reach), min(i, reach, int(rng.integers(1, 4))), replace=False)
        inputs = tuple(int(i - 1 - s) for s in sources)
        nodes.append(OpNode("sum", {}, inputs) if len(inputs) > 1 else OpNode("linear", {"out": i}, inputs))
    return nodes


@pytest.mark.parametrize("name", SHIPPED)
def test_networks_of_shipped_spaces_show_every_op(name: str) -> None:
    space = load_space(name)
    shape, vocabulary = SAMPLES[space.input]
    for row in space.sample(3, np.random.default_rng(1)):
        architecture = Architecture(space, tuple(int(v) for v in row))
        svg = draw_architecture(architecture, format="svg", input_shape=shape, outputs=10, vocabulary=vocabulary)
        found = texts(svg)
        if architecture.graph.output is None:
            assert "no output" in found
            continue
        signs = {"sum": "+", "residual": "+", "product": "×"}
        ops = {node.op for node in architecture.graph.nodes}
        if "before" in found:
            # Drawn as cells, which say in words what their nodes do; a plain edge passes on.
            ops -= {"sum", "concat", "identity"}
        assert {signs.get(op, op) for op in ops} - set(found) == set()
        assert "×".join(map(str, shape)) in found or space.tabular or {"symbol", "before"} & set(found)
    assert draw_architecture(architecture, format="png").startswith(b"\x89PNG")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces_show_every_choice(name: str) -> None:
    space = load_space(name)
    svg = draw_space(space, format="svg")
    found = texts(svg)
    assert found[0] == name
    words = set(re.findall(r"\w+", " ".join(found)))
    for part in walk(space.template):
        if isinstance(part, Switch) and not {True, False} <= set(space.decisions[part.decision].values):
            assert set(space.decisions[part.decision].values) <= words
    assert draw_space(space, format="svg") == svg
    assert draw_space(space, format="png").startswith(b"\x89PNG")


def test_equal_parts_are_drawn_once() -> None:
    architecture = Architecture.from_values(load_space("nasbench201"), NASBENCH)
    found = texts(draw_architecture(architecture, format="svg", title="best", input_shape=(3, 32, 32), outputs=10))
    assert found.count("×5") == 3
    assert found.count("relu_conv_bn") == 3 * 3
    assert found.count("avg_pool") == 3
    assert {"best", "16×32×32", "32×16×16", "64×8×8", "64", "10", "16 3×3", "64 /2"} <= set(found)


def test_folding_takes_the_longest_repeat_and_nests() -> None:
    cell = ["relu", "relu", "relu", "tanh"]
    ops = ["bn", *(cell * 3), "gelu"]
    nodes = [OpNode("input"), *(OpNode(op, {}, (k,)) for k, op in enumerate(ops))]
    found = texts(drawn(nodes, len(ops)))
    assert (found.count("×3"), found.count("relu"), found.count("tanh")) == (2, 1, 1)


def test_parts_with_different_shapes_are_not_equal() -> None:
    text = """
space: s
language: 1
input: image
network: [{repeat: {max_pool: {kernel: 3, stride: 2}}, times: 3}, head]
"""
    architecture = Architecture(parse_space_text(text), ())
    assert "×3" in texts(draw_architecture(architecture, format="svg"))
    found = texts(draw_architecture(architecture, format="svg", input_shape=(3, 32, 32), outputs=2))
    assert {"3×16×16", "3×8×8", "3×4×4"} <= set(found)
    assert "×3" not in found


def test_shared_copies_have_the_shape_of_each() -> None:
    text = """
space: s
language: 1
input: table
network: [{repeat: [{linear: {out: 8}}, {dropout: {rate: 0.0}}], times: 2}, head]
"""
    found = texts(
        draw_architecture(Architecture(parse_space_text(text), ()), format="svg", input_shape=(5,), outputs=2)
    )
    assert [text for text in found if text.isdigit()] == ["5", "8", "8", "8", "2"]


def test_odd_graphs() -> None:
    assert "no output" in texts(drawn([OpNode("input")], None, input_shape=(3,), outputs=2))
    assert texts(drawn([OpNode("input")], 0)) == ["input"]
    assert texts(drawn([OpNode("input"), OpNode("head", {"dropout": 0.0}, (0,))], 1)) == ["input", "head"]
    twice = [OpNode("input"), OpNode("conv", {"out": 8}, (0,)), OpNode("sum", {}, (1, 1, 0))]
    assert "×2" in texts(drawn(twice, 2))
    assert drawn(twice, 2, format="png", title="<&>").startswith(b"\x89PNG")
    assert "a <b> & \u6f22" in texts(drawn(twice, 2, title="a <b> & \u6f22"))
    assert texts(drawn(twice, 2, title="a\x00b"))[0] == "a b"
    with pytest.raises(MetanasError, match="svg or png"):
        drawn(twice, 2, format="gif")


@pytest.mark.parametrize("reach", [1, 6, 300])
def test_large_graphs_are_quick(reach: int) -> None:
    nodes = random_graph(300, reach)
    start = time.perf_counter()
    svg = drawn(nodes, 299)
    assert time.perf_counter() - start < 5
    assert texts(svg).count("linear") == sum(node.op == "linear" for node in nodes)


def test_names_are_escaped_and_odd_spaces_are_drawn(odd: SearchSpace) -> None:
    found = texts(draw_space(odd, format="svg"))
    expected = {
        "a < b & c > d",
        "$w {8, 16}",
        "out max($w, 12) × 2",
        "kernel {1 to 40}",
        "edge a: one of",
        "edge c: optional",
    }
    assert expected <= set(found)


def test_copies_that_differ_in_names_alone_are_drawn_once() -> None:
    found = texts(draw_space(load_space("mobile"), format="svg"))
    assert found.count("mbconv") == 9  # four stages whose first copy has a stride, and one without
    assert found.count("copies 2 to 4") == 4
    assert "stage1 ×{2, 3, 4}" in found


def test_a_copy_of_a_cell_that_decides_for_itself_says_so() -> None:
    cell = "{graph: {nodes: 3, every_edge: {choice: [identity, conv]}}}"
    for second, told in (("cell", False), ("{new: cell}", True)):
        text = f"space: s\nblocks: {{cell: {cell}}}\nnetwork: [cell, {second}, head]\n"
        drawn = draw_space(parse_space_text(text), format="svg").decode()
        assert ("decides for itself" in drawn) == told


def test_parts_that_differ_in_few_values_are_drawn_once_and_say_which() -> None:
    found = texts(draw_space(load_space("darts"), format="svg"))
    assert (found.count("normal"), found.count("step4")) == (4, 2)  # three uses and the drawing of it; two cells
    assert {"out 16", "out 32", "out 64"} <= set(found)
    assert any(text.endswith("here out 16, elsewhere out 32 or out 64") for text in found)
    network = "[{conv: {out: 8}}, {new: {b: {w: 8}}}, {new: {b: {w: 9}}}, {new: {other: {w: 8}}}, head]"
    block = (
        "{choice: {a: [{conv: {out: $w}}, bn, relu, bn, relu, bn], z: {conv: {out: %s, kernel: 1}}, y: [bn, relu, bn]}}"
    )
    blocks = f"blocks: {{b: {block % '$w'}, other: {block % 9}}}"
    found = texts(
        draw_space(parse_space_text(f"space: s\nlet: {{w: 1}}\n{blocks}\nnetwork: {network}\n"), format="svg")
    )
    assert (found.count("b: one of"), found.count("other: one of")) == (1, 1)  # one 8 for two values is another part
    assert "here out 8, elsewhere out 9; each use decides for itself" in found


def test_uses_of_a_block_name_what_they_bind() -> None:
    space = load_space("nasbench_graph")
    found = texts(draw_space(space, format="svg"))
    assert {"$op1", "$op2", "$op3", "$op4", "raw by $op1: one of", "by $op1: one of"} <= set(found)
    assert "$op" not in " ".join(found).replace("$op1", "").replace("$op2", "").replace("$op3", "").replace("$op4", "")
    network = "[{new: {b: {w: '2 * $width'}}}, head]"
    text = "space: s\nlet: {w: 1, width: {choice: [4, 8]}}\nblocks: {b: {conv: {out: '$w - 1'}}}\nnetwork: " + network
    assert "out (2 × $width) - 1" in texts(draw_space(parse_space_text(text), format="svg"))
    assert "conv out (2 × $width) - 1" in describe_space(parse_space_text(text))


def test_choices_by_a_let_value_and_repeats_are_named() -> None:
    text = """
space: s
let: {norm: {choice: [batch, layer]}, deep: {int: [1, 3]}}
network:
  - id: body
    repeat: [{choice: {batch: bn, layer: layer_norm}, by: $norm}, relu]
    times: $deep
  - {repeat: relu, times: 2}
  - head
"""
    space = parse_space_text(text)
    found = texts(draw_space(space, format="svg"))
    assert {"$norm {batch, layer}", "by $norm: one of", "body ×$deep", "repeat ×2"} <= set(found)
    for line in ("  body ×$deep\n", "    by $norm: one of\n", "  repeat ×2\n", "  $norm {batch, layer}\n"):
        assert line in describe_space(space)


def test_parts_of_which_each_use_decides_for_itself_say_so() -> None:
    found = " ".join(texts(draw_space(load_space("hierarchical_nasbench201"), format="svg")))
    for name in ("reduce", "keep", "c", "down"):
        assert re.search(rf"\b{name}: one of here [^:]*; each use decides for itself", found)
    assert "elsewhere groups 32 or groups 64 every" not in found  # the cell is shared


def test_a_space_of_decisions_alone_is_a_table_of_them() -> None:
    space = load_space("mlp_classification")
    found = texts(draw_space(space, format="svg"))
    assert {decision.name for decision in space.decisions} <= set(found)
    assert "1, 2, 3" in found
    assert "input" not in found


def test_recursive_spaces_name_their_parts() -> None:
    space = parse_space_text(RECURSIVE)
    start = time.perf_counter()
    found = texts(draw_space(space, format="svg"))
    description = describe_space(space)
    assert time.perf_counter() - start < 5
    assert len(found) < 200
    assert len(description.splitlines()) < 900
    assert "as motif" in description


def test_another_process_draws_the_same() -> None:
    code = (
        "import sys; from metanas.report import draw_space; from metanas.space import load_space;"
        "sys.stdout.buffer.write(draw_space(load_space('nasbench201'), format='svg'));"
        "assert 'torch' not in sys.modules"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert other.replace(b"\r\n", b"\n") == draw_space(load_space("nasbench201"), format="svg")


@pytest.mark.parametrize("seed", range(5))
def test_layout_keeps_nodes_apart_and_edges_off_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = random_graph(25, 8, seed)
    sizes = [Size(float(rng.integers(10, 60)), float(rng.integers(10, 60)), float(rng.integers(10, 40))) for _ in nodes]
    placed = layered(sizes, [(u, v) for v, node in enumerate(nodes) for u in node.inputs])
    boxes = [(x - s.left, x + s.right, y, y + s.height) for (x, y), s in zip(placed.nodes, sizes, strict=True)]
    for i, (l1, r1, t1, b1) in enumerate(boxes):
        for l2, r2, t2, b2 in boxes[:i]:
            assert r1 <= l2 or r2 <= l1 or b1 <= t2 or b2 <= t1
    for (u, v), course in placed.edges.items():
        assert course[0][1] == pytest.approx(boxes[u][3])
        assert course[-1][1] == pytest.approx(boxes[v][2])
        assert all(y1 >= y0 - 1e-9 for (_, y0), (_, y1) in pairwise(course))
        for (x0, y0), (x1, y1) in pairwise(course):
            for k, (left, right, top, bottom) in enumerate(boxes):
                if k not in (u, v) and x0 == x1:  # straight stretches pass layers; curves lie between them
                    assert not (left < x0 < right and y0 < bottom - 1e-9 and y1 > top + 1e-9)


CELLS = """
space: cells
language: 1
input: image
blocks:
  steps:
    graph:
      inputs: [before, previous]
      steps: 3
      each_step: {inputs: 2, op: {choice: {skip: identity, sep: {sep_conv: {kernel: 3}}}}}
      output: concat
  nodes:
    graph:
      nodes: {a: {choice: {c3: {conv_bn_act: {kernel: 3}}, mp: {max_pool: {kernel: 3}}}}, b: relu}
      every_edge: optional
      max_edges: 4
network: [{conv_bn: {out: 8}}, {repeat: steps, times: 2}, nodes, head]
"""


def test_cells_of_steps_and_of_nodes() -> None:
    space = parse_space_text(CELLS)
    found = texts(draw_space(space, format="svg"))
    assert {"steps", "before", "previous", "step3", "edge a: one of", "nodes", "node a: one of", "node b"} <= set(found)
    assert any("of dashed edges a node reads 2" in text for text in found)
    assert any("dashed edges are optional" in text for text in found)
    assert any("at most 4 edges" in text for text in found)
    text = describe_space(space)
    assert "step3 reads 2 of before, previous, step1, step2" in text
    assert "optional edges: input->a" in text
    assert "at most 4 edges" in text
    for row in space.sample(5, np.random.default_rng(0)):
        architecture = Architecture(space, tuple(int(v) for v in row))
        assert "input" in texts(draw_architecture(architecture, format="svg"))


def test_cells_that_read_the_cell_before_are_drawn_once_each() -> None:
    space = load_space("darts")
    row = space.sample(1, np.random.default_rng(1))[0]
    svg = draw_architecture(Architecture(space, tuple(int(v) for v in row)), format="svg", title="found")
    found = texts(svg)
    assert found[0] == "found"
    assert found.count("step4") == 2  # a normal and a reduction cell, once for all widths
    assert {"out 16", "out 32", "out 64"} <= set(found)
    assert "repeat ×6" in found
    assert not [text for text in found if text.startswith("op1")]
    chosen = {str(v).removesuffix("3x3").removesuffix("5x5") for k, v in space.to_values(row).items() if ".op" in k}
    ops = {"sep_conv", "dil_conv", "max_pool", "avg_pool"}
    assert {name.rstrip("_") for name in chosen} & ops == set(found) & ops


def test_edges_that_none_cuts_are_not_in_a_narrowed_cell() -> None:
    text = """
space: cut
network:
  - graph: {nodes: 3, every_edge: {choice: [none, relu]}}
  - {choice: {two: {repeat: bn, times: 2}, one: bn}}
  - head
"""
    space = parse_space_text(text)
    values = {"graph.0->1": "relu", "graph.0->2": "none", "graph.1->2": "relu", "choice": "two"}
    (cell,) = [
        p for p in templates_in(narrowed(Architecture.from_values(space, values)).template) if isinstance(p, Cell)
    ]
    assert [len(node.edges) for node in cell.nodes] == [1, 1]
