"""Damaged space files give a space or an error with its place, and no other exception."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.architecture import Architecture
from metanas.errors import ConstraintError
from metanas.space import OPS, LanguageError, Problem, SearchSpace, parse_space_text
from metanas.testing.damage import SNIPPETS, places

GRAMMAR = """
space: grammar
let: {w: {choice: [8, 16]}, n: {int: [1, 3]}, f: {float: [0.1, 0.9], log: true}}
ops: {mine: [{conv: {out: $w}}, relu]}
blocks:
  op: {choice: [{relu_conv_bn: {kernel: 3}}, identity, {avg_pool: {kernel: 3}}]}
  motif: {depth: 3, choice: {leaf: {new: op}, two: [{new: motif}, {new: motif}], skip: {residual: {new: motif}}}, prior: {leaf: 2}}
network:
  - conv_bn: {out: "$w * 2 // 1", kernel: 3}
  - {new: motif}
  - {id: s, repeat: {mbconv: {se: {choice: [true, false]}}}, times: $n, share: false, first: {stride: 2}}
  - graph: {nodes: [a, b, c], edges: {a->b: optional, b->c: mine, a->c: op}, merge: sum}
  - head: {dropout: {float: [0.0, 0.5], step: 0.1}}
train: {lr: {float: [1e-4, 1e-1], log: true}, optimizer: {choice: [adamw, sgd]}}
constraints: ["params <= 1e6", "n * 2 <= 4"]
"""
FILES = [
    GRAMMAR,
    *(p.read_text(encoding="utf-8") for p in sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))),
]
PARTS = [
    0, -1, 1, 3, 1e308, 10**29, None, True, "a b", "$w", "$n", "$w*$w*1e300*1e300", "$w / 0", "$n - 5", "not $w", "-$f", "", [], {},
    [1], ["relu"], {"choice": [1, 2]}, {"choice": []}, {"choice": {"a": "relu", "b": "bn"}}, {"int": [1, 3]}, {"float": [0, 1]},
    {"float": [-1e308, 1e308]}, {"new": "motif"}, {"repeat": "relu", "times": 200}, {"optional": "op"}, {"choice": [1, "a", True]},
    {"graph": {"nodes": 3, "every_edge": "optional"}}, "²", "\N{LATIN SMALL LIGATURE FI}", "n / 0 < 1", "-w < 1", "n == 'a'", "none",
    "identity", *OPS, "choice", "optional", "repeat", "residual", "parallel", "graph", "new", "id", "depth", "first", "times", "prior",
]  # fmt: skip


@st.composite
def damaged_trees(draw: st.DrawFn) -> str:
    tree = yaml.safe_load(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 2))):
        found = places(tree)
        container, key = found[draw(st.integers(0, len(found) - 1))]
        match draw(st.integers(0, 3)):
            case 0:
                source, name = found[draw(st.integers(0, len(found) - 1))]
                container[key] = copy.deepcopy(source[name])
            case 1:
                # A copy: the next round may change it, or put it into itself.
                container[key] = copy.deepcopy(draw(st.sampled_from(PARTS)))
            case 2:
                del container[key]
            case _:
                container[key] = {
                    draw(st.sampled_from(["choice", "optional", "residual", "new", "relu"])): container[key]
                }
    return yaml.safe_dump(tree, sort_keys=False)


@st.composite
def damaged_texts(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(FILES))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(st.sampled_from(["", *SNIPPETS])) + text[start + draw(st.integers(0, 6)) :]
    return text


def load(text: str) -> SearchSpace | tuple[Problem, ...]:
    try:
        return parse_space_text(text, "f")
    except LanguageError as error:
        return error.problems


def load_and_use(text: str) -> None:
    space = load(text)
    if not isinstance(space, SearchSpace):
        assert space
        assert all(str(problem).startswith("f:") for problem in space)
        return
    generator = np.random.default_rng(0)
    assert space.size is None or space.size >= 0
    try:
        rows = space.sample(2, generator)
    except ConstraintError:
        return
    np.testing.assert_array_equal(space.to_row(space.to_values(rows[0])), rows[0])
    mutants = space.mutate(rows, generator)
    np.testing.assert_array_equal(space.active(mutants), mutants >= 0)
    assert Architecture(space, tuple(rows[0].tolist())).canonical_id


@given(damaged_trees())
@settings(max_examples=120, deadline=None)
def test_damaged_trees(text: str) -> None:
    load_and_use(text)


@given(damaged_texts())
@settings(max_examples=120, deadline=None)
def test_damaged_texts(text: str) -> None:
    load_and_use(text)


@pytest.mark.parametrize("text", FILES)
def test_files_cut_short(text: str) -> None:
    for end in range(0, len(text), 97):
        load_and_use(text[:end])


@pytest.mark.parametrize("rest", ["log: true", "step: 1e298"])
def test_ends_of_a_real_range_that_are_large_whole_numbers(rest: str) -> None:
    load_and_use(f"space: s\nnetwork: [head]\ntrain: {{lr: {{float: [{10**29}, 1e300], {rest}}}}}\n")
