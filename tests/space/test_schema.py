"""The JSON Schema fits every file that the loader takes, and marks the mistakes that a schema can know."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.space import OPS, LanguageError, builtin_spaces, find_space, parse_space_text, parse_yaml, plain
from metanas.space import space_schema as schema
from metanas.testing.damage import places

VALIDATOR = jsonschema.Draft202012Validator(schema())
BASE = "space: base\ninput: image\nlet: {w: {choice: [8, 16]}}\nnetwork: [{conv: {out: $w}}, head]\n"


def read(text: str) -> Any:
    return plain(parse_yaml(text, "f"))


def marks(text: str) -> bool:
    return not VALIDATOR.is_valid(read(text))


def test_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_knows_every_op() -> None:
    assert all(f"op_{name}" in schema()["$defs"] for name in OPS)


@pytest.mark.parametrize("name", builtin_spaces())
def test_every_shipped_space_fits(name: str) -> None:
    assert [e.message for e in VALIDATOR.iter_errors(read(find_space(name)[1]))] == []


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[2] / "metanas/cli/templates").glob("space_*.yaml")))
def test_every_template_fits(file: Path) -> None:
    assert not marks(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("example", [op.example for op in OPS.values() if op.example])
def test_every_example_fits(example: str) -> None:
    assert not marks(f"space: one\nnetwork:\n  - {example}\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("space: base", "spaec: base"),
        ("input: image", "input: images"),
        ("network:", "netwrok:"),
        ("out: $w", "out: $w, kernle: 3"),
        ("out: $w", "out: 0"),
        ("out: $w", "out: wide"),
        ("out: $w", "out: {choice: []}"),
        ("out: $w", "out: {choice: [8], step: 2}"),
        ("out: $w", "out: {int: [8]}"),
        ("out: $w", "out: $w, stride: {float: [1.0, 2.0]}"),
        ("{conv: {out: $w}}", "{repeat: relu}"),
        ("{conv: {out: $w}}", "{repeat: relu, times: 300}"),
        ("{conv: {out: $w}}", "{choice: [relu, bn], times: 2}"),
        ("{conv: {out: $w}}", "{parallel: [relu], merge: sum}"),
        ("{conv: {out: $w}}", "{parallel: [relu, bn], merge: add}"),
        ("{conv: {out: $w}}", "{graph: {nodes: 1, every_edge: relu}}"),
        ("{conv: {out: $w}}", "{graph: {steps: 2, each_step: {inputs: 2}}}"),
        ("{conv: {out: $w}}", "{relu: null, bn: null}"),
    ],
)
def test_marks_what_the_loader_refuses(old: str, new: str) -> None:
    assert not marks(BASE)
    text = BASE.replace(old, new)
    assert text != BASE
    assert marks(text)
    with pytest.raises(LanguageError):
        parse_space_text(text)


PARTS = [
    0, -1, 3, 1e9, None, True, "a b", "$w", "$w * 2", "", [], {}, ["relu"], {"choice": [1, 2]}, {"choice": {"a": "relu", "b": "bn"}},
    {"int": [1, 3]}, {"float": [0, 1]}, {"optional": "relu"}, {"repeat": "relu", "times": 2}, "relu", "none", "identity",
    {"graph": {"nodes": 3, "every_edge": "optional"}}, {"residual": ["bn"]}, [[1], "previous"],
]  # fmt: skip


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_no_file_is_marked_that_the_loader_takes(data: st.DataObject) -> None:
    tree = read(find_space(data.draw(st.sampled_from(builtin_spaces())))[1])
    for _ in range(data.draw(st.integers(1, 2))):
        found = places(tree)
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        source, name = found[data.draw(st.integers(0, len(found) - 1))]
        container[key] = copy.deepcopy(source[name] if data.draw(st.booleans()) else data.draw(st.sampled_from(PARTS)))
    text = yaml.safe_dump(tree, sort_keys=False)
    try:
        parse_space_text(text)
    except LanguageError:
        return
    assert not marks(text)
