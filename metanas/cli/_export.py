"""``metanas export``."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import click

from metanas.cli._files import new_file


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--format", "kind", type=click.Choice(["pytorch", "onnx"]), default="pytorch", show_default=True,
    help="pytorch: a folder with network.py and weights.safetensors; onnx: a file (needs the extra 'onnx').",
)  # fmt: skip
def export(run: Path, target: Path, kind: str) -> None:
    """Copy the network that the search in the folder RUN found to TARGET."""
    from metanas.errors import MetanasError
    from metanas.study import ARTEFACTS, SearchResult

    result = SearchResult.load(run)
    if kind == "onnx":
        from metanas.network import export_onnx

        with new_file(target) as part:
            export_onnx(result.network, part)
        click.echo(target)
        return
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise MetanasError("the target must be a new or empty folder", found=str(target), remedy="choose another")
    assert result.network is not None
    with ExitStack() as files:
        for name in ARTEFACTS:
            shutil.copy2(result.artefact(name), files.enter_context(new_file(target / name)))
    click.echo(target)
