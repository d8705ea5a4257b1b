"""Canonical ids: equal for two rows exactly when they denote the same computation.

A row is reduced to op instances. Sums are dissolved: an instance reads a multiset of instances, so a sum of sums is
one multiset. What is left is named up to isomorphism (``_canonical``). Cuts of a chain are the cuts of its items and
the joints between them, so items are named apart and remembered, once for all that are equal but for their place:
the fifteen equal cells of NAS-Bench-201 cost one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from metanas.architecture._canonical import Instances, Multiset, canonical_name, scaled, split, summed
from metanas.architecture._graph import INPUT, Choices, Walk, chosen_copies, parameters_of
from metanas.space import (
    Branches,
    Cell,
    Chain,
    Copies,
    OpSite,
    Scalar,
    SearchSpace,
    Switch,
    Template,
    columns_read,
    templates_in,
    value_under,
)

_MAX_REMEMBERED = 100_000
"""Entries of one memory; it starts anew when full."""

K = TypeVar("K")
V = TypeVar("V")


Key = tuple[int, ...]
"""What a row holds at some columns."""


class _Filling(NamedTuple):
    """A row and its values."""

    row: list[int]
    """Indices of values, −1 where inactive."""
    choices: list[Scalar | None]
    """The values."""

    def at(self, columns: tuple[int, ...]) -> Key:
        """The row at these columns."""
        row = self.row
        return tuple([row[column] for column in columns])


class _Piece(NamedTuple):
    instances: Instances
    name: str


class _Series(NamedTuple):
    """Pieces in series, and the multiple of the last one's output that is the result."""

    pieces: tuple[_Piece, ...] = ()
    factor: int = 1


@dataclass(frozen=True, slots=True)
class _Part:
    """What is remembered of the templates that are equal but for their place."""

    columns: tuple[int, ...]
    """The decisions that they read."""
    known: dict[Key, _Series | None] = field(default_factory=dict)
    """By the values of those."""


class CanonicalIds:
    """Canonical ids of the rows of one space; remembers the parts that rows share."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._whole = _reads_before(space.template)
        """Whether a part's meaning depends on what stands before it, so that parts cannot be named apart."""
        self._shapes = _Shapes()
        self._labels = _Labels()
        self._parts: dict[int, _Part] = {}  # by shape
        self._part_of: dict[int, _Part] = {}  # by template
        self._graphs: dict[Instances, _Series] = {}
        self._pieces: dict[Instances, _Piece] = {}

    def of(self, row: npt.NDArray[np.int64]) -> str:
        """The id of a row ``(n_decisions,)``: 16 hexadecimal digits."""
        indices = row.tolist()
        if self.space.tabular:
            return hashlib.sha256(f"table {self.space.to_values(row)}".encode()).hexdigest()[:16]
        choices = [d.values[v] if v >= 0 else None for d, v in zip(self.space.decisions, indices, strict=True)]
        series = self._new_series(self.space.template, _Filling(indices, choices))
        text = "nothing" if series is None else f"{series.factor} " + " ".join([p.name for p in series.pieces])
        if self.space.recipe:
            recipe = {name: value_under(value, choices) for name, value in self.space.recipe.items()}
            text += " train " + json.dumps(recipe)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _series(self, template: Template, filling: _Filling) -> _Series | None:
        """A template in series position; None when it cuts the network."""
        part = self._part(template)
        key = filling.at(part.columns)
        if key in part.known:
            return part.known[key]
        series = self._new_series(template, filling)
        _remember(part.known, key, series)
        return series

    def _part(self, template: Template) -> _Part:
        part = self._part_of.get(id(template))
        if part is None:
            part = self._parts.setdefault(self._shapes.of(template), _Part(tuple(sorted(columns_read(template)))))
            self._part_of[id(template)] = part
        return part

    def _new_series(self, template: Template, filling: _Filling) -> _Series | None:
        if self._whole:
            graph = _Dissolved(filling, self._labels).graph(template)
            return None if graph is None else self._split(graph)
        match template:
            case Chain(items=items):
                return self._joined(items, filling)
            case Switch():
                return self._series(template.options[filling.row[template.decision]], filling)
            case Copies():
                return self._joined(chosen_copies(template, filling.choices), filling)
            case _:
                graph = _Dissolved(filling, self._labels).graph(template)
                return None if graph is None else self._split(graph)

    def _joined(self, items: Sequence[Template], filling: _Filling) -> _Series | None:
        pieces: list[_Piece] = []
        factor = 1
        last: _Part | None = None
        series: _Series | None = None
        for item in items:
            part = self._part(item)
            if part is not last:
                last, series = part, self._series(item, filling)
            if series is None:
                return None
            if factor == 1:
                pieces += series.pieces
            else:
                for piece in series.pieces:
                    instances, factor = scaled(piece.instances, factor)
                    pieces.append(self._named(instances))
            factor *= series.factor
        return _Series(tuple(pieces), factor)

    def _split(self, graph: Instances) -> _Series:
        series = self._graphs.get(graph)
        if series is None:
            pieces, factor = split(graph)
            series = _Series(tuple([self._named(piece) for piece in pieces]), factor)
            _remember(self._graphs, graph, series)
        return series

    def _named(self, instances: Instances) -> _Piece:
        piece = self._pieces.get(instances)
        if piece is None:
            piece = _Piece(instances, hashlib.sha256(canonical_name(instances).encode()).hexdigest()[:32])
            _remember(self._pieces, instances, piece)
        return piece


