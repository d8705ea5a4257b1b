"""Marks of a drawing, and their rendering as SVG or PNG. One unit is one point; y grows downwards.

Matplotlib's figures are used without pyplot, which keeps global state.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text

from metanas.errors import MetanasError

Format = Literal["svg", "png"]

INK, MUTED, EDGE, PAPER = "#22303c", "#5d6b78", "#5d6b78", "#ffffff"
_PNG_DPI = 144
_MAX_PIXELS = 2**24
"""A PNG has at most this many pixels; a larger drawing is drawn more coarsely."""
_HEAD = (3.4, 7.0)
"""Half width and length of an arrow's head."""
_ROUND = 0.5523
"""Bezier handle of a quarter circle."""
_STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "metanas",
    "text.parse_math": False,
    "font.family": "sans-serif",
    # The first measures the texts and is the widest; a reader without it sees a narrower one, which fits as well.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
}


@dataclass(frozen=True, slots=True)
class BoxMark:
    """A rounded rectangle; a circle when ``radius`` is half its sides."""

    x: float
    """Left edge."""
    y: float
    """Upper edge."""
    width: float
    height: float
    fill: str = PAPER
    edge: str = EDGE
    radius: float = 5.0
    dashed: bool = False
    lines: float = 1.0
    """Width of the outline."""


@dataclass(frozen=True, slots=True)
class TextMark:
    """One line of text, centred vertically on ``y``."""

    x: float
    y: float
    text: str
    size: float = 9.0
    bold: bool = False
    colour: str = INK
    align: Literal["left", "center", "right"] = "center"
    on_line: bool = False
    """Whether it stands on a line, which is then hidden behind it."""


@dataclass(frozen=True, slots=True)
class LineMark:
    """A line through points. A curved one leaves and meets every point vertically; other ones have round corners."""

    points: tuple[tuple[float, float], ...]
    head: bool = True
    """Whether it ends in an arrowhead."""
    curved: bool = True
    dashed: bool = False


Mark = BoxMark | TextMark | LineMark


