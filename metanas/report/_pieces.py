"""Parts of a drawing that are put together: boxes, stacks, frames and columns.

A piece hangs on its axis x = 0: a line that enters meets (0, 0), one that leaves starts at (0, height).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from metanas.report._canvas import EDGE, INK, MUTED, PAPER, BoxMark, LineMark, Mark, TextMark, moved, text_width
from metanas.report._layout import Placed, Point, Size, layered

GAP = 20.0
"""Length of an arrow between two pieces."""
_MERGE_RADIUS = 10.0
_PORTS = 7.0
"""Distance between arrows that reach one node."""
_WIDTH_STEP = 20.0
_GUTTER = 44.0
_ASPECT = 1.4
"""Wished width over height of a drawing in columns."""


@dataclass(frozen=True, slots=True)
class Colour:
    """Fill and outline of a family of ops; the fills differ in lightness too, for print in grey."""

    fill: str
    edge: str


FAMILIES: Mapping[str, Colour] = {
    "input": Colour("#ffffff", "#5d6b78"),
    "convolution": Colour("#c3d9ee", "#4b789f"),
    "pooling": Colour("#dcebd0", "#6d9157"),
    "normalisation": Colour("#f9f0d8", "#b0924a"),
    "merge": Colour("#ffffff", "#5d6b78"),
    "dense": Colour("#cfc3e0", "#776097"),
    "other": Colour("#ececea", "#83837c"),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Marks around an axis."""

    left: float
    """How far it reaches to the left of its axis."""
    right: float
    height: float
    marks: tuple[Mark, ...]
    open: bool = False
    """Whether its own lines begin at its upper edge, so that no arrowhead belongs there."""

    @property
    def width(self) -> float:
        """From left to right."""
        return self.left + self.right

    def at(self, x: float, y: float) -> list[Mark]:
        """Its marks with the axis at ``x`` and the upper edge at ``y``."""
        return [moved(mark, x, y) for mark in self.marks]


Line = tuple[str, float, bool, str]
"""Text, size, whether it is bold, colour."""


def lines_box(name: str, details: Sequence[str], family: str, *, note: str = "", dashed: bool = False) -> Piece:
    """A box with a name, details under it, and a note at its right."""
    lines: list[Line] = [(name, 9.0, True, INK)] if name else []
    lines += [(detail, 8.5, False, INK) for detail in details]
    pad_x, pad_y = 9.0, 5.0
    width = max((text_width(text, size, bold=bold) for text, size, bold, _ in lines), default=0.0) + 2 * pad_x
    width = _WIDTH_STEP * math.ceil(width / _WIDTH_STEP)  # boxes of nearly one width get the same
    height = sum(size + 3.5 for _, size, _, _ in lines) - 3.5 + 2 * pad_y + 2
    colour = FAMILIES[family]
    marks: list[Mark] = [BoxMark(-width / 2, 0, width, height, colour.fill, colour.edge, dashed=dashed)]
    y = pad_y + 1
    for text, size, bold, ink in lines:
        marks.append(TextMark(0, y + size / 2, text, size, bold, ink))
        y += size + 3.5
    return _noted(Piece(width / 2, width / 2, height, tuple(marks)), note)


def merge_mark(kind: str, *, note: str = "") -> Piece:
    """A circle with the sign of a merge; a pill with its name where it has no sign."""
    sign = {"sum": "+", "residual": "+", "product": "×"}.get(kind)
    half = _MERGE_RADIUS if sign else text_width(kind, 8.5) / 2 + 8
    colour, radius = FAMILIES["merge"], _MERGE_RADIUS
    marks = (
        BoxMark(-half, 0, 2 * half, 2 * radius, colour.fill, colour.edge, radius),
        TextMark(0, radius, sign or kind, 13.0 if sign else 8.5, False, INK),
    )
    return _noted(Piece(half, half, 2 * radius, marks), note)


def node_mark(name: str, note: str = "") -> Piece:
    """A node of a cell."""
    half = max(_MERGE_RADIUS, text_width(name, 8.5, bold=True) / 2 + 6)
    colour = FAMILIES["merge"]
    marks = (
        BoxMark(-half, 0, 2 * half, 2 * _MERGE_RADIUS, colour.fill, colour.edge, _MERGE_RADIUS),
        TextMark(0, _MERGE_RADIUS, name, 8.5, True),
    )
    return _noted(Piece(half, half, 2 * _MERGE_RADIUS, marks), note)


def _noted(piece: Piece, note: str) -> Piece:
    if not note:
        return piece
    mark = TextMark(piece.right + 5, piece.height / 2, note, 7.5, False, MUTED, "left")
    return Piece(piece.left, piece.right + 5 + text_width(note, 7.5), piece.height, (*piece.marks, mark))


def point(*, dot: bool = False) -> Piece:
    """Where lines part."""
    marks = (BoxMark(-2.5, -2.5, 5, 5, EDGE, EDGE, 2.5),) if dot else ()
    return Piece(0, 0, 0, marks, open=True)


def stack(pieces: Sequence[Piece], *, gap: float = GAP, arrows: bool = True) -> Piece:
    """Pieces one under another on one axis, joined by arrows."""
    marks: list[Mark] = []
    y = 0.0
    for k, piece in enumerate(pieces):
        if k:
            step = (6.0 if arrows else gap) if piece.open and arrows else gap
            if arrows:
                marks.append(LineMark(((0, y), (0, y + step)), head=not piece.open))
            y += step
        marks += piece.at(0, y)
        y += piece.height
    left, right = max((p.left for p in pieces), default=0), max((p.right for p in pieces), default=0)
    return Piece(left, right, y, tuple(marks), bool(pieces) and pieces[0].open and arrows)


