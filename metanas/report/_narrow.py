"""A space with all decisions made, cells and repeats still whole: what one network looks like as its file tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from metanas.architecture import Architecture
from metanas.space import Branches, Cell, Chain, Copies, OpSite, SearchSpace, Switch, Template, value_under
from metanas.space._template import CellEdge, CellNode, Fixed


def narrowed(architecture: Architecture) -> SearchSpace:
    """The space of an architecture with one option of each choice left; edges that ``none`` cuts are gone."""
    space = architecture.space
    return replace(space, template=_Narrow(architecture).template(space.template), constraints=(), limits=())


class _Narrow:
    def __init__(self, architecture: Architecture) -> None:
        self.row = architecture.row
        self.choices = architecture.space.choices(architecture.array)
        self._done: dict[int, Template] = {}
        """Parts that stand in several places stay one part."""

    def template(self, part: Template) -> Template:
        if id(part) not in self._done:
            self._done[id(part)] = self._narrow(part)
        return self._done[id(part)]

    def _narrow(self, part: Template) -> Template:
        match part:
            case OpSite(parameters=parameters):
                return replace(part, parameters=self._fixed(parameters))
            case Chain(items):
                return Chain(tuple(self.template(item) for item in items))
            case Switch(decision, options):
                return self.template(options[self.row[decision]])
            case Copies(times, copies):
                count = int(value_under(times, self.choices))
                return replace(part, times=Fixed(count), copies=tuple(self.template(copy) for copy in copies[:count]))
            case Branches(branches=branches):
                return replace(part, branches=tuple(self.template(branch) for branch in branches))
            case Cell():
                return self._cell(part)

    def _fixed(self, parameters: Mapping[str, object]) -> dict[str, Fixed]:
        return {name: Fixed(value_under(value, self.choices)) for name, value in parameters.items()}  # type: ignore[arg-type]

    def _cell(self, cell: Cell) -> Cell:
        nodes = []
        for node in cell.nodes:
            chosen = [edge.chosen(self.row) for edge in node.edges]
            edges = [CellEdge((source,), (self.template(module),)) for source, module in chosen]
            kept = tuple(edge for edge in edges if not _cuts(edge.modules[0]))
            nodes.append(CellNode(node.name, kept, node.merge, None if node.op is None else self.template(node.op)))
        each = tuple(self.template(part) for part in cell.each_input)
        hands_on = None if cell.hands_on is None else self.template(cell.hands_on)
        return replace(cell, nodes=tuple(nodes), each_input=each, hands_on=hands_on)


def _cuts(part: Template) -> bool:
    return isinstance(part, OpSite) and part.name == "none"
