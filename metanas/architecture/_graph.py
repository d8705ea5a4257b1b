"""One network as a graph of ops: a template with its holes filled by a row.

A value is a node of the graph, or None where nothing arrives (a cut edge). ``none`` makes nothing, an op on nothing
makes nothing, identities make no node, and what does not reach the output is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx
import numpy as np
import numpy.typing as npt

from metanas.space import (
    OPS,
    Branches,
    Cell,
    Chain,
    Copies,
    OpSite,
    Scalar,
    Switch,
    Template,
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


def expand(template: Template, row: Sequence[int] | npt.NDArray[np.int64], choices: Choices) -> OpGraph:
    """The graph of a template under a row and its values."""
    expansion = _Expansion(row, choices)
    output = expansion.value(template, INPUT)
    return _pruned(expansion.nodes, output)


class _Expansion:
    def __init__(self, row: Sequence[int] | npt.NDArray[np.int64], choices: Choices) -> None:
        self.row = row
        self.choices = choices
        self.nodes: list[OpNode] = [OpNode("input", site="input")]

    def add(self, node: OpNode) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def value(self, template: Template, x: int | None) -> int | None:
        match template:
            case OpSite():
                return self._op(template, x)
            case Chain(items=items):
                for item in items:
                    x = self.value(item, x)
                return x
            case Switch():
                return self.value(template.options[int(self.row[template.decision])], x)
            case Copies():
                for copy in chosen_copies(template, self.choices):
                    x = self.value(copy, x)
                return x
            case Branches(branches=branches, merge=merge, site=site):
                return self.merge(merge, [self.value(branch, x) for branch in branches], site)
            case Cell():
                return self._cell(template, x)

    def _op(self, template: OpSite, x: int | None) -> int | None:
        if x is None or template.name == "none":
            return None
        if template.name == "identity":
            return x
        parameters: dict[str, Scalar | None] = {
            name: parameter.default for name, parameter in OPS[template.name].parameters.items()
        }
        for name, value in template.parameters.items():
            parameters[name] = value_under(value, self.choices)
        return self.add(OpNode(template.name, parameters, (x,), template.site))

    def _cell(self, template: Cell, x: int | None) -> int | None:
        arriving: list[list[int | None]] = [[] for _ in template.nodes]
        values: list[int | None] = [x]
        edges = iter(template.edges)
        edge = next(edges, None)
        for target in range(1, len(template.nodes)):
            while edge is not None and edge[1] == target:
                arriving[target].append(self.value(edge[2], values[edge[0]]))
                edge = next(edges, None)
            site = f"{template.site}.{template.nodes[target]}" if template.site else f"node_{template.nodes[target]}"
            values.append(self.merge(template.merge, arriving[target], site))
        return values[-1]

    def merge(self, kind: str, values: Sequence[int | None], site: str) -> int | None:
        present = [value for value in values if value is not None]
        if len(present) <= 1:
            return present[0] if present else None
        # A residual without its body, or without its input, is no residual.
        return self.add(OpNode(kind, {}, tuple(present), site))


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
