"""Pieces joined to graphs, columns and pages."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from metanas.report._canvas import PAPER, BoxMark, LineMark, Mark, TextMark
from metanas.report._layout import Placed, Point, Size, layered
from metanas.report._pieces import GAP, Piece, stack

_PORTS = 7.0
"""Distance between arrows that reach one node."""
_GUTTER = 44.0
_ASPECT = 1.4
"""Wished width over height of a drawing in columns."""


def graph(
    nodes: Sequence[Piece],
    edges: Mapping[tuple[int, int], int],
    *,
    gap: float = 26.0,
    labels: Mapping[tuple[int, int], str] = MappingProxyType({}),
    dashed: Collection[tuple[int, int]] = (),
    shared: bool = True,
) -> Piece:
    """Pieces as nodes of a graph from the first to the last, both on the axis.

    ``edges`` holds how often each occurs, ``labels`` a text for some; those in ``dashed`` may be absent. With ``shared``, edges of one source run together.
    """
    ends = (0, len(nodes) - 1)
    sizes = [Size(p.left, p.right, p.height, fixed=i in ends) for i, p in enumerate(nodes)]
    placed = layered(sizes, edges, gap=gap, shared=shared)
    marks: list[Mark] = []
    for piece, (x, y) in zip(nodes, placed.nodes, strict=True):
        marks += piece.at(x, y)
    courses = _courses(nodes, placed)
    drawn: set[tuple[Point, Point]] = set()
    for edge, course in courses.items():
        begin = 0
        while begin + 2 < len(course) and (course[begin], course[begin + 1]) in drawn:
            begin += 1
        drawn.update(pairwise(course))
        marks.append(LineMark(course[begin:], head=not nodes[edge[1]].open, dashed=edge in dashed))
        label = labels.get(edge) or (f"×{edges[edge]}" if edges[edge] > 1 else "")
        if label:
            middle = len(course) // 2
            (x0, y0), (x1, y1) = course[middle - 1], course[middle]
            marks.append(TextMark((x0 + x1) / 2, (y0 + y1) / 2, label, 8.5, True, on_line=True))
    bends = [x for course in placed.edges.values() for x, _ in course]
    left = max([p.left - x for p, (x, _) in zip(nodes, placed.nodes, strict=True)] + [-min(bends, default=0)])
    right = max([p.right + x for p, (x, _) in zip(nodes, placed.nodes, strict=True)] + [max(bends, default=0)])
    return Piece(left, right, placed.height, tuple(marks), nodes[0].open)


def _courses(nodes: Sequence[Piece], placed: Placed) -> dict[tuple[int, int], tuple[Point, ...]]:
    """Edges that reach one node meet it side by side: straight ones in the middle, others on the side they come from."""
    courses = dict(placed.edges)
    for target, (x, _) in enumerate(placed.nodes):
        reached = [(_origin(courses[edge]) - x, edge) for edge in placed.edges if edge[1] == target]
        straight = [edge for offset, edge in reached if offset == 0]
        first = 1.0 if straight else 0.5 if len(reached) > 1 else 0.0
        for side in (-1, 1):
            group = sorted((abs(offset), edge) for offset, edge in reached if offset * side > 0)
            for k, (_, edge) in enumerate(group):
                courses[edge] = _shifted(courses[edge], nodes[target], side * (first + k) * _PORTS)
    return courses


def _origin(course: Sequence[Point]) -> float:
    """Where the last point lies that is off the axis of the end, or that axis."""
    x = course[-1][0]
    return next((px for px, _ in reversed(course) if abs(px - x) > 0.5), x)


def _shifted(course: Sequence[Point], target: Piece, shift: float) -> tuple[Point, ...]:
    """The course with its last straight stretch off the axis of its target."""
    box = next((mark for mark in target.marks if isinstance(mark, BoxMark)), None)
    reach = box.width / 2 - 3 if box is not None else 0.0
    shift = max(-reach, min(shift, reach))
    x = course[-1][0]
    begin = len(course)
    while begin and abs(course[begin - 1][0] - x) < 0.5:
        begin -= 1
    *straight, (_, y) = course[begin:]
    return (*course[:begin], *((x + shift, py) for _, py in straight), (x + shift, y + _depth(target, shift)))


def _depth(piece: Piece, shift: float) -> float:
    """How far below its upper edge a round node begins, ``shift`` off its axis."""
    box = next((mark for mark in piece.marks if isinstance(mark, BoxMark)), None)
    if box is None or box.radius < box.height / 2 or box.width > box.height + 1:
        return 0.0
    return box.radius - math.sqrt(max(box.radius**2 - shift**2, 0.0))


def columns(pieces: Sequence[Piece], *, most: float = 560.0) -> Piece:
    """A stack higher than ``most`` in several columns, the last piece of one joined to the first of the next."""
    if _height(pieces) <= max(most, 1.3 * max(p.height for p in pieces)):
        return stack(pieces)
    best = min(
        (_split(pieces, count) for count in range(1, min(len(pieces), 12) + 1)),
        key=lambda parts: abs(math.log(_aspect(parts) / _ASPECT)),
    )
    return _joined([stack(part) for part in best], [part[0].open for part in best])


def _height(pieces: Sequence[Piece]) -> float:
    return sum(p.height for p in pieces) + sum(6.0 if p.open else GAP for p in pieces[1:])


def _aspect(parts: Sequence[Sequence[Piece]]) -> float:
    width = sum(max(p.left for p in part) + max(p.right for p in part) + _GUTTER for part in parts) - _GUTTER
    return width / max(map(_height, parts))


def _split(pieces: Sequence[Piece], count: int) -> list[list[Piece]]:
    """Into at most ``count`` columns, the highest as low as possible (bisection on its height)."""
    low, high = max(p.height for p in pieces), _height(pieces)
    best = [list(pieces)]
    while high - low > 1:
        middle = (low + high) / 2
        parts: list[list[Piece]] = [[]]
        for piece in pieces:
            if parts[-1] and _height([*parts[-1], piece]) > middle:
                parts.append([])
            parts[-1].append(piece)
        if len(parts) <= count:
            best, high = parts, middle
        else:
            low = middle
    return best


def _joined(parts: Sequence[Piece], opened: Sequence[bool]) -> Piece:
    marks: list[Mark] = []
    top = 22.0
    bottom = top + max(part.height for part in parts)
    axis, axes = 0.0, []
    for k, part in enumerate(parts):
        if k:
            axis += parts[k - 1].right + _GUTTER + part.left
        axes.append(axis)
        marks += part.at(axis, top)
    for k in range(1, len(parts)):
        gutter = axes[k] - parts[k].left - _GUTTER / 2
        end = top + parts[k - 1].height
        course = (
            (axes[k - 1], end),
            (axes[k - 1], end + 14),
            (gutter, end + 14),
            (gutter, 4),
            (axes[k], 4),
            (axes[k], top),
        )
        marks.append(LineMark(course, head=not opened[k], curved=False))
    return Piece(parts[0].left, axes[-1] + parts[-1].right, bottom + 18, tuple(marks))


def page(parts: Sequence[Piece], *, margin: float = 18.0, background: str = PAPER) -> tuple[list[Mark], float, float]:
    """Pieces under each other, left edges aligned, on a page with margins: marks, width and height."""
    marks: list[Mark] = []
    y = margin
    for part in parts:
        marks += part.at(margin + part.left, y)
        y += part.height + 14
    width = max((part.width for part in parts), default=0) + 2 * margin
    return marks, width, max(y - 14, margin) + margin
