"""Random small space files, for properties that hold for every space."""

import json
from typing import Any

import pytest
from hypothesis import strategies as st

from metanas.space import SearchSpace, parse_space_text

LET = {"w": {"choice": [4, 8]}, "k": {"int": [1, 3], "step": 2}, "n": {"int": [0, 2]}}


def _modules(names: list[str]) -> st.SearchStrategy[Any]:
    number = st.sampled_from([1, 3, "$k", {"choice": [1, 3]}, {"int": [1, 3], "step": 2}])
    times = st.sampled_from([0, 1, 2, "$n", "2 - $n", {"choice": [1, 0]}, {"int": [1, 2]}])
    leaves = st.one_of(
        st.sampled_from(["relu", "identity", "bn", *names, *({"new": name} for name in names)]),
        st.builds(lambda out, kernel: {"conv": {"out": out, "kernel": kernel}}, st.sampled_from([4, "$w"]), number),
    )

    def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.lists(inner, max_size=2),
            st.builds(lambda *o: {"choice": {f"o{i}": m for i, m in enumerate(o)}}, inner, inner),
            st.builds(lambda *o: {"choice": {f"o{i}": m for i, m in enumerate(o)}, "prior": [1, 2, 0.5]}, inner, inner, inner),
            st.builds(lambda m: {"optional": m}, inner),
            st.builds(lambda m: {"residual": m}, inner),
            st.builds(lambda m, t, s: {"repeat": m, "times": t, "share": s}, inner, times, st.booleans()),
            st.builds(lambda a, b: {"parallel": [a, b], "merge": "sum"}, inner, inner),
            st.builds(lambda m: {"graph": {"nodes": 3, "edges": {"0->1": m, "1->2": {"choice": ["none", "relu"]}, "0->2": "optional"}}}, inner),
        )  # fmt: skip

    return st.recursive(leaves, grow, max_leaves=5)


_PLAIN, _WITH_A, _WITH_BOTH = _modules([]), _modules(["a"]), _modules(["a", "b"])


@st.composite
def space_files(draw: st.DrawFn) -> str:
    """The text of a space with a handful of decisions."""
    blocks = {"a": draw(_PLAIN), "b": draw(_WITH_A)}
    network = [draw(_WITH_BOTH), draw(_WITH_BOTH), "head"]
    sections = {"space": "random", "let": LET, "blocks": blocks, "network": network}
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in sections.items())  # JSON is YAML


def _with_constraint(text: str, kind: int) -> SearchSpace:
    """The space, under a constraint on its first and last decisions."""
    space = parse_space_text(text)
    names = [d.name for d in space.decisions if not d.name[0].isdigit()]
    if len(names) < 2 or kind == 0:
        return space
    one, other = names[0], names[-1]
    rule = {
        1: f"{one} == {other}",
        2: f"not {one} == {names[len(names) // 2]} or {other} != {one}",
        3: f"{one} != {other}",
    }
    return parse_space_text(f'{text}\nconstraints: ["{rule[kind]}"]\n')


small_spaces = st.builds(_with_constraint, space_files(), st.integers(0, 3))


@pytest.fixture(scope="session")
def spaces() -> st.SearchStrategy[SearchSpace]:
    """Small spaces, some with a constraint on decisions."""
    return small_spaces
