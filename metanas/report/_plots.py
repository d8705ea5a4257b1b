"""Plots as SVG texts for the page: fonts stay text, colours are the page's own, so that both follow its theme.

Matplotlib's figures are used without pyplot, which keeps global state. Colours are drawn as stand-ins and replaced by the
page's CSS variables in the finished SVG.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from metanas.report._summary import Objective
from metanas.trial import Span, Timeline, TrialRecord, comparable

_INK, _MUTED, _GRID, _ACCENT, _SOFT, _BAD, _PAPER = (f"#0102{i:02}" for i in range(3, 10))
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _GRID: "--grid",
    _ACCENT: "--accent",
    _SOFT: "--soft",
    _BAD: "--bad",
    _PAPER: "--card",
}
_STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_SIZE = (5.6, 3.3)
_SHOWN_CURVES = 300
"""More grey lines than this are one grey area."""
_SHOWN_WORKERS = 32
_SHOWN_BARS = 150
"""A worker's bars: more make the page heavy, and none of them wide enough to be seen."""


def progress(trials: Sequence[TrialRecord], failed: Sequence[int], objective: Objective, best: int) -> Markup:
    """Value of each trial, best so far, and failed trials as marks on the axis."""
    name, direction = objective
    x, y = _series(trials)
    with _figure() as drawing:
        ax = drawing.axes
        low, high = _limits(y, direction)
        clipped = (y < low) | (y > high)
        ax.plot(x[~clipped], y[~clipped], "o", ms=_dot(len(x)), color=_SOFT, mew=0, label="trial")
        if clipped.any():
            marker = "v" if direction == "maximize" else "^"
            edge = np.full(int(clipped.sum()), 0.09 if direction == "maximize" else 0.97)
            ax.plot(x[clipped], edge, marker, ms=4, color=_SOFT, mew=0, transform=ax.get_xaxis_transform())
        steps = _best_so_far(y, direction)
        end = max([int(x[-1]), *failed])
        ax.step([*x, end], [*steps, steps[-1]], where="post", color=_ACCENT, lw=1.8, label="best so far")
        if best in x:
            ax.plot([best], [y[x == best][0]], "o", ms=6.5, color=_ACCENT, mec=_PAPER, mew=1.2)
        if failed:
            marks = np.full(len(failed), 0.03)
            ax.plot(failed, marks, "x", ms=4.5, color=_BAD, transform=ax.get_xaxis_transform(), label="failed")
        ax.set_ylim(low, high)
        ax.set_xlim(*_padded(float(min([int(x[0]), *failed])), float(max(end, 1))))
        _label(ax, "trial", name, integer_x=True)
        _legend(ax)
    return drawing.svg(f"{name} of each trial and the best so far")


def regret(trials: Sequence[TrialRecord], objective: Objective) -> Markup | None:
    """Distance of the best so far to the best found, on a logarithmic axis; None when the first trial was the best."""
    name, direction = objective
    x, y = _series(trials)
    steps = _best_so_far(y, direction)
    gaps = np.abs(steps - steps[-1])
    found = int(np.flatnonzero(gaps == 0)[0])
    if found == 0:
        return None
    with _figure() as drawing:
        ax = drawing.axes
        ax.set_yscale("log")
        ax.step([*x[:found], x[found]], [*gaps[:found], gaps[found - 1]], where="post", color=_ACCENT, lw=1.8)
        ax.axvline(x[found], color=_MUTED, lw=0.9, ls=(0, (3, 3)))
        late = x[found] > (x[0] + x[-1]) / 2
        ax.annotate(
            f"best found: trial {x[found]}",
            (x[found], 0.97),
            xycoords=ax.get_xaxis_transform(),
            xytext=(-5 if late else 5, 0),
            textcoords="offset points",
            ha="right" if late else "left",
            va="top",
            color=_MUTED,
            fontsize=8.5,
        )
        ax.set_xlim(*_padded(float(x[0]), float(x[-1])))
        low, high = gaps[:found].min(), gaps[:found].max()
        ax.set_ylim(low / 1.6, high * 2.2)
        if high / low < 20:  # less than two decades: label more than their powers
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        _label(ax, "trial", f"distance to best {name}", integer_x=True)
    return drawing.svg(f"Distance of the best {name} so far to the best found")


