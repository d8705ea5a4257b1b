"""``metanas init``."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import click

from metanas._files import check_name, new_file
from metanas.cli._data import Data, data_option

_FLAGS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("my_search"))
@data_option("What to learn from", default="digits")
@click.option("--target", help="The column to predict, where the path is that of a CSV, TSV or Parquet file.")
@click.option("--text", help="The column of texts to predict it from; by default all others are read as a table.")
@click.option("--user", help="The column of users, for recommendation; with --item.")
@click.option("--item", help="The column of items.")
@click.option("--kind", help="What an .npz file holds, if no images or table: sequence, tokens or pairs.")
def init(folder: Path, data: Data, **described: str | None) -> None:
    """Write a space and a run file to start from into FOLDER."""
    from metanas.data import absolute_data, load_dataset
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
    given: dict[str, Any] = {key: value for key, value in described.items() if value}
    spec: Data = data
    if not isinstance(data, str):
        spec = {**data, **given}
    elif given:
        spec = {"arrays" if "kind" in given else "table": data, **given}
    for key, value in spec.items() if isinstance(spec, dict) else [("data", spec)]:
        if isinstance(value, str):
            check_name(value, f"--{key if key in described else 'data'}")
    dataset = load_dataset(spec, base=Path())
    line = _yaml(absolute_data(spec, Path()))
    templates = resources.files("metanas.cli") / "templates"
    space_text = (templates / f"space_{dataset.kind}.yaml").read_text(encoding="utf-8")
    run_text = (templates / "run.yaml").read_text(encoding="utf-8")
    metric = "{maximize: accuracy}" if dataset.task == "classification" else "{maximize: r2}"
    with new_file(written[0]) as space, new_file(written[1]) as run:
        space.write_text(space_text, encoding="utf-8")
        run.write_text(run_text.replace("METRIC", metric).replace("DATA", line), encoding="utf-8")
    click.echo(f"Wrote {written[0]} and {written[1]}. Search with:\n  metanas search {shlex.quote(str(written[1]))}")


def _yaml(value: object) -> str:
    """As YAML on one line, of version 1.1 too."""
    import json
    import re

    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_yaml(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*", value) and value.lower() not in _FLAGS
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
