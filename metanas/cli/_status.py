"""``metanas status`` and ``metanas report``."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import click

from metanas.cli._search import STORAGE


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@STORAGE
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status(run: Path, storage: str | None, as_json: bool) -> None:
    """Say where the search in the folder RUN stands; it may be running."""
    from metanas._progress import counted, duration, number
    from metanas.report import status_table
    from metanas.study import (
        Ending,
        RunFolder,
        owner_of,
        owner_of_study,
        read_final,
        read_run,
        read_timeline,
    )

    folder = RunFolder.open(run)
    run_file, _, trials = read_run(folder, storage=storage)
    final = read_final(folder)
    owner = owner_of(folder)
    elsewhere = owner_of_study(trials.study.user_attrs) if owner is None else None
    table = status_table(list(trials.records.values()), run_file.objectives, under_way=bool(owner or elsewhere))
    timeline = read_timeline(folder.log, running=owner is not None, now=time.time())
    running = [span for span in timeline.running if trials.records[span.trial].status is None] if owner else []
    if as_json:
        extra = {
            "run": str(folder.path), "study": trials.study.study_name, "budget": run_file.trials,
            "final": dict(final.metrics) if final else None, "owner": owner or elsewhere, "utilisation": timeline.utilisation,
            "proxies": timeline.scored, "supernet_epochs": timeline.trained,
            "running": [dataclasses.asdict(span) for span in running],
        }  # fmt: skip
        click.echo(json.dumps(extra | table.to_json(), indent=2))
        return
    budget = f" of {run_file.trials}" if run_file.trials is not None else ""
    counts = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in table.counts.items()) or "none yet"
    click.echo(f"Evaluations: {table.evaluations}{budget}; trials: {counts}; duplicates: {table.duplicates}")
    if timeline.scored:
        click.echo(f"Proxies: {counted(timeline.scored, 'network')} scored")
    if timeline.trained:
        click.echo(f"Supernet: {counted(timeline.trained, 'epoch')} trained")
    if table.best is not None:
        values = ", ".join(f"{name} {number(value)}" for name, value in table.values.items())
        click.echo(f"Best so far: {values} (trial {table.best})")
    if table.mean_seconds is not None:
        click.echo(f"A trial takes {duration(table.mean_seconds)} on average; {duration(table.seconds)} in all")
    if table.epochs_saved:
        whole = table.epochs + table.epochs_saved
        click.echo(f"Early stops saved {table.epochs_saved} of {whole} epochs ({table.epochs_saved / whole:.0%})")
    if timeline.utilisation is not None:
        click.echo(f"Workers were busy {timeline.utilisation:.0%} of {duration(timeline.seconds)}")
    if owner is not None:
        click.echo(f"Owner: {owner}")
        for span in running:
            click.echo(f"  {span.worker}: trial {span.trial} for {duration(span.ended - span.began)} ({span.job})")
    if elsewhere is not None:
        click.echo(f"The study is worked on from another run folder: {elsewhere}")
    if final is not None:
        tested = ", ".join(
            f"{k.removeprefix('test_')} {number(v)}" for k, v in final.metrics.items() if k.startswith("test_")
        )
        click.echo(f"Finished. On the test data: {tested}")
    elif owner is None and elsewhere is None:
        missing = run_file.trials is not None and table.evaluations < run_file.trials
        ended = timeline.ending not in ("", Ending.INTERRUPTED, Ending.TRIALS if missing else "")
        if ended and not run_file.trains:
            click.echo(f"Finished: {timeline.ending}.")
        elif ended and table.best is None:
            click.echo(f"Ended without a network: {timeline.ending}.")
        elif missing and not ended:
            click.echo(f"Not finished, and nothing runs; go on with: {folder.command('resume')}")
        elif table.best is not None and run_file.trains:
            click.echo(f"The best network is not trained yet; go on with: {folder.command('resume')}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@STORAGE
def report(run: Path, storage: str | None) -> None:
    """Write the report of the search in the folder RUN anew, and print where it is."""
    from metanas._search import write_report
    from metanas.study import RunFolder

    click.echo(write_report(RunFolder.open(run), storage=storage))
