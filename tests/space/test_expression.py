"""Expressions: grammar, precedence as Python's, errors, batches."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.errors import MetanasError
from metanas.space._expression import ExpressionError, evaluate, names_in, parse_expression

NAMES = {"a": 3, "b": 2.5, "c": -1, "$w": 4, "t": True, "s.0->1": 7}


def value(text: str, names: dict[str, Any] | None = None) -> Any:
    return evaluate(parse_expression(text), (NAMES if names is None else names).__getitem__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("7 // 2 * 2", 6), ("2 - 1 - 1", 0), ("8 / 4 / 2", 1.0), ("-2 * -3", 6),
        ("--3", 3), ("-7 // 2", -4), ("-7 % 3", 2), ("1e3 + .5", 1000.5), ("$w * 2", 8), ("s.0->1 + 1", 8),
        ("min(3, 1, 2) + max(1, a)", 4), ("1 < 2", True), ("not 1 < 2", False), ("not not 1 < 2", True),
        ("1 < 2 and 2 < 1 or 3 > 2", True), ("1 > 2 or 2 > 1 and 3 > 4", False), ("not 1 > 2 and 2 > 1", True),
        ("'x' == \"x\"", True), ("'a b' != 'b'", True), ("true", True), ("t + t", 2), ("-t", -1), ("(a > 1) + (b > 1)", 2),
        ("t == true", True), ("a==3", True), ("a>=3", True), ("a - 1 <= 2", True), ("1--1", 2),
    ],
)  # fmt: skip
def test_values(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_names() -> None:
    assert list(names_in(parse_expression("a.b + $w * min(c, a.b) - d.1.e"))) == ["a.b", "$w", "c", "a.b", "d.1.e"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "ends too early"), ("1 +", "ends too early"), ("* 2", "unexpected '*'"), ("(1", "')' is missing"),
        ("1)", "unexpected ')'"), ("1 2", "unexpected '2'"), ("1 < 2 < 3", "do not chain"), ("a = 3", "unexpected '= 3'"),
        ("a ** 2", "unexpected '*'"), ("f(1)", "unexpected '('"), ("min 3", "unexpected '3'"), ("a[0]", "unexpected"),
        ("'open", "unexpected"), ("and", "unexpected 'and'"), ("a.__class__()", "unexpected '('"), ("1; 2", "unexpected"),
        ("(" * 60 + "1" + ")" * 60, "at most 40"), ("1" * 2000, "at most 1000 characters"), ("lambda: 1", "unexpected"),
    ],
)  # fmt: skip
def test_texts_that_do_not_parse(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(words)):
        parse_expression(text)


@pytest.mark.parametrize(
    "text",
    ["1 / 0", "1 // 0", "1 % 0", "'a' + 1", "'a' * 3", "-'a'", "'a' < 1", "min('a', 'b')", "not 'a'", "'a' and 1 < 2",
     "1" + " * 1000000000" * 9, "1" + "0" * 900 + " / 1.5"],
)  # fmt: skip
def test_expressions_without_a_value(text: str) -> None:
    with pytest.raises(MetanasError):
        value(text)


def arithmetic() -> st.SearchStrategy[str]:
    atoms = st.one_of(st.integers(0, 99).map(str), st.sampled_from(["a", "b", "c", "0.5", "1e2"]))

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        signs = st.sampled_from(["+", "-", "*", "/", "//", "%"])
        return st.one_of(
            st.tuples(inner, signs, inner).map(" ".join),
            inner.map(lambda text: f"({text})"),
            inner.map(lambda text: f"-{text}"),
            st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        )

    return st.recursive(atoms, grow, max_leaves=10)


def truth() -> st.SearchStrategy[str]:
    comparison = st.tuples(arithmetic(), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), arithmetic()).map(
        " ".join
    )

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
            inner.map(lambda text: f"not {text}"),
            inner.map(lambda text: f"({text})"),
        )

    return st.recursive(comparison, grow, max_leaves=5)


@given(st.one_of(arithmetic(), truth()))
@settings(max_examples=200, deadline=None)
def test_precedence_is_that_of_python(text: str) -> None:
    try:
        # The text is generated above, from numbers, signs and three names.
        expected = eval(text, {"__builtins__": {}, "min": min, "max": max}, {k: NAMES[k] for k in "abc"})
    except (ZeroDivisionError, OverflowError):
        return
    try:
        found = value(text)
    except ExpressionError:  # both sides of 'and' and 'or' are evaluated here, so that batches and rows agree
        assert set("/%") & set(text)
        return
    assert found == expected


@given(truth())
@settings(max_examples=100, deadline=None)
def test_a_batch_agrees_with_its_rows(text: str) -> None:
    batch = {"a": np.array([3, 1, 0, 8]), "b": np.array([2.5, -1.0, 0.25, 3.0]), "c": np.array([-1, 2, 5, 9])}
    try:
        rows = [value(text, {name: column[k].item() for name, column in batch.items()}) for k in range(4)]
    except ExpressionError:
        return
    np.testing.assert_array_equal(np.broadcast_to(value(text, batch), 4), rows)


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_a_tree_or_an_error(text: str) -> None:
    try:
        tree = parse_expression(text)
    except ExpressionError:
        return
    assert all(isinstance(name, str) for name in names_in(tree))
