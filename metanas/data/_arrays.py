"""Data sets from arrays, in memory or in an ``.npz`` file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from metanas.data._dataset import KINDS, Array, Column, Dataset, Kind, Table, Texts, refuse_infinite
from metanas.data._targets import check_targets, read_targets
from metanas.errors import DataError, near_miss

_MOST_IDS = 10_000_000
"""An embedding of more is a mistake in the data, or needs another toolkit."""
_REMEDY = "write it with numpy.savez(path, x=x, y=y)"
_WITHOUT_TEST = frozenset({"x", "y"})
_WITH_TEST = frozenset({"x_train", "y_train", "x_test", "y_test"})


def dataset_from_arrays(
    x: Any,
    y: Any,
    *,
    x_test: Any = None,
    y_test: Any = None,
    name: str = "arrays",
    task: str | None = None,
    kind: str | None = None,
) -> Dataset:
    """Make a data set of arrays, or of anything that numpy can turn into them.

    ``x`` is a table (n, columns), images (n, H, W), or images with channels as (n, C, H, W) or (n, H, W, C), where
    the channels are the smaller of the two axes. With ``kind``, it is something else: for ``sequence`` signals (n, L),
    (n, C, L) or (n, L, C), likewise; for ``tokens`` texts (n,), or ids (n, L) of which 0 fills up short samples; for
    ``pairs`` the ids of a user and an item (n, 2). ``y`` is (n,) or (n, 1): texts, flags or integers for classes, floats
    for a regression unless ``task`` says ``classification``. ``x_test`` and ``y_test`` are kept as the test part.
    Raises DataError.
    """
    return from_arrays(x, y, x_test=x_test, y_test=y_test, name=name, task=task, kind=kind, where=name)


def from_arrays(
    x: Any,
    y: Any,
    *,
    where: str,
    name: str,
    task: str | None,
    x_test: Any = None,
    y_test: Any = None,
    kind: str | None = None,
    columns: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Dataset:
    """:func:`dataset_from_arrays` with the place that errors name, and names for columns and classes."""
    if kind is not None and kind not in KINDS:
        remedy = near_miss(kind, KINDS) or "or leave it out for images and tables"
        raise DataError(f"kind must be one of {', '.join(KINDS)}", found=repr(kind), where=where, remedy=remedy)
    x, y = _samples(x, y, "x", "y", kind, where)
    test = None
    if (x_test is None) != (y_test is None):
        raise DataError("x_test and y_test go together", found="only one of them", where=where, remedy="give both")
    if x_test is not None:
        x_test, y_test = _samples(x_test, y_test, "x_test", "y_test", kind, where)
        if x_test.shape[1:] != x.shape[1:]:
            found = f"{x.shape[1:]} and {x_test.shape[1:]}"
            remedy = "bring both parts to one shape"
            raise DataError("samples to train and to test have one shape", found=found, where=where, remedy=remedy)
        test = np.arange(len(x), len(x) + len(x_test))
        x, y = np.concatenate([x, x_test]), np.concatenate([y, y_test])
    found_kind: Kind = kind or ("table" if x.ndim == 2 else "image")
    targets = read_targets(y, kind=found_kind, task=task, where=where, names=classes)
    check_targets(targets, where=where, test=test)
    inputs = _table(x, columns) if found_kind == "table" else _INPUTS[found_kind](x, where)
    return Dataset(
        name=name,
        kind=found_kind,
        task=targets.task,
        inputs=inputs,
        targets=targets.values,
        classes=targets.classes,
        test_indices=test,
    )


def load_npz(path: Path, *, task: str | None, kind: str | None = None) -> Dataset:
    """Read an ``.npz`` file that holds x and y, or x_train, y_train, x_test and y_test. Raises DataError."""
    where = str(path)
    with _opened(path) as file:
        names = set(file.files)
        wanted = _WITH_TEST if names >= _WITH_TEST else _WITHOUT_TEST
        if not names >= wanted:
            rule = "must hold the arrays x and y, or x_train, y_train, x_test and y_test"
            raise DataError(rule, found=", ".join(sorted(names)) or "no array", where=where, remedy=_REMEDY)
        arrays = {key: _read_member(file, key, where) for key in wanted}
    x, y = (arrays.pop("x_train"), arrays.pop("y_train")) if "x_train" in arrays else (arrays.pop("x"), arrays.pop("y"))
    return from_arrays(
        x, y, x_test=arrays.get("x_test"), y_test=arrays.get("y_test"), where=where, name=path.stem, task=task,
        kind=kind,
    )  # fmt: skip


def read_samples_array(path: Path) -> tuple[Array, Array | None]:
    """The x of an ``.npz`` file, and its y if it has one, or an ``.npy`` file. Raises DataError."""
    with _opened(path) as file:
        if isinstance(file, np.ndarray):
            return file, None
        if "x" not in file.files:
            found = ", ".join(sorted(file.files)) or "no array"
            raise DataError("must hold the array x", found=found, where=str(path), remedy=_REMEDY)
        x = _read_member(file, "x", str(path))
        return x, _read_member(file, "y", str(path)) if "y" in file.files else None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An ``.npz`` or ``.npy`` file; what keeps it from being read is a DataError."""
    try:
        file = np.load(path, allow_pickle=False)
        with file if hasattr(file, "files") else nullcontext(file):
            yield file
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        kind = f"an {path.suffix.lower()} file"
        raise DataError(f"cannot be read as {kind}", found=str(error), where=str(path), remedy=_REMEDY) from error


