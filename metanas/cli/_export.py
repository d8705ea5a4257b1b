"""``metanas export``."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import click

from metanas._files import new_file


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--format", "kind", type=click.Choice(["pytorch", "onnx"]), default="pytorch", show_default=True,
    help="pytorch: a folder with network.py and weights.safetensors; onnx: a file (needs the extra 'onnx').",
)  # fmt: skip
@click.option("--allow-python", is_flag=True, help="For onnx, import modules of yours that the space names.")
def export(run: Path, target: Path, kind: str, allow_python: bool) -> None:
    """Copy the network that the search in the folder RUN found to TARGET."""
    from metanas.errors import MetanasError
    from metanas.study import ARTEFACTS, SearchResult

    result = SearchResult.load(run, allow_python=allow_python)
    if kind == "onnx":
        from metanas.network import export_onnx

        with new_file(target) as part:
            export_onnx(result.network, part)
        click.echo(target)
        return
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise MetanasError("the target must be a new or empty folder", found=str(target), remedy="choose another")
    found = [result.artefact(name) for name in ARTEFACTS]
    with ExitStack() as files:
        for file in found:
            shutil.copyfile(file, files.enter_context(new_file(target / file.name)))
    click.echo(target)
    if own := sorted({path.partition(":")[0] for path in result.trained.modules}):
        click.echo(f"Its network.py imports {', '.join(own)} of yours: copy that, too, to where it is used.", err=True)
