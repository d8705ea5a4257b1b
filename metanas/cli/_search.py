"""``metanas search`` and ``metanas resume``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metanas.cli._main import EXIT_INTERRUPTED, EXIT_NO_NETWORK

if TYPE_CHECKING:
    from metanas.study import RunFolder, SearchResult

_SHOWN = 12
"""Decisions of an architecture that is the result."""
_SET = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the run file, e.g. search.trials=10. Repeatable.",
)
_MEMORY = click.option(
    "--max-memory",
    metavar="SIZE",
    help="Memory that one training may take, such as 512MB or 4GB; larger networks are refused. "
    "Short for --set search.max_memory=SIZE.",
)
_PYTHON = click.option(
    "--allow-python",
    is_flag=True,
    help="Let the files name Python code of yours (losses, metrics, evaluators), and run it.",
)


def _storage(about: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--storage", metavar="URL", envvar="METANAS_STORAGE", show_envvar=True, help=about)


_NEW_STORAGE = _storage(
    "Keep the study in this database instead of where the run file says: sqlite:///…, postgresql://…, mysql://… or grpc://…. "
    "The run folder keeps the URL without its password."
)
STORAGE = _storage("URL of the study's database, for a password that the run folder does not keep.")
_QUIET = click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")


@click.command()
@click.argument("run_file", type=click.Path(path_type=Path))
@_SET
@_MEMORY
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder for run folders."
)
@click.option(
    "--predictor",
    metavar="NAME",
    help="Start from what this predictor has learned, with the strategy meta: a name, or a path with a '/'; none for none.",
)
@_NEW_STORAGE
@click.option(
    "--study", metavar="NAME", help="Go on with this study of the storage, which was begun in another run folder."
)
@_PYTHON
@_QUIET
@_JSON
def search(
    run_file: Path, sets: tuple[str, ...], max_memory: str | None, runs: Path, predictor: str | None, storage: str | None,
    study: str | None, allow_python: bool, quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Search for a network, as RUN_FILE says.

    Makes a run folder with the study, the trained network and a report. Ctrl-C once lets the running trials finish,
    twice stops at once; 'metanas resume' goes on in either case.
    """
    from metanas._search import begin
    from metanas.study import create_run, plan, read_run_file, with_storage

    if predictor is not None:
        # Relative to where the command runs, not to the run file.
        place = str(Path(predictor).expanduser().absolute()) if "/" in predictor else predictor
        sets = (*sets, f"search.predictor={json.dumps(place)}")
    run = with_storage(read_run_file(run_file, sets=_with_memory(sets, max_memory)), storage)
    if study is not None and run.storage is None:
        raise click.UsageError("--study names a study of a shared storage, so give its --storage too")
    folder = create_run(plan(run, allow_python=allow_python), runs, study=study)
    return _finish(folder, lambda: begin(folder, run, allow_python=allow_python, quiet=quiet), as_json)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@_SET