def _read_member(file: Any, key: str, where: str) -> Array:
    try:
        array: Array = file[key]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        remedy = f"save it as numbers or texts, e.g. {key}.astype(float) or {key}.astype(str)"
        found = "an array of Python objects, which would have to be unpickled"
        raise DataError("arrays must hold plain values", found=found, where=f"{where}: {key}", remedy=remedy) from error
    return array


_AXES = {
    "image": ((3, 4), "images (n, H, W), (n, C, H, W) or (n, H, W, C)"),
    "sequence": ((2, 3), "sequences (n, L), (n, C, L) or (n, L, C)"),
    "tokens": ((1, 2), "texts (n,), or ids of tokens (n, L)"),
    "table": ((2,), "a table (n, columns)"),
    "pairs": ((2,), "pairs of a user's id and an item's, (n, 2)"),
    None: ((2, 3, 4), "a table (n, columns) or images (n, H, W), (n, C, H, W) or (n, H, W, C)"),
}
"""Kind -> how many axes its array may have, and what they are."""


def _samples(x: Any, y: Any, x_name: str, y_name: str, kind: str | None, where: str) -> tuple[Array, Array]:
    """Both as arrays of matching length: ``x`` with axes that suit the kind, ``y`` (n,)."""
    try:
        x, y = np.asarray(x), np.asarray(y)
    except ValueError as error:
        remedy = "give every sample the same shape"
        raise DataError("x and y must be arrays", found=str(error), where=where, remedy=remedy) from error
    if x.dtype.kind == "O" and all(isinstance(value, str) for value in x.flat):
        x = x.astype(np.str_)
    named = x.dtype.kind == "U" and (kind == "pairs" or (kind == "tokens" and x.ndim == 1))
    if x.dtype.kind not in "biuf" and not named:
        remedy = "give numbers; for columns of text, write a CSV or Parquet file and name it under `table:`"
        raise DataError(f"{x_name} must be numeric", found=f"type {x.dtype}", where=where, remedy=remedy)
    axes, rule = _AXES[kind]
    if x.ndim not in axes or (kind == "pairs" and x.shape[1] != 2) or (kind == "tokens" and named != (x.ndim == 1)):
        remedy = "reshape it, or transform it to one of these"
        raise DataError(f"{x_name} must be {rule}", found=f"shape {x.shape}", where=where, remedy=remedy)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind == "O" and all(isinstance(value, str) for value in y.flat):
        y = y.astype(np.str_)
    if y.ndim and len(x) != len(y):
        remedy = "give one target a sample"
        found = f"{len(x)} and {len(y)}"
        raise DataError(f"{x_name} and {y_name} must be of one length", found=found, where=where, remedy=remedy)
    if 0 in x.shape:
        found = f"shape {x.shape}"
        raise DataError(f"{x_name} must hold samples", found=found, where=where, remedy="check that the data are whole")
    return x, y


def _table(x: Array, names: Sequence[str]) -> Table:
    by_column = np.array(x.T, dtype=np.float32 if x.dtype == np.float32 else np.float64, order="C")
    by_column[~np.isfinite(by_column)] = np.nan
    names = names or [f"x{number}" for number in range(len(by_column))]
    return Table(tuple(Column(str(name)) for name in names), tuple(by_column))


def _images(x: Array, where: str) -> Array:
    if x.ndim == 3:
        x = x[:, None]
    elif x.shape[3] < x.shape[1]:
        x = x.transpose(0, 3, 1, 2)
    refuse_infinite(x, "images", where)
    return np.ascontiguousarray(x, dtype=np.uint8 if x.dtype.kind == "b" or x.dtype == np.uint8 else np.float32)


def _sequences(x: Array, where: str) -> Array:
    if x.ndim == 2:
        x = x[:, None]
    elif x.shape[2] < x.shape[1]:
        x = x.transpose(0, 2, 1)
    refuse_infinite(x, "sequences", where)
    return np.ascontiguousarray(x, dtype=np.float32)


def _tokens(x: Array, where: str) -> Array | Texts:
    if x.dtype.kind == "U":
        return Texts(tuple(x.tolist()))
    ids = _whole(x, where)
    if ids.min() < 0 or ids.max() >= _MOST_IDS:
        found = f"{ids.min()} to {ids.max()}"
        remedy = "number them from 1; 0 fills up short samples"
        raise DataError(f"ids of tokens must be from 0 to {_MOST_IDS:,}", found=found, where=where, remedy=remedy)
    return ids


def _pairs(x: Array, where: str) -> Table:
    columns = [_whole(x, where).astype(np.str_) if x.dtype.kind != "U" else x for x in x.T]
    distinct, codes = zip(*(np.unique(column, return_inverse=True) for column in columns), strict=True)
    names = zip(("user", "item"), distinct, strict=True)
    return Table(
        tuple(Column(name, tuple(texts.tolist())) for name, texts in names),
        tuple(code.astype(np.int32) for code in codes),
    )


_INPUTS: Mapping[str, Callable[[Array, str], Array | Table | Texts]] = MappingProxyType(
    {"image": _images, "sequence": _sequences, "tokens": _tokens, "pairs": _pairs}
)


def _whole(x: Array, where: str) -> Array:
    ids = x.astype(np.int64) if np.isfinite(x).all() else None
    if ids is None or (ids != x).any():
        remedy = "number them, or give texts"
        raise DataError("ids must be whole numbers", found=f"type {x.dtype}", where=where, remedy=remedy)
    return ids
