"""The check of shapes says of random small spaces what building every one of their networks says."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.architecture import Architecture, ShapeCheck, ShapeError, check_shapes
from metanas.architecture._row_shapes import RowShapes
from metanas.architecture._shape_steps import ShapeSteps
from metanas.errors import MetanasError
from metanas.space import Problem, SearchSpace, parse_space_text

SAMPLES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "image": ((4, 6, 6), ()),
    "tokens": ((5,), (9,)),
    "table": ((4,), ()),
}
LET = {"w": {"choice": [4, 6]}, "s": {"int": [1, 2]}, "n": {"int": [0, 2]}, "form": {"choice": ["a", "b"]}}
WIDTH = st.sampled_from([4, 6, "$w", "$w + 2", {"choice": [4, 6]}, {"int": [4, 6], "step": 2}])
STRIDE = st.sampled_from([1, 2, "$s", {"choice": [1, 2]}])
TIMES = st.sampled_from([0, 1, 2, "$n", "2 - $n", {"choice": [1, 0]}, {"int": [1, 2]}])
MERGE = st.sampled_from(["sum", "concat", "mean", "product"])


def op(name: str, **parameters: Any) -> dict[str, Any]:
    return {name: parameters}


IMAGE = st.one_of(
    st.sampled_from(["relu", "identity", "none", "se", "global_pool", "flatten", {"dropout": {"rate": 0.5}}]),
    st.builds(lambda w, s: op("conv", out=w, stride=s), WIDTH, STRIDE),
    st.builds(lambda s: op("max_pool", kernel=2, stride=s), STRIDE),
    st.builds(lambda w, g: op("conv", out=w, kernel=1, groups=g), WIDTH, st.sampled_from([2, 3, {"choice": [1, 3]}])),
    st.builds(lambda s: op("identity", stride=s), STRIDE),
    st.builds(lambda w, s: op("mbconv", out=w, stride=s, expand={"choice": [1, 2]}), WIDTH, STRIDE),
    st.builds(lambda w: op("patches", out=w, size={"choice": [2, 4]}), WIDTH),
)
TOKENS = st.one_of(
    st.sampled_from(["norm", "identity", "class_token", "positional", "none", {"mlp": {"ratio": {"choice": [1, 2]}}}]),
    st.builds(lambda w: op("embed", dim=w), WIDTH),
    st.builds(lambda h: op("attention", heads=h), st.sampled_from([2, 3, "$w", {"choice": [2, 3, 4]}])),
    st.builds(lambda w: op("conv", out=w, kernel={"choice": [2, 3]}), WIDTH),
    st.builds(lambda w: op("lstm", hidden=w, layers=2, bidirectional={"choice": [True, False]}), WIDTH),
)
TABLE = st.one_of(
    st.sampled_from(["relu", "identity", "norm", "total", "none", {"tokenize": {"dim": 4}}, "global_pool"]),
    st.builds(lambda w: op("dense", units=w, norm={"choice": ["none", "batch"]}), WIDTH),
    st.builds(lambda w: op("linear", out=w), WIDTH),
)
LEAVES = {"image": IMAGE, "tokens": TOKENS, "table": TABLE}


def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    edge = st.one_of(inner, st.builds(lambda m: {"choice": {"off": "none", "on": m}}, inner), st.just("optional"))
    return st.one_of(
        st.lists(inner, max_size=3),
        st.builds(lambda *o: {"choice": {f"o{i}": m for i, m in enumerate(o)}}, inner, inner),
        st.builds(lambda a, b: {"choice": {"a": a, "b": b}, "by": "$form"}, inner, inner),
        st.builds(lambda m: {"optional": m}, inner),
        st.builds(lambda m: {"residual": m}, inner),
        st.builds(lambda m, t, s: {"repeat": m, "times": t, "share": s}, inner, TIMES, st.booleans()),
        st.builds(lambda a, b, merge: {"parallel": [a, b], "merge": merge}, inner, inner, MERGE),
        st.builds(
            lambda a, b, c, merge, out: {
                "graph": {"nodes": 3, "edges": {"0->1": a, "1->2": b, "0->2": c}, "merge": merge, "output": out}
            },
            edge, edge, edge, MERGE, MERGE,
        ),
        st.builds(
            lambda m, most: {"graph": {"nodes": {"p": m}, "every_edge": "optional", "max_edges": most, "output": "concat"}},
            inner, st.sampled_from([1, 2, 3]),
        ),
        st.builds(
            lambda m, out: {"graph": {"inputs": ["before", "previous"], "steps": 1, "each_step": {"inputs": 2, "op": m}, "output": out}},
            inner, MERGE,
        ),
        st.builds(
            lambda out, s: {"graph": {"steps": 2, "stride": s, "each_step": {"inputs": 1, "op": "identity"}, "output": out}},
            MERGE, st.sampled_from([1, 2]),
        ),
    )  # fmt: skip


@st.composite
def space_files(draw: st.DrawFn) -> tuple[str, int]:
    """The text of a space, and which constraint is put on it."""
    kind = draw(st.sampled_from(["image", "image", "tokens", "table"]))
    leaves = LEAVES[kind]
    module = st.recursive(leaves, grow, max_leaves=5)
    block = draw(module)
    uses = st.sampled_from(["block", {"new": "block"}])
    first = [op("embed", dim="$w")] if kind == "tokens" and draw(st.booleans()) else []
    network = [
        *first,
        *draw(st.lists(st.one_of(module, uses), min_size=1, max_size=3)),
        *draw(st.sampled_from([["head"], ["head"], []])),
    ]
    sections = {"space": "random", "input": kind, "let": LET, "blocks": {"block": block}, "network": network}
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in sections.items())  # JSON is YAML
    return text, draw(st.integers(0, 3))


def loaded(text: str, kind: int) -> SearchSpace:
    """The space, under a constraint on its first and last decisions."""
    space = parse_space_text(text)
    names = [d.name for d in space.decisions if not d.name[0].isdigit()]
    if len(names) < 2 or kind == 0:
        return space
    one, other = names[0], names[-1]
    rule = {1: f"{one} == {other}", 2: f"not {one} or {other} != {one}", 3: f"{one} != {other}"}
    return parse_space_text(f'{text}\nconstraints: ["{rule[kind]}"]\n')


def failures(space: SearchSpace, rows: Sequence[Sequence[int]], outputs: int = 3) -> dict[str, int]:
    """Rules, without their numbers, that networks break first, and how many do."""
    shape, vocabulary = SAMPLES[space.input]
    found: dict[str, int] = {}
    for row in rows:
        architecture = Architecture(space, tuple(int(v) for v in row))
        if architecture.graph.output is None:
            continue
        try:
            architecture.layers(shape, outputs, vocabulary)
        except ShapeError as error:
            rule = re.sub(r"\d+", "N", error.rule)
            found[rule] = found.get(rule, 0) + 1
    return found


def checked(space: SearchSpace) -> ShapeCheck:
    shape, vocabulary = SAMPLES[space.input]
    return check_shapes(space, shape, 3, vocabulary)


def right_at(problem: Problem, space: SearchSpace, row: np.ndarray[Any, Any]) -> bool:
    """Whether a row's network has nothing wrong by a rule at a place, nor before that."""
    if Architecture(space, tuple(int(v) for v in row)).graph.output is None:
        return False
    shape, vocabulary = SAMPLES[space.input]
    shapes = RowShapes(space, row, ShapeSteps(shape, 3, vocabulary))
    rule = re.sub(r"\d+", "N", problem.rule)
    mark = None if rule.startswith("the network ends") else problem.mark
    return mark not in shapes.hidden and not any(b.mark == mark and b.rule == rule for b in shapes.errors)


