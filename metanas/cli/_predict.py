"""``metanas predict``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metanas._files import new_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from metanas.data import Samples
    from metanas.study import SearchResult

_ANSWER = "prediction"
"""Name of the column that is written."""
_PART = 4096
"""Samples that are prepared at once."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("samples", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="CSV file to write; without it, print."
)
@click.option("--proba", is_flag=True, help="A column for the probability of each class, too.")
@click.option(
    "--keep",
    metavar="COLUMN",
    multiple=True,
    help="A column of the table to write beside, such as an id; may be repeated.",
)
@click.option("--allow-python", is_flag=True, help="Import modules of yours that the space names.")
def predict(
    run: Path, samples: Path, output: Path | None, proba: bool, keep: tuple[str, ...], allow_python: bool
) -> None:
    """Predict for new SAMPLES with the network that the search in the folder RUN found.

    SAMPLES is a CSV, TSV or Parquet file with the columns that the network reads, a folder of images or an image, or an
    array in an .npz (x) or .npy file. Where it tells what is to be predicted, too, the network is scored on it.

    \b
    metanas predict runs/people-20260101-120000 new.csv --keep id -o predictions.csv
    """
    from metanas.data import read_samples
    from metanas.errors import MetanasError
    from metanas.study import SearchResult, read_run_file

    if output is not None and output.exists() and samples.exists() and output.samefile(samples):
        raise MetanasError("predictions go to a file of their own", found=str(output), remedy="choose another -o")
    if _ANSWER in keep:
        raise MetanasError("a column that is kept has another name", found=_ANSWER, where="--keep", remedy="rename it")
    result = SearchResult.load(run, allow_python=allow_python)
    preparation = result.preparation
    if proba and not preparation.classes:
        raise MetanasError("--proba is for classes", found="a network that predicts values", remedy="leave it out")
    found = read_samples(samples, preparation, read_run_file(result.folder.run_file).data, keep=keep)
    numbers = _predicted(result, found)
    names = [*found.beside, _ANSWER, *(f"p({name})" for name in preparation.classes if proba)]
    with nullcontext(None) if output is None else new_file(output) as part:
        _write(part, names, zip(*found.beside.values(), *_columns(numbers, preparation.classes, proba), strict=True))
    if output is not None:
        click.echo(f"{len(found):,} predictions: {output}", err=True)
    if score := _score(numbers, found, preparation.classes):
        click.echo(score, err=True)


def _predicted(result: SearchResult, samples: Samples) -> NDArray[Any]:
    """Probabilities (n, classes), or values (n,)."""
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    starts = track(
        range(0, max(len(samples), 1), _PART), "predicting", console=console, transient=True,
        disable=not console.is_terminal or len(samples) <= _PART,
    )  # fmt: skip
    predict = result.predict_proba if result.preparation.classes else result.predict
    return np.concatenate([predict(samples.part(start, start + _PART)) for start in starts])


def _columns(numbers: NDArray[Any], classes: Sequence[str], proba: bool) -> Iterator[Iterator[str]]:
    if not classes:
        yield (f"{value:.7g}" for value in numbers.tolist())
        return
    yield (classes[number] for number in numbers.argmax(1).tolist())
    for column in numbers.T if proba else ():
        yield (f"{value:.6f}" for value in column.tolist())


def _write(path: Path | None, names: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    with nullcontext(sys.stdout) if path is None else path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def _score(numbers: NDArray[Any], samples: Samples, classes: Sequence[str]) -> str:
    """How good the predictions are, or why that cannot be told; empty where nothing tells the answers."""
    import numpy as np

    from metanas._progress import counted

    if samples.targets is None:
        return samples.unscored and f"not scored: {samples.unscored}"
    known = ~np.isnan(samples.targets)
    if not known.any():
        return ""
    truth, found = samples.targets[known], numbers[known]
    about = f"on {counted(len(truth), 'sample')} whose answer is known"
    if classes:
        return f"accuracy {(found.argmax(1) == truth).mean():.4g} {about}"
    spread, squares = ((truth - truth.mean()) ** 2).mean(), ((truth - found) ** 2).mean()
    r2 = f", r2 {1 - squares / spread:.4g}" if spread else ""
    return f"mae {abs(truth - found).mean():.4g}, rmse {np.sqrt(squares):.4g}{r2} {about}"
