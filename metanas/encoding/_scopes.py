"""Where a network falls into parts that are described one by one: its cells and the copies of its repeats.

Paths through fifteen cells in series are a product that says no more than the paths through each. So a *scope* is an
outermost cell, or one copy of a repeat; what lies outside of all of them is one scope more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from metanas.architecture import CanonicalIds, Dissolved, Filling, Instances, Labels, Walk, chosen_copies
from metanas.space import (
    Branches,
    Cell,
    Copies,
    OpSite,
    SearchSpace,
    Switch,
    Template,
    Value,
    columns_read,
    decisions_in,
)

V = TypeVar("V")
_MAX_REMEMBERED = 200_000
"""Scopes remembered; the memory starts anew when full."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One part of a network, under one row."""

    graph: Instances | None
    """Op instances in topological order, sums dissolved; None where nothing arrives."""
    live: frozenset[int]
    """Columns of the decisions that matter here: those of what lies on a path from input to output."""


@dataclass
class Scopes:
    """Cuts the networks of a space into scopes; remembers those that rows share."""

    space: SearchSpace
    _ids: CanonicalIds = field(init=False, repr=False)
    _labels: Labels = field(init=False, repr=False)
    _columns: dict[int, list[int]] = field(default_factory=dict, repr=False)
    _known: dict[Hashable, Scope] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._ids = CanonicalIds(self.space)
        self._labels = Labels()

    def of(self, row: Sequence[int]) -> list[Scope]:
        """The scopes of a row, from the input up; what lies outside of all comes last."""
        filling = Filling(list(row), [d.values[v] if v >= 0 else None for d, v in zip(self.space.decisions, row, strict=True)])
        found: list[Scope] = []

        def inner(template: Template) -> Scope:
            scope = self._scope(template, filling)
            found.append(scope)
            return scope

        found.append(self._made(self.space.template, filling, inner))
        return found

    def _scope(self, template: Template, filling: Filling) -> Scope:
        columns = self._columns.get(id(template))
        if columns is None:
            columns = self._columns[id(template)] = sorted(columns_read(template))
        key = self._ids.shape(template), *[filling.row[c] for c in columns]
        scope = self._known.get(key)
        if scope is None:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            scope = self._known[key] = self._made(template, filling, None)
        return scope

    def _made(self, template: Template, filling: Filling, inner: Callable[[Template], Scope] | None) -> Scope:
        graph = _Graph(filling, self._labels, inner)
        instances = graph.graph(template)
        if instances is None:
            return Scope(None, frozenset())
        live = _Live(filling.row, filling.choices, None if inner is None else lambda part: self._scope(part, filling))
        return Scope(instances, live.columns(template))


class _Graph(Dissolved):
    """A template as op instances; ``inner`` takes the scopes inside of it, which are then passed by."""

    def __init__(self, filling: Filling, labels: Labels, inner: Callable[[Template], Scope] | None) -> None:
        super().__init__(filling, labels)
        self.inner = inner

    def value(self, template: Template, x: tuple[tuple[int, int], ...] | None) -> tuple[tuple[int, int], ...] | None:
        """As in :class:`Walk`, but for scopes inside."""
        while isinstance(template, Switch):
            template = template.options[self.row[template.decision]]
        if x is None or self.inner is None:
            return super().value(template, x)
        if isinstance(template, Cell):
            return None if self.inner(template).graph is None else x
        if isinstance(template, Copies):
            for copy in chosen_copies(template, self.choices):
                if self.inner(copy).graph is None:
                    return None
            return x
        return super().value(template, x)


class _Live(Walk[int]):
    """Which decisions matter: a value is a node, and each choice makes one, also where it chooses to pass on."""

    def __init__(
        self, row: Sequence[int], choices: Sequence[object], inner: Callable[[Template], Scope] | None
    ) -> None:
        super().__init__(row, choices)  # type: ignore[arg-type]
        self.inner = inner
        self.reads: list[tuple[int, ...]] = [()]
        self.tags: list[frozenset[int]] = [frozenset()]

    def columns(self, template: Template) -> frozenset[int]:
        """Columns of the decisions on paths from the input to the output."""
        output = self.value(template, 0)
        needed = set() if output is None else {output}
        found: set[int] = set()
        for node in range(len(self.reads) - 1, 0, -1):
            if node in needed:
                needed.update(self.reads[node])
                found |= self.tags[node]
        return frozenset(found)

    def node(self, reads: Sequence[int], tags: frozenset[int] = frozenset()) -> int:
        self.reads.append(tuple(reads))
        self.tags.append(tags)
        return len(self.reads) - 1

    def op(self, template: OpSite, x: int) -> int:
        return self.node((x,), _decided(template.parameters.values()))

    def merge(self, kind: str, values: Sequence[int], place: Branches | Cell, node: str) -> int:
        return self.node(values)

    def value(self, template: Template, x: int | None) -> int | None:
        if x is None:
            return None
        chosen = set()
        while isinstance(template, Switch):
            chosen.add(template.decision)
            template = template.options[self.row[template.decision]]
        if self.inner is not None and isinstance(template, Cell):
            result = self._passed([template], x)
        elif self.inner is not None and isinstance(template, Copies):
            result = self._passed(chosen_copies(template, self.choices), x)
        else:
            result = super().value(template, x)
        if isinstance(template, Copies):
            chosen |= decisions_in(template.times)
        if isinstance(template, Cell):
            chosen |= {edge.pick for node in template.nodes for edge in node.edges if edge.pick is not None}
        return result if result is None or not chosen else self.node((result,), frozenset(chosen))

    def _passed(self, parts: Sequence[Template], x: int) -> int | None:
        assert self.inner is not None
        for part in parts:
            scope = self.inner(part)
            if scope.graph is None:
                return None
            x = self.node((x,), scope.live)
        return x


def _decided(values: Sequence[Value] | object) -> frozenset[int]:
    found: set[int] = set()
    for value in values:  # type: ignore[attr-defined]
        found |= decisions_in(value)
    return frozenset(found)
