"""Parts of a drawing that are put together: boxes, stacks and frames.

A piece hangs on its axis x = 0: a line that enters meets (0, 0), one that leaves starts at (0, height).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metanas.report._canvas import EDGE, INK, MUTED, BoxMark, LineMark, Mark, TextMark, moved, text_width

GAP = 20.0
"""Length of an arrow between two pieces."""
_MERGE_RADIUS = 10.0
_WIDTH_STEP = 20.0


@dataclass(frozen=True, slots=True)
class Colour:
    """Fill and outline of a family of ops; the fills differ in lightness too, for print in grey."""

    fill: str
    edge: str


FAMILIES: Mapping[str, Colour] = {
    "input": Colour("#ffffff", "#5d6b78"),
    "convolution": Colour("#c3d9ee", "#4b789f"),
    "mixing": Colour("#f6d5c8", "#b5714f"),
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