def moved(mark: Mark, dx: float, dy: float) -> Mark:
    """The mark elsewhere."""
    match mark:
        case BoxMark(x, y, width, height, fill, edge, radius, dashed, lines):
            return BoxMark(x + dx, y + dy, width, height, fill, edge, radius, dashed, lines)
        case TextMark(x, y, text, size, bold, colour, align, on_line):
            return TextMark(x + dx, y + dy, text, size, bold, colour, align, on_line)
        case LineMark(points, head, curved, dashed):
            return LineMark(tuple((x + dx, y + dy) for x, y in points), head, curved, dashed)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a text in points."""
    return size * sum(_advance(c, bold) for c in text)


@cache
def _advance(character: str, bold: bool) -> float:
    font = get_font(findfont(FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")))
    font.set_size(100, 72)
    if not font.get_char_index(ord(character)):  # the reader's font has it, perhaps as wide as high
        return 1.0
    return float(font.load_char(ord(character)).linearHoriAdvance / 65536 / 100)


def render(marks: Iterable[Mark], width: float, height: float, format: Format) -> bytes:
    """The marks on a white page of ``width`` x ``height`` points; equal marks give equal bytes."""
    if format not in ("svg", "png"):
        raise MetanasError("a drawing is svg or png", found=repr(format))
    marks = list(marks)
    with warnings.catch_warnings(), matplotlib.rc_context():
        matplotlib.rcdefaults()  # a drawing does not depend on the user's style
        matplotlib.rcParams.update(_STYLE)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width / 72, height / 72), facecolor=PAPER)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        boxes = [mark for mark in marks if isinstance(mark, BoxMark)]
        for box in boxes:
            axes.add_artist(_patch(_outline(box), box.fill, box.edge, box.lines, dashed=box.dashed))
        lines = [mark for mark in marks if isinstance(mark, LineMark)]
        for dashed in (False, True):
            if courses := [_course(line) for line in lines if line.dashed is dashed]:
                axes.add_artist(_patch(Path.make_compound_path(*courses), "none", EDGE, 1.1, dashed=dashed))
        if heads := [_head(line) for line in lines if line.head]:
            axes.add_artist(_patch(Path.make_compound_path(*heads), EDGE, "none", 0.0))
        for text in (mark for mark in marks if isinstance(mark, TextMark)):
            axes.add_artist(_text(text))
        return _saved(figure, format, width * height)


def _saved(figure: Figure, format: Format, area: float) -> bytes:
    buffer = io.BytesIO()
    if format == "svg":
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    else:
        dpi = min(_PNG_DPI, 72 * (_MAX_PIXELS / area) ** 0.5)
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _patch(path: Path, fill: str, edge: str, width: float, *, dashed: bool = False) -> PathPatch:
    style = (0, (4, 3)) if dashed else "solid"
    return PathPatch(
        path, facecolor=fill, edgecolor=edge, linewidth=width, linestyle=style, clip_on=False, joinstyle="round"
    )


def _text(mark: TextMark) -> Text:
    shown = "".join(c if c.isprintable() else " " for c in mark.text)
    # Centred on the height of a capital and not on this text's own extent, so that neighbours share a baseline.
    return Text(
        mark.x, mark.y + 0.36 * mark.size, shown, fontsize=mark.size, fontweight="bold" if mark.bold else "normal",
        color=mark.colour, ha=mark.align, va="baseline", clip_on=False,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": "none"} if mark.on_line else None,
    )  # fmt: skip


def _outline(box: BoxMark) -> Path:
    x0, y0, x1, y1 = box.x, box.y, box.x + box.width, box.y + box.height
    r = min(box.radius, box.width / 2, box.height / 2)
    k = r * (1 - _ROUND)
    points = [
        (x0 + r, y0), (x1 - r, y0), (x1 - k, y0), (x1, y0 + k), (x1, y0 + r),
        (x1, y1 - r), (x1, y1 - k), (x1 - k, y1), (x1 - r, y1),
        (x0 + r, y1), (x0 + k, y1), (x0, y1 - k), (x0, y1 - r),
        (x0, y0 + r), (x0, y0 + k), (x0 + k, y0), (x0 + r, y0), (x0 + r, y0),
    ]  # fmt: skip
    corner = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *([Path.LINETO, *corner] * 4), Path.CLOSEPOLY]
    return Path(points, codes)


def _course(line: LineMark) -> Path:
    points = list(line.points)
    if line.head:  # the line ends inside its head
        points[-1] = (points[-1][0], points[-1][1] - _HEAD[1] + 1)
    return _curve(points) if line.curved else _corners(points)


def _curve(points: Sequence[tuple[float, float]]) -> Path:
    path, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        if abs(x0 - x1) < 0.01:
            path.append((x1, y1))
            codes.append(Path.LINETO)
        else:
            middle = (y0 + y1) / 2
            path += [(x0, middle), (x1, middle), (x1, y1)]
            codes += [Path.CURVE4] * 3
    return Path(path, codes)


def _corners(points: Sequence[tuple[float, float]], radius: float = 6.0) -> Path:
    path, codes = [points[0]], [Path.MOVETO]
    for before, (x, y), after in zip(points, points[1:], points[2:], strict=False):
        path += [_towards((x, y), before, radius), (x, y), _towards((x, y), after, radius)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*path, points[-1]], [*codes, Path.LINETO])


def _towards(start: tuple[float, float], end: tuple[float, float], length: float) -> tuple[float, float]:
    dx, dy = end[0] - start[0], end[1] - start[1]
    distance = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    part = min(length / distance, 0.5)
    return start[0] + part * dx, start[1] + part * dy


def _head(line: LineMark) -> Path:
    x, y = line.points[-1]
    half, length = _HEAD
    return Path([(x, y), (x - half, y - length), (x + half, y - length), (x, y)], closed=True)
