"""A comparison as files: a page of tables and plots, and a CSV of all cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from metanas.bench._bench import Comparison
from metanas.bench._play import load_task
from metanas.bench._plots import draw_curves, draw_ranks
from metanas.bench._points import decimals, point
from metanas.bench._read import uses_sources
from metanas.bench._scores import (
    critical_difference,
    hours,
    proposal_seconds,
    rankings,
    reaches,
    regrets,
    scores,
    tested,
)
from metanas.bench._spec import BenchFile
from metanas.study import environment, write_atomically
from metanas.tables import ResultTable


def write_report(comparison: Comparison, folder: Path) -> Path:
    """Write ``report.md``, its plots and ``results.csv`` into ``folder``; the page's path."""
    draw_curves(comparison, folder / "regret.png")
    blocks = len(comparison.bench.tasks) * comparison.bench.seeds
    for evaluations in comparison.bench.budgets:
        draw_ranks(scores(comparison, evaluations), blocks, folder / f"ranks_{evaluations}.png")
    write_atomically(folder / "results.csv", _csv(comparison))
    page = folder / "report.md"
    write_atomically(page, _page(comparison))
    return page


def summary(comparison: Comparison, evaluations: int) -> list[tuple[str, ...]]:
    """Rows of text: a strategy's mean regret at each budget, and its mean rank at ``evaluations``."""
    budgets = comparison.bench.budgets
    ranked = scores(comparison, evaluations)
    means = {budget: {score.name: score for score in scores(comparison, budget)} for budget in budgets}
    fine = decimals(_points(comparison).values(), 3)
    head = ("strategy", *(f"after {budget}" for budget in budgets), f"mean rank at {evaluations}")
    return [
        head,
        *((s.name, *(f"{means[b][s.name].mean:.{fine}f}" for b in budgets), f"{s.rank:.2f}") for s in ranked),
    ]  # fmt: skip


def _points(comparison: Comparison) -> dict[str, float]:
    """What a point of regret is, by task."""
    return {task.name: point(load_task(task).mean_losses) for task in comparison.bench.tasks}


def _page(comparison: Comparison) -> str:
    bench = comparison.bench
    blocks = len(bench.tasks) * bench.seeds
    points = _points(comparison)
    fine = decimals(points.values(), 3)
    information = environment()
    versions = ", ".join(f"{name} {version}" for name, version in information["versions"].items())
    what = "the mean over the table's repeats" if bench.values == "mean" else "one of the table's repeats at random"
    lines = [
        f"# {bench.name}",
        "",
        f"{len(bench.contestants)} strategies, {len(bench.tasks)} tasks ({', '.join(t.name for t in bench.tasks)}), seeds "
        f"{bench.first_seed} to {bench.first_seed + bench.seeds - 1}, {bench.evaluations} evaluations a search, "
        f"{_at_once(bench)}; an evaluation gives {what}.{_known(bench)}",
        "",
        "Simple regret is what the mean of the recommended architecture's repeats loses to the best one's, in the metric's "
        f"unit (accuracies in percent: points).{_mixed(points.values())} Intervals are Student's t over seeds, of each seed's mean over the tasks. Ranks "
        f"and tests are over {blocks} blocks, a block being one task with one seed: Wilcoxon's signed-rank test against the strategy "
        "with the best mean rank, corrected by Holm. The critical difference is Nemenyi's at 5 %; blocks of one task are "
        "no independent tasks, so it says how sure the ranks are on these tasks, not on others.",
        "",
        f"metanas and libraries: {versions}. Machine: {information['machine']}.",
        "",
        "![Simple regret](regret.png)",
    ]  # fmt: skip
    for budget in bench.budgets:
        table = [("strategy", "mean", "95 % interval", "median", "mean rank", "p against the best")]
        table += [
            (
                s.name, f"{s.mean:.{fine}f}", f"{s.low:.{fine}f} to {s.high:.{fine}f}", f"{s.median:.{fine}f}",
                f"{s.rank:.2f}", "" if s.p is None else f"{s.p:.2g}",
            )
            for s in scores(comparison, budget)
        ]  # fmt: skip
        lines += ["", f"## After {budget} evaluations", "", *_markdown(table), "", f"![Mean ranks](ranks_{budget}.png)"]
    lines += [
        "",
        "## Tables",
        "",
        "Architectures without a value of the metric are left out. A search that has evaluated all there is ends, and its last "
        "values stand for those after more evaluations.",
        "",
        *_tables(comparison),
    ]
    lines += ["", "## Task by task: mean simple regret", "", *_by_task(comparison, points)]
    lines += ["", "## Evaluations to the optimum's neighbourhood", ""]
    rule = "A search counts as there when the recommended architecture's regret is at most so many points."
    lines += [rule + _what_points_are(points), ""]
    near = [("strategy", "points", "searches that came there", "evaluations that half of them needed")]
    near += [
        (r.name, f"{r.regret:g}", f"{r.share:.0%}", "" if r.median is None else f"{r.median:g}")
        for r in reaches(comparison, points)
    ]
    lines += _markdown(near)
    if test := tested(comparison, bench.budgets):
        lines += ["", "## Test value of the recommended architecture", ""]
        lines += [f"Chosen by validation; no search saw test values.{_over(comparison, lambda table: table.test)}", ""]
        head = ("strategy", *(f"after {budget}" for budget in bench.budgets))
        tables = map(load_task, bench.tasks)
        fine = decimals([point(table.metrics[table.test]) for table in tables if table.test is not None], 2)
        lines += _markdown([head, *((name, *(f"{v:.{fine}f}" for v in values)) for name, values in test.items())])
    if times := hours(comparison, bench.budgets):
        lines += ["", "## Virtual time: mean hours until so many results", ""]
        over = _over(comparison, lambda table: table.cost)
        lines += [f"Trainings alone, as long as the tables say, {_at_once(bench)}.{over}", ""]
        head = ("strategy", *(f"{budget}" for budget in bench.budgets))
        lines += _markdown([head, *((name, *(f"{v:.3g}" for v in values)) for name, values in times.items())])
    if taus := rankings(comparison):
        numbers = sorted({number for by_number in taus.values() for number in by_number})
        lines += ["", "## Ranking: mean Kendall's τ of what a strategy's model predicts", ""]
        lines += ["Over random architectures of the task, after so many results of its own search.", ""]
        head = ("strategy", *map(str, numbers))
        rows = [(name, *(f"{t[n]:.3f}" if n in t else "" for n in numbers)) for name, t in taus.items()]
        lines += _markdown([head, *rows])
    lines += ["", "## Seconds a proposal", ""]
    took = [("strategy", "median", "95th percentile")]
    took += [(name, f"{median:.2g}", f"{high:.2g}") for name, (median, high) in proposal_seconds(comparison).items()]
    lines += _markdown(took)
    lines += ["", f"Critical difference at 5 %: {critical_difference(len(bench.contestants), blocks):.3f} ranks."]
    return "\n".join(lines) + "\n"


