"""A network drawn as its graph of ops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from metanas.architecture import Architecture, Modules, OpGraph, OpNode, Shape, lower
from metanas.report._canvas import Format, render
from metanas.report._drawing_space import draw_space
from metanas.report._flow import columns, graph, page
from metanas.report._labels import MERGES, family, op_details
from metanas.report._narrow import narrowed
from metanas.report._pieces import (
    Piece,
    heading,
    lines_box,
    merge_mark,
    point,
    stack,
    times_group,
)
from metanas.space import Cell, templates_in

_MAX_PERIOD = 64
"""Longest repeated run of parts that is looked for."""
_MAX_PART = 60
"""Ops between two that every path runs through, above which their graph says nothing to a reader."""
_DETAILS = 22
"""Characters of a line of parameters."""


def draw_architecture(
    architecture: Architecture,
    *,
    format: Format,
    title: str | None = None,
    input_shape: Shape | None = None,
    outputs: int | None = None,
    vocabulary: tuple[int, ...] = (),
    modules: Modules | None = None,
) -> bytes:
    """The graph of an architecture's ops, top to bottom; parts that come several times in a row are drawn once.

    Where cells read the cells before the last (DARTS), no part of the graph stands alone; such a network is drawn as
    its space is, with each cell once beside it.

    Parameters
    ----------
    architecture
        What to draw.
    format
        ``svg`` (texts stay texts) or ``png`` (144 dots an inch).
    title
        A line above the drawing.
    input_shape, outputs, vocabulary
        Shape of a sample, number of outputs, and of ids where samples are ids; with the first two, each op's output
        shape stands beside it.
    modules
        What says the shapes of modules of the user's (:func:`metanas.network.user_modules`).

    Raises
    ------
    ShapeError
        If no such network can be built from samples of ``input_shape``.

    """
    network = architecture.graph
    shapes: Mapping[int, str] = {}
    # No network is built of symbols, or of decisions alone.
    symbols = architecture.space.tabular or any(node.op == "symbol" for node in network.nodes)
    if input_shape is not None and outputs is not None and network.output is not None and not symbols:
        shapes = _shapes(architecture, input_shape, outputs, vocabulary, modules)
    pieces = [_node(network.nodes[0], shapes.get(0, ""))]
    if network.output is None:
        nothing = lines_box("no output", ["no path leads here"], "other", dashed=True)
        pieces = [stack([pieces[0], nothing], arrows=False)]
    else:
        parts = _parts(network, shapes)
        if _reads_two(architecture) and any(len(part.nodes) > _MAX_PART for part in parts):
            return draw_space(narrowed(architecture), format=format, title=title)
        pieces += [_drawn(group) for group in _grouped(parts)]
    top = [heading(title)] if title else []
    return render(*page([*top, columns(pieces)]), format)


def _reads_two(architecture: Architecture) -> bool:
    """Whether cells read the cell before the last."""
    return any(isinstance(part, Cell) and len(part.inputs) > 1 for part in templates_in(architecture.space.template))


def _shapes(
    architecture: Architecture, input_shape: Shape, outputs: int, vocabulary: tuple[int, ...], modules: Modules | None
) -> dict[int, str]:
    """Output shape of every node as ``16×32×32``: that of the last layer that it becomes."""
    # A network that cannot be built is refused with its own sites.
    architecture.layers(input_shape, outputs, vocabulary, modules=modules)
    nodes = architecture.graph.nodes
    # Shared copies have one site, so each node gets one of its own.
    numbered = tuple(replace(node, site=str(index)) for index, node in enumerate(nodes))
    layers = lower(
        replace(architecture.graph, nodes=numbered), input_shape, outputs, vocabulary, modules=modules
    ).layers
    made = {layer.site: layer.shape for layer in layers[1:]}
    shapes = {0: tuple(input_shape)}
    for index, node in enumerate(nodes[1:], start=1):
        shapes[index] = made.get(str(index), shapes[node.inputs[0]])
    return {index: "×".join(map(str, shape)) for index, shape in shapes.items()}


def _node(node: OpNode, shape: str) -> Piece:
    if node.op in MERGES:
        return merge_mark(node.op, note=shape)
    lines = [""]
    for detail in op_details(node.op, node.parameters):
        joined = f"{lines[-1]} {detail}".strip()
        lines = [*lines[:-1], joined] if len(joined) <= _DETAILS else [*lines, detail]
    return lines_box(node.op, [line for line in lines if line], family(node.op), note=shape)


# --- parts between the nodes that every path runs through


@dataclass(frozen=True, slots=True)
class _Part:
    """What lies between two cut nodes, and the second of them."""

    nodes: tuple[OpNode, ...]
    """The last is the cut node."""
    shapes: tuple[str, ...]
    """Output shape of each, or empty texts."""
    edges: tuple[tuple[int, int], ...]
    """Between places in ``nodes``; −1 is the cut node before. Parallel edges are repeated."""

    @property
    def key(self) -> object:
        """Equal for parts that look the same."""
        ops = tuple((n.op, tuple(n.parameters.items()), s) for n, s in zip(self.nodes, self.shapes, strict=True))
        return ops, self.edges


def _parts(network: OpGraph, shapes: Mapping[int, str]) -> list[_Part]:
    """The network cut at every node that no edge skips, in the order of the nodes."""
    reach = 0
    cuts = [0]
    farthest = [0] * len(network.nodes)
    for index, node in enumerate(network.nodes):
        for source in node.inputs:
            farthest[source] = max(farthest[source], index)
    for index in range(1, len(network.nodes)):
        reach = max(reach, farthest[index - 1])
        if reach <= index:
            cuts.append(index)
    parts = []
    for before, cut in pairwise(cuts):
        inside = range(before + 1, cut + 1)
        edges = tuple((source - before - 1, i - before - 1) for i in inside for source in network.nodes[i].inputs)
        nodes = tuple(network.nodes[i] for i in inside)
        parts.append(_Part(nodes, tuple(shapes.get(i, "") for i in inside), edges))
    return parts


@dataclass(frozen=True, slots=True)
class _Group:
    """Parts in a row, so often."""

    items: tuple[_Part | _Group, ...]
    times: int


def _grouped(parts: Sequence[_Part]) -> list[_Part | _Group]:
    """Runs of equal parts folded, as few boxes left as possible (dynamic programming from the end)."""
    numbers: dict[object, int] = {}
    keys = [numbers.setdefault(part.key, len(numbers)) for part in parts]
    count = len(parts)
    cost = [0.0] * (count + 1)
    choice = [(1, 1)] * count
    same = [[0] * (count + 1) for _ in range(min(count // 2, _MAX_PERIOD) + 1)]
    for period in range(1, len(same)):
        for i in range(count - period - 1, -1, -1):
            same[period][i] = same[period][i + 1] + 1 if keys[i] == keys[i + period] else 0
    for i in range(count - 1, -1, -1):
        size = [0]
        for part in parts[i : i + len(same)]:
            size.append(size[-1] + len(part.nodes))
        cost[i] = (size[1] if len(size) > 1 else len(parts[i].nodes)) + cost[i + 1]
        for period in range(1, len(same)):
            for times in range(2, same[period][i] // period + 2):
                folded = size[period] + 1 + cost[i + period * times]
                if folded < cost[i]:
                    cost[i], choice[i] = folded, (period, times)
    groups: list[_Part | _Group] = []
    at = 0
    while at < count:
        period, times = choice[at]
        run = parts[at : at + period]
        groups.append(parts[at] if times == 1 else _Group(tuple(_grouped(run)), times))
        at += period * times
    return groups


def _drawn(group: _Part | _Group) -> Piece:
    if isinstance(group, _Group):
        return times_group(stack([_drawn(item) for item in group.items]), group.times)
    nodes = [_node(node, shape) for node, shape in zip(group.nodes, group.shapes, strict=True)]
    if len(nodes) == 1 and len(group.edges) == 1:
        return nodes[0]
    return graph([point(), *nodes], Counter((u + 1, v + 1) for u, v in group.edges))