def curves(trials: Sequence[TrialRecord], best: Sequence[int], objective: Objective) -> Markup | None:
    """The first objective after each epoch, the trials of ``best`` (best first) above the rest; None without curves."""
    name, direction = objective
    lines = {t.number: np.array(sorted(t.curve.items()), dtype=float) for t in trials if len(t.curve) > 1}
    lines = {n: line[np.isfinite(line[:, 1])] for n, line in lines.items()}
    lines = {n: line for n, line in lines.items() if len(line) > 1}
    if not lines:
        return None
    rest = [line for n, line in lines.items() if n not in best]
    rest = rest[:: -(-len(rest) // _SHOWN_CURVES)] if rest else rest
    front = [lines[n] for n in best if n in lines]
    with _figure() as drawing:
        ax = drawing.axes
        if rest:
            gap = np.full((1, 2), np.nan)
            joined = np.vstack([part for line in rest for part in (line, gap)])  # one path is smaller than many
            ax.plot(joined[:, 0], joined[:, 1], color=_MUTED, alpha=0.4, lw=0.8, label="the others")
        for i, line in reversed(list(enumerate(front))):
            label = "best" if i == 0 else (f"next {len(front) - 1}" if i == 1 else "")
            ax.plot(*line.T, color=_ACCENT, lw=2.0 if i == 0 else 1.0, alpha=1 if i == 0 else 0.45, label=label or None)
        ax.set_ylim(*_limits(np.concatenate([line[:, 1] for line in lines.values()]), direction))
        _label(ax, "epoch", name, integer_x=True)
        _legend(ax, reverse=True)
    return drawing.svg(f"{name} after each epoch")


def front(
    points: NDArray[np.float64], members: Sequence[int], x: Objective, y: Objective, best: int | None, *, line: bool
) -> Markup:
    """Two objectives against each other; ``points`` (n, 2), rows ``members`` on the front, row ``best`` marked."""
    on = np.zeros(len(points), dtype=bool)
    on[list(members)] = True
    with _figure() as drawing:
        ax = drawing.axes
        positive = points[:, 0] > 0
        if positive.all() and points[:, 0].max() > 10 * points[:, 0].min():
            ax.set_xscale("log")
        ax.plot(*points[~on].T, "o", ms=_dot(len(points)), color=_SOFT, mew=0, label="trial")
        ordered = points[on][np.lexsort((points[on][:, 1], points[on][:, 0]))]
        if line and len(ordered):
            style = "steps-post" if x[1] == "minimize" else "steps-pre"
            ax.plot(*ordered.T, color=_ACCENT, lw=1.2, drawstyle=style)
        ax.plot(*ordered.T, "o", ms=5, color=_ACCENT, mew=0, label="Pareto front")
        if best is not None:
            ax.plot(*points[best], "o", ms=9, mfc="none", mec=_INK, mew=1.1, label="best network")
        ax.set_ylim(*_limits(points[:, 1], y[1]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _engineering(v)))
        ax.xaxis.set_minor_formatter(NullFormatter())
        if ax.get_xscale() == "log" and points[:, 0].max() < 200 * points[:, 0].min():
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        _label(ax, x[0], y[0])
        _legend(ax)
    return drawing.svg(f"{y[0]} against {x[0]}")


def timeline(what: Timeline) -> Markup | None:
    """A bar a job, a line a worker, those that came to nothing in another colour; None without jobs."""
    workers = sorted({span.worker for span in what.spans}, key=_natural)[:_SHOWN_WORKERS]
    if not workers:
        return None
    unit, seconds = next(
        (u, s) for u, s in (("h", 3600.0), ("min", 60.0), ("s", 1.0)) if what.seconds >= 2 * s or s == 1
    )
    with _figure() as drawing:
        ax = drawing.axes
        for line, worker in enumerate(workers):
            for good, color in ((True, _SOFT), (False, _BAD)):
                spans = [
                    s for s in what.spans if s.worker == worker and (s.status is None or s.status.has_value) is good
                ]
                bars = [
                    (s.began / seconds, max(s.ended - s.began, what.seconds / 2000) / seconds) for s in _thinned(spans)
                ]
                # The paper's colour as an edge tells one job from the next.
                ax.broken_barh(bars, (line - 0.4, 0.8), facecolors=color, edgecolors=_PAPER, linewidth=0.4)
        ax.set_yticks(range(len(workers)), [_short(worker) for worker in workers])
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlim(0, what.seconds / seconds or 1.0)
        ax.set_xlabel(f"time of search, {unit}")
    return drawing.svg("What each worker did over the time of the search")


def _thinned(spans: Sequence[Span]) -> Sequence[Span]:
    """The same with neighbours joined, where there are more than anyone could tell apart."""
    step = -(-len(spans) // _SHOWN_BARS) if spans else 1
    groups = [spans[i : i + step] for i in range(0, len(spans), step)]
    return [replace(group[0], ended=group[-1].ended) for group in groups]


def _natural(name: str) -> tuple[str, int]:
    head = name.rstrip("0123456789")
    return head, int(name[len(head) :] or 0)


class _figure:
    """A figure with one pair of axes under this module's style, rendered when the block ends."""

    def __enter__(self) -> _figure:
        self._style = matplotlib.rc_context(_STYLE)
        self._style.__enter__()
        self._figure = Figure(figsize=_SIZE, layout="constrained")
        self._figure.patch.set_alpha(0)
        self.axes: Axes = self._figure.add_subplot()
        self.axes.patch.set_alpha(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._text = _render(self._figure)
        finally:
            self._style.__exit__(None, None, None)

    def svg(self, label: str) -> Markup:
        """The finished SVG element, described by ``label`` to those who cannot see it."""
        return Markup(self._text.replace("<svg ", Markup('<svg role="img" aria-label="{}" ').format(label), 1))


def _render(figure: Figure) -> str:
    buffer = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "metanas"}):
        # The reader's fonts draw the text; that ours lacks a glyph does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"| version="1.1"', "", text)
    text = re.sub(r' id="[\w.]+_\d+"', "", text)  # only hashed ids are referred to; these would repeat on the page
    text = re.sub(r' (x|y|d)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m.group()), text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, f"var({variable})")
    return text


def _series(trials: Sequence[TrialRecord]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number and first objective of the comparable trials, in order of number; there must be one."""
    pairs = sorted((t.number, t.values[0]) for t in comparable(trials) if t.values)
    return np.array([n for n, _ in pairs], dtype=np.int64), np.array([v for _, v in pairs], dtype=np.float64)


def _best_so_far(values: NDArray[np.float64], direction: str) -> NDArray[np.float64]:
    best = np.maximum if direction == "maximize" else np.minimum
    return np.asarray(best.accumulate(values))


def _limits(values: NDArray[np.float64], direction: str) -> tuple[float, float]:
    """Axis limits that keep the good end readable when a few bad values lie far off."""
    low, high = float(values.min()), float(values.max())
    near, far = np.quantile(values, [0.1, 0.9])
    if direction == "maximize" and high - low > 3 * (high - near) > 0:
        low = float(near) - 0.3 * (high - float(near))
    elif direction == "minimize" and high - low > 3 * (far - low) > 0:
        high = float(far) + 0.3 * (float(far) - low)
    return _padded(low, high, bottom=0.12)


def _padded(low: float, high: float, *, bottom: float = 0.04) -> tuple[float, float]:
    span = (high - low) or max(abs(high) * 0.1, 1e-9)
    return low - bottom * span, high + 0.06 * span


def _label(ax: Axes, x: str, y: str, *, integer_x: bool = False) -> None:
    ax.set_xlabel(_short(x))
    ax.set_ylabel(_short(y))
    if integer_x:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))


def _legend(ax: Axes, *, reverse: bool = False) -> None:
    ax.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, borderaxespad=0.1, columnspacing=1.4, reverse=reverse
    )


def _dot(n: int) -> float:
    """Size of ``n`` dots, in points."""
    return 4.0 if n <= 300 else 2.4


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _engineering(value: float) -> str:
    for suffix, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale:
            return f"{value / scale:.3g}{suffix}"
    return f"{value:.3g}"
