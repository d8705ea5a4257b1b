"""Canonical ids: equal for two rows exactly when they denote the same computation.

A row is reduced to op instances. Sums are dissolved: an instance reads a multiset of instances, so a sum of sums is
one multiset. What is left is named up to isomorphism (``_canonical``). Cuts of a chain are the cuts of its items and
the joints between them, so items are named apart and remembered, once for all that are equal but for their place:
the fifteen equal cells of NAS-Bench-201 cost one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
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


Key = Hashable
"""What a row holds at some columns."""


class Filling(NamedTuple):
    """A row and its values."""

    row: list[int]
    """Indices of values, −1 where inactive."""
    choices: Choices
    """The values."""


def _reader(columns: Sequence[int]) -> Callable[[list[int]], Key]:
    """Reads a key off a row."""
    return itemgetter(*columns) if columns else _nothing


def _nothing(row: list[int]) -> Key:
    return None


class _Piece(NamedTuple):
    instances: Instances
    name: str


class Series:
    """Pieces in series, and the multiple of the last one's output that is the result."""

    __slots__ = ("_parts", "factor", "name", "powers")

    def __init__(self, parts: Sequence[_Piece | Series], factor: int) -> None:
        self._parts = parts
        self.factor = factor
        self.name: str = " ".join([part.name for part in parts if part.name])
        """The names of the pieces."""
        self.powers: dict[int, Series] = {}
        """So many of it in series, once asked for."""

    def pieces(self) -> Iterator[_Piece]:
        """The pieces."""
        for part in self._parts:
            if isinstance(part, Series):
                yield from part.pieces()
            else:
                yield part


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What is remembered of the templates that are equal but for their place."""

    template: Template
    """One of them."""
    key: Callable[[list[int]], Key]
    """The values of the decisions that they read."""
    known: dict[Key, Series | None] = field(default_factory=dict)
    """By those values."""
    runs: dict[int, list[_Run]] = field(default_factory=dict)
    """Of a chain or of copies: by number of items, what stands in series."""


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Equal items one after another."""

    part: _Part
    times: int
    fixed: Series | None
    """What they are, where no decision matters and nothing is cut."""


class CanonicalIds:
    """Canonical ids of the rows of one space; remembers the parts that rows share."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.whole = _reads_before(space.template)
        """Whether a part's meaning depends on what stands before it, so that parts cannot be named apart."""
        self._shapes = _Shapes()
        self._labels = Labels()
        self._parts: dict[int, _Part] = {}  # by shape
        self._part_of: dict[int, _Part] = {}  # by template
        self._graphs: dict[Instances, Series] = {}
        self._pieces: dict[Instances, _Piece] = {}
        self._values = [decision.values for decision in space.decisions]

    def of(self, row: npt.NDArray[np.int64]) -> str:
        """The id of a row ``(n_decisions,)``: 16 hexadecimal digits."""
        if self.space.tabular:
            return hashlib.sha256(f"table {self.space.to_values(row)}".encode()).hexdigest()[:16]
        indices = row.tolist()
        choices = [values[v] if v >= 0 else None for values, v in zip(self._values, indices, strict=True)]
        series = self.series_of(self.space.template, indices, choices)
        text = "nothing" if series is None else f"{series.factor} {series.name}"
        if self.space.recipe:
            recipe = {name: value_under(value, choices) for name, value in self.space.recipe.items()}
            text += " train " + json.dumps(recipe)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def is_cut(self, row: npt.NDArray[np.int64]) -> bool:
        """Whether no path leads from a row's input to its output."""
        indices = row.tolist()
        return self.series_of(self.space.template, indices, self.space.choices(row)) is None

    def shape(self, template: Template) -> int:
        """A number, the same for templates of the space that are equal but for their place."""
        return self._shapes.of(template)

    def series_of(self, template: Template, row: list[int], choices: Choices) -> Series | None:
        """The pieces of a template of the space under a row; None when it is cut."""
        return self._new_series(self._part(template), Filling(row, choices))

    def series_of_part(self, template: Template, row: list[int], choices: Choices) -> Series | None:
        """The same for a part that is no series itself; reads only those decisions that matter."""
        graph = Dissolved(Filling(row, choices), self._labels).graph(template)
        return None if graph is None else self._split(graph)

    def _series(self, part: _Part, filling: Filling) -> Series | None:
        """A part in series position; None when it cuts the network."""
        key = part.key(filling.row)
        if key in part.known:
            return part.known[key]
        series = self._new_series(part, filling)
        _remember(part.known, key, series)
        return series

    def _part(self, template: Template) -> _Part:
        part = self._part_of.get(id(template))
        if part is None:
            new = _Part(template, _reader(sorted(columns_read(template))))
            part = self._part_of[id(template)] = self._parts.setdefault(self._shapes.of(template), new)
        return part

    def _new_series(self, part: _Part, filling: Filling) -> Series | None:
        template = part.template
        if not self.whole:
            if isinstance(template, Switch):
                return self._series(self._part(template.options[filling.row[template.decision]]), filling)
            if isinstance(template, Chain):
                return self._joined(part, template.items, filling)
            if isinstance(template, Copies):
                return self._joined(part, chosen_copies(template, filling.choices), filling)
        graph = Dissolved(filling, self._labels).graph(template)
        return None if graph is None else self._split(graph)

    def _joined(self, part: _Part, items: Sequence[Template], filling: Filling) -> Series | None:
        runs = part.runs.get(len(items))
        if runs is None:
            runs = part.runs[len(items)] = self._runs(items, filling)
        joined: list[Series] = []
        for run in runs:
            series = run.fixed
            if series is None:
                series = self._series(run.part, filling)
                if series is None:
                    return None
                if run.times != 1:
                    series = self._power(series, run.times)
            joined.append(series)
        return joined[0] if len(joined) == 1 else self._concatenated(joined)

    def _runs(self, items: Sequence[Template], filling: Filling) -> list[_Run]:
        runs: list[_Run] = []
        for part, run in groupby(map(self._part, items)):
            times = len(list(run))
            fixed = self._series(part, filling) if part.key is _nothing else None
            if fixed is not None:
                fixed = self._power(fixed, times)
                before = runs[-1].fixed if runs else None
                if before is not None:
                    runs.pop()
                    fixed = self._concatenated([before, fixed])
            runs.append(_Run(part, times, fixed))
        return runs

    def _power(self, series: Series, times: int) -> Series:
        power = series.powers.get(times)
        if power is None:
            power = series.powers[times] = self._concatenated([series] * times)
        return power

    def _concatenated(self, parts: Sequence[Series]) -> Series:
        if all(part.factor == 1 for part in parts):
            return Series(parts, 1)
        pieces: list[_Piece] = []
        factor = 1
        for part in parts:
            for piece in part.pieces():
                if factor != 1:
                    instances, factor = scaled(piece.instances, factor)
                    piece = self._named(instances)
                pieces.append(piece)
            factor *= part.factor
        return Series(pieces, factor)

    def _split(self, graph: Instances) -> Series:
        series = self._graphs.get(graph)
        if series is None:
            pieces, factor = split(graph)
            series = Series([self._named(piece) for piece in pieces], factor)
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