def beside(pieces: Sequence[Piece], *, gap: float = 14.0) -> Piece:
    """Pieces next to each other, upper edges aligned, around a common axis."""
    width = sum(p.width for p in pieces) + gap * (len(pieces) - 1)
    marks: list[Mark] = []
    x = -width / 2
    for piece in pieces:
        marks += piece.at(x + piece.left, 0)
        x += piece.width + gap
    return Piece(width / 2, width / 2, max(p.height for p in pieces), tuple(marks))


def wrapped(pieces: Sequence[Piece], *, most: float, gap: float = 14.0) -> Piece:
    """Pieces next to each other in as few rows as a width of ``most`` allows, the rows about equally wide."""
    rows = _rows(pieces, most, gap)
    low, high = 0.0, most
    while high - low > 1:
        middle = (low + high) / 2
        tried = _rows(pieces, middle, gap)
        low, high, rows = (low, middle, tried) if len(tried) <= len(rows) else (middle, high, rows)
    return stack([beside(row, gap=gap) for row in rows], gap=gap, arrows=False)


def _rows(pieces: Sequence[Piece], most: float, gap: float) -> list[list[Piece]]:
    rows: list[list[Piece]] = [[]]
    for piece in pieces:
        if rows[-1] and sum(p.width + gap for p in rows[-1]) + piece.width > most:
            rows.append([])
        rows[-1].append(piece)
    return rows


def frame(
    inner: Piece,
    title: str = "",
    *,
    about: str = "",
    dashed: bool = False,
    fill: str = "#f7f8f9",
    edge: str = "#a9b2bb",
) -> Piece:
    """A box around a piece, with a title and a line about it in its upper left corner."""
    pad = 10.0
    head = (15.0 if title else 0.0) + (13.0 if about else 0.0)
    wide = max(text_width(title, 9.0, bold=True), text_width(about, 8.0)) + 2 * pad
    spare = max(0.0, wide - inner.width - 2 * pad) / 2
    left, right = inner.left + pad + spare, inner.right + pad + spare
    height = head + inner.height + 2 * pad
    marks: list[Mark] = [BoxMark(-left, 0, left + right, height, fill, edge, 7.0, dashed, 1.0)]
    y = pad + 3
    for text, size, bold, colour in ((title, 9.0, True, INK), (about, 8.0, False, MUTED)):
        if text:
            marks.append(TextMark(-left + pad, y, text, size, bold, colour, "left"))
            y += 13.0
    marks += inner.at(0, head + pad)
    return Piece(left, right, height, tuple(marks))


def times_group(inner: Piece, times: int) -> Piece:
    """A part that comes several times, one after another: a frame that lines pass through, and ``×5`` beside it."""
    pad, side = (10.0 if inner.open else GAP), 10.0
    height = inner.height + pad + 12
    label = f"×{times}"
    left, right = inner.left + side, inner.right + side
    marks = (
        BoxMark(-left, 0, left + right, height, "#f4f6f8", "#a9b2bb", 7.0),
        LineMark(((0, 0), (0, pad)), head=not inner.open),
        *inner.at(0, pad),
        LineMark(((0, pad + inner.height), (0, height)), head=False),
        TextMark(right + 7, height / 2, label, 14.0, True, INK, "left"),
    )
    return Piece(left, right + 9 + text_width(label, 14.0, bold=True), height, marks, open=True)


def graph(
    nodes: Sequence[Piece],
    edges: Mapping[tuple[int, int], int],
    *,
    gap: float = 26.0,
    labels: Mapping[tuple[int, int], str] = MappingProxyType({}),
    shared: bool = True,
) -> Piece:
    """Pieces as nodes of a graph from the first to the last, both on the axis.

    ``edges`` holds how often each occurs, ``labels`` a text for some. With ``shared``, edges of one source run together.
    """
    ends = (0, len(nodes) - 1)
    sizes = [Size(p.left, p.right, p.height, fixed=i in ends) for i, p in enumerate(nodes)]
    placed = layered(sizes, edges, gap=gap, shared=shared)
    marks: list[Mark] = []
    for piece, (x, y) in zip(nodes, placed.nodes, strict=True):
        marks += piece.at(x, y)
    courses = _courses(nodes, placed)
    for edge, course in courses.items():
        marks.append(LineMark(course, head=not nodes[edge[1]].open))
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
    if _height(pieces) <= most or len(pieces) < 2:
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


def heading(title: str, about: str = "") -> Piece:
    """A title and a line under it, wrapped to a column that reads well."""
    rows: list[TextMark] = [TextMark(0, 8, title, 13.0, True, INK, "left")] if title else []
    y = 18.0 if title else 0.0
    for line in text_lines(about, 8.5, 520.0):
        rows.append(TextMark(0, y + 7, line, 8.5, False, MUTED, "left"))
        y += 12.0
    width = max((text_width(m.text, m.size, bold=m.bold) for m in rows), default=0.0)
    return Piece(0, width, y, tuple(rows))


def text_lines(text: str, size: float, most: float) -> list[str]:
    """A text broken between words into lines no wider than ``most``."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= most:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines
