"""The forms of the language: pairs of spellings that agree, names of decisions, conditions, counts known by hand."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from metanas.architecture import Architecture
from metanas.space import LanguageError, SearchSpace, builtin_spaces, load_space, parse_space_text

BLOCKS = """
blocks:
  cell: {relu_conv_bn: {kernel: {choice: [1, 3]}}}
  pair: [{choice: {a: relu, b: bn}}, {optional: se}]
"""


def space_of(network: str, head: str = BLOCKS) -> SearchSpace:
    return parse_space_text(f"space: s\ninput: image\n{head}\nnetwork: {network}\n")


def networks(space: SearchSpace) -> Counter[str]:
    """How many rows denote each network."""
    return Counter(Architecture(space, tuple(row)).canonical_id for row in space.rows(3000).tolist())


def names(space: SearchSpace) -> list[str]:
    return [decision.name for decision in space.decisions]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[{repeat: cell, times: 3}, head]", "[cell, cell, cell, head]"),
        ("[{repeat: cell, times: 3, share: true}, head]", "[cell, cell, cell, head]"),
        ("[{repeat: cell, times: 0}, head]", "[head]"),
        ("[{repeat: relu, times: {choice: [0, 1, 2]}}, head]", "[{choice: {n: [], o: relu, t: [relu, relu]}}, head]"),
        ("[{repeat: {new: cell}, times: 2, share: false}, head]", "[{new: cell}, {new: cell}, head]"),
        (
            "[{repeat: {conv: {kernel: {choice: [1, 3]}}}, times: 2, share: false}, head]",
            "[{conv: {kernel: {choice: [1, 3]}}}, {conv: {kernel: {choice: [1, 3]}}}, head]",
        ),
        (
            "[{repeat: [{conv: {out: 4}}, relu], times: 2, first: {stride: 2}}, head]",
            "[{conv: {out: 4, stride: 2}}, relu, {conv: {out: 4}}, relu, head]",
        ),
        ("[{repeat: relu, times: {int: [1, 3]}}, head]", "[{repeat: relu, times: {choice: [1, 2, 3]}}, head]"),
        ("[{optional: bn}, head]", "[{choice: [identity, bn]}, head]"),
        ("[{optional: [bn, relu]}, head]", "[{choice: {nothing: [], both: [bn, relu]}}, head]"),
        ("[{choice: {a: relu, b: bn}}, head]", "[{choice: [relu, bn]}, head]"),
        ("[{residual: bn}, head]", "[{parallel: [identity, bn], merge: sum}, head]"),
        ("[{residual: cell}, cell, head]", "[{parallel: [cell, identity], merge: sum}, cell, head]"),
        ("[{parallel: [bn, relu]}, head]", "[{parallel: [bn, relu], merge: sum}, head]"),
        ("[[relu, [bn]], [], head]", "[relu, bn, identity, head]"),
        ("[{relu: }, {head: {}}]", "[relu, head]"),
        ("[{graph: {nodes: 2, every_edge: bn}}, head]", "[bn, head]"),
        ("[{graph: {nodes: [a, b], edges: {a->b: cell}}}, head]", "[cell, head]"),
        (
            "[{graph: {nodes: 3, every_edge: {choice: [none, bn]}}}, head]",
            "[{graph: {nodes: [x, y, z], edges: {x->y: {choice: [none, bn]}, y->z: {choice: [none, bn]},"
            " 'x -> z': {choice: [none, bn]}}}}, head]",
        ),
        (
            "[{graph: {nodes: 3, every_edge: optional}}, head]",
            "[{graph: {nodes: 3, every_edge: {choice: [none, identity]}}}, head]",
        ),
        (
            "[{graph: {nodes: 3, every_edge: {optional: bn}, merge: mean}}, head]",
            "[{graph: {nodes: 3, every_edge: {choice: [none, bn]}, merge: mean}}, head]",
        ),
        ("[{graph: {nodes: 3, every_edge: bn, edges: {0->2: none}}}, head]", "[bn, bn, head]"),
        ("[{conv: {out: {int: [4, 8], step: 2}}}, head]", "[{conv: {out: {choice: [4, 6, 8]}}}, head]"),
        ("[cell, {repeat: cell, times: 1}, head]", "[{repeat: cell, times: 2}, head]"),
        ("[{new: pair}, head]", "[pair, head]"),
    ],
)
def test_two_spellings_agree(one: str, other: str) -> None:
    a, b = space_of(one), space_of(other)
    assert a.size == b.size
    assert networks(a) == networks(b)


def test_a_name_is_shared_and_new_is_not() -> None:
    assert space_of("[cell, cell, head]").size == 2
    assert space_of("[{new: cell}, {new: cell}, head]").size == 4
    assert space_of("[cell, {new: cell}, cell, head]").size == 4
    assert space_of("[{repeat: {new: cell}, times: 3}, head]").size == 2
    assert space_of("[{repeat: {new: cell}, times: 3, share: false}, head]").size == 8
    # 'share: false' numbers the places inside; a name still stands for the one block.
    assert space_of("[{repeat: cell, times: 3, share: false}, head]").size == 2


def test_let_values_are_one_decision() -> None:
    head = "let: {w: {choice: [4, 8]}, v: '$w * 2'}"
    space = space_of("[{conv: {out: $w}}, {conv: {out: '$w + 1'}}, {conv: {out: '$v // 3'}}, head]", head)
    assert names(space) == ["w"]
    outs = {tuple(n.parameters["out"] for n in Architecture(space, (k,)).graph.nodes[1:4]) for k in (0, 1)}
    assert outs == {(4, 5, 2), (8, 9, 5)}


def test_arithmetic_for_a_whole_number_is_rounded() -> None:
    space = space_of("[{conv: {out: '16 * $w'}}, {dropout: {rate: '$w / 4'}}, head]", "let: {w: {choice: [0.75, 1.3]}}")
    first, second = (Architecture(space, (k,)).graph.nodes for k in (0, 1))
    assert (first[1].parameters["out"], second[1].parameters["out"]) == (12, 21)
    assert second[2].parameters["rate"] == pytest.approx(0.325)


def test_flags_and_texts_pass_through_let() -> None:
    space = space_of(
        "[{mbconv: {se: 'not $s', act: $a, out: '4 * $s + 4'}}, head]",
        "let: {s: {choice: [true, false]}, a: {choice: [relu, gelu]}}",
    )
    found = [Architecture(space, tuple(row)).graph.nodes[1].parameters for row in space.rows(9).tolist()]
    assert {(p["se"], p["act"], p["out"]) for p in found} == {
        (False, "relu", 8), (False, "gelu", 8), (True, "relu", 4), (True, "gelu", 4)
    }  # fmt: skip


def test_first_takes_value_expressions_and_only_the_first_copy() -> None:
    space = space_of(
        "[{id: s, repeat: {conv: {out: 4, kernel: {choice: [1, 3]}}}, times: 3, first: {stride: {choice: [1, 2]}}}, head]",
        "",
    )
    assert space.size == 4
    strides = {
        tuple(n.parameters["stride"] for n in Architecture(space, tuple(r)).graph.nodes[1:4]) for r in space.rows(9)
    }
    assert strides == {(1, 1, 1), (2, 1, 1)}


def test_first_reaches_through_choices_and_blocks() -> None:
    space = space_of(
        "[{repeat: {choice: {one: conv, two: [relu, {new: body}]}}, times: 2, first: {stride: 2}}, head]",
        "blocks: {body: {conv_bn: {kernel: 1}}}",
    )
    for row in space.rows(9):
        convs = [n for n in Architecture(space, tuple(row)).graph.nodes if n.op.startswith("conv")]
        assert [n.parameters["stride"] for n in convs] == [2, 1]


@pytest.mark.parametrize(("depth", "size"), [(1, 1), (2, 2), (3, 5), (4, 26), (5, 677), (6, 458330)])
def test_a_grammar_counts_as_by_hand(depth: int, size: int) -> None:
    """Trees of depth at most n: t(1) = 1, t(n) = 1 + t(n - 1)^2."""
    space = space_of(
        "[{new: tree}, head]",
        f"blocks: {{tree: {{depth: {depth}, choice: {{leaf: relu, fork: [{{new: tree}}, {{new: tree}}]}}}}}}",
    )
    assert space.size == size


def test_recursion_through_an_optional_and_through_two_blocks() -> None:
    assert space_of("[{new: b}, head]", "blocks: {b: {depth: 4, optional: [relu, {new: b}]}}").size == 4 + 1 - 1
    space = space_of(
        "[{new: p}, head]",
        "blocks:\n  p: {depth: 2, choice: {end: relu, more: {new: q}}}\n  q: {depth: 2, choice: {end: bn, more: {new: p}}}",
    )
    # p > q > p > end: past depth 2 of p the option 'more' that leads to q, and so to p, is gone.
    assert space.size == 1 + 1 + 1


def test_a_shared_block_in_a_recursion_has_options_that_fit() -> None:
    """One place reached at two depths offers two sets of options: they are two decisions."""
    space = space_of(
        "[{new: a}, b, head]",
        "blocks:\n  a: {depth: 2, choice: {leaf: relu, wrap: c}}\n  c: [bn, {new: a}]\n  b: {choice: {x: {new: a}, y: bn}}",
    )
    for row in space.rows(100):
        architecture = Architecture(space, tuple(row))
        assert len(architecture.graph.nodes) >= 3
    assert len(set(networks(space))) > 1
    assert len(space.rows(100)) == space.size


def test_names_are_readable_and_unique() -> None:
    mobile = load_space("mobile")
    assert mobile.decisions[0].name == "width"
    assert {"stage1.times", "stage1.1.kernel", "stage1.2.se", "stage5.4.expand"} <= set(names(mobile))
    assert names(load_space("nasbench201")) == [
        "cell.0->1",
        "cell.0->2",
        "cell.1->2",
        "cell.0->3",
        "cell.1->3",
        "cell.2->3",
    ]
    for name in builtin_spaces():
        found = names(load_space(name))
        assert len(found) == len(set(found))
        assert all(found)
    clash = space_of(
        "[{id: a, choice: [relu, bn]}, {id: a, choice: [relu, bn]}, {choice: [relu, bn]}, {choice: [relu, bn]}, head]"
    )
    assert names(clash) == ["a", "a_2", "choice", "choice_2"]


class Reading:
    """A sequence that notes which columns are read."""

    def __init__(self, values: Sequence[Any], seen: set[int]) -> None:
        self.values, self.seen = values, seen

    def __getitem__(self, column: int) -> Any:
        self.seen.add(column)
        return self.values[column]


@pytest.mark.parametrize("space", [*map(load_space, [name for name in builtin_spaces() if not load_space(name).tabular]), space_of(
    "[{new: m}, {repeat: pair, times: {int: [0, 2]}}, {choice: {p: pair, n: {conv: {out: $w, kernel: $k}}, q: {conv: {out: $k}}}}, head]",
    "let: {w: {choice: [4, 8]}, k: {choice: [1, 3]}}" + BLOCKS
    + "  m: {depth: 3, choice: {leaf: cell, two: [{new: m}, {new: m}], r: {residual: {new: m}}}}",
)], ids=lambda space: space.name)  # fmt: skip
def test_active_decisions_are_those_that_the_network_reads(space: SearchSpace) -> None:
    from metanas.architecture._graph import expand

    cells = any("->" in name for name in space.columns)
    for row in space.sample(100, np.random.default_rng(0)):
        seen: set[int] = set()
        expand(space.template, Reading(row, seen), Reading(space.choices(row), seen))  # type: ignore[arg-type]
        active = {k for k in np.flatnonzero(row >= 0).tolist() if space.decisions[k].part == "network"}
        assert seen <= active if cells else seen == active  # a cut edge leaves what comes after it unread


def test_a_decision_comes_after_those_of_its_condition() -> None:
    for name in builtin_spaces():
        for column, decision in enumerate(load_space(name).decisions):
            assert all(parent < column for clause in decision.when for parent, _ in clause)


def test_training_settings_are_decisions_of_the_recipe() -> None:
    space = space_of(
        "[{conv: {out: $w}}, head]\ntrain: {lr: {float: [1e-4, 1e-1], log: true}, epochs: 3, batch: '$w * 8'}",
        "let: {w: {choice: [4, 8]}}",
    )
    assert names(space) == ["w", "train.lr"]
    assert [d.part for d in space.decisions] == ["network", "train"]
    row = space.to_row({"w": 8, "train.lr": 0.01})
    recipe = space.recipe_of(row)
    assert recipe["lr"] == pytest.approx(0.01, rel=0.01)
    assert (recipe["epochs"], recipe["batch"]) == (3, 64)


@pytest.mark.parametrize("name", builtin_spaces())
def test_shipped_spaces_load_and_say_what_they_are(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert len(space.about) > 20
    assert space.source
    assert space.size
    assert space.size > 1000


# --- choices by a let value


BY = """
space: s
let:
  norm: {choice: [batch, layer, none]}
  wide: {choice: [false, true]}
