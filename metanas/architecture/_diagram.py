"""Functions of a row of decisions, as reduced ordered decision diagrams: what a network's shapes depend on.

A diagram is a leaf, or a node that reads one decision and goes on with a child for each of its levels. Nodes read
decisions in the order of the table, equal diagrams are one object, and a node whose children are all one is that
child: a function has exactly one diagram, and it reads the decisions that matter and no others (Bryant 1986; several
values and several kinds of leaves as in Bahar et al. 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

LEAF = 1 << 30
"""Column of a leaf: after those of all decisions."""


class TooEntangledError(Exception):
    """The functions need more steps than the budget has."""


@dataclass(slots=True)
class Budget:
    """Work that may still be done."""

    steps: int
    """Of about a microsecond; below 0 when there is none left."""


class Diagram:
    """A leaf or a node; made by :class:`Diagrams`, compared by identity."""

    __slots__ = ("children", "column", "leaves", "reads", "value")

    def __init__(self, column: int, children: tuple[Diagram, ...], value: Hashable = None) -> None:
        self.leaves: frozenset[Diagram] = _joined(children) if children else frozenset((self,))
        """The leaves in it."""
        self.reads: int = 1 << column if children else 0
        """Bit ``k`` is set where decision ``k`` matters."""
        for child in children:
            self.reads |= child.reads
        self.column = column
        """Which decision it reads; :data:`LEAF` for a leaf."""
        self.children = children
        """What follows for each level of the decision."""
        self.value = value
        """Value of a leaf."""


def _joined(children: tuple[Diagram, ...]) -> frozenset[Diagram]:
    """The leaves of all; the object of a child's where that holds them, as many diagrams have the same."""
    most = children[0].leaves
    for child in children:
        if len(child.leaves) > len(most):
            most = child.leaves
    for child in children:
        if child.leaves is not most and not child.leaves <= most:
            return most.union(*[child.leaves for child in children])
    return most


