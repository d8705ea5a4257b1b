"""``metanas init``."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path

import click

from metanas._files import check_name, new_file

_FLAGS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("my_search"))
@click.option(
    "--data",
    default="digits",
    show_default=True,
    help="A built-in data set, an .npz file, a CSV or Parquet file, or a folder of images.",
)
@click.option("--target", help="The column to predict, for a CSV or Parquet file.")
@click.option("--text", help="The column of texts to predict it from; by default all others are read as a table.")
@click.option("--user", help="The column of users, for recommendation; with --item.")
@click.option("--item", help="The column of items.")
@click.option("--kind", help="What an .npz file holds, if no images or table: sequence, tokens or pairs.")
def init(folder: Path, data: str, **described: str | None) -> None:
    """Write a space and a run file to start from into FOLDER."""
    from metanas.data import BUILTIN_NAMES, load_dataset
    from metanas.errors import MetanasError

    if folder.exists() and not folder.is_dir():
        raise MetanasError(
            "init writes into a folder", found="a file", where=str(folder), remedy="give the name of a folder"
        )
    written = [folder / "space.yaml", folder / "run.yaml"]
    for path in written:
        if path.exists():
            raise MetanasError(
                "init writes new files only", found=str(path), remedy="choose another folder, or move it"
            )
    given = {key: check_name(value, f"--{key}") for key, value in described.items() if value}
    source = "arrays" if "kind" in given else "table"
    dataset = load_dataset({source: data, **given} if given else data, base=Path())
    line = _quoted(data if data in BUILTIN_NAMES else check_name(str(Path(data).resolve()), "--data"))
    if given:
        line = f"{{{source}: {line}, {', '.join(f'{key}: {_quoted(value)}' for key, value in given.items())}}}"
    templates = resources.files("metanas.cli") / "templates"
    space_text = (templates / f"space_{dataset.kind}.yaml").read_text(encoding="utf-8")
    run_text = (templates / "run.yaml").read_text(encoding="utf-8")
    metric = "{maximize: accuracy}" if dataset.task == "classification" else "{maximize: r2}"
    with new_file(written[0]) as space, new_file(written[1]) as run:
        space.write_text(space_text, encoding="utf-8")
        run.write_text(run_text.replace("METRIC", metric).replace("DATA", line), encoding="utf-8")
    click.echo(f"Wrote {written[0]} and {written[1]}. Search with:\n  metanas search {shlex.quote(str(written[1]))}")


def _quoted(text: str | None) -> str:
    """As YAML text, of version 1.1 too."""
    import json
    import re

    plain = text is not None and re.fullmatch(r"[A-Za-z_]\w*", text) and text.lower() not in _FLAGS
    return str(text) if plain else json.dumps(text, ensure_ascii=False)
