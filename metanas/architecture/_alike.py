"""Which templates of a space are equal but for the names of their places."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from metanas.space import Branches, Cell, Chain, Computed, Copies, OpSite, Switch, Template, Value


class Alike:
    """A number for each template, the same for templates that are equal but for the names of their places."""

    def __init__(self) -> None:
        self._number: dict[Hashable, int] = {}
        self._known: dict[int, int] = {}

    def number(self, template: Template) -> int:
        """The number of a template of the space."""
        known = self._known.get(id(template))
        if known is None:
            known = self._known[id(template)] = self._numbered(self._key(template))
        return known

    def number_of_body(self, cell: Cell) -> int:
        """The number of a cell without what its inputs go through."""
        return self._numbered(("body", *self._nodes(cell)))

    def _numbered(self, key: Hashable) -> int:
        return self._number.setdefault(key, len(self._number))

    def _key(self, template: Template) -> Hashable:
        match template:
            case OpSite(name=name, parameters=parameters):
                return "op", name, tuple((key, _value(parameters[key])) for key in sorted(parameters))
            case Chain(items=items):
                return "chain", *map(self.number, items)
            case Switch(decision=decision, options=options):
                return "switch", decision, *map(self.number, options)
            case Copies(times=times, copies=copies):
                return "copies", times, *map(self.number, copies)
            case Branches(branches=branches, merge=merge):
                return "branches", merge, *map(self.number, branches)
            case Cell(each_input=each_input, hands_on=hands_on):
                enters = tuple(map(self.number, each_input))
                return "cell", enters, None if hands_on is None else self.number(hands_on), *self._nodes(template)

    def _nodes(self, cell: Cell) -> Iterator[Hashable]:
        yield len(cell.inputs)
        for node in cell.nodes:
            edges = tuple((edge.sources, edge.pick, tuple(map(self.number, edge.modules))) for edge in node.edges)
            yield node.merge, None if node.op is None else self.number(node.op), edges


def _value(value: Value) -> Hashable:
    """The same for values that are equal in every row."""
    if isinstance(value, Computed):
        names = tuple((name, _value(value.names[name])) for name in sorted(value.names))
        return value.expression, names, value.whole
    return value
