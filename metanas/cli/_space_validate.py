"""``metanas space validate``: the language of space files, and the shapes of all their networks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metanas.cli._data import Data, data_option
from metanas.cli._errors import show_error

if TYPE_CHECKING:
    from metanas.architecture import ShapeCheck
    from metanas.data import Dataset
    from metanas.space import SearchSpace

_AXES = {"image": "CHANNELS,HEIGHT,WIDTH", "sequence": "CHANNELS,LENGTH", "tokens": "LENGTH", "table": "FEATURES"}
"""Input -> how a shape is written."""
_HEADLESS = (
    "note: no 'head', so a search takes it only for data with as many outputs as its networks end in; see --data"
)


@click.command()
@click.argument("spaces", metavar="SPACE...", nargs=-1, required=True)
@data_option("Check the shapes of the networks for this data set")
@click.option(
    "--input", "shape", metavar="SHAPE", help="Check them for samples of this shape, as 3,32,32 (channels first)."
)
@click.option(
    "--allow-python", is_flag=True, help="Let the files name modules of yours, and import them to learn their shapes."
)
def validate(spaces: tuple[str, ...], data: Data | None, shape: str | None, allow_python: bool) -> int:
    """Check space files; every mistake of each is named with file, line and column.

    That every network can be built is checked for all combinations of decisions that the constraints leave, without
    --data and --input for samples of a typical, large shape.
    """
    from metanas.errors import MetanasError

    if data is not None and shape is not None:
        raise click.UsageError("Give --data or --input, not both.")
    code = 0
    for name in spaces:
        try:
            text, note = _validated(name, data, shape, allow_python)
            click.echo(text)
            if note:
                click.echo(f"{name}: {note}", err=True)
        except MetanasError as error:
            code = max(code, show_error(error))
    return code


def _validated(name: str, data: Data | None, shape: str | None, allow_python: bool) -> tuple[str, str]:
    """What is said of a valid space, and what it lacks all the same."""
    from metanas.architecture import has_shapes
    from metanas.errors import MetanasError
    from metanas.evaluator import check_space_recipe
    from metanas.space import check_some_row, load_space, ops_in

    loaded = load_space(name, allow_python=allow_python)
    check_space_recipe(loaded, name, allow_python=allow_python)
    check_some_row(loaded)
    text = f"{name}: valid, {len(loaded.decisions)} decisions, {rows_text(loaded)}"
    if (check := _check(loaded, data, shape, allow_python)) is not None:
        try:
            check.raise_if_any()
        except MetanasError:
            note = "" if data or shape else "; --data or --input says the shape of yours"
            click.echo(f"For samples of shape {list(check.input_shape)}{note}", err=True)
            raise
        text += f"; {check}"
    # With data it is an error, unless they have as many outputs as the networks.
    headless = data is None and has_shapes(loaded) and "head" not in ops_in(loaded.template)
    return text, _HEADLESS if headless else ""


def rows_text(space: SearchSpace) -> str:
    """How many rows there are, in words."""
    from metanas.space import size_text

    return "too many rows to count" if space.size is None else f"{size_text(space.size)} rows"


def _check(space: SearchSpace, data: Data | None, shape: str | None, allow_python: bool) -> ShapeCheck | None:
    """The check of a space's shapes; None when it has none."""
    from metanas.architecture import check_shapes, has_shapes
    from metanas.errors import MetanasError
    from metanas.space import ops_in

    if not has_shapes(space):
        if space.tabular and (data or shape):
            raise MetanasError(
                "a tabular space has no networks whose shapes could be checked", found=f"the space {space.name}",
                remedy="leave --data and --input out",
            )  # fmt: skip
        return None
    modules = None
    if allow_python and "python" in ops_in(space.template):
        modules = import_module("metanas.network").user_modules
    if data is None:
        return check_shapes(space, None if shape is None else _shape(space, shape), modules=modules)
    from metanas.data import fit_preparation, load_dataset, split

    dataset = load_dataset(data, base=Path())
    _same_kind(space, dataset)
    preparation = fit_preparation(dataset, split(dataset, seed=0).train)
    return check_shapes(space, preparation.input_shape, dataset.n_outputs, preparation.vocabulary, modules=modules)


def _shape(space: SearchSpace, text: str) -> tuple[int, ...]:
    from metanas.errors import MetanasError

    parts = text.split(",")
    axes = _AXES.get(space.input)
    if axes is None:
        raise MetanasError(f"samples of {space.input} have one shape", where="--input", remedy="leave it out")
    if len(parts) == len(axes.split(",")) and all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        return tuple(int(part) for part in parts)
    raise MetanasError(f"the shape of {space.input} data is {axes}", found=repr(text), where="--input")


def _same_kind(space: SearchSpace, dataset: Dataset) -> None:
    from metanas.errors import MetanasError

    if space.input != dataset.kind:
        raise MetanasError(
            "the space and the data are of one kind",
            found=f"the space {space.name} for {space.input} data, and {dataset.name}, which is {dataset.kind} data",
            remedy=f"choose other data, or a space with 'input: {dataset.kind}'",
        )
