"""``metanas architecture``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metanas._files import new_file
from metanas.cli._data import Data, data_option
from metanas.cli._space import NO_PATH

if TYPE_CHECKING:
    from metanas.architecture import Architecture, Modules

_SOURCE = click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
_SPACE = click.option("--space", "space_name", help="Its space, where SOURCE is a JSON file that does not say.")
_TRIAL = click.option("--trial", type=click.IntRange(0), help="A trial of the run; the best one when not given.")
_DATA = data_option("Say shapes and costs for this data set")
_PYTHON = click.option(
    "--allow-python",
    is_flag=True,
    help="With --data, import modules of yours that the space names, to learn their shapes.",
)


@click.group()
def architecture() -> None:
    """Look at one network. SOURCE is a run folder, or a JSON file such as best/architecture.json."""


@architecture.command()
@_SOURCE
@_SPACE
@_TRIAL
@_DATA
@_PYTHON
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(
    source: Path, space_name: str | None, trial: int | None, data: Data | None, allow_python: bool, as_json: bool
) -> None:
    """Print its decisions, and for a data set its layers and costs."""
    found = load_architecture(source, space_name, trial)
    layers = None if data is None else found.layers(*_samples(data), modules=_modules(found, allow_python))
    if as_json:
        text: dict[str, Any] = json.loads(found.to_json())
        if layers is not None:
            text |= {"params": layers.params, "flops": layers.flops, "depth": layers.depth}
        click.echo(json.dumps(text, indent=2))
        return
    click.echo(f"{found.space.name}, network {found.canonical_id}")
    click.echo("".join(f"  {name} = {value}\n" for name, value in found.values.items()), nl=False)
    if layers is None and found.graph.output is None:
        click.echo(NO_PATH)
    if layers is None:
        return
    click.echo(f"\n{'layer':32}{'kind':20}{'shape':>16}{'params':>12}")
    for layer in layers.layers[1:]:
        shape = "x".join(map(str, layer.shape))
        click.echo(f"{layer.site[-31:]:32}{layer.kind:20}{shape:>16}{layer.params:12,}")
    click.echo(f"\n{layers.params:,} parameters, {layers.flops:,} multiply-adds a sample, depth {layers.depth}")


@architecture.command()
@_SOURCE
@_SPACE
@_TRIAL
@_DATA
@_PYTHON
@click.option("-o", "--output", type=click.Path(path_type=Path), help="SVG or PNG file; architecture.svg if not given.")
def draw(
    source: Path, space_name: str | None, trial: int | None, data: Data | None, allow_python: bool, output: Path | None
) -> None:
    """Draw it as SVG or PNG."""
    from metanas.cli._space import picture_format
    from metanas.report import draw_architecture

    output = output or Path("architecture.svg")
    kind = picture_format(output)
    found = load_architecture(source, space_name, trial)
    shape, outputs, vocabulary = (None, None, ()) if data is None else _samples(data)
    picture = draw_architecture(
        found, format=kind, title=found.space.name, input_shape=shape, outputs=outputs, vocabulary=vocabulary,
        modules=None if data is None else _modules(found, allow_python),
    )  # fmt: skip
    with new_file(output) as part:
        part.write_bytes(picture)
    click.echo(output)


def load_architecture(source: Path, space_name: str | None, trial: int | None) -> Architecture:
    from metanas.architecture import Architecture
    from metanas.errors import MetanasError
    from metanas.space import load_space, read_text

    if source.is_dir():
        from metanas.study import SearchResult

        result = SearchResult.load(source)
        numbers = {record.number: record for record in result.trials}
        if trial is not None and trial not in numbers:
            raise MetanasError("this must be a trial of the run", found=str(trial), where=str(source))
        record = result.best if trial is None else numbers[trial]
        space = load_space(result.folder.space_file, allow_python=True)
        return Architecture.from_values(space, record.decisions)
    if trial is not None:
        raise MetanasError("--trial goes with a run folder", found=str(source))
    text = read_text(source)
    if space_name is None:
        beside = source.resolve().parent.parent / "space.yaml"  # of a run's best/architecture.json
        space_name = str(beside) if beside.is_file() else _named_space(text, source)
    return Architecture.from_json(load_space(space_name, allow_python=True), text)


def _named_space(text: str, source: Path) -> str:
    from metanas.errors import MetanasError
    from metanas.space import builtin_spaces

    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise MetanasError("an architecture is a JSON object", found=str(error), where=str(source)) from error
    name = data.get("space") if isinstance(data, dict) else None
    if name not in builtin_spaces():
        raise MetanasError(
            "a network is read in its space", found=f"none that is built in under the name {name!r}",
            remedy="give it with --space", where=str(source),
        )  # fmt: skip
    return str(name)


def _samples(data: Data) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """Shape of a sample, outputs, and number of ids."""
    from metanas.data import fit_preparation, load_dataset, split

    dataset = load_dataset(data, base=Path())
    preparation = fit_preparation(dataset, split(dataset, seed=0).train)
    return preparation.input_shape, dataset.n_outputs, preparation.vocabulary


def _modules(found: Architecture, allow_python: bool) -> Modules | None:
    """What says the shapes of modules of the user's; None without them, as it loads torch, or where they are not allowed."""
    if not allow_python or not found.modules:
        return None
    from metanas.network import user_modules

    return user_modules
