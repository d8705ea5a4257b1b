"""New samples in a file or a folder, for a network that is trained to predict for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metanas.data._dataset import Array, Table, Texts, refuse_infinite
from metanas.data._load import TABLE_SUFFIXES
from metanas.data._preparation import Preparation
from metanas.data._targets import class_numbers
from metanas.errors import DataError, near_miss

ROLES = ("text", "user", "item")
"""Keys of ``data`` that name the columns which are read, of tables that are no rows of features."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """New samples, and what stands beside them."""

    inputs: Array | Table | Texts
    """The n raw samples, as :func:`prepare_raw` takes them."""
    beside: Mapping[str, Sequence[str]]
    """What tells the samples apart, (n,) each: names of files, or the columns that were asked for."""
    targets: Array | None = None
    """What is to be predicted, (n,), where the file has it: numbers of classes, -1 for a new one, or float64. Unknown: NaN."""
    unscored: str = ""
    """Why the file's column of targets is none, where it has one."""

    def __len__(self) -> int:
        return len(self.inputs)

    def part(self, start: int, end: int) -> Array | Table | Texts:
        """The inputs from ``start`` to ``end``."""
        if isinstance(self.inputs, Table | Texts):
            return self.inputs.take(np.arange(start, min(end, len(self))))
        return self.inputs[start:end]


def read_samples(
    path: Path, preparation: Preparation, data: str | Mapping[str, Any], *, keep: Sequence[str] = ()
) -> Samples:
    """The samples in a CSV, TSV or Parquet file, an ``.npz`` (its x) or ``.npy`` file, a folder of images or an image.

    Read as the ``data`` of the search were: the same columns, however they lie, and images of the same size, resized
    where those were. ``keep`` are columns of a table to hand through. Raises DataError.
    """
    spec = data if isinstance(data, Mapping) else {}
    suffix = path.suffix.lower()
    if not path.exists():
        raise DataError("there is no such file or folder", found=str(path), where="samples", remedy="check the path")
    of_table = suffix in TABLE_SUFFIXES
    if keep and not of_table:
        raise DataError("columns are kept of a table", found=path.name, where="--keep", remedy="leave it out")
    if suffix in (".npz", ".npy"):
        return _of_arrays(path, preparation)
    reads_rows = preparation.kind in ("table", "pairs") or bool(preparation.words)
    if of_table and reads_rows:
        return _of_table(path, preparation, spec, keep)
    if not of_table and preparation.kind == "image":
        return _of_images(path, preparation, resize="size" in spec)
    wanted = ["a CSV, TSV or Parquet file"] if reads_rows else ["images"] if preparation.kind == "image" else []
    rule = f"the network reads {', or '.join([*wanted, 'an .npz or .npy file'])}"
    raise DataError(rule, found=path.name, where="samples", remedy="give such samples")


def _of_table(path: Path, preparation: Preparation, spec: Mapping[str, Any], keep: Sequence[str]) -> Samples:
    from metanas.data._new_rows import answers_of, inputs_of, read_rows

    frame, where = read_rows(path), str(path)
    names = {role: str(spec[role]) for role in ROLES if role in spec}
    if preparation.kind == "tokens" and not names:
        names = {"text": "text" if frame.width > 1 else frame.columns[0]}
    read = [names["text"]] if preparation.kind == "tokens" else [column.name for column in preparation.columns]
    for name in (*(names.get(name, name) for name in read), *keep):
        if name not in frame.columns:
            remedy = near_miss(name, frame.columns) or "add the column, empty where it is not known"
            raise DataError("the file needs every column", found=f"no {name!r}", where=where, remedy=remedy)
    inputs = inputs_of(frame, preparation, names, where)
    beside = {name: ["" if value is None else str(value) for value in frame[name]] for name in keep}
    target = spec.get("target")
    if target not in frame.columns:
        return Samples(inputs, beside)
    try:
        return Samples(inputs, beside, answers_of(frame[str(target)], preparation, where))
    except DataError as error:
        return Samples(inputs, beside, unscored=f"{error.rule}, found {error.found}")


def _of_arrays(path: Path, preparation: Preparation) -> Samples:
    from metanas.data._arrays import read_samples_array

    x, y = read_samples_array(path)
    if not x.ndim:
        raise DataError("x holds samples", found=f"shape {x.shape}", where=str(path), remedy="check the file")
    if preparation.kind in ("image", "sequence"):
        # Here, where the number of the sample is that of the file.
        refuse_infinite(x, "samples", str(path))
    if y is None or len(y) != len(x) or y.size != len(x):
        return Samples(x, {})
    if preparation.task == "classification":
        return Samples(x, {}, class_numbers(y.reshape(-1).tolist(), preparation.classes))
    if y.dtype.kind not in "biuf":
        return Samples(x, {}, unscored=f"values are numbers, found type {y.dtype}")
    return Samples(x, {}, y.reshape(-1).astype(np.float64))


def _of_images(path: Path, preparation: Preparation, *, resize: bool) -> Samples:
    from metanas.data._images import IMAGE_SUFFIXES, read_images

    paths = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _is_image(file, path))
    if not paths:
        remedy = f"give files such as {', '.join(IMAGE_SUFFIXES)}"
        raise DataError("the folder must hold images", found="none", where=str(path), remedy=remedy)
    channels, height, width = preparation.input_shape
    inputs = np.empty((len(paths), height, width) if channels == 1 else (len(paths), height, width, 3), np.uint8)
    images = read_images(paths, size=(height, width) if resize else None, grey=channels == 1)
    for place, image in enumerate(images):
        if image.shape != inputs.shape[1:]:
            found = f"{image.shape[0]}x{image.shape[1]} in {paths[place].name}"
            remedy = "resize it, or search with `size:` beside `images:`"
            raise DataError(f"images must be of the size {height}x{width}", found=found, where=str(path), remedy=remedy)
        inputs[place] = image
    beside = {"file": [str(file.relative_to(path)) if path.is_dir() else file.name for file in paths]}
    folders = [file.parent.name for file in paths]
    if not preparation.classes or not set(folders) <= set(preparation.classes):
        return Samples(inputs, beside)
    return Samples(inputs, beside, class_numbers(folders, preparation.classes))


def _is_image(file: Path, folder: Path) -> bool:
    from metanas.data._images import IMAGE_SUFFIXES

    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in IMAGE_SUFFIXES and not hidden
