"""When a network cannot be built: the rows for which a diagram of shapes is broken, said by as few decisions as suffice."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.architecture._diagram import LEAF, Diagram, Diagrams, TooEntangledError, shortest_path
from metanas.architecture._space_shapes import CUT, Broken
from metanas.space import Constraint, EdgeLimit, SearchSpace

Row = npt.NDArray[np.int64]
Condition = Mapping[int, tuple[int, ...]]
"""Columns, and the value indices that each may have; all must hold."""

_MOST_RULED = 100_000
"""Combinations of values that a constraint is looked up for."""


@dataclass(frozen=True, slots=True)
class Witness:
    """When something is wrong."""

    row: Row
    """A row for which it is."""
    condition: Condition
    """Its own place is right in no row that meets it; empty for none of the space at all."""
    whole: bool
    """Whether it is wrong under this condition alone."""


class Witnesses:
    """Finds rows for which the result of a space is broken."""

    def __init__(self, space: SearchSpace, diagrams: Diagrams, result: Diagram) -> None:
        self._space = space
        self._d = diagrams
        self._result = result
        self._false, self._true = diagrams.leaf(False), diagrams.leaf(True)
        self._activity: dict[int, Diagram] = {}
        self._proposed = self._and(self._allowed(), diagrams.map(lambda value: value is not CUT, result))
        """Rows that a search may propose."""
        self._broken = diagrams.map(lambda value: isinstance(value, Broken), result)

    def of(self, breach: int, unseen: Callable[[], Diagram]) -> Witness | None:
        """When the breach of this number keeps a network from being built; None for never.

        ``unseen`` is asked, where a network may be broken elsewhere, in which of these that hides the place.
        """
        broken = self._d.map(lambda value: isinstance(value, Broken) and breach in value.breaches, self._result)
        broken = self._and(self._proposed, broken)
        if broken is self._false:
            return None
        wrong = broken
        if self._and(self._proposed, self._and(self._broken, self._not(broken))) is not self._false:
            wrong = self._or(broken, unseen())
        condition = self._condition(broken, self._and(self._proposed, self._not(wrong)))
        here = self._under(condition, broken)
        path = shortest_path(here, True)
        assert path is not None
        elsewhere = self._and(broken, self._not(self._literals(condition)))
        return Witness(self._completed(path), condition, elsewhere is self._false)

    # --- conditions

    def _condition(self, broken: Diagram, fine: Diagram) -> Condition:
        if fine is self._false:
            return {}
        for column in sorted(_columns(broken)):
            active = self._active(column)
            bad, good = self._and(broken, active), self._and(fine, active)
            indices = tuple(
                index
                for level, index in enumerate(self._d.levels[column])
                if self._d.restrict(good, column, level) is self._false
                and self._d.restrict(bad, column, level) is not self._false
            )
            if indices:
                return {column: indices}
        path = shortest_path(broken, True)
        assert path is not None
        condition = {column: (self._d.levels[column][level],) for column, level in path}
        for column in list(condition):
            less = {other: indices for other, indices in condition.items() if other != column}
            if self._under(less, fine) is self._false and self._under(less, broken) is not self._false:
                condition = less
        return condition

    def _under(self, condition: Condition, diagram: Diagram) -> Diagram:
        return self._and(diagram, self._literals(condition))

    def _literals(self, condition: Condition) -> Diagram:
        """Whether a row meets a condition, its decisions active."""
        parts = [
            self._and(self._active(column), self._d.test(column, set(indices).__contains__))
            for column, indices in condition.items()
        ]
        return reduce(self._and, parts, self._true)

    # --- rows

    def _completed(self, path: Sequence[tuple[int, int]]) -> Row:
        """The row of a path: what the path leaves open takes its first value."""
        space, chosen = self._space, {column: self._d.levels[column][level] for column, level in path}
        row = np.full((1, len(space.decisions)), -1, dtype=np.int64)
        for column in range(len(space.decisions)):
            if space.is_active(row, column)[0]:
                row[0, column] = chosen.get(column, self._d.levels[column][0])
        return np.asarray(row[0])

    def _active(self, column: int) -> Diagram:
        """Whether a decision is active."""
        found = self._activity.get(column)
        if found is None:
            clauses = [
                reduce(self._and, [self._literals({p: tuple(allowed)}) for p, allowed in clause], self._true)
                for clause in self._space.decisions[column].when
            ]
            found = reduce(self._or, clauses, self._false) if clauses else self._true
            self._activity[column] = found
        return found

    def _allowed(self) -> Diagram:
        """Whether a row meets the constraints on decisions, and the bounds on edges."""
        rules = [self._limit(limit) for limit in self._space.limits]
        rules += [self._constraint(rule) for rule in self._space.constraints if not rule.measures]
        return reduce(self._and, rules, self._true)

    def _limit(self, limit: EdgeLimit) -> Diagram:
        columns = sorted(limit.columns)
        known: dict[tuple[int, int], Diagram] = {}

        def under(place: int, left: int) -> Diagram:
            if left < 0 or place == len(columns):
                return self._d.leaf(left >= 0)
            if (place, left) not in known:
                column = columns[place]
                children = [under(place + 1, left - index) for index in self._d.levels[column]]
                known[place, left] = self._d.node(column, tuple(children))
            return known[place, left]

        # The edges of a cell are there together or not at all.
        inactive = [self._not(self._active(column)) for column in columns[:1]]
        return reduce(self._or, inactive, under(0, limit.most))

    def _constraint(self, rule: Constraint) -> Diagram:
        columns = sorted(set(rule.decisions.values()))
        grids = np.meshgrid(*(np.asarray(self._d.levels[column]) for column in columns), indexing="ij")
        if columns and grids[0].size > _MOST_RULED:
            raise TooEntangledError
        size = grids[0].size if columns else 1
        rows = np.zeros((size, len(self._space.decisions)), dtype=np.int64)
        for column, grid in zip(columns, grids, strict=True):
            rows[:, column] = grid.ravel()
        truth = rule.holds(rows, self._space.decisions).reshape([len(self._d.levels[c]) for c in columns])
        holds = self._nested(columns, truth)
        # It holds where a decision that it names is not active.
        return reduce(self._or, (self._not(self._active(column)) for column in columns), holds)

    def _nested(self, columns: Sequence[int], truth: npt.NDArray[Any]) -> Diagram:
        if not columns:
            return self._d.leaf(bool(truth))
        return self._d.node(columns[0], tuple(self._nested(columns[1:], part) for part in truth))

    def _and(self, one: Diagram, other: Diagram) -> Diagram:
        return self._d.combine(_both, one, other, unit=self._true, idempotent=True)

    def _not(self, one: Diagram) -> Diagram:
        return self._d.map(operator.not_, one)

    def _or(self, one: Diagram, other: Diagram) -> Diagram:
        return self._d.combine(_either, one, other, unit=self._false, idempotent=True)


def _both(one: Hashable, other: Hashable) -> bool:
    return bool(one) and bool(other)


def _either(one: Hashable, other: Hashable) -> bool:
    return bool(one) or bool(other)


def _columns(diagram: Diagram) -> set[int]:
    """The decisions that a function reads."""
    seen = {diagram}
    waiting = [diagram]
    while waiting:
        for child in waiting.pop().children:
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return {part.column for part in seen if part.column != LEAF}
