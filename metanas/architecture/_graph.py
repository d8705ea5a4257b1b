"""One network as a graph of ops: a template with its holes filled by a row.

A value is a node of the graph, or None where nothing arrives (a cut edge). ``none`` makes nothing, an op on nothing
makes nothing, identities make no node, and what does not reach the output is dropped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import networkx as nx

from metanas.space import (
    Branches,
    Cell,
    Chain,
    Copies,
    OpSite,
    Scalar,
    Switch,
    Template,
    signature,
    value_under,
)

INPUT = 0
"""Index of the node that stands for the data."""

Choices = Sequence[Scalar | None]
"""Value of each decision by column, None where inactive."""


@dataclass(frozen=True, slots=True)
class OpNode:
    """An op instance, or a merge (``sum``, ``concat``, ``mean``, ``product``, ``residual``)."""

    op: str
    """Name of the op or merge; ``input`` for node 0."""
    parameters: Mapping[str, Scalar | None] = field(default_factory=dict)
    """All parameters, defaults filled in; None for those taken from the input's shape."""
    inputs: tuple[int, ...] = ()
    """Nodes that it reads, in order."""
    site: str = ""
    """Readable place."""


@dataclass(frozen=True, slots=True)
class OpGraph:
    """Ops in topological order; node 0 is the input."""

    nodes: tuple[OpNode, ...]
    """All nodes that lead to the output, and the input."""
    output: int | None
    """The node whose value is the result; None when no path leads from input to output."""

    def to_networkx(self) -> nx.MultiDiGraph[int]:
        """The graph with ``op``, ``parameters`` and ``site`` on its nodes; parallel edges are kept."""
        graph: nx.MultiDiGraph[int] = nx.MultiDiGraph()
        for index, node in enumerate(self.nodes):
            graph.add_node(index, op=node.op, parameters=dict(node.parameters), site=node.site)
            graph.add_edges_from((source, index) for source in node.inputs)
        return graph


def expand(template: Template, row: Sequence[int], choices: Choices) -> OpGraph:
    """The graph of a template under a row and its values."""
    expansion = _Expansion(row, choices)
    output = expansion.value(template, INPUT)
    return _pruned(expansion.nodes, output)


V = TypeVar("V")


class Walk(ABC, Generic[V]):
    """What a template means under a row, whatever a value is; None is the value where nothing arrives."""

    def __init__(self, row: Sequence[int], choices: Choices) -> None:
        self.row = row
        self.choices = choices
        self._before: V | None = None
        """What the last cell of two inputs read, as the next one reads it."""

    @abstractmethod
    def op(self, template: OpSite, x: V) -> V:
        """The result of an op (no identity, no ``none``)."""

    @abstractmethod
    def merge(self, kind: str, values: Sequence[V], place: Branches | Cell, node: str) -> V:
        """The result of merging two values or more; ``node`` is the name of a cell's node."""

    def value(self, template: Template, x: V | None) -> V | None:
        """The result of a template that reads ``x``."""
        if x is None:
            return None
        # Tests of the class, the commonest first: a match statement costs twice as much, and ids are made in millions.
        while isinstance(template, Switch):
            template = template.options[self.row[template.decision]]
        if isinstance(template, OpSite):
            name = template.name
            if name == "none":
                return None
            return x if name == "identity" and not self._strided(template) else self.op(template, x)
        if isinstance(template, Chain):
            return self._series(template.items, x)
        if isinstance(template, Copies):
            return self._series(chosen_copies(template, self.choices), x)
        if isinstance(template, Branches):
            arriving = [self.value(branch, x) for branch in template.branches]
            return self._merged(template.merge, arriving, template, "")
        return self._cell(template, x)

    def _series(self, items: Sequence[Template], x: V | None) -> V | None:
        for item in items:
            x = self.value(item, x)
        return x

    def _strided(self, template: OpSite) -> bool:
        stride = template.parameters.get("stride")
        return stride is not None and value_under(stride, self.choices) != 1

    def _cell(self, template: Cell, x: V) -> V | None:
        states: list[V | None] = [x]
        if len(template.inputs) == 2:
            states = [x if self._before is None else self._before, x]
            self._before = x if template.hands_on is None else self.value(template.hands_on, x)
        if template.each_input:
            states = [self.value(part, state) for part, state in zip(template.each_input, states, strict=True)]
        value, row = self.value, self.row
        for node in template.nodes:
            arriving = []
            for edge in node.edges:
                index = 0 if edge.pick is None else row[edge.pick]
                arriving.append(value(edge.modules[index], states[edge.sources[index]]))
            state = self._merged(node.merge, arriving, template, node.name)
            states.append(state if node.op is None else self.value(node.op, state))
        return states[-1]

    def _merged(self, kind: str, values: Sequence[V | None], place: Branches | Cell, node: str) -> V | None:
        present = [value for value in values if value is not None]
        if len(present) > 1:
            return self.merge(kind, present, place, node)
        # A residual without its body, or without its input, is no residual.
        return present[0] if present else None


class _Expansion(Walk[int]):
    def __init__(self, row: Sequence[int], choices: Choices) -> None:
        super().__init__(row, choices)
        self.nodes: list[OpNode] = [OpNode("input", site="input")]

    def op(self, template: OpSite, x: int) -> int:
        self.nodes.append(OpNode(template.name, parameters_of(template, self.choices), (x,), template.site))
        return len(self.nodes) - 1

    def merge(self, kind: str, values: Sequence[int], place: Branches | Cell, node: str) -> int:
        site = place.site
        if node:
            site = f"{site}.{node}" if site else f"node_{node}"
        self.nodes.append(OpNode(kind, {}, tuple(values), site))
        return len(self.nodes) - 1


def parameters_of(template: OpSite, choices: Choices | Mapping[int, Scalar]) -> dict[str, Scalar | None]:
    """All parameters of an op, defaults filled in; None for those taken from the input's shape."""
    parameters = {name: parameter.default for name, parameter in signature(template.name).parameters.items()}
    parameters.update((name, value_under(value, choices)) for name, value in template.parameters.items())
    return parameters


def chosen_copies(template: Copies, choices: Choices) -> Sequence[Template]:
    """As many copies as the row says."""
    times = value_under(template.times, choices)
    assert isinstance(times, int)
    return template.copies[:times]


def _pruned(nodes: list[OpNode], output: int | None) -> OpGraph:
    """Only what leads to the output."""
    if output is None:
        return OpGraph((nodes[INPUT],), None)
    needed = {INPUT, output}
    for index in range(output, 0, -1):
        if index in needed:
            needed.update(nodes[index].inputs)
    order = sorted(needed)
    new = {old: k for k, old in enumerate(order)}
    kept = (nodes[old] for old in order)
    return OpGraph(
        tuple(OpNode(n.op, n.parameters, tuple(new[i] for i in n.inputs), n.site) for n in kept), new[output]
    )
