"""``metanas space``: validate, show, sample, count, profile, draw."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metanas._files import new_file
from metanas.cli._data import Data, data_option
from metanas.cli._space_files import diff, lint, schema
from metanas.cli._space_validate import rows_text, validate

if TYPE_CHECKING:
    from metanas.report._canvas import Format
    from metanas.space import SearchSpace
    from metanas.study import SpaceProfile

COLLECT_AFTER = 50_000
"""New objects after which Python looks for unreachable cycles, instead of 700. It looks through all that is imported on the
way, for nothing, which took as long as to check a space."""

NO_PATH = "no path leads from input to output: never proposed"
_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
_SPACE = click.argument("space_name", metavar="SPACE")


@click.group()
def space() -> None:
    """Look at search spaces. SPACE is a built-in name or the path of a space file."""
    gc.set_threshold(COLLECT_AFTER)


space.add_command(validate)
space.add_command(schema)
space.add_command(lint)
space.add_command(diff)


def _load(name: str) -> SearchSpace:
    from metanas.space import load_space

    # Modules of the user's are named here at most; only building a network imports them.
    return load_space(name, allow_python=True)


@space.command("list")
def list_() -> None:
    """List the built-in spaces."""
    from metanas.space import builtin_spaces, load_space

    for name in builtin_spaces():
        click.echo(f"{name:16} {load_space(name).about}")


@space.command()
@_SPACE
def show(space_name: str) -> None:
    """Describe a space: its network, its decisions, its size."""
    from metanas.report import describe_space

    click.echo(describe_space(_load(space_name)))


@space.command()
@_SPACE
@click.option("-n", "number", type=click.IntRange(1), default=1, show_default=True, help="How many architectures.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the draw.")
@_JSON
def sample(space_name: str, number: int, seed: int, as_json: bool) -> None:
    """Draw random architectures; those without a path from input to output, which no search proposes, are marked."""
    from metanas._rng import generator
    from metanas.architecture import CanonicalIds

    loaded = _load(space_name)
    rows = loaded.sample(number, generator(seed, "sample"))
    ids = CanonicalIds(loaded)
    drawn = [
        {"canonical_id": name, "path": not ids.is_cut(row), "decisions": loaded.to_values(row)}
        for name, row in zip(ids.of_all(rows), rows, strict=True)
    ]
    if as_json:
        click.echo(json.dumps(drawn, indent=2))
        return
    for item in drawn:
        values: Any = item["decisions"]
        path = "" if item["path"] else f"  ({NO_PATH})"
        click.echo(f"{item['canonical_id']}  " + " ".join(f"{name}={value}" for name, value in values.items()) + path)


@space.command()
@_SPACE
@click.option(
    "--networks", is_flag=True, help="Count different networks too; estimate them where that is out of reach."
)
@_JSON
def count(space_name: str, networks: bool, as_json: bool) -> None:
    """Count the architectures: rows of the table of decisions, and, with --networks, different networks."""
    from metanas.space import size_json, size_log10, size_text

    loaded = _load(space_name)
    counts: dict[str, Any] = {"rows": size_json(loaded.size), "rows_log10": size_log10(loaded.size)}
    if networks:
        counts |= _networks(loaded)
    if as_json:
        counts |= {"networks": size_json(counts["networks"])} if networks else {}
        click.echo(json.dumps({"space": loaded.name, **counts}))
        return
    click.echo(f"rows: {size_text(loaded.size)}")
    if networks and counts["networks"] is not None:
        click.echo(f"networks: {size_text(counts['networks'])}")
    elif networks and (estimate := counts.get("networks_estimate")) is not None:
        low, high = counts["networks_interval"]
        click.echo(f"networks: about {estimate:.3g}, between {low:.3g} and {high:.3g} (95 %)")
    elif networks:
        click.echo("networks: too many to count")


def _networks(space: SearchSpace) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import track

    from metanas._rng import generator
    from metanas.architecture import count_networks

    console = Console(stderr=True)
    count = count_networks(
        space,
        generator(0, "count"),
        track=lambda rows: track(
            rows, "naming networks", console=console, transient=True, disable=not console.is_terminal
        ),
    )
    if count is None or count.exact is not None:
        return {"networks": None if count is None else count.exact}
    return {"networks": None, "networks_estimate": count.estimate, "networks_interval": list(count.interval)}


@space.command()
@_SPACE
@data_option("The data set that the networks are for", required=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random networks.")
@click.option("--allow-python", is_flag=True, help="Let the file name modules of yours, and import them.")
@_JSON
def profile(space_name: str, data: Data, seed: int, allow_python: bool, as_json: bool) -> None:
    """Say what the networks of a space cost for a data set, and which share of them meets the constraints."""
    from rich.console import Console

    from metanas.data import load_dataset
    from metanas.space import load_space, size_json
    from metanas.study import profile_space

    loaded = load_space(space_name, allow_python=allow_python)
    dataset = load_dataset(data, base=Path())
    with Console(stderr=True).status("") as status:
        found = profile_space(loaded, dataset, seed=seed, allow_python=allow_python, told=status.update)
    if as_json:
        about = {"space": loaded.name, "data": dataset.name, "rows": size_json(loaded.size)}
        click.echo(json.dumps(about | found.to_json(), indent=2))
    else:
        click.echo(f"{loaded.name} on {dataset.name}: {rows_text(loaded)}")
        click.echo(_profile_text(found))


def _profile_text(found: SpaceProfile) -> str:
    lines = [f"{'':16}{'smallest':>16}{'median':>16}{'largest':>16}"]
    for name, values in found.measures.items():
        lines.append(f"{name:16}" + "".join(f"{value:16,.0f}" for value in values))
    steps = "".join(f"{seconds * 1000:13,.1f} ms" for _, seconds in found.steps.values())
    lines += [f"{'training step':16}{steps}", ""]
    if found.built < 1:
        share = f"{found.built:.0%} of {found.sampled} random networks"
        # Where no shapes are at odds, what is missing is a path: options such as none cut it.
        said = "can be built for the data" if found.problems else "lead from input to output; others are never proposed"
        lines.append(f"{share} {said}.")
    if found.problems:
        lines += ["A search would refuse to start, as some networks cannot be built:", *found.problems]
    if found.constraints:
        lines.append(f"Of {found.sampled} random networks")
        lines += [f"  {share:6.1%} meet {text}" for text, share in found.constraints.items()]
        if len(found.constraints) > 1:
            lines.append(f"  {found.all_constraints:6.1%} meet all")
        if found.steered > found.all_constraints:
            lines.append(f"  {found.steered:6.1%} of those that a search proposes at random meet all")
        elif not found.all_constraints:
            lines.append("No network that meets all was found: a search would refuse to start. Relax them.")
    idle = ", ".join(found.idle) if found.idle else "none"
    lines.append(f"Decisions that made no difference wherever they were changed: {idle}")
    return "\n".join(lines)


@space.command()
@_SPACE
@click.option("-o", "--output", type=click.Path(path_type=Path), help="SVG or PNG file; SPACE.svg when not given.")
@click.option(
    "--sample", "seed", type=click.IntRange(0), help="Draw a random architecture of this seed instead of the space."
)
def draw(space_name: str, output: Path | None, seed: int | None) -> None:
    """Draw a space, or one of its architectures, as SVG or PNG."""
    from metanas._rng import generator
    from metanas.architecture import Architecture
    from metanas.report import draw_architecture, draw_space

    loaded = _load(space_name)
    output = output or Path(f"{loaded.name}.svg")
    kind = picture_format(output)
    if seed is None:
        picture = draw_space(loaded, format=kind)
    else:
        (row,) = loaded.sample(1, generator(seed, "sample"))
        picture = draw_architecture(Architecture(loaded, tuple(int(v) for v in row)), format=kind)
    with new_file(output) as part:
        part.write_bytes(picture)
    click.echo(output)


def picture_format(path: Path) -> Format:
    """The format that a drawing's file name says."""
    from metanas.errors import MetanasError

    match path.suffix.lower():
        case ".svg":
            return "svg"
        case ".png":
            return "png"
    raise MetanasError("a drawing is .svg or .png", found=path.name, remedy=f"write {path.stem}.svg")