@_MEMORY
@STORAGE
@_PYTHON
@_QUIET
@_JSON
def resume(
    run: Path, sets: tuple[str, ...], max_memory: str | None, storage: str | None, allow_python: bool, quiet: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Go on with the search in the folder RUN, which was stopped or killed; --set search.trials=60 prolongs it."""
    from metanas._search import go_on
    from metanas.study import RunFolder

    folder = RunFolder.open(run)
    sets = _with_memory(sets, max_memory)
    return _finish(
        folder, lambda: go_on(folder, sets=sets, storage=storage, allow_python=allow_python, quiet=quiet), as_json
    )


def _with_memory(sets: tuple[str, ...], max_memory: str | None) -> tuple[str, ...]:
    return sets if max_memory is None else (*sets, f"search.max_memory={max_memory}")


def _finish(folder: RunFolder, session: Callable[[], SearchResult], as_json: bool) -> int:
    try:
        result = session()
    except KeyboardInterrupt:
        click.echo(f"Interrupted. All results are kept; go on with: {folder.command('resume')}", err=True)
        return EXIT_INTERRUPTED
    found = (folder.best / "weights.safetensors").is_file()
    failed = not found and (_trains(result) or all(trial.values is None for trial in result.trials))
    text = json.dumps(_as_json(result, found), indent=2) if as_json else _as_text(result, found)
    click.echo(text, err=failed and not as_json)
    return EXIT_NO_NETWORK if failed else 0


def _final_failure(folder: RunFolder) -> str:
    from metanas.study import read_final_failure

    failure = read_final_failure(folder)
    if failure is None:
        return f"The network is not trained yet; go on with: {folder.command('resume')}"
    said = "; ".join(filter(None, (failure.message or failure.status.value, failure.remedy)))
    return f"The final training failed: {said}. Try again with: {folder.command('resume')}"


def _trains(result: SearchResult) -> bool:
    from metanas.study import read_run_file

    return read_run_file(result.folder.run_file).trains


def _as_json(result: SearchResult, found: bool) -> dict[str, Any]:
    from metanas.study import read_choice
    from metanas.trial import best_trial

    best = best_trial(result.trials, [direction for _, direction in result.objectives])
    return {
        "run": str(result.folder.path),
        "report": str(result.folder.report),
        "trials": len(result.trials),
        "best": None if best is None else {
            "trial": best.number, "decisions": dict(best.decisions), "metrics": dict(best.metrics),
            "values": dict(zip((n for n, _ in result.objectives), best.values or (), strict=False)),
        },
        "final": dict(result.metrics) if found else None,
        "chosen": asdict(choice) if (choice := read_choice(result.folder)) else None,
    }  # fmt: skip


def _as_text(result: SearchResult, found: bool) -> str:
    from metanas._progress import counted, number, values_text
    from metanas.report import status_table
    from metanas.study import read_choice, read_run_file
    from metanas.trial import best_trial

    best = best_trial(result.trials, [direction for _, direction in result.objectives])
    choice = read_choice(result.folder)
    lines = []
    if best is None:
        failed = [t for t in result.trials if t.status is not None]
        if failed:
            came = "network could be trained" if _trains(result) else "architecture got a value"
            lines.append(f"No {came} in {counted(len(failed), 'trial')}.")
            lines.append(f"The last said: {failed[-1].message}")
        else:
            run = read_run_file(result.folder.run_file)
            limit = "time" if run.time is not None else "gpu_hours" if run.gpu_hours is not None else "trials"
            more = result.folder.command("resume", "--set", f"search.{limit}=MORE")
            lines.append(f"No trial came to its end; give it more with: {more}")
    else:
        evaluated = status_table(result.trials, result.objectives).evaluations
        lines.append(
            f"Best on validation: {values_text(best, result.objectives)} (trial {best.number}, of {evaluated} evaluated)"
        )
    if choice and choice.sureness is not None:
        lines.append(
            f"Chosen:             trial {choice.trial}, the best of those evaluated with a probability of"
            f" {100 * choice.sureness:.0f} %"
        )
    if found:
        tested = {k.removeprefix("test_"): v for k, v in result.metrics.items() if k.startswith("test_")}
        lines.append("On the test data:   " + ", ".join(f"{name} {number(value)}" for name, value in tested.items()))
        lines.append(
            f"Network:            {result.folder.best / 'network.py'} ({number(result.metrics['params'])} parameters)"
        )
    elif best is not None and _trains(result):
        lines.append(_final_failure(result.folder))
    elif best is not None:
        decisions = ", ".join(f"{name} {value}" for name, value in list(best.decisions.items())[:_SHOWN])
        more = f", ... ({len(best.decisions)} decisions)" if len(best.decisions) > _SHOWN else ""
        lines.append(f"Architecture:       {decisions}{more}; metanas architecture show {result.folder.path}")
    lines.append(f"Report:             {result.folder.report}")
    return "\n".join(lines)