class Diagrams:
    """Makes diagrams over one table of decisions."""

    def __init__(self, levels: Sequence[Sequence[int]], budget: Budget) -> None:
        self.levels = levels
        """For each column the indices of values that are told apart, in order."""
        self.budget = budget
        """A node costs one step for each of its levels."""
        self._leaves: dict[Hashable, Diagram] = {}
        self._nodes: dict[tuple[int, tuple[Diagram, ...]], Diagram] = {}
        self._selected: dict[tuple[int, tuple[Diagram, ...]], Diagram] = {}
        self._restricted: dict[tuple[Diagram, int, int], Diagram] = {}

    def leaf(self, value: Hashable) -> Diagram:
        """The function that is ``value`` everywhere. Values that are equal are one leaf, so keep to one type."""
        found = self._leaves.get(value)
        if found is None:
            found = self._leaves[value] = Diagram(LEAF, (), value)
        return found

    def node(self, column: int, children: tuple[Diagram, ...]) -> Diagram:
        """The function that reads ``column`` first; the children read later columns only."""
        first = children[0]
        if children.count(first) == len(children):
            return first
        key = (column, children)
        found = self._nodes.get(key)
        if found is None:
            self._spend(len(children))
            found = self._nodes[key] = Diagram(column, children)
        return found

    def test(self, column: int, truth: Callable[[int], bool]) -> Diagram:
        """Whether the value index of ``column`` is one of those for which ``truth`` holds."""
        return self.node(column, tuple(self.leaf(truth(index)) for index in self.levels[column]))

    def select(self, column: int, children: Sequence[Diagram]) -> Diagram:
        """``children[k]`` where ``column`` has its level ``k``."""
        first = children[0]
        if children.count(first) == len(children):
            return first
        return self._select(column, tuple(children))

    def _select(self, column: int, children: tuple[Diagram, ...]) -> Diagram:
        key = (column, children)
        found = self._selected.get(key)
        if found is not None:
            return found
        self._spend(len(children))
        top = min(child.column for child in children)
        if top > column:
            found = self.node(column, children)
        elif top == column:
            own = (c.children[k] if c.column == column else c for k, c in enumerate(children))
            found = self.node(column, tuple(own))
        else:
            found = self.node(
                top,
                tuple(
                    self.select(column, [c.children[k] if c.column == top else c for c in children])
                    for k in range(len(self.levels[top]))
                ),
            )
        self._selected[key] = found
        return found

    def restrict(self, diagram: Diagram, column: int, level: int) -> Diagram:
        """The function where ``column`` has a level."""
        if not diagram.reads >> column & 1:
            return diagram
        if diagram.column == column:
            return diagram.children[level]
        key = (diagram, column, level)
        found = self._restricted.get(key)
        if found is None:
            self._spend(len(diagram.children))
            inner = tuple([self.restrict(child, column, level) for child in diagram.children])
            found = self._restricted[key] = self.node(diagram.column, inner)
        return found

    def map(self, function: Callable[[Hashable], Hashable], diagram: Diagram) -> Diagram:
        """The function whose value is ``function`` of this one's."""
        new = {leaf: self.leaf(function(leaf.value)) for leaf in diagram.leaves}
        # Most ops change nothing, or make one shape of all.
        if all(leaf is image for leaf, image in new.items()):
            return diagram
        if len(images := set(new.values())) == 1:
            return images.pop()
        return self._mapped(diagram, new)

    def _mapped(self, diagram: Diagram, done: dict[Diagram, Diagram]) -> Diagram:
        found = done.get(diagram)
        if found is None:
            self._spend(len(diagram.children))
            inner = [self._mapped(child, done) for child in diagram.children]
            found = done[diagram] = self.node(diagram.column, tuple(inner))
        return found

    def combine(
        self,
        function: Callable[[Hashable, Hashable], Hashable],
        first: Diagram,
        second: Diagram,
        *,
        unit: Diagram | None = None,
        idempotent: bool = False,
    ) -> Diagram:
        """The function whose value is ``function`` of the values of two.

        ``unit`` is a leaf that leaves the other as it is, and an ``idempotent`` function makes x of x and x.
        """
        if second.column == LEAF and unit is not second:
            return self.map(lambda value: function(value, second.value), first)
        if first.column == LEAF and unit is not first:
            return self.map(lambda value: function(first.value, value), second)
        done: dict[tuple[Diagram, Diagram], Diagram] = {}

        def both(one: Diagram, other: Diagram) -> Diagram:
            if one is unit or (idempotent and one is other):
                return other
            if other is unit:
                return one
            key = (one, other)
            found = done.get(key)
            if found is not None:
                return found
            self._spend(1 + max(len(one.children), len(other.children)))
            top = min(one.column, other.column)
            if top == LEAF:
                found = self.leaf(function(one.value, other.value))
            elif one.column != top:
                found = self.node(top, tuple([both(one, child) for child in other.children]))
            elif other.column != top:
                found = self.node(top, tuple([both(child, other) for child in one.children]))
            else:
                pairs = zip(one.children, other.children, strict=True)
                found = self.node(top, tuple([both(a, b) for a, b in pairs]))
            done[key] = found
            return found

        return both(first, second)

    def _spend(self, steps: int) -> None:
        self.budget.steps -= steps
        if self.budget.steps < 0:
            raise TooEntangledError


def shortest_path(diagram: Diagram, wanted: Hashable) -> list[tuple[int, int]] | None:
    """Columns and their levels under which the function is ``wanted``, as few as its order allows; None for nowhere."""
    best: dict[Diagram, list[tuple[int, int]] | None] = {}

    def path(part: Diagram) -> list[tuple[int, int]] | None:
        if part.column == LEAF:
            return [] if part.value == wanted else None
        if part not in best:
            found: list[tuple[int, int]] | None = None
            for level, child in enumerate(part.children):
                rest = path(child)
                if rest is not None and (found is None or len(rest) + 1 < len(found)):
                    found = [(part.column, level), *rest]
            best[part] = found
        return best[part]

    return path(diagram)
