"""``metanas predictor``: fit, evaluate, update, show, list."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from metanas.predictor import Judgement, Predictor

_KNOWN = click.option(
    "--known", default="1000", show_default=True, metavar="N", help="Random architectures taken of each table, or all."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


def _from(command: Callable[..., None]) -> Callable[..., None]:
    """``--from`` as the command's ``origins``; what follows the first one, as a shell's ``*`` has it, counts too."""

    @click.option(
        "--from", "origins", multiple=True, required=True, metavar="ORIGIN...",
        help="Run folders, benchmarks such as nasbench201 or nasbench201/cifar10, or bench files, for their tables: --from runs/*.",
    )  # fmt: skip
    @click.argument("more", nargs=-1, metavar="")
    @wraps(command)
    def gathering(*, origins: tuple[str, ...], more: tuple[str, ...], **rest: Any) -> None:
        command(origins=(*origins, *more), **rest)

    return gathering


@click.group()
def predictor() -> None:
    """Learn from earlier searches and tables which networks are promising, for 'metanas search --predictor NAME'.

    NAME is a name, kept under the user's data folder, or a path with a '/'.
    """


@predictor.command()
@_from
@click.option("-o", "--output", "name", required=True, metavar="NAME", help="The predictor to make.")
@_KNOWN
@click.option("--force", is_flag=True, help="Replace the predictor that has the name.")
def fit(origins: tuple[str, ...], name: str, known: str, force: bool) -> None:
    """Learn a predictor from tasks."""
    from metanas.bench import gather
    from metanas.errors import MetanasError
    from metanas.predictor import Predictor, check_place, is_shipped, place_for, save_predictor

    folder = place_for(name, base=Path.cwd())
    if is_shipped(name) and not force:
        raise MetanasError(
            f"the predictor {name} comes with metanas, and searches use it by default", found=f"-o {name}",
            remedy="choose another name, fold the tasks in with 'metanas predictor update', or hide it with --force",
        )  # fmt: skip
    check_place(folder, replace=force)
    made = Predictor.fit(folder.name, gather(origins, known=_count(known)))
    save_predictor(made, folder)
    _say(made, folder)


@predictor.command()
@click.argument("name")
@_from
@_KNOWN
def update(name: str, origins: tuple[str, ...], known: str) -> None:
    """Fold finished searches or tables into the predictor NAME; a task that it knows already takes its place."""
    from metanas.bench import gather
    from metanas.predictor import (
        check_place,
        find_predictor,
        load_predictor,
        place_for,
        save_predictor,
        shipped_folder,
        updating,
    )

    found = find_predictor(name, base=Path.cwd())
    # What is installed stays as it is; a copy with the same name goes before it.
    folder = place_for(name, base=Path.cwd()) if found.is_relative_to(shipped_folder()) else found
    check_place(folder, replace=True)
    tasks = gather(origins, known=_count(known))
    with updating(folder):
        # Looked up again: another update may have made the copy meanwhile.
        updated = load_predictor(find_predictor(name, base=Path.cwd())).updated(tasks)
        save_predictor(updated, folder)
    _say(updated, folder)


@predictor.command()
@_from
@click.option(
    "--predictor", "name", metavar="NAME",
    help="Judge this predictor; a task that it knows is left out of what it knows. Otherwise the tasks teach each other.",
)  # fmt: skip
@_KNOWN
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Draws of known results.")
@click.option(
    "--searches", type=click.IntRange(0, 100), default=20, show_default=True,
    help="Evaluations of a search on each task, whose regret is told; 0 for no searches.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@_JSON
def evaluate(
    origins: tuple[str, ...], name: str | None, known: str, seeds: int, searches: int, quiet: bool, as_json: bool
) -> None:
    """Leave each task out in turn: how well the others rank its networks, what their intervals cover, what a search loses.

    A search is by the strategy meta among the networks with known results; 'metanas bench' compares it with others.
    """
    from rich.console import Console
    from rich.progress import track

    from metanas.bench import gather, search_regrets
    from metanas.errors import MetanasError
    from metanas.predictor import SpaceModel, find_predictor, judge, knowing_others, left_out, load_predictor

    given = None if name is None else load_predictor(find_predictor(name, base=Path.cwd()))
    targets = gather(origins, known=None)
    if given is None and len(targets) == 1:
        raise MetanasError(
            "a task is judged by what others of its space teach", found=f"{targets[0].name} alone",
            remedy="give more tasks, or a --predictor", where="--from",
        )  # fmt: skip
    found: list[Judgement] = []
    draws = (
        (seed, target, model)
        for seed in range(seeds)
        for target, model in (
            left_out(gather(origins, known=_count(known), seed=seed), targets)
            if given is None
            else knowing_others(given, targets)
        )
    )
    console = Console(stderr=True)
    shown = track(
        draws, "judging", total=seeds * len(targets), console=console, transient=True,
        disable=quiet or not console.is_terminal,
    )  # fmt: skip
    for seed, target, model in shown:
        judged = list(judge(model, target, seed=seed))
        after = tuple(each.results for each in judged if 0 < each.results <= searches)
        plain = SpaceModel.untrained(model.space, model.encoder)
        regrets, plains = (search_regrets(m, target, seed=seed, after=after) for m in (model, plain))
        found += [
            replace(each, regret=regrets.get(each.results), plain_regret=plains.get(each.results)) for each in judged
        ]
    click.echo(json.dumps([each.to_json() for each in found], indent=2) if as_json else _table(found))


@predictor.command()
@click.argument("name")
@_JSON
def show(name: str, as_json: bool) -> None:
    """Print the card of the predictor NAME: what it learned from, how well it ranks, when it abstains."""
    from metanas.predictor import find_predictor, read_card

    card = read_card(find_predictor(name, base=Path.cwd()))
    click.echo(json.dumps(card, indent=2) if as_json else "\n".join(_card(card)))


@predictor.command("list")
def list_() -> None:
    """List the predictors that have a name."""
    from metanas.errors import MetanasError
    from metanas.predictor import find_predictor, predictor_names, read_card

    names = predictor_names()
    wide = max(map(len, names), default=0)
    for name in names:
        folder = find_predictor(name, base=Path.cwd())
        try:
            spaces = ", ".join(entry["space"] for entry in read_card(folder)["card"])
        except MetanasError as error:
            # One that cannot be opened hides no other.
            spaces = ": ".join(str(part) for part in (error.found, error.remedy) if part)
        click.echo(f"{name:{wide}}  {spaces:40} {folder}")


def _count(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 2:
        raise click.UsageError("--known is a whole number from 2, or all")
    return int(text)


def _say(made: Predictor, folder: Path) -> None:
    from metanas._progress import counted

    for model in made.models:
        click.echo(f"{model.space.name}: {counted(len(model.sources), 'task')}")
    click.echo(f"Predictor: {folder}")


def _card(card: dict[str, Any]) -> list[str]:
    from metanas.predictor import FEW

    lines = [f"{card['name']}, written by metanas {card['metanas']}"]
    wide = _wide(task["name"] for entry in card["card"] for task in entry["tasks"])
    for entry in card["card"]:
        lines += ["", f"space {entry['space']}, {entry['decisions']} decisions"]
        ranks = entry.get("rank_correlation", {})
        lines.append(
            f"  {'task':{wide}}{'results':>8}   Kendall's tau, left out, after 0, 10, 20, 50, 100 of its results, as far as it has them"
        )
        for task in entry["tasks"]:
            taus = "  ".join(f"{value:.2f}" for value in ranks.get(task["name"], {}).values())
            judged = entry.get("judged_on", {}).get(task["name"], FEW)
            few = f"  (0 on {judged} networks, others on fewer)" if taus and judged < FEW else ""
            lines.append(
                f"  {task['name']:{wide}}{task['results']:8,}   {taus or 'needs another task to be judged'}{few}"
            )
            if elsewhere := task.get("elsewhere"):
                lines.append(
                    f"  {'':{wide}}{'':8}   the networks of this space, of {elsewhere:,} results in another version of it"
                )
        if "covered_80" in entry:
            lines.append(
                f"  intervals are widened until those of 80 % cover {100 * entry['covered_80']:.0f} % of left-out results"
            )
    lines += ["", "It abstains from spaces that share no networks with these: a search there cannot name it."]
    return lines


def _table(found: Sequence[Judgement]) -> str:
    import numpy as np

    tasks = list(dict.fromkeys(each.task for each in found))
    wide = _wide(tasks)
    title = f"{'task':{wide}}{'known':>6}{'tau':>8}{'alone':>8}{'regret':>10}{'alone':>10}"
    lines = [f"{title}   share covered by 50, 80, 95 % intervals"]
    for task in [*tasks, "mean"]:
        for n in sorted({each.results for each in found}):
            these = [each for each in found if each.results == n and task in (each.task, "mean")]
            if not these:
                continue
            levels = these[0].covered
            covered = "  ".join(f"{np.mean([each.covered[level] for each in these]):.2f}" for level in levels)
            cells = (
                _mean([each.tau for each in these], "8.3f"),
                _mean([each.plain_tau for each in these if n], "8.3f"),
                _mean([each.regret for each in these], "10.4g"),
                _mean([each.plain_regret for each in these], "10.4g"),
            )
            lines.append(f"{task:{wide}}{n:6}{''.join(cells)}   {covered}")
    few = [task for task in tasks if not any(each.results for each in found if each.task == task)]
    if few:
        lines += [
            "",
            f"Intervals and searches take 20 results of a task or more, which is more than {', '.join(few)} had.",
        ]
    return "\n".join(lines)


def _wide(names: Iterable[str]) -> int:
    """Width of a column of names."""
    return max([34, *map(len, names)]) + 2


def _mean(values: Sequence[float | None], form: str) -> str:
    """The mean of those that are there, in columns as wide as the format says."""
    there = [value for value in values if value is not None]
    return format(sum(there) / len(there), form) if there else "-".rjust(int(form.partition(".")[0]))
