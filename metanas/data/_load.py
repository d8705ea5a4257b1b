"""From the ``data:`` of a run file to a data set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metanas._files import check_name
from metanas.data._arrays import load_npz
from metanas.data._builtin import BUILTIN_NAMES, load_builtin
from metanas.data._dataset import DEFAULT_FRACTION, TASKS, Dataset
from metanas.data._split import fraction
from metanas.errors import DataError, near_miss

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")

_COMMON = ("task", "test", "validation")
_KEYS = {
    "name": _COMMON,
    "table": ("target", "ignore", "text", "user", "item", *_COMMON),
    "images": ("size", *_COMMON),
    "arrays": ("kind", *_COMMON),
}
"""The key that says where the data lie -> the keys that may stand beside it."""
_SOURCES = "one of `name:`, `table:`, `images:` or `arrays:`"


def load_dataset(spec: str | Mapping[str, Any], *, base: Path, task: str | None = None) -> Dataset:
    """Read the data set that ``spec`` describes.

    ``spec`` is a built-in name (:data:`BUILTIN_NAMES`), a path (a folder of images, or an ``.npz`` file), or a mapping
    with one of these keys. Paths are relative to ``base``.

    - ``name``: a built-in name.
    - ``table``: a ``.csv``, ``.tsv`` or ``.parquet`` file; beside it ``target`` (a column) and ``ignore`` (columns);
      or ``text``, the one column that is read, as tokens; or ``user`` and ``item``, the two columns of a pair.
    - ``images``: a folder with one subfolder a class; beside it ``size`` (pixels, or [height, width]) to resize them.
    - ``arrays``: an ``.npz`` file with x and y, or with x_train, y_train, x_test and y_test: its test part is kept;
      beside it ``kind``, if it holds no images or table: sequence, tokens or pairs.

    Beside each may stand ``task`` (classification or regression; by default the targets tell), ``test`` and
    ``validation`` (fractions, see :func:`split`). The argument ``task`` goes before the one in ``spec``.
    Raises DataError.
    """
    options = data_mapping(spec, base) if isinstance(spec, str) else _checked(spec)
    task = _task(task or options.get("task"))
    test = fraction(options.get("test", DEFAULT_FRACTION), "test")
    validation = fraction(options.get("validation", DEFAULT_FRACTION), "validation")
    dataset = replace(_load(options, base, task), test_fraction=test, validation_fraction=validation)
    if dataset.test_indices is not None and "test" in options:
        found = f"`test:` and {len(dataset.test_indices)} test samples in the file"
        raise DataError("one test part", found=found, where="data.test", remedy="remove `test:`")
    return dataset


def spec_errors(spec: Mapping[str, Any]) -> Iterator[DataError]:
    """What is wrong with a mapping, as far as that can be told without reading any data; ``where`` ends with the key."""
    yield from _key_errors(spec)
    for key in ("task", "test", "validation"):
        try:
            if key == "task":
                _task(spec.get(key))
            elif key in spec:
                fraction(spec[key], key)
        except DataError as error:
            yield error


def _task(task: object) -> str | None:
    if task is None or (isinstance(task, str) and task in TASKS):
        return task
    remedy = near_miss(task, TASKS) or "or leave it out"
    raise DataError(f"must be {' or '.join(TASKS)}", found=repr(task), where="data.task", remedy=remedy)


def data_mapping(text: str, base: Path) -> dict[str, Any]:
    """The mapping that a name or a path is short for, such as ``{name: digits}``; paths are relative to ``base``.

    Raises DataError for a path to nothing, or to what no data set is read from.
    """
    path = base / text
    suffix = path.suffix.lower()
    if text in BUILTIN_NAMES:
        return {"name": text}
    if suffix in TABLE_SUFFIXES:
        return {"table": text}
    if suffix == ".npz":
        return {"arrays": text}
    if path.is_dir():
        return {"images": text}
    if suffix or "/" in text or "\\" in text or path.exists():
        _existing(text, base, folder=False)
        remedy = "give .npz, .csv, .tsv, .parquet, or a folder of images"
        raise DataError("unknown format", found=repr(path.name), where="data", remedy=remedy)
    return {"name": text}


def absolute_data(spec: str | Mapping[str, Any], base: Path) -> str | dict[str, Any]:
    """The same data with an absolute path, in place of one relative to ``base``. Raises MetanasError if it is not Unicode."""

    def absolute(path: str) -> str:
        return check_name(os.path.abspath(base / Path(path).expanduser()))

    if isinstance(spec, str):
        return spec if spec in BUILTIN_NAMES else absolute(spec)
    paths = ("table", "images", "arrays")
    return {key: absolute(value) if key in paths and isinstance(value, str) else value for key, value in spec.items()}


def _checked(spec: object) -> dict[str, Any]:
    """``spec`` with a source and only keys that suit it."""
    if not isinstance(spec, Mapping):
        remedy = "say for example `data: digits`"
        found = type(spec).__name__
        raise DataError("must be a name, a path or a mapping", found=found, where="data", remedy=remedy)
    for error in _key_errors(spec):
        raise error
    return dict(spec)


def _key_errors(spec: Mapping[str, Any]) -> Iterator[DataError]:
    sources = [key for key in _KEYS if key in spec]
    known = sorted({*_KEYS, *(_KEYS[sources[0]] if sources else (key for keys in _KEYS.values() for key in keys))})
    for key in (key for key in spec if key not in known):
        remedy = near_miss(key, known) or f"the keys are {', '.join(known)}"
        beside = f" beside `{sources[0]}`" if sources else ""
        yield DataError(f"unknown key{beside}", found=repr(key), where=f"data.{key}", remedy=remedy)
    if len(sources) != 1:
        found = " and ".join(sources) or "none"
        yield DataError(f"needs {_SOURCES}", found=found, where="data", remedy="keep one" if sources else "add one")


def _load(options: Mapping[str, Any], base: Path, task: str | None) -> Dataset:
    if "name" in options:
        return load_builtin(_builtin_name(options["name"]), task=task)
    if "table" in options:
        from metanas.data._tables import load_table

        path = _existing(options["table"], base, key="table", suffixes=TABLE_SUFFIXES)
        target, ignore = options.get("target"), options.get("ignore", [])
        ignore = [ignore] if isinstance(ignore, str) else ignore
        if not isinstance(target, str | None):
            raise DataError("must be the name of a column", found=repr(target), where="data.target", remedy="quote it")
        if not isinstance(ignore, list | tuple) or not all(isinstance(name, str) for name in ignore):
            raise DataError("must be a list of columns", found=repr(ignore), where="data.ignore", remedy="say [id]")
        if target in ignore:
            remedy = "name it in one place"
            raise DataError("the target is no column to ignore", found=repr(target), where="data.ignore", remedy=remedy)
        roles = {key: options[key] for key in ("text", "user", "item") if key in options}
        return load_table(path, target=target, ignore=list(dict.fromkeys(ignore)), task=task, roles=roles)
    if "images" in options:
        from metanas.data._images import load_images

        path = _existing(options["images"], base, key="images", folder=True)
        return load_images(path, size=_size(options.get("size")), task=task)
    path = _existing(options["arrays"], base, key="arrays", suffixes=(".npz",))
    return load_npz(path, task=task, kind=options.get("kind"))


def _builtin_name(name: object) -> str:
    if isinstance(name, str) and name in BUILTIN_NAMES:
        return name
    remedy = near_miss(name, BUILTIN_NAMES) or f"the names are {', '.join(BUILTIN_NAMES)}; or give a path"
    raise DataError("must be a built-in data set or a path", found=repr(name), where="data", remedy=remedy)


def _size(size: object) -> tuple[int, int] | None:
    """Height and width in pixels."""
    if size is None:
        return None
    sides = size if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= 4096 for side in sides):
        rule = "must be a number of pixels from 1 to 4096, or [height, width]"
        raise DataError(rule, found=repr(size), where="data.size", remedy="say `size: 32`")
    return sides[0], sides[1]


def _existing(text: object, base: Path, *, key: str = "", folder: bool = False, suffixes: tuple[str, ...] = ()) -> Path:
    where = f"data.{key}" if key else "data"
    if not isinstance(text, str) or not text:
        raise DataError("must be a path", found=repr(text), where=where, remedy="give it as text")
    path = base / Path(text).expanduser()
    if suffixes and path.suffix.lower() not in suffixes:
        remedy = "convert it, or name the kind of data it holds: `table:`, `images:` or `arrays:`"
        raise DataError(f"must be a file in {', '.join(suffixes)}", found=repr(text), where=where, remedy=remedy)
    if not path.exists():
        near = near_miss(path.name, [entry.name for entry in path.parent.iterdir()]) if path.parent.is_dir() else ""
        remedy = near or f"check the path; it is relative to {base}"
        raise DataError("there is no such file or folder", found=str(path), where=where, remedy=remedy)
    if path.is_dir() != folder and (folder or suffixes):
        rule = "must be a folder" if folder else "must be a file"
        raise DataError(rule, found=str(path), where=where, remedy="give the path of one")
    return path