class Dissolved(Walk[Multiset]):
    """A template as op instances; a value is the multiset of instances that it sums."""

    def __init__(self, filling: Filling, labels: Labels) -> None:
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
        read = {INPUT, *[source for source, _ in output]}
        for ports in self.ports:
            for port in ports:
                read.update([source for source, _ in port])
        if len(read) == len(self.labels):  # each is read, so each leads to the last one read: the output
            return Instances(tuple(self.labels), tuple(self.ports), output)
        needed = {INPUT, *[source for source, _ in output]}
        for v in range(len(self.labels) - 1, 0, -1):
            if v in needed:
                for port in self.ports[v]:
                    needed.update([source for source, _ in port])
        kept = sorted(needed)
        new = {old: k for k, old in enumerate(kept)}

        def renumbered(port: Multiset) -> Multiset:
            return tuple([(new[source], count) for source, count in port])

        kept_ports = tuple([tuple([renumbered(port) for port in self.ports[v]]) for v in kept])
        return Instances(tuple([self.labels[v] for v in kept]), kept_ports, renumbered(output))

    def value(self, template: Template, x: Multiset | None) -> Multiset | None:
        """As in :class:`Walk`; ops without decisions, which most are, take the short way."""
        while type(template) is Switch:
            template = template.options[self.row[template.decision]]
        label = self.label_of.fixed.get(id(template))
        if label is None or x is None:
            return super().value(template, x)
        self.labels.append(label)
        self.ports.append((x,))
        return ((len(self.labels) - 1, 1),)

    def op(self, template: OpSite, x: Multiset) -> Multiset:
        return self.instance(self.label_of(template, self.filling), (x,))

    def merge(self, kind: str, values: Sequence[Multiset], place: Branches | Cell, node: str) -> Multiset:
        if kind in ("sum", "residual"):
            return summed(values)
        return self.instance(kind, tuple(sorted(values)))

    def instance(self, label: str, ports: tuple[Multiset, ...]) -> Multiset:
        self.labels.append(label)
        self.ports.append(ports)
        return ((len(self.labels) - 1, 1),)


class Labels:
    """The label of an op under a row: its name and parameters."""

    def __init__(self) -> None:
        self.fixed: dict[int, str] = {}
        """By template, where no decision matters and the op is one, neither ``identity`` nor ``none``."""
        self._known: dict[int, tuple[Callable[[list[int]], Key], dict[Key, str]]] = {}

    def __call__(self, template: OpSite, filling: Filling) -> str:
        site = self._known.get(id(template))
        if site is None:
            columns = sorted(columns_read(template))
            site = self._known[id(template)] = _reader(columns), {}
            if not columns:
                self.fixed[id(template)] = label_of(template, filling.choices)
        read, known = site
        key = read(filling.row)
        label = known.get(key)
        if label is None:
            label = label_of(template, filling.choices)
            _remember(known, key, label)
        return label


def label_of(template: OpSite, choices: Choices) -> str:
    given = {
        # 4 and 4.0 are one number.
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in sorted(parameters_of(template, choices).items())
        if value is not None
    }
    if template.name == "act":  # another spelling of the activation
        return str(given["kind"])
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
