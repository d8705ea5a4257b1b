"""Where a network falls into parts that are described one by one: its cells and the copies of its repeats.

Paths through fifteen cells in series are a product that says no more than the paths through each. So a *scope* is an
outermost cell, or one copy of a repeat; what lies outside of all of them is one scope more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from metanas.architecture import (
    INPUT,
    SUMS,
    CanonicalIds,
    Filling,
    Instances,
    Made,
    Multiset,
    OpLabel,
    RowValues,
    Walk,
    chosen_copies,
    summed,
)
from metanas.space import (
    Branches,
    Cell,
    Copies,
    OpSite,
    Scalar,
    SearchSpace,
    Switch,
    Template,
    Value,
    columns_read,
    decisions_in,
)

Choices = Sequence[Scalar | None]
_MAX_REMEMBERED = 200_000
"""Scopes remembered; the memory starts anew when full."""
_MAX_ROWS = 4_096
"""Rows whose scopes are remembered, likewise: encoders ask twice or more for the same rows."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One part of a network, under one row."""

    graph: Instances | None
    """Op instances in topological order, sums dissolved; None where nothing arrives."""
    live: frozenset[int]
    """Columns of the decisions that matter here: those of what lies on a path from input to output."""


Inner = Callable[[Template, int], Scope]
"""Takes a scope inside of another part, and how often it stands there in a row."""


@dataclass
class Scopes:
    """Cuts the networks of a space into scopes; remembers those that rows share."""

    space: SearchSpace
    _ids: CanonicalIds = field(init=False, repr=False)
    _labels: dict[int, OpLabel] = field(default_factory=dict, repr=False)
    _columns: dict[int, list[int]] = field(default_factory=dict, repr=False)
    _runs: dict[tuple[int, int], list[tuple[Template, int]]] = field(default_factory=dict, repr=False)
    _known: dict[Hashable, Scope] = field(default_factory=dict, repr=False)
    _rows: dict[tuple[int, ...], list[tuple[Scope, int]]] = field(default_factory=dict, repr=False)
    _values: Sequence[Sequence[Scalar]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._ids = CanonicalIds(self.space)
        self._values = [decision.values for decision in self.space.decisions]

    def of(self, row: Sequence[int]) -> list[tuple[Scope, int]]:
        """The scopes of a row and how often each stands there, from the input up; what lies outside of all comes last."""
        known = self._rows.get(tuple(row))
        if known is None:
            if len(self._rows) >= _MAX_ROWS:
                self._rows.clear()
            known = self._rows[tuple(row)] = self._cut(list(row))
        return known

    def _cut(self, row: list[int]) -> list[tuple[Scope, int]]:
        filling = Filling(row, RowValues(self._values, row))
        found: list[tuple[Scope, int]] = []

        def inner(template: Template, times: int) -> Scope:
            scope = self._scope(template, filling)
            found.append((scope, times))
            return scope

        found.append((self._made(self.space.template, filling, inner), 1))
        return found

    def runs(self, template: Copies, choices: Choices) -> list[tuple[Template, int]]:
        """The chosen copies of a repeat, equal ones in a row together."""
        copies = chosen_copies(template, choices)
        key = id(template), len(copies)
        runs = self._runs.get(key)
        if runs is None:
            groups = [list(group) for _, group in groupby(copies, self._ids.number)]
            runs = self._runs[key] = [(group[0], len(group)) for group in groups]
        return runs

    def label(self, template: OpSite) -> OpLabel:
        """The label of an op, under any row."""
        label = self._labels.get(id(template))
        if label is None:
            label = self._labels[id(template)] = OpLabel(template)
        return label

    def _scope(self, template: Template, filling: Filling) -> Scope:
        columns = self._columns.get(id(template))
        if columns is None:
            columns = self._columns[id(template)] = sorted(columns_read(template))
        key = self._ids.number(template), *[filling.row[c] for c in columns]
        scope = self._known.get(key)
        if scope is None:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            scope = self._known[key] = self._made(template, filling, None)
        return scope

    def _made(self, template: Template, filling: Filling, inner: Inner | None) -> Scope:
        instances = _Graph(filling, self, inner).graph(template)
        if instances is None:
            return Scope(None, frozenset())
        again: Inner | None = None if inner is None else lambda part, _: self._scope(part, filling)
        live = _Live(filling, self, again)
        return Scope(instances, live.columns(template))


class _Graph(Walk[Multiset]):
    """A template as op instances; ``inner`` takes the scopes inside of it, which are then passed by."""

    def __init__(self, filling: Filling, scopes: Scopes, inner: Inner | None) -> None:
        super().__init__(filling.row, filling.choices)
        self.made = Made(filling)
        self.scopes = scopes
        self.inner = inner

    def graph(self, template: Template) -> Instances | None:
        """The instances that lead to the output; None when nothing does."""
        return self.made.graph(self.value(template, ((INPUT, 1),)))

    def op(self, template: OpSite, x: Multiset) -> Multiset:
        return self.made.instance(self.scopes.label(template)(self.made), (x,))

    def merge(self, kind: str, values: Sequence[Multiset], place: Branches | Cell, node: str) -> Multiset:
        return summed(values) if kind in SUMS else self.made.instance(kind, tuple(sorted(values)))

    def value(self, template: Template, x: Multiset | None) -> Multiset | None:
        """As in :class:`Walk`, but for scopes inside."""
        while isinstance(template, Switch):
            template = template.options[self.row[template.decision]]
        if x is None or self.inner is None:
            return super().value(template, x)
        if isinstance(template, Cell):
            return None if self.inner(template, 1).graph is None else x
        if isinstance(template, Copies):
            for copy, times in self.scopes.runs(template, self.choices):
                if self.inner(copy, times).graph is None:
                    return None
            return x
        return super().value(template, x)


class _Live(Walk[int]):
    """Which decisions matter: a value is a node, and each choice makes one, also where it chooses to pass on."""

    def __init__(self, filling: Filling, scopes: Scopes, inner: Inner | None) -> None:
        super().__init__(filling.row, filling.choices)
        self.scopes = scopes
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
            result = self._passed([(template, 1)], x)
        elif self.inner is not None and isinstance(template, Copies):
            result = self._passed(self.scopes.runs(template, self.choices), x)
        else:
            result = super().value(template, x)
        if isinstance(template, Copies):
            chosen |= decisions_in(template.times)
        if isinstance(template, Cell):
            chosen |= {edge.pick for node in template.nodes for edge in node.edges if edge.pick is not None}
        return result if result is None or not chosen else self.node((result,), frozenset(chosen))

    def _passed(self, parts: Sequence[tuple[Template, int]], x: int) -> int | None:
        assert self.inner is not None
        for part, times in parts:
            scope = self.inner(part, times)
            if scope.graph is None:
                return None
            x = self.node((x,), scope.live)
        return x


def _decided(values: Iterable[Value]) -> frozenset[int]:
    found: set[int] = set()
    for value in values:
        found |= decisions_in(value)
    return frozenset(found)
