"""Plots of a comparison, as PNG files. Matplotlib's figures are used without pyplot, which keeps global state."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from metanas.bench._bench import Comparison
from metanas.bench._scores import Score, critical_difference, interval, regrets

_COLOURS = (
    "#1b6ca8", "#d1495b", "#2e933c", "#8f5aa8", "#e08e1a", "#3aa6a0", "#6b6b6b", "#a3623a", "#c2559d", "#7a8f1f", "#4a4fb5",
    "#b3a125",
)  # fmt: skip
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
"""A pattern for each round through the colours, so that no two of 36 curves look the same."""
_STYLE: dict[Any, object] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,
}
_DPI = 130
_BANDS = 6
"""Contestants up to which intervals are drawn: more of them lie upon each other and hide the curves."""


def draw_curves(comparison: Comparison, path: Path) -> None:
    """Mean simple regret over evaluations, of a few contestants with its 95 % interval: all tasks together, then each."""
    tasks: list[str | None] = [None, *(task.name for task in comparison.bench.tasks)]
    if len(tasks) == 2:
        tasks = tasks[1:]
    columns = 2 if len(tasks) == 4 else min(3, len(tasks))
    lines = ceil(len(tasks) / columns)
    with rc_context(_STYLE):
        figure = Figure(
            figsize=(4.2 * columns, 3.1 * lines + 0.22 * ceil(len(comparison.bench.contestants) / 5) + 0.3), dpi=_DPI
        )
        axes = figure.subplots(lines, columns, squeeze=False, sharex=True).flatten().tolist()
        for place, task in zip(axes, tasks, strict=False):
            _curves(place, comparison, task)
        for place in axes[len(tasks) :]:
            place.set_visible(False)
        for index, place in enumerate(axes[: len(tasks)]):
            if index + columns >= len(tasks):
                place.set_xlabel("evaluations")
                place.tick_params(labelbottom=True)
            if index % columns == 0:
                place.set_ylabel("simple regret")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
        figure.set_layout_engine("constrained")
        figure.savefig(path)


def _curves(axes: Axes, comparison: Comparison, task: str | None) -> None:
    grid = sorted({n for cell in comparison.cells.values() for n in cell.grid})
    values = np.stack([regrets(comparison, n, task) for n in grid])
    seeds = comparison.bench.seeds
    means = values.mean(axis=1)
    # A logarithmic axis has no zero: it is drawn where the least regret is that a curve has.
    above = means[means > 1e-9]
    floor = above.min() if len(above) else 1.0
    for column, contestant in enumerate(comparison.bench.contestants):
        colour = _COLOURS[column % len(_COLOURS)]
        axes.plot(
            grid, np.maximum(means[:, column], floor), color=colour, label=contestant.name, linewidth=1.4,
            linestyle=_DASHES[column // len(_COLOURS) % len(_DASHES)],
        )  # fmt: skip
        if len(comparison.bench.contestants) <= _BANDS:
            ends = np.array([interval(line, seeds) for line in values[:, :, column]])
            axes.fill_between(grid, *np.maximum(ends, floor).T, color=colour, alpha=0.12, linewidth=0)
    axes.set_yscale("log")
    axes.set_xscale("log")
    # Regrets of a search often span less than a power of ten, of which one label would be left.
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_title("all tasks" if task is None else task, fontsize=9)


def draw_ranks(scores: Sequence[Score], blocks: int, path: Path) -> None:
    """The critical-difference plot (Demšar 2006): mean ranks on a line, bars over those that do not differ."""
    scores = sorted(scores, key=lambda score: score.rank)
    k = len(scores)
    difference = critical_difference(k, blocks)
    half = ceil(k / 2)
    groups = _groups([score.rank for score in scores], difference)
    with rc_context({**_STYLE, "axes.grid": False}):
        figure = Figure(figsize=(8.5, 0.95 + 0.26 * half + 0.13 * len(groups)), dpi=_DPI)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        height = figure.get_figheight()
        axes.set_xlim(0, 8.5)
        axes.set_ylim(height, 0)
        left, right = 2.4, 6.1

        def x(rank: float) -> float:
            return left + (right - left) * (rank - 1) / max(k - 1, 1)

        line = 0.62
        axes.plot([left, right], [line, line], color="#333333", linewidth=1)
        for rank in range(1, k + 1):
            axes.plot([x(rank)] * 2, [line - 0.06, line], color="#333333", linewidth=1)
            axes.text(x(rank), line - 0.1, str(rank), ha="center", va="bottom", fontsize=8)
        end = min(x(1 + difference), 8.4)
        axes.plot([left, end], [0.2, 0.2], color="#333333", linewidth=1.6)
        axes.text(end + 0.06, 0.2, f"CD {difference:.2f}", va="center", fontsize=8)
        for number, (first, last) in enumerate(groups):
            y = line + 0.1 + 0.13 * number
            axes.plot([x(first) - 0.03, x(last) + 0.03], [y, y], color="#111111", linewidth=3, solid_capstyle="butt")
        start = line + 0.24 + 0.13 * len(groups)
        for place, score in enumerate(scores):
            on_left = place < half
            y = start + 0.26 * (place if on_left else k - 1 - place)
            side, align = (left - 0.15, "right") if on_left else (right + 0.15, "left")
            axes.plot([x(score.rank), x(score.rank), side], [line, y, y], color="#888888", linewidth=0.7)
            text = f"{score.name}  {score.rank:.2f}" if on_left else f"{score.rank:.2f}  {score.name}"
            axes.text(side + (-0.06 if on_left else 0.06), y, text, ha=align, va="center", fontsize=8.5)
        figure.savefig(path)


def _groups(ranks: Sequence[float], difference: float) -> list[tuple[float, float]]:
    """First and last rank of each longest run of ascending ``ranks`` that lie within the difference."""
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] <= difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return [(ranks[first], ranks[last]) for first, last in runs]
