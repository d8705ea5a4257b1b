"""Arithmetic in value expressions, and constraints: text -> tree -> value.

Grammar, loosest first: ``or``, ``and``, ``not``, one comparison, ``+ -``, ``* / // %``, unary ``-``, then a number,
a quoted text, ``$name`` (a ``let`` value), a dotted name (a decision or a measure), ``min(…)``, ``max(…)``, brackets.
There is no ``eval`` here: the tree has the seven node kinds below and no others.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metanas.errors import MetanasError

MAX_LENGTH = 1000
MAX_NESTING = 40
MAX_NUMBER = 2**63
"""Whole numbers stay below it, so that arithmetic on batches (64 bits) and on one row agree."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)"
    r"|(?P<name>\$?[A-Za-z_]\w*(?:\.\w+(?:->\w+)?)*)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<sign>//|<=|>=|==|!=|[-+*/%<>(),]))"
)
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": operator.truediv, "//": operator.floordiv, "%": operator.mod,
}  # fmt: skip
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class ExpressionError(MetanasError):
    """The text is no expression, or has no value."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text or a flag."""

    value: int | float | str | bool


@dataclass(frozen=True, slots=True)
class Name:
    """A ``$let`` value (with the dollar sign), a decision, or a measure."""

    name: str


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic or a comparison."""

    sign: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Logic:
    """``and`` or ``or``."""

    word: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Not:
    """``not``."""

    body: Expression


@dataclass(frozen=True, slots=True)
class Negative:
    """Unary minus."""

    body: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """``min`` or ``max`` of one or more."""

    name: str
    arguments: tuple[Expression, ...]


Expression = Literal | Name | Binary | Logic | Not | Negative | Call


def parse_expression(text: str) -> Expression:
    """Parse ``text``.

    Raises
    ------
    ExpressionError
        With the first place that does not fit the grammar.

    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression has at most {MAX_LENGTH} characters")
    return _Parser(text).parse()


def names_in(expression: Expression) -> Iterator[str]:
    """Every name that the expression uses, repeats included."""
    match expression:
        case Name(name):
            yield name
        case Binary(_, left, right) | Logic(_, left, right):
            yield from names_in(left)
            yield from names_in(right)
        case Not(body) | Negative(body):
            yield from names_in(body)
        case Call(_, arguments):
            for argument in arguments:
                yield from names_in(argument)
        case _:
            pass


def expression_text(expression: Expression, named: Callable[[str], str] = str) -> str:
    """An expression as it would be written, brackets where needed; ``named`` writes its names."""

    def bracketed(tree: Expression) -> str:
        text = expression_text(tree, named)
        return f"({text})" if isinstance(tree, (Binary, Logic)) or (isinstance(tree, Name) and " " in text) else text

    match expression:
        case Literal(value):
            return str(value).lower() if isinstance(value, bool) else str(value)
        case Name(name):
            return named(name)
        case Binary(sign, left, right) | Logic(sign, left, right):
            return f"{bracketed(left)} {'×' if sign == '*' else sign} {bracketed(right)}"
        case Negative(body):
            return f"-{bracketed(body)}"
        case Not(body):
            return f"not {bracketed(body)}"
        case Call(name, arguments):
            return f"{name}({', '.join(expression_text(a, named) for a in arguments)})"


def has_arithmetic(expression: Expression) -> bool:
    """Whether a value of it may fail for the size of a number, and not only for what the parts are."""
    match expression:
        case Binary(sign, left, right):
            return sign in _ARITHMETIC or has_arithmetic(left) or has_arithmetic(right)
        case Logic(_, left, right):
            return has_arithmetic(left) or has_arithmetic(right)
        case Not(body):
            return has_arithmetic(body)
        case Negative() | Call():
            return True
        case _:
            return False


def evaluate(expression: Expression, lookup: Callable[[str], Any]) -> Any:
    """The value under ``lookup`` (name -> scalar, or numpy array for a batch).

    Raises
    ------
    ExpressionError
        For a division by zero or types that do not go together.

    """
    try:
        return _evaluate(expression, lookup)
    except ZeroDivisionError as error:
        raise ExpressionError("division by zero") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise ExpressionError(f"the parts do not go together ({error})") from error