def agrees(space: SearchSpace, rows: np.ndarray[Any, Any]) -> None:
    expected = failures(space, rows.tolist())
    check = checked(space)
    assert check.rows is None
    assert bool(check.found) == bool(expected)
    assert set(expected) <= {re.sub(r"\d+", "N", one.problem.rule) for one in check.found}
    known = {tuple(row) for row in rows.tolist()}
    for one in check.found:
        assert one.row in known, "a row of the space"
        assert failures(space, [one.row]), "that cannot be built"
        if one.problem.found.endswith("in every network"):
            assert not any(right_at(one.problem, space, row) for row in rows)
    places = [(one.problem.mark, re.sub(r"\d+", "N", one.problem.rule)) for one in check.found]
    assert len(set(places)) == len(places)


def all_rows(space: SearchSpace) -> np.ndarray[Any, Any] | None:
    """Every row, where there are few."""
    if space.size is None or not 0 < space.size <= 400:
        return None
    try:
        return space.rows(2000)  # constraints leave few of many
    except MetanasError:
        return None


@settings(max_examples=100, deadline=None)
@given(space_files())
def test_the_check_says_what_building_every_network_says(made: tuple[str, int]) -> None:
    try:
        space = loaded(*made)
    except MetanasError:
        return
    rows = all_rows(space)
    if rows is not None:
        agrees(space, rows)
