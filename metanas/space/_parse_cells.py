"""Nodes -> syntax of cells: the form ``graph``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from metanas.space._parse_values import kind_of
from metanas.space._problems import Mark
from metanas.space._syntax import (
    GraphForm,
    ModuleSyntax,
    OpCall,
    OptionalForm,
    StepsForm,
)
from metanas.space._yaml import ListNode, MapNode, Node, ScalarNode

if TYPE_CHECKING:
    from metanas.space._parse_modules import Modules

MAX_NODES = 64


def parse_graph(parser: Modules, node: MapNode, path: str, site: str) -> ModuleSyntax:
    """The form ``graph``: nodes and edges, or steps."""
    body, here = node.entries["graph"], f"{path}.graph"
    if not isinstance(body, MapNode):
        parser.problems.add(body.mark, here, "a graph is a mapping", found=kind_of(body))
        return parser.nothing(node, path)
    if "steps" in body.entries or "each_step" in body.entries:
        return _steps(parser, node.mark, body, here, site)
    parser.keys(body, here, ("nodes", "every_edge", "edges", "merge", "output", "max_edges"))
    names, ops = _graph_nodes(parser, body, here)
    edges: dict[tuple[int, int], ModuleSyntax] = {}
    if every := body.entries.get("every_edge"):
        module = _edge(parser, every, f"{here}.every_edge")
        edges = {(i, j): module for j in range(len(names)) for i in range(j)}
    edges |= _explicit_edges(parser, body, here, names)
    if not edges:
        parser.problems.add(body.mark, here, "a graph needs every_edge or edges", remedy="say what stands on its edges")
        return parser.nothing(node, path)
    ordered = tuple((i, j, edges[i, j]) for i, j in sorted(edges, key=lambda e: (e[1], e[0])))
    merge = parser.merge(body, here)
    return GraphForm(
        mark=node.mark,
        path=path,
        id=site,
        nodes=names,
        ops=ops,
        edges=ordered,
        merge=merge,
        output=parser.merge(body, here, "output", merge),
        max_edges=_count(parser, body, here, "max_edges", 1, MAX_NODES**2),
    )


def _explicit_edges(
    parser: Modules, body: MapNode, here: str, names: tuple[str, ...]
) -> dict[tuple[int, int], ModuleSyntax]:
    edges: dict[tuple[int, int], ModuleSyntax] = {}
    for key, item in _edge_entries(parser, body, here):
        ends = _ends(key, names)
        node = body.entries["edges"]
        assert isinstance(node, MapNode)
        if ends is None:
            parser.problems.add(
                node.key_marks[key],
                f"{here}.edges",
                "an edge is 'from->to', forward in the node order",
                found=repr(key),
                remedy=f"the nodes are {', '.join(names)}",
            )
        elif ends in edges:
            parser.problems.add(
                node.key_marks[key],
                f"{here}.edges",
                "an edge stands once",
                found=f"{key!r} again",
                remedy="remove or rename one of them",
            )
        else:
            edges[ends] = _edge(parser, item, f"{here}.edges.{key}")
    return edges


def _steps(parser: Modules, mark: Mark, body: MapNode, here: str, site: str) -> ModuleSyntax:
    parser.keys(body, here, ("inputs", "steps", "each_input", "each_step", "stride", "merge", "output"))
    inputs = body.entries.get("inputs")
    names: tuple[str, ...] = ("previous",)
    if inputs is not None:
        items = inputs.items if isinstance(inputs, ListNode) else ()
        given = [item.value if isinstance(item, ScalarNode) else kind_of(item) for item in items]
        if given not in (["previous"], ["before", "previous"]):
            parser.problems.add(
                inputs.mark,
                f"{here}.inputs",
                "the inputs of a cell are [previous] or [before, previous]",
                found=given,
            )
        names = ("before", "previous") if len(given) == 2 else names
    steps = _count(parser, body, here, "steps", 1, 16)
    if steps is None and "steps" not in body.entries:
        parser.problems.add(body.mark, here, "a graph of steps needs 'steps'", remedy="add 'steps: 4'")
    each = body.entries.get("each_step")
    op: ModuleSyntax = OpCall(mark=mark, path=here, name="identity")
    reads = 2
    if isinstance(each, MapNode):
        where = f"{here}.each_step"
        parser.keys(each, where, ("inputs", "op"))
        reads = _count(parser, each, where, "inputs", 1, 8) or 2
        if "op" in each.entries:
            op = parser.module(each.entries["op"], f"{where}.op")
    if not isinstance(each, MapNode) or "op" not in each.entries:
        parser.problems.add(
            (each or body).mark, f"{here}.each_step", "each_step says what a step does",
            found=kind_of(each) if each else "nothing", remedy="write {inputs: 2, op: {choice: {...}}}",
        )  # fmt: skip
    return StepsForm(
        mark=mark,
        path=here,
        id=site,
        inputs=names,
        steps=steps or 1,
        reads=reads,
        op=op,
        merge=parser.merge(body, here),
        output=parser.merge(body, here, "output", "concat"),
        stride=_count(parser, body, here, "stride", 1, 4) or 1,
        each_input=parser.module(body.entries["each_input"], f"{here}.each_input")
        if "each_input" in body.entries
        else None,
    )


def _count(parser: Modules, body: MapNode, here: str, key: str, low: int, high: int) -> int | None:
    node = body.entries.get(key)
    if node is None:
        return None
    value = node.value if isinstance(node, ScalarNode) else None
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    parser.problems.add(
        node.mark, f"{here}.{key}", f"'{key}' is a whole number from {low} to {high}", found=kind_of(node)
    )
    return None


def _edge(parser: Modules, node: Node, path: str) -> ModuleSyntax:
    """``optional`` alone is an edge that is there or not."""
    if isinstance(node, ScalarNode) and node.value == "optional":
        return OptionalForm(mark=node.mark, path=path, body=OpCall(mark=node.mark, path=path, name="identity"))
    return parser.module(node, path)


def _edge_entries(parser: Modules, body: MapNode, here: str) -> list[tuple[str, Node]]:
    edges = body.entries.get("edges")
    if edges is None:
        return []
    if isinstance(edges, MapNode):
        return list(edges.entries.items())
    parser.problems.add(
        edges.mark, f"{here}.edges", "edges are a mapping from '0->1' to a module", found=kind_of(edges)
    )
    return []


def _graph_nodes(parser: Modules, body: MapNode, here: str) -> tuple[tuple[str, ...], tuple[ModuleSyntax | None, ...]]:
    """Names of all nodes, input first and output last, and what those with an op do."""
    node = body.entries.get("nodes")
    rule = (
        f"nodes are a number from 2 to {MAX_NODES}, a list of that many different names, or a mapping from name to op"
    )
    if isinstance(node, ScalarNode) and isinstance(node.value, int) and not isinstance(node.value, bool):
        if 2 <= node.value <= MAX_NODES:
            return tuple(str(index) for index in range(node.value)), (None,) * node.value
    elif isinstance(node, ListNode):
        names = [str(item.value) for item in node.items if isinstance(item, ScalarNode)]
        good = all(re.fullmatch(r"\w{1,64}", name) for name in names)
        if 2 <= len(set(names)) == len(node.items) <= MAX_NODES and good:
            return tuple(names), (None,) * len(names)
    elif isinstance(node, MapNode) and node.entries and len(node.entries) <= MAX_NODES - 2:
        for name in node.entries:
            if name in ("input", "output") or not re.fullmatch(r"\w{1,64}", name):
                parser.problems.add(
                    node.key_marks[name],
                    f"{here}.nodes",
                    "a node is named by letters, digits and _, and not input or output, which are there anyway",
                    found=repr(name),
                )
        ops = (parser.module(item, f"{here}.nodes.{name}") for name, item in node.entries.items())
        return ("input", *node.entries, "output"), (None, *ops, None)
    parser.problems.add((node or body).mark, f"{here}.nodes", rule, found=kind_of(node) if node else "nothing")
    return ("0", "1"), (None, None)


def _ends(key: str, names: tuple[str, ...]) -> tuple[int, int] | None:
    source, arrow, target = (part.strip() for part in key.partition("->"))
    if not arrow or source not in names or target not in names:
        return None
    ends = names.index(source), names.index(target)
    return ends if ends[0] < ends[1] else None