def _evaluate(expression: Expression, lookup: Callable[[str], Any]) -> Any:
    match expression:
        case Literal(value):
            return value
        case Name(name):
            return lookup(name)
        case Binary(sign, left, right):
            a, b = _evaluate(left, lookup), _evaluate(right, lookup)
            if sign in _COMPARE:
                return _COMPARE[sign](a, b)
            result = _ARITHMETIC[sign](_number(a, sign), _number(b, sign))
            if isinstance(result, int) and abs(result) >= MAX_NUMBER:
                raise ExpressionError("a number is too large")
            return result
        case Logic(word, left, right):
            a, b = _truth(_evaluate(left, lookup), word), _truth(_evaluate(right, lookup), word)
            return a & b if word == "and" else a | b
        case Not(body):
            value = _truth(_evaluate(body, lookup), "not")
            return ~value if isinstance(value, np.ndarray) else not value
        case Negative(body):
            return -_number(_evaluate(body, lookup), "-")
        case Call(name, arguments):
            values = [_number(_evaluate(argument, lookup), name) for argument in arguments]
            if any(isinstance(value, np.ndarray) for value in values):
                return (np.minimum if name == "min" else np.maximum).reduce(np.broadcast_arrays(*values))
            return min(values) if name == "min" else max(values)


def _number(value: Any, sign: str) -> Any:
    """A flag counts as 0 or 1, alone as in a batch (where numpy would add flags as logic)."""
    if isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind == "U"):
        raise ExpressionError(f"'{sign}' takes numbers")
    return value + 0


def _truth(value: Any, word: str) -> Any:
    if isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind == "U"):
        raise ExpressionError(f"'{word}' takes flags and comparisons")
    return value.astype(bool) if isinstance(value, np.ndarray) else bool(value)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokenize())
        self.at = 0
        self.depth = 0

    def _tokenize(self) -> Iterator[tuple[str, str]]:
        position, text = 0, self.text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise ExpressionError(f"unexpected {text[position:].strip()[:10]!r} in {self.text!r}")
            position = match.end()
            yield str(match.lastgroup), match[str(match.lastgroup)]

    def parse(self) -> Expression:
        tree = self._or()
        if self.at < len(self.tokens):
            raise ExpressionError(f"unexpected {self.tokens[self.at][1]!r} in {self.text!r}")
        return tree

    def _accept(self, *texts: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at][0] != "text" and self.tokens[self.at][1] in texts:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def _expect(self, text: str) -> None:
        if self._accept(text) is None:
            raise ExpressionError(f"{text!r} is missing in {self.text!r}")

    def _or(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ExpressionError(f"brackets nest at most {MAX_NESTING} deep")
        tree = self._and()
        while self._accept("or"):
            tree = Logic("or", tree, self._and())
        self.depth -= 1
        return tree

    def _and(self) -> Expression:
        tree = self._not()
        while self._accept("and"):
            tree = Logic("and", tree, self._not())
        return tree

    def _not(self) -> Expression:
        count = 0
        while self._accept("not"):
            count += 1
        tree = self._comparison()
        return Not(tree) if count % 2 else tree

    def _comparison(self) -> Expression:
        tree = self._sum()
        if sign := self._accept(*_COMPARE):
            tree = Binary(sign, tree, self._sum())
            if self._accept(*_COMPARE):
                raise ExpressionError(f"comparisons do not chain in {self.text!r}; join them with 'and'")
        return tree

    def _sum(self) -> Expression:
        tree = self._product()
        while sign := self._accept("+", "-"):
            tree = Binary(sign, tree, self._product())
        return tree

    def _product(self) -> Expression:
        tree = self._unary()
        while sign := self._accept("*", "/", "//", "%"):
            tree = Binary(sign, tree, self._unary())
        return tree

    def _unary(self) -> Expression:
        count = 0
        while self._accept("-"):
            count += 1
        tree = self._atom()
        return Negative(tree) if count % 2 else tree

    def _atom(self) -> Expression:
        if self.at >= len(self.tokens):
            raise ExpressionError(f"{self.text!r} ends too early")
        kind, token = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return Literal(int(token) if token.isdigit() else float(token))
        if kind == "text":
            return Literal(token[1:-1])
        if token == "(":
            tree = self._or()
            self._expect(")")
            return tree
        if token in ("min", "max") and self._accept("("):
            arguments = [self._or()]
            while self._accept(","):
                arguments.append(self._or())
            self._expect(")")
            return Call(token, tuple(arguments))
        if token in ("true", "false"):
            return Literal(token == "true")
        if kind == "name" and token not in ("and", "or", "not"):
            return Name(token)
        raise ExpressionError(f"unexpected {token!r} in {self.text!r}")