def _remember(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= _MAX_REMEMBERED:
        known.clear()
    known[key] = value


class _Dissolved(Walk[Multiset]):
    """A template as op instances; a value is the multiset of instances that it sums."""

    def __init__(self, filling: _Filling, labels: _Labels) -> None:
        super().__init__(filling.row, filling.choices)
        self.filling = filling
        self.label_of = labels
        self.labels = [""]
        self.ports: list[tuple[Multiset, ...]] = [()]

    def graph(self, template: Template) -> Instances | None:
        """The instances that lead to the output; None when nothing does."""
        output = self.value(template, ((INPUT, 1),))
        if output is None:
            return None
        needed = {INPUT, *[source for source, _ in output]}
        for v in range(len(self.labels) - 1, 0, -1):
            if v in needed:
                for port in self.ports[v]:
                    needed.update([source for source, _ in port])
        if len(needed) == len(self.labels):
            return Instances(tuple(self.labels), tuple(self.ports), output)
        kept = sorted(needed)
        new = {old: k for k, old in enumerate(kept)}

        def renumbered(port: Multiset) -> Multiset:
            return tuple([(new[source], count) for source, count in port])

        ports = tuple([tuple([renumbered(port) for port in self.ports[v]]) for v in kept])
        return Instances(tuple([self.labels[v] for v in kept]), ports, renumbered(output))

    def op(self, template: OpSite, x: Multiset) -> Multiset:
        return self._instance(self.label_of(template, self.filling), (x,))

    def merge(self, kind: str, values: Sequence[Multiset], site: str) -> Multiset:
        if kind in ("sum", "residual"):
            return summed(values)
        return self._instance(kind, tuple(sorted(values)))

    def _instance(self, label: str, ports: tuple[Multiset, ...]) -> Multiset:
        self.labels.append(label)
        self.ports.append(ports)
        return ((len(self.labels) - 1, 1),)


class _Labels:
    """The label of an op under a row: its name and parameters."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[tuple[int, ...], dict[Key, str]]] = {}

    def __call__(self, template: OpSite, filling: _Filling) -> str:
        site = self._known.get(id(template))
        if site is None:
            site = self._known[id(template)] = tuple(sorted(columns_read(template))), {}
        columns, known = site
        key = filling.at(columns) if columns else ()
        label = known.get(key)
        if label is None:
            label = _label(template, filling.choices)
            _remember(known, key, label)
        return label


def _label(template: OpSite, choices: Choices) -> str:
    given = {
        # 4 and 4.0 are one number.
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in sorted(parameters_of(template, choices).items())
        if value is not None
    }
    return f"{template.name} {json.dumps(given)}" if given else template.name


class _Shapes:
    """A number for each template, the same for templates that are equal but for the names of their places."""

    def __init__(self) -> None:
        self._number: dict[Hashable, int] = {}
        self._known: dict[int, int] = {}

    def of(self, template: Template) -> int:
        """The number of a template of the space."""
        known = self._known.get(id(template))
        if known is None:
            key = self._key(template)
            known = self._known[id(template)] = self._number.setdefault(key, len(self._number))
        return known

    def _key(self, template: Template) -> Hashable:
        match template:
            case OpSite(name=name, parameters=parameters):
                return "op", name, tuple(sorted(parameters.items(), key=itemgetter(0)))
            case Chain(items=items):
                return "chain", *map(self.of, items)
            case Switch(decision=decision, options=options):
                return "switch", decision, *map(self.of, options)
            case Copies(times=times, copies=copies):
                return "copies", times, *map(self.of, copies)
            case Branches(branches=branches, merge=merge):
                return "branches", merge, *map(self.of, branches)
            case Cell():
                return "cell", *self._cell(template)

    def _cell(self, cell: Cell) -> Iterator[Hashable]:
        yield len(cell.inputs)
        yield tuple(self.of(part) for part in cell.each_input)
        yield None if cell.hands_on is None else self.of(cell.hands_on)
        for node in cell.nodes:
            edges = tuple((edge.sources, edge.pick, tuple(map(self.of, edge.modules))) for edge in node.edges)
            yield node.merge, None if node.op is None else self.of(node.op), edges


def _reads_before(template: Template) -> bool:
    """Whether a template holds a cell of two inputs, which reads what came before the module that it follows."""
    return any(isinstance(part, Cell) and len(part.inputs) > 1 for part in templates_in(template))
