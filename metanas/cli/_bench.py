"""``metanas bench``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metanas.cli._main import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from metanas.bench import Comparison


@click.command()
@click.argument("bench_file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Folder of the results.  [default: benches/NAME]"
)
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override a key of the file, e.g. seeds=5. Repeatable."
)
@click.option(
    "--processes", type=click.IntRange(1, 256), default=None, help="Searches side by side.  [default: one a core]"
)
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
def bench(bench_file: Path, out: Path | None, sets: tuple[str, ...], processes: int | None, quiet: bool) -> int:
    """Compare strategies on tables of results, as BENCH_FILE says.

    Every strategy searches on every task with every seed. What is done is kept: started again after Ctrl-C, kill -9 or a
    change of the file, the bench does what is missing. Writes report.md, its plots and results.csv.
    """
    from metanas.bench import read_bench_file, run_bench, write_report

    read = read_bench_file(bench_file, sets=sets)
    folder = out or Path("benches") / read.name
    try:
        with _progress(quiet) as progress:
            comparison = run_bench(read, folder, processes=processes or _cores(), progress=progress)
    except KeyboardInterrupt:
        click.echo(f"Interrupted. What is done is kept in {folder}; the same command goes on.", err=True)
        return EXIT_INTERRUPTED
    page = write_report(comparison, folder)
    _show(comparison)
    click.echo(f"Report: {page}")
    return 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int, Any], None]]:
    """A bar on a terminal, a line a tenth elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, highlight=False)
    if quiet:
        yield lambda done, total, spec: None
        return
    if not console.is_terminal:
        said = -1

        def say(done: int, total: int, spec: Any) -> None:
            nonlocal said
            tenth = 10 * done // total
            if tenth > said or spec is None:
                said = tenth
                console.print(f"{done} of {total} searches done")

        yield say
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as display:
        bar = display.add_task("searches", total=None)

        def move(done: int, total: int, spec: Any) -> None:
            what = "searches" if spec is None else f"{spec.contestant.name} on {spec.task.name}"
            display.update(bar, completed=done, total=total, description=what)

        yield move


def _show(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    from metanas.bench import summary

    budgets = comparison.bench.budgets
    head, *rows = summary(comparison, 50 if 50 in budgets else budgets[-1])
    table = Table(title="Mean simple regret", title_justify="left")
    for place, name in enumerate(head):
        table.add_column(name, justify="left" if place == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    # A file or a pipe has no width in which numbers would have to be cut.
    console.print(table, width=None if console.is_terminal else 40 + 20 * len(table.columns))
