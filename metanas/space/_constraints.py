"""Constraints: texts that an architecture must make true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.space._expression import (
    Expression,
    ExpressionError,
    evaluate,
    has_arithmetic,
    names_in,
    parse_expression,
)
from metanas.space._problems import Mark, Problems, did_you_mean
from metanas.space._template import Decision
from metanas.space._yaml import Scalar

_MAX_CHECKS = 2000
"""Combinations of values that a constraint is tried on when it is read."""

_LONG = 200
"""Characters of a constraint that is suggested."""

MEASURES: Mapping[str, str] = {
    "params": "trainable parameters",
    "flops": "multiply-adds of one sample, forward",
    "memory": "peak memory of a training step, in bytes",
    "depth": "layers with weights on the longest path",
}
"""What a constraint may bound besides decisions; each needs the network's shapes, and so the data set."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint of a space or run file."""

    text: str
    """As the user wrote it."""
    expression: Expression
    """Its tree."""
    decisions: Mapping[str, int]
    """Column of each decision that it names."""
    measures: frozenset[str]
    """Which of :data:`MEASURES` it names."""
    where: str
    """File, line and column."""

    def holds(
        self,
        rows: npt.NDArray[np.int64],
        table: Sequence[Decision],
        measures: Mapping[str, npt.NDArray[np.float64]] = MappingProxyType({}),
    ) -> npt.NDArray[np.bool_]:
        """Which rows ``(n, n_decisions)`` satisfy it, given the measures that it names, ``(n,)`` each.

        A constraint holds where a decision that it names is inactive: it speaks of something that is not there.
        """
        active = np.ones(len(rows), dtype=bool)
        columns: dict[str, npt.NDArray[Any]] = {name: measures[name] for name in self.measures}
        for name, column in self.decisions.items():
            active &= rows[:, column] >= 0
            values = table[column].values
            # Texts among numbers stay what they are; numpy would make all of them texts.
            mixed = len({isinstance(value, str) for value in values}) > 1
            columns[name] = np.asarray(values, dtype=object if mixed else None)[np.maximum(rows[:, column], 0)]
        with np.errstate(all="ignore"):
            truth = evaluate(self.expression, columns.__getitem__)
        return np.broadcast_to(np.asarray(truth, dtype=bool), len(rows)) | ~active

    def holds_for(self, values: Mapping[str, object], measures: Mapping[str, float]) -> bool:
        """Whether an architecture with these decisions and measures satisfies it."""
        if any(name not in values for name in self.decisions):
            return True
        try:
            return self.value(values, measures)
        except ExpressionError:  # as a ratio of measures, one of which is 0
            return False

    def value(self, values: Mapping[str, object], measures: Mapping[str, float]) -> bool:
        """Its truth; :class:`ExpressionError` when it has none."""
        return bool(evaluate(self.expression, lambda name: measures[name] if name in self.measures else values[name]))


@dataclass(frozen=True, slots=True)
class EdgeLimit:
    """A bound on how many optional edges of a cell are there at once (``max_edges``)."""

    text: str
    """The rule in words."""
    columns: tuple[int, ...]
    """The edges' decisions, each false or true."""
    most: int
    """How many may be true."""

    def holds(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which rows ``(n, n_decisions)`` satisfy it."""
        return np.asarray((rows[:, self.columns] == 1).sum(axis=1) <= self.most)


def excluding(condition: Mapping[int, Sequence[int]], table: Sequence[Decision]) -> str:
    """The text of a constraint that leaves out the rows in which each of these decisions has one of these values.

    Empty where there is none: a name or a text that no constraint can say, or very many values.
    """
    parts = []
    for column, indices in condition.items():
        options = [_equals(table[column].name, table[column].values[index]) for index in indices]
        parts.append(options[0] if len(options) == 1 else f"({' or '.join(options)})")
    text = f"not ({' and '.join(parts)})"
    if len(parts) == 1:
        values = [table[column].values[index] for column, indices in condition.items() for index in indices]
        text = " and ".join(_differs(table[column].name, value) for column in condition for value in values)
    problems = Problems()
    mark = Mark("", 1, 1)
    made = check_constraints([(text, mark, "")], table, problems) if condition and len(text) <= _LONG else ()
    return text if made and set(made[0].decisions.values()) == set(condition) else ""


def _equals(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return f"{name} == '{value}'" if isinstance(value, str) else f"{name} == {value}"


def _differs(name: str, value: object) -> str:
    return _equals(name, not value) if isinstance(value, bool) else _equals(name, value).replace("==", "!=", 1)


def _tried(expression: Expression, values: Sequence[Scalar]) -> Sequence[Scalar]:
    """The values of a decision on which a constraint is tried: without arithmetic, one of each kind goes for all."""
    return values if has_arithmetic(expression) else [*{isinstance(value, str): value for value in values}.values()]


def check_comparisons(texts: Iterable[tuple[str, Mark, str]], problems: Problems) -> None:
    """What can be told of constraints before decisions have names: that they can be parsed."""
    for text, mark, path in texts:
        try:
            parse_expression(text)
        except ExpressionError as error:
            problems.add(mark, path, f"a constraint is a comparison: {error}", remedy="write e.g. 'params <= 1e6'")


def check_constraints(
    texts: Iterable[tuple[str, Mark, str]], table: Sequence[Decision], problems: Problems
) -> tuple[Constraint, ...]:
    """Look the names of constraints up that can be parsed."""
    columns = {decision.name: column for column, decision in enumerate(table)}
    constraints = []
    for text, mark, path in texts:
        expression = parse_expression(text)
        names = set(names_in(expression))
        unknown = sorted(name for name in names if name not in columns and name not in MEASURES)
        for name in unknown:
            problems.add(
                mark,
                path,
                f"no decision or measure has the name {name!r}",
                remedy=did_you_mean(name, [*MEASURES, *columns]),
            )
        if unknown:
            continue
        constraint = Constraint(
            text, expression, {n: columns[n] for n in sorted(names) if n in columns},
            frozenset(n for n in names if n not in columns), str(mark),
        )  # fmt: skip
        try:
            levels = [_tried(expression, table[column].values) for column in constraint.decisions.values()]
            for chosen in islice(product(*levels), _MAX_CHECKS):
                constraint.value(dict(zip(constraint.decisions, chosen, strict=True)), dict.fromkeys(MEASURES, 1.0))
            if not constraint.measures:
                constraint.holds(np.zeros((1, len(table)), dtype=np.int64), table)
        except ExpressionError as error:
            problems.add(mark, path, f"the constraint has a value: {error.rule}", found=repr(text))
            continue
        constraints.append(constraint)
    return tuple(constraints)