network:
  - {conv: {out: {choice: [8, 16]}}}
  - {choice: {batch: bn, layer: layer_norm, none: identity}, by: $norm}
  - {choice: {"true": {conv: {kernel: {choice: [5, 7]}}}, other: relu}, by: $wide}
  - {choice: {batch: bn, other: relu}, by: $norm}
  - head
"""


def test_a_choice_by_a_let_value_makes_no_decision_of_its_own() -> None:
    space = parse_space_text(BY)
    assert [d.name for d in space.decisions] == ["conv.out", "norm", "wide", "match_2.true.kernel"]
    assert space.size == 2 * 3 * (1 + 2)
    row = space.to_row({"conv.out": 8, "norm": "layer", "wide": False})
    ops = [node.op for node in Architecture(space, tuple(row.tolist())).graph.nodes]
    assert ops == ["input", "conv", "layer_norm", "relu", "relu", "head"]
    row = space.to_row({"conv.out": 8, "norm": "batch", "wide": True, "match_2.true.kernel": 7})
    ops = [node.op for node in Architecture(space, tuple(row.tolist())).graph.nodes]
    assert ops == ["input", "conv", "bn", "conv", "bn", "head"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'by: $norm}\n  - {choice: {"true',
            'by: $nrm}\n  - {choice: {"true',
            ["no let value has the name '$nrm'", "norm"],
        ),
        ("layer: layer_norm", "layr: layer_norm", ["'layr'", "did you mean 'layer'"]),
        ("layer: layer_norm, ", "", ["every value of 'by' has an option", "none for layer", "'other'"]),
        ("by: $wide", 'by: "not $wide"', ["'by' is a let value"]),
        ("by: $wide", "by: $wide, prior: [1, 2]", ["has no prior of its own"]),
    ],
)
def test_a_choice_by_a_let_value_that_is_wrong(old: str, new: str, words: list[str]) -> None:
    assert old in BY
    with pytest.raises(LanguageError) as caught:
        parse_space_text(BY.replace(old, new))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_by_a_let_value_without_a_decision_is_that_option() -> None:
    space = parse_space_text(BY.replace("{choice: [batch, layer, none]}", "layer"))
    assert [d.name for d in space.decisions] == ["conv.out", "wide", "match_2.true.kernel"]


def test_a_new_copy_may_have_let_values_of_its_own() -> None:
    text = """
