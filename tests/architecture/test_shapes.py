"""The check of shapes: what it says of each form, of combinations, and of what is too much to go through."""

import re
from typing import Any

import numpy as np
import pytest

from metanas.architecture import LOWER, Architecture, ShapeCheck, ShapeError, check_shapes, has_shapes
from metanas.architecture import _shape_check as checks
from metanas.architecture._layers import Layer, Module, Trace
from metanas.architecture._shape_steps import DEFAULT_SAMPLES, SHAPELESS
from metanas.space import OPS, LanguageError, SearchSpace, builtin_spaces, load_space, parse_space_text


def space_of(network: str, kind: str = "image", more: str = "") -> SearchSpace:
    return parse_space_text(f"space: s\ninput: {kind}\n{more}network: {network}\n", "space.yaml")


def checked(space: SearchSpace, *shape: int, outputs: int | None = None) -> ShapeCheck:
    """The check; each problem's row is one of the space, and fails when its network is made."""
    check = check_shapes(space, shape or None, outputs)
    _, ids = DEFAULT_SAMPLES[space.input]
    for one in check.found:
        row = np.array([one.row])
        assert space.satisfies(row)[0]
        assert (space.active(row) == (row >= 0)).all()
        with pytest.raises(ShapeError):
            Architecture(space, one.row).layers(check.input_shape, outputs or 7, ids)
    return check


def only(space: SearchSpace, *shape: int, outputs: int | None = None) -> str:
    """The text of the one problem of a space."""
    (problem,) = checked(space, *shape, outputs=outputs).problems
    return str(problem)


LET = "let: {w: {choice: [8, 16]}, v: {choice: [8, 16]}, n: {int: [1, 3]}, how: {choice: [a, b]}}\n"