def _mixed(points: Iterable[float]) -> str:
    """That means are over values of several units, as a sentence; empty where they are not."""
    return (
        ""
        if len({*points}) == 1
        else " Means are over tasks of different units, so that those of large values tell in them; ranks are not."
    )


def _at_once(bench: BenchFile) -> str:
    return "one after another" if bench.workers == 1 else f"{bench.workers} at once"


def _known(bench: BenchFile) -> str:
    """What strategies that transfer know, as a sentence; empty where none is there."""
    if not any(map(uses_sources, bench.contestants)):
        return ""
    if not any(not source.same_table(task) for task in bench.tasks for source in bench.sources.tasks):
        return " There are no other data sets, so that strategies that transfer know nothing."
    known = "all" if bench.sources.known is None else f"{bench.sources.known:,} random"
    return f" Strategies that transfer know {known} architectures of each other data set of the same space, drawn anew for each seed."


def _over(comparison: Comparison, what: Callable[[ResultTable], object]) -> str:
    """Which tasks' tables have something, as a sentence; empty where all do."""
    having = [task.name for task in comparison.bench.tasks if what(load_task(task)) is not None]
    return (
        "" if len(having) == len(comparison.bench.tasks) else f" Over {', '.join(having)}: the other tables have none."
    )


def _tables(comparison: Comparison) -> list[str]:
    rows: list[tuple[str, ...]] = [("task", "metric", "architectures", "left out", "repeats at most", "the best mean")]
    for task in comparison.bench.tasks:
        table = load_task(task)
        known = table.mean_losses[np.isfinite(table.mean_losses)]
        best = -known.min() if table.direction == "maximize" else known.min()
        counts = (f"{len(known):,}", f"{len(table) - len(known):,}", f"{table.repeats}")
        rows.append((task.name, f"{table.metric}, {table.direction}", *counts, f"{best:.6g}"))
    return _markdown(rows)


def _what_points_are(points: Mapping[str, float]) -> str:
    """As a sentence, by task; empty where all are percents'."""
    if set(points.values()) == {1.0}:
        return ""
    tasks = {size: [name for name, own in points.items() if own == size] for size in sorted(points.values())}
    each = (f"{size:g} for {', '.join(names)}" for size, names in tasks.items())
    return f" A point is a hundredth of the power of ten that a table's values reach: {'; '.join(each)}."


def _by_task(comparison: Comparison, points: Mapping[str, float]) -> list[str]:
    budgets = comparison.bench.budgets
    table: list[tuple[str, ...]] = [("task", "strategy", *(f"after {budget}" for budget in budgets))]
    for task in comparison.bench.tasks:
        fine = decimals([points[task.name]], 3)
        means = [regrets(comparison, budget, task.name).mean(axis=0) for budget in budgets]
        table += [
            (task.name, contestant.name, *(f"{mean[column]:.{fine}f}" for mean in means))
            for column, contestant in enumerate(comparison.bench.contestants)
        ]
    return _markdown(table)


def _markdown(rows: Sequence[tuple[str, ...]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(rows[0]), line("---" for _ in rows[0]), *map(line, rows[1:])]


def _csv(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["task", "strategy", "seed", "evaluations", "seconds", "regret", "test"])
    for (task, name, seed), cell in comparison.cells.items():
        for place, number in enumerate(cell.grid):
            test = "" if cell.test is None else f"{cell.test[place]:.6g}"
            seconds = "" if cell.clock is None else f"{cell.clock[place]:.6g}"
            writer.writerow([task, name, seed, number, seconds, f"{cell.regret[place]:.6g}", test])
    return text.getvalue()
