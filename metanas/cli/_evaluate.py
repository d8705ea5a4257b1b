"""``metanas evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metanas.cli._data import Data, data_option

if TYPE_CHECKING:
    from metanas.architecture import Architecture
    from metanas.space import SearchSpace


@click.command()
@click.argument("target", metavar="SPACE_OR_ARCHITECTURE")
@click.option("--proxy", "proxies", required=True, metavar="NAME[,NAME]", help="Proxies to compute; 'all' for each.")
@data_option("Data set", required=True)
@click.option(
    "--rows", type=click.Path(path_type=Path), metavar="FILE",
    help="Networks of the space: a JSON list of decisions, as 'metanas space sample --json' prints it.",
)  # fmt: skip
@click.option("--count", type=click.IntRange(1), default=10, show_default=True, help="Random networks, without --rows.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of networks, weights and samples.")
@click.option("--batch", type=click.IntRange(2), default=64, show_default=True, help="Samples that a proxy reads.")
@click.option("--space", "space_name", help="Space of an architecture's JSON file that does not say.")
@click.option("--allow-python", is_flag=True, help="Import modules of yours that the space names.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def evaluate(
    target: str, proxies: str, data: Data, rows: Path | None, count: int, seed: int, batch: int, space_name: str | None,
    allow_python: bool, as_json: bool,
) -> None:  # fmt: skip
    """Score networks by zero-cost proxies, without training them.

    SPACE_OR_ARCHITECTURE is a built-in space or a space file, of which random networks are drawn, or a run folder or an
    architecture's JSON file. More of a proxy promises a better network.

    \b
    metanas evaluate nasbench201 --proxy synflow,naswot --data digits --count 20
    """
    from rich.console import Console
    from rich.progress import track

    from metanas.data import load_dataset
    from metanas.evaluator import PROXIES, check_proxies, proxy_scores

    names = list(PROXIES) if proxies == "all" else [name.strip() for name in proxies.split(",")]
    check_proxies(names)
    architectures = _architectures(target, rows, count, seed, space_name, allow_python)
    dataset = load_dataset(data, base=Path())
    console = Console(stderr=True)
    scores = proxy_scores(
        architectures, dataset, names, seed=seed, batch_size=batch, allow_python=allow_python
    )  # fmt: skip
    found: list[dict[str, Any]] = []
    progress = track(
        zip(architectures, scores, strict=True), "scoring", total=len(architectures), console=console, transient=True,
        disable=not console.is_terminal,
    )  # fmt: skip
    for architecture, values in progress:
        found.append({"canonical_id": architecture.canonical_id, "decisions": architecture.values, "proxies": values})
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"{'network':34}" + "".join(f"{name:>14}" for name in names))
    for item in found:
        cells = (_cell(item["proxies"][name]) for name in names)
        click.echo(f"{item['canonical_id']:34}" + "".join(f"{cell:>14}" for cell in cells))


def _cell(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,.0f}" if value.is_integer() else f"{value:.6g}"


def _architectures(
    target: str, rows: Path | None, count: int, seed: int, space_name: str | None, allow_python: bool
) -> list[Architecture]:
    from metanas.architecture import Architecture
    from metanas.cli._architecture import load_architecture
    from metanas.errors import MetanasError
    from metanas.space import load_space

    path = Path(target)
    if path.is_dir() or path.suffix == ".json":
        if rows is not None:
            raise MetanasError("--rows goes with a space", found=target)
        return [load_architecture(path, space_name, None)]
    space = load_space(target, allow_python=allow_python)
    if space.tabular:
        raise MetanasError("a tabular space has no networks to build", found=f"the space {space.name}")
    if rows is not None:
        return [Architecture.from_values(space, values) for values in _decisions(rows)]
    return _drawn(space, count, seed)


def _drawn(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    from metanas._rng import generator
    from metanas.architecture import Architecture

    return [Architecture(space, tuple(row.tolist())) for row in space.sample(count, generator(seed, "sample"))]


def _decisions(file: Path) -> list[dict[str, Any]]:
    from metanas.errors import MetanasError
    from metanas.space import read_text

    rule = "--rows is a JSON list of decisions by name"
    try:
        data = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise MetanasError(rule, found=str(error), where=str(file)) from error
    if not isinstance(data, list):
        raise MetanasError(rule, found=type(data).__name__, where=str(file))
    items = [item.get("decisions", item) for item in data if isinstance(item, dict)]
    if len(items) < len(data) or not all(isinstance(item, dict) for item in items):
        raise MetanasError(rule, found="something else in the list", where=str(file))
    return items