space: s
let: {channels: 8}
blocks: {b: {conv: {out: $channels, kernel: {choice: [3, 5]}}}}
network: [{new: {b: {channels: 16}}}, {new: {b: {channels: 32}}}, b, b, head]
"""
    space = parse_space_text(text)
    assert space.size == 8
    nodes = Architecture(space, tuple(space.rows(8)[0].tolist())).graph.nodes
    assert [node.parameters["out"] for node in nodes if node.op == "conv"] == [16, 32, 8, 8]


def test_blocks_that_are_met_again_keep_the_conditions_of_each_place() -> None:
    text = """
space: s
let: {channels: 8}
blocks:
  inner: {conv: {out: $channels, kernel: {choice: [3, 5]}}}
  outer: [inner, {optional: relu}]
network:
  - choice: {a: [inner, inner], b: outer, c: relu, d: {outer: {channels: 16}}}
  - head
"""
    space = parse_space_text(text)
    rows = space.rows(100)
    active = {row[0]: [d.name for d, v in zip(space.decisions, row, strict=True) if v >= 0] for row in rows.tolist()}
    assert [sorted(active[k]) for k in range(4)] == [
        ["choice", "inner.kernel"], ["choice", "inner.kernel", "outer.optional"], ["choice"],
        ["choice", "inner.kernel", "outer.optional"],
    ]  # fmt: skip
    assert space.size == 2 + 4 + 1 + 4
