"""Rows as op instances, sums dissolved: an instance reads a multiset of instances, so a sum of sums is one multiset.

Ids are made in millions, so a template is turned into functions once, and they run for each row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from typing import NamedTuple

from metanas.architecture._canonical import Instances, Multiset, summed
from metanas.architecture._graph import INPUT, Choices, chosen_copies, parameters_of
from metanas.space import (
    Branches,
    Cell,
    CellEdge,
    CellNode,
    Chain,
    Copies,
    OpSite,
    Scalar,
    Switch,
    Template,
    columns_read,
    value_under,
)

SUMS = frozenset({"sum", "residual"})

Key = Hashable
"""What a row holds at some columns."""


class Filling(NamedTuple):
    """A row and its values."""

    row: list[int]
    """Indices of values, −1 where inactive."""
    choices: Choices
    """The values."""


class RowValues(Sequence[Scalar | None]):
    """The values of a row, each looked up when it is asked for."""

    __slots__ = ("_row", "_values")

    def __init__(self, values: Sequence[Sequence[Scalar]], row: list[int]) -> None:
        self._values = values
        self._row = row

    def __getitem__(self, column: int) -> Scalar | None:  # type: ignore[override]
        index = self._row[column]
        return None if index < 0 else self._values[column][index]

    def __len__(self) -> int:
        return len(self._row)


class OpLabel:
    """The label of an op under a row; remembers it."""

    __slots__ = ("_known", "_read", "_template")

    def __init__(self, template: OpSite) -> None:
        self._template = template
        self._read = reader(sorted(columns_read(template)))
        self._known: dict[Key, str] = {}

    def __call__(self, filling: Filling | Made) -> str:
        key = self._read(filling.row)
        label = self._known.get(key)
        if label is None:
            label = self._known[key] = label_of(self._template, filling.choices)
        return label


class Made:
    """A row, and the op instances that it has made so far."""

    __slots__ = ("before", "choices", "labels", "ports", "row")

    def __init__(self, filling: Filling) -> None:
        self.row, self.choices = filling
        self.labels = [""]
        self.ports: list[tuple[Multiset, ...]] = [()]
        self.before: Multiset | None = None
        """What the last cell of two inputs read, as the next one reads it."""

    def instance(self, label: str, ports: tuple[Multiset, ...]) -> Multiset:
        """One more."""
        self.labels.append(label)
        self.ports.append(ports)
        return ((len(self.labels) - 1, 1),)

    def graph(self, output: Multiset | None) -> Instances | None:
        """The instances that lead to ``output``; None when that is nothing."""
        if output is None:
            return None
        read = {INPUT, output[0][0]}
        for ports in self.ports:
            for port in ports:
                if len(port) == 1:
                    read.add(port[0][0])
                else:
                    read.update([source for source, _ in port])
        if len(output) > 1:
            read.update([source for source, _ in output])
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


Make = Callable[[Made, "Multiset | None"], "Multiset | None"]
"""Makes the instances of a template that reads a value; None is the value where nothing arrives."""


def _cut(made: Made, x: Multiset | None) -> None:
    return None


def _through(made: Made, x: Multiset | None) -> Multiset | None:
    return x


class Plain:
    """An op without decisions, as most are."""

    __slots__ = ("label",)

    def __init__(self, label: str) -> None:
        self.label = label

    def __call__(self, made: Made, x: Multiset | None) -> Multiset | None:
        return None if x is None else made.instance(self.label, (x,))


class Edge(NamedTuple):
    """An edge of a cell: for each value of a decision the state that it reads, and what stands on it."""

    column: int | None
    """Of the decision; None for only one."""
    sources: Sequence[int]
    makes: Sequence[Make]


_FastEdge = tuple["int | None", Sequence[int], Sequence["Make | str"]]
"""An edge in which labels stand for ops without decisions."""


class Dissolver:
    """Dissolves templates of one space. The meaning of templates is that of :class:`metanas.architecture._graph.Walk`."""

    def __init__(self) -> None:
        self._known: dict[int, Make] = {}  # by template

    def graph(self, template: Template, filling: Filling) -> Instances | None:
        """The op instances of a template under a row; None when it is cut."""
        made = Made(filling)
        return made.graph(self.make(template)(made, ((INPUT, 1),)))

    def body(self, cell: Cell) -> Callable[[Sequence[str], Filling], Instances | None]:
        """From the labels of instances that stand for a cell's inputs, and a row, to the op instances of the cell."""
        nodes = self._nodes(cell)

        def graph(labels: Sequence[str], filling: Filling) -> Instances | None:
            made = Made(filling)
            states: list[Multiset | None] = [made.instance(label, (((INPUT, 1),),)) for label in labels]
            return made.graph(nodes(made, states))

        return graph

    def make(self, template: Template) -> Make:
        """The function of a template."""
        make = self._known.get(id(template))
        if make is None:
            make = self._known[id(template)] = self._new(template)
        return make

    def _new(self, template: Template) -> Make:
        match template:
            case OpSite():
                return self._op(template)
            case Chain(items=items):
                return self._chain(items)
            case Switch():
                return self.switch(template)
            case Copies():
                return self._copies(template)
            case Branches():
                return self._branches(template)
            case Cell():
                return self._cell(template)

    def _op(self, template: OpSite) -> Make:
        if template.name == "none":
            return _cut
        stride = template.parameters.get("stride") if template.name == "identity" else None
        if template.name == "identity" and stride is None:
            return _through
        if not columns_read(template):
            return _through if stride is not None and value_under(stride, ()) == 1 else Plain(label_of(template, ()))
        label = OpLabel(template)

        def op(made: Made, x: Multiset | None) -> Multiset | None:
            if x is None or (stride is not None and value_under(stride, made.choices) == 1):
                return x
            return made.instance(label(made), (x,))

        return op

    def _chain(self, items: Sequence[Template]) -> Make:
        makes = [make for make in map(self.make, items) if make is not _through]
        if len(makes) == 1:
            return makes[0]

        def chain(made: Made, x: Multiset | None) -> Multiset | None:
            for make in makes:
                x = make(made, x)
            return x

        return chain

    def switch(self, template: Switch) -> Make:
        """One of its options, whose functions are made when they are needed."""
        decision, options = template.decision, template.options
        makes: list[Make | None] = [None] * len(options)

        def switch(made: Made, x: Multiset | None) -> Multiset | None:
            index = made.row[decision]
            make = makes[index]
            if make is None:
                make = makes[index] = self.make(options[index])
            return make(made, x)

        return switch

    def _copies(self, template: Copies) -> Make:
        def copies(made: Made, x: Multiset | None) -> Multiset | None:
            for copy in chosen_copies(template, made.choices):
                x = self.make(copy)(made, x)
            return x

        return copies

    def _branches(self, template: Branches) -> Make:
        makes = [self.make(branch) for branch in template.branches]
        merge = template.merge

        def branches(made: Made, x: Multiset | None) -> Multiset | None:
            return _merged(made, merge, [make(made, x) for make in makes])

        return branches

    def _cell(self, template: Cell) -> Make:
        nodes = self._nodes(template)
        if len(template.inputs) == 1:
            enter = self._chain(template.each_input)

            def cell(made: Made, x: Multiset | None) -> Multiset | None:
                return None if x is None else nodes(made, [enter(made, x)])

            return cell
        enters = [self.make(part) for part in template.each_input] or [_through, _through]
        hands_on = _through if template.hands_on is None else self.make(template.hands_on)

        def cell_of_two(made: Made, x: Multiset | None) -> Multiset | None:
            if x is None:
                return None
            before = x if made.before is None else made.before
            made.before = hands_on(made, x)
            return nodes(made, [enters[0](made, before), enters[1](made, x)])

        return cell_of_two

    def _nodes(self, template: Cell) -> Callable[[Made, list[Multiset | None]], Multiset | None]:
        """From the inputs of a cell, as its nodes read them, to its result."""
        nodes = [self._node(node) for node in template.nodes]

        def run(made: Made, states: list[Multiset | None]) -> Multiset | None:
            row, labels, ports = made.row, made.labels, made.ports
            for edges, merge, op in nodes:
                arriving = []
                for column, sources, makes in edges:
                    index = 0 if column is None else row[column]
                    make, value = makes[index], states[sources[index]]
                    if value is None or make is _cut:
                        continue
                    if isinstance(make, str):  # the label of a plain op, made without a call: cells are full of them
                        ports.append((value,))
                        value = ((len(labels), 1),)
                        labels.append(make)
                    elif make is not _through:
                        value = make(made, value)
                        if value is None:
                            continue
                    arriving.append(value)
                if len(arriving) > 1:
                    state: Multiset | None = (
                        summed(arriving) if merge in SUMS else made.instance(merge, tuple(sorted(arriving)))
                    )
                else:
                    state = arriving[0] if arriving else None
                states.append(state if op is None else op(made, state))
            return states[-1]

        return run

    def _node(self, node: CellNode) -> tuple[list[_FastEdge], str, Make | None]:
        edges: list[_FastEdge] = [
            (column, sources, [make.label if isinstance(make, Plain) else make for make in makes])
            for column, sources, makes in map(self.edge, node.edges)
        ]
        return edges, node.merge, None if node.op is None else self.make(node.op)

    def edge(self, edge: CellEdge) -> Edge:
        """An edge; of a choice that stands on it, all options."""
        if edge.pick is None and isinstance(edge.modules[0], Switch):
            column, options = edge.modules[0].decision, edge.modules[0].options
            return Edge(column, edge.sources * len(options), list(map(self.make, options)))
        return Edge(edge.pick, edge.sources, list(map(self.make, edge.modules)))


def _merged(made: Made, kind: str, values: Sequence[Multiset | None]) -> Multiset | None:
    present = [value for value in values if value is not None]
    if len(present) > 1:
        return _merge(made, kind, present)
    return present[0] if present else None


def _merge(made: Made, kind: str, values: list[Multiset]) -> Multiset:
    if kind in SUMS:
        return summed(values)
    return made.instance(kind, tuple(sorted(values)))


def label_of(template: OpSite, choices: Choices) -> str:
    """The label of an op under a row: its name and parameters."""
    given = {
        # 4 and 4.0 are one number.
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in sorted(parameters_of(template, choices).items())
        if value is not None
    }
    if template.name == "act":  # another spelling of the activation
        return str(given["kind"])
    return f"{template.name} {json.dumps(given)}" if given else template.name


def reader(columns: Sequence[int]) -> Callable[[list[int]], Key]:
    """Reads a key off a row."""
    return itemgetter(*columns) if columns else nothing_read


def nothing_read(row: list[int]) -> Key:
    """The key of what reads no decision."""
    return None