FORMS = {
    "a merge": ("[{parallel: [{conv: {out: 8}}, {conv: {out: 16}}]}, head]", ["[8, 8, 8]", "[16, 8, 8]", "in every network"]),
    "an option": ("[{parallel: [{conv: {out: 8}}, {choice: {a: {conv: {out: 8}}, b: {conv: {out: 9}}}}]}, head]", ["parallel.choice=b"]),
    "two let values": ("[{parallel: [{conv: {out: $w}}, {conv: {out: $v}}]}, head]", ["for example when", "w=", "v="]),
    "an optional": ("[{conv: {out: 8}}, {parallel: [identity, {optional: {conv: {out: 9}}}]}, head]", ["parallel.optional=true"]),
    "a repeat": ("[{id: body, repeat: {max_pool: {kernel: 2, stride: 2}}, times: {int: [1, 5]}}, head]", ["when body.times is 4 or 5", "[2, 1, 1]"]),
    "a residual": ("[{conv: {out: 8}}, {residual: {choice: {a: conv, b: global_pool}}}, head]", ["residual=b", "[8]", "[8, 8, 8]"]),
    "arithmetic": ("[{conv: {out: '$w + $v'}}, {conv: {out: 32, groups: 16}}, {conv: {groups: 32}}, head]", ["16 groups, 24 channels", "for example when"]),
    "a choice by a let value": ("[{choice: {a: relu, b: flatten}, by: $how}, {choice: {a: conv, other: se}, by: $how}, head]", ["when how=b"]),
    "edges": ("[{conv: {out: 8}}, {id: cell, graph: {nodes: 3, every_edge: {choice: {off: none, on: conv, wide: {conv: {out: 9}}}}}}, head]", ["at cell.2", "(line 4)"]),
    "nodes": ("[{graph: {nodes: {p: {max_pool: {kernel: 2}}, q: relu}, every_edge: optional, max_edges: 3}}, head]", ["[2, 8, 8]", "[2, 7, 7]"]),
    "steps": ("[{id: cell, graph: {inputs: [before, previous], steps: 2, each_step: {inputs: 2, op: {choice: {a: conv, b: {conv: {out: 3}}}}}}}, head]", ["at cell.step"]),
    "two inputs": ("[{conv: {out: 8}}, {repeat: [{conv: {stride: 2}}, {graph: {inputs: [before, previous], steps: 1, each_step: {inputs: 2, op: relu}}}], times: $n}, head]", ["[8, 4, 4]", "[8, 2, 2]", "when n is 2 or 3"]),
    "the end": ("[{choice: {a: head, b: conv}}]", ["ends in a row of 5 outputs", "[2, 8, 8]", "choice=b", "end it with head"]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_problem_of_each_form_names_place_shapes_and_decisions(form: str) -> None:
    network, words = FORMS[form]
    text = only(space_of(network, more=LET), 2, 8, 8, outputs=5)
    assert re.match(r"space\.yaml:4:\d+: \$\.network\[\d\]", text)
    for word in words:
        assert word in text


def test_a_block_and_its_recursion() -> None:
    blocks = "blocks: {part: {depth: 2, choice: {leaf: {conv: {out: {choice: [8, 9]}}}, fork: {parallel: [{new: part}, {new: part}]}}}}\n"
    text = only(space_of("[{conv: {out: 8}}, {new: part}, head]", more=blocks))
    assert text.startswith("space.yaml:3:")
    assert "$.blocks.part" in text


GOOD = {
    "one value for both branches": "[{parallel: [{conv: {out: $w}}, [{conv: {out: $w}}, {conv: {out: $w}}]]}, head]",
    "one shared repeat": "[{parallel: [{repeat: {max_pool: {stride: 2}}, times: $n}, {repeat: {conv: {out: 2, stride: 2}}, times: $n}]}, head]",
    "a shared block": "[{parallel: [{new: {b: {w: $v}}}, {new: {b: {w: $v}}}]}, head]",
    "options by one value": "[{choice: {a: {conv: {out: 8}}, b: {conv: {out: 9}}}, by: $how}, {parallel: [relu, {choice: {a: {conv: {out: 8}}, b: {conv: {out: 9}}}, by: $how}]}, head]",
    "a residual projects": "[{residual: {conv: {out: $w, stride: 2}}}, head]",
    "what breaks is cut off": "[{graph: {nodes: 3, edges: {0->1: {patches: {out: 8, size: 200}}, 1->2: none, 0->2: identity}}}, head]",
    "no path at all": "[{choice: {a: relu, b: [none, flatten, conv]}}, head]",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_no_false_alarm(name: str) -> None:
    more = LET + "blocks: {b: {conv: {out: $w}}}\n"
    check = checked(space_of(GOOD[name], more=more), 2, 64, 64)
    assert check.problems == ()
    assert str(check) == "every network can be built for samples of shape [2, 64, 64]"


HEADS = "[{embed: {dim: $width}}, {id: layer, attention: {heads: {choice: [2, 3]}}}, mean_pool, head]"
WIDTHS = "let: {width: {choice: [48, 64]}}\n"


def test_a_combination_of_values_and_the_constraint_that_leaves_it_out() -> None:
    text = only(space_of(HEADS, "tokens", WIDTHS))
    assert text == (
        "space.yaml:4:47: $.network[1]: the heads of an attention divide its channels, found 3 heads, 64 channels at "
        "layer.attention, when width=64 and layer.heads=3; give widths that are multiples, or head_dim, or leave such "
        'networks out with the constraint "not (width == 64 and layer.heads == 3)"'
    )
    for rule, good in [
        ("not (width == 64 and layer.heads == 3)", True), ("layer.heads == 2", True), ("width != 48", False),
        ("params <= 10", False),
    ]:  # fmt: skip
        assert bool(checked(space_of(HEADS, "tokens", f'{WIDTHS}constraints: ["{rule}"]\n')).found) != good


def test_a_constraint_is_suggested_only_where_it_is_enough() -> None:
    more = "let: {a: {choice: [8, 9, 10]}, b: {choice: [8, 9, 10]}}\n"
    assert "constraint" not in only(space_of("[{parallel: [{conv: {out: $a}}, {conv: {out: $b}}]}, head]", more=more))
    network = "[{parallel: [{conv: {out: 8}}, {conv: {out: {id: out, choice: [8, 9, 10]}}}]}, head]"
    text = only(space_of(network))
    (rule,) = re.findall('constraint "(.*)"', text)
    assert rule == "parallel.conv_2.out != 9 and parallel.conv_2.out != 10"
    assert not checked(space_of(network, more=f'constraints: ["{rule}"]\n')).found


def test_edges_that_may_not_be_there_at_once_do_not_meet() -> None:
    cell = "{graph: {nodes: {p: {conv: {out: 8}}}, every_edge: optional, max_edges: %d}}"
    network = f"[{{conv: {{out: 4}}}}, {cell}, head]"
    assert not checked(space_of(network % 2)).found
    assert "[4, 224, 224]" in only(space_of(network % 3))


def test_all_problems_at_once_and_each_place_once() -> None:
    space = space_of(
        "[{repeat: {conv: {out: 8, groups: {choice: [1, 5]}}}, times: 3, share: false}, {patches: {out: 8, size: {choice: [4, 250]}}}, "
        "{parallel: [{conv: {out: {choice: [8, 9]}}}, relu]}, head]"
    )
    check = checked(space)
    assert [problem.rule for problem in check.problems] == [
        "groups divide the channels", "a window of 250 (stride 250, dilation 1) fits its input",
        "the branches of a sum have equal shapes",
    ]  # fmt: skip
    with pytest.raises(LanguageError) as raised:
        check.raise_if_any()
    assert raised.value.problems == check.problems


UNEQUAL = "{parallel: [{conv: {out: 8}}, {conv: {out: 9}}]}"
HIDING = {
    "what comes after": (f"[{{choice: {{a: relu, b: {UNEQUAL}}}}}, {UNEQUAL}, head]", ["when choice=b", "in every network"]),
    "another option": (f"[{{choice: {{a: {UNEQUAL}, b: {{conv: {{out: 8, groups: 3}}}}, c: relu}}}}, {UNEQUAL}, head]", ["when choice=a", "when choice=b", "in every network"]),
    "another branch": (f"[{{parallel: [{{choice: {{a: relu, b: {UNEQUAL}}}}}, {UNEQUAL}], merge: concat}}, head]", ["when parallel.choice=b", "in every network"]),
    "the end": (f"[{{choice: {{a: relu, b: {UNEQUAL}}}}}]", ["in every network", "when choice=b"]),
}  # fmt: skip


@pytest.mark.parametrize("form", HIDING)
@pytest.mark.parametrize("steps", [checks.MOST_STEPS, 20])
def test_what_else_is_wrong_says_nothing_of_a_place(form: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MOST_STEPS", steps)
    network, when = HIDING[form]
    check = checked(space_of(network), 2, 8, 8)
    for problem, text in zip(check.problems, when, strict=True):
        if check.rows is None:
            assert problem.found.endswith(f", {text}")
        elif text.startswith("when"):  # rows that were tried prove nothing of all
            assert problem.found.endswith(f"for example {text}")
        else:
            assert "when" not in problem.found
            assert "every" not in problem.found


def test_each_rule_of_a_place_has_its_own_condition() -> None:
    def modules(path: str, shape: tuple[int, ...], arguments: Any) -> Module:
        raise ShapeError(f"{arguments['act']} is known")

    text = "space: s\nops: {my: {python: 'mine:My'}}\nnetwork: [{repeat: {my: {act: {choice: [relu, mish]}}}, times: 2}, head]\n"
    space = parse_space_text(text, "space.yaml", allow_python=True)
    found = {problem.rule: problem.found for problem in check_shapes(space, modules=modules).problems}
    assert found["relu is known"].endswith("when repeat.act=relu")
    assert found["mish is known"].endswith("when repeat.act=mish")


def test_what_a_data_set_says_decides() -> None:
    space = space_of("[{max_pool: {kernel: 2, stride: 2}}, {max_pool: {kernel: 2, stride: 2}}, head]")
    assert not checked(space, 1, 4, 4).found
    assert "fits its input" in only(space, 1, 3, 3)
    assert "ends in a row of 3 outputs" in only(space_of("[{dense: {units: 4}}]", "table"), 4, outputs=3)
    assert not checked(space_of("[{dense: {units: 4}}]", "table"), 4).found


def test_modules_of_the_users_are_asked() -> None:
    def modules(path: str, shape: tuple[int, ...], arguments: Any) -> Module:
        return Module((shape[0] * arguments["times"], *shape[1:]), 0, 0)

    text = (
        "space: s\nops: {wide: {python: 'mine:Wide'}}\n"
        "network: [{parallel: [identity, {wide: {times: {choice: [1, 2]}}}]}, head]\n"
    )
    space = parse_space_text(text, "space.yaml", allow_python=True)
    (problem,) = check_shapes(space, modules=modules).problems
    assert "[3, 224, 224] from the input and [6, 224, 224] from parallel.wide (line 3)" in problem.found
    assert "times=2" in problem.found
    assert "Python code is allowed" in str(check_shapes(space).problems[0])


@pytest.mark.parametrize("name", builtin_spaces())
def test_shipped_spaces_can_be_built(name: str) -> None:
    """For a typical sample, and for the smallest of scikit-learn's."""
    space = load_space(name)
    small = {"image": (1, 8, 8), "sequence": (1, 10), "tokens": (3,), "table": (1,), "pairs": (2,)}[space.input]
    for shape in (None, small):
        check = check_shapes(space, shape, 10)
        assert check.problems == ()
        assert check.rows is None
        assert check.ranges
    assert has_shapes(space) == (name != "nasbench_graph" and not space.tabular)


# --- what is too much


WIDE = "[{repeat: {residual: {dense: {units: {int: [8, 512]}}}}, times: {int: [1, 3]}, share: false}, head]"


def test_long_ranges_are_thinned_where_all_values_are_too_much() -> None:
    check = check_shapes(space_of(WIDE, "table"))
    assert (check.problems, check.ranges, check.rows) == ((), False, None)
    assert "of ranges of more than 33 values" in str(check)
    values = checks._some(505)
    assert len(values) == checks.MANY_VALUES
    assert {*range(16), 504} <= set(values)
    # One range is not too much.
    assert check_shapes(
        space_of("[{dense: {units: {int: [8, 512]}}}, {residual: {dense: {units: 8}}}, head]", "table")
    ).ranges


def test_rows_are_tried_where_even_that_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MOST_STEPS", 20)
    check = check_shapes(load_space("mlp"))
    assert check.problems == ()
    assert check.rows is not None
    assert check.rows > checks.RANDOM_ROWS
    assert f"each of {check.rows} networks tried" in str(check)
    found = str(checked(space_of(HEADS, "tokens", WIDTHS)).problems[0])
    assert "64 channels at layer.attention, for example when width=64 and layer.heads=3" in found
    for network, words in FORMS.values():
        text = only(space_of(network, more=LET), 2, 8, 8, outputs=5)
        assert all(word in text for word in words if "when" not in word and "every" not in word)


def test_thousands_of_decisions_end_in_an_answer() -> None:
    many = "{repeat: {conv: {out: {choice: [8, 9]}}}, times: 200, share: false}"
    network = f"[{{parallel: [{{conv: {{out: 8}}}}, [{', '.join([many] * 10)}]]}}, head]"
    check = checked(space_of(network))
    assert [problem.rule for problem in check.problems] == ["the branches of a sum have equal shapes"]
    # Which of so many parts are there decides on the number of channels: a diagram as deep as they are many.
    part = "{parallel: [identity, {optional: {conv: {out: 1}}}], merge: concat}"
    deep = space_of(
        f"[{{repeat: {part}, times: 200, share: false}}, {{repeat: {part}, times: 200, share: false}}, head]"
    )
    assert check_shapes(deep).problems == ()


# --- what shapes depend on


@pytest.mark.parametrize("name", [name for name in LOWER if name not in ("python", "symbol")])
def test_parameters_that_are_not_looked_at_change_no_shape(name: str) -> None:
    parameters = OPS[name].parameters
    values: dict[str, list[Any]] = {
        key: [*p.options, *([False, True] if p.kind == "flag" else []), *((p.low, p.high) if p.low is not None else ())]
        for key, p in parameters.items()
        if key in SHAPELESS
    }
    base = {key: 6 if p.required else p.default for key, p in parameters.items()}
    for shape, vocabulary in [((4, 9, 9), ()), ((4, 9), ()), ((4,), ()), ((9,), (7,)), ((2,), (7, 7))]:
        for key, options in values.items():
            assert len({outcome(name, {**base, key: value}, shape, vocabulary) for value in options}) == 1, key


def outcome(name: str, parameters: dict[str, Any], shape: tuple[int, ...], vocabulary: tuple[int, ...]) -> object:
    layers = [Layer("x", "input", {}, (), shape, 0, 0)]
    if not vocabulary:
        layers.append(Layer("y", "input", {}, (), shape, 0, 0))
    trace = Trace(layers, 3, vocabulary=vocabulary)
    try:
        return trace.shape(LOWER[name](trace, len(layers) - 1, **parameters))
    except ShapeError as error:
        return error.rule
