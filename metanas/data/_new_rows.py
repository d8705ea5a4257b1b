"""Rows of a table to predict for, read as a preparation takes them, whatever their file looks like."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import polars as pl

from metanas.data._dataset import Array, Column, Table, Texts
from metanas.data._preparation import FLAGS, Preparation
from metanas.data._tables import codes_of, floats_of, header_of, is_number, read_frame, separator_of, without_missing
from metanas.data._targets import class_numbers
from metanas.errors import DataError

_LONGEST = 10_000_000
"""Characters of a cell."""


def read_rows(path: Path) -> pl.DataFrame:
    """A table without a guess at types: all cells of a CSV as texts, as they are written; blank lines are no rows.

    Raises DataError.
    """
    if path.suffix.lower() == ".parquet":
        return read_frame(path)
    try:
        csv.field_size_limit(_LONGEST)
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=separator_of(path), strict=True)
            names = header_of(lines, path)
            rows = [row for row in lines if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        remedy = "check the file; a CSV needs a line of column names, one separator, and UTF-8"
        raise DataError("cannot be read as a table", found=str(error), where=str(path), remedy=remedy) from error
    if long := next((n for n, row in enumerate(rows, 1) if len(row) > len(names)), None):
        found = f"{len(rows[long - 1])} cells in row {long} under {len(names)} names"
        raise DataError(
            "rows are as long as the line of names", found=found, where=str(path), remedy="quote separators"
        )
    columns = zip_longest(*rows, fillvalue="") if rows else [[] for _ in names]
    filled = dict(zip_longest(names, columns, fillvalue=[""] * len(rows)))
    return pl.DataFrame({name: pl.Series(values, dtype=pl.String) for name, values in filled.items()})


def inputs_of(frame: pl.DataFrame, preparation: Preparation, names: Mapping[str, str], where: str) -> Table | Texts:
    """The columns that a preparation reads, called in the frame as ``names`` say where not as in the preparation.

    Raises DataError for what is no number where numbers are expected.
    """
    if preparation.kind == "tokens":
        return Texts(tuple(frame[names["text"]].cast(pl.String).fill_null("")))
    columns, data = [], []
    for known in preparation.columns:
        series = frame[names.get(known.name, known.name)]
        if known.numeric:
            columns.append(Column(known.name))
            data.append(_numbers(series, where))
        else:
            texts = series.cast(pl.String).str.replace(r"\.0$", "") if series.dtype.is_float() else _texts(series)
            categories, codes = codes_of(texts)
            columns.append(Column(known.name, categories))
            data.append(codes)
    return Table(tuple(columns), tuple(data))


def answers_of(series: pl.Series, preparation: Preparation, where: str) -> Array:
    """What a column of targets says, (n,): numbers of classes, -1 for a new one, or values; NaN where it says nothing.

    Raises DataError for what is no number where values are expected.
    """
    if preparation.task == "regression":
        return _numbers(series, where)
    return class_numbers(_texts(series).to_list(), preparation.classes)


def _texts(series: pl.Series) -> pl.Series:
    """As texts, null where missing."""
    return without_missing(series.cast(pl.String))


def _numbers(series: pl.Series, where: str) -> Array:
    """Numbers (n,), NaN where missing: of numbers, flags, or texts of either."""
    if is_number(series):
        return floats_of(series)
    texts = _texts(series)
    flags = texts.str.to_lowercase().replace_strict(FLAGS, default=None, return_dtype=pl.Float64)
    values = flags.fill_null(texts.cast(pl.Float64, strict=False))
    if bad := (texts.is_not_null() & values.is_null()).arg_true().to_list():
        found = f"{texts[bad[0]]!r} in row {bad[0] + 1}"
        remedy = "give numbers, or nothing where they are not known"
        raise DataError(f"column {series.name!r} holds numbers", found=found, where=where, remedy=remedy)
    return floats_of(values)
