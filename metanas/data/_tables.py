"""Tables from CSV and Parquet files, read by polars."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl

from metanas.data._dataset import Array, Column, Dataset, Kind, Table, Texts
from metanas.data._preparation import MISSING_TEXTS
from metanas.data._targets import Targets, check_targets, plain_class, read_targets, refuse_rows
from metanas.errors import DataError, listed, near_miss

_SEPARATORS = (",", ";", "\t")


def load_table(
    path: Path,
    *,
    target: str | None,
    ignore: Sequence[str] = (),
    task: str | None = None,
    roles: Mapping[str, object] = MappingProxyType({}),
) -> Dataset:
    """Read a table and take one of its columns for the target.

    Numbers and flags become numeric columns (NaN or infinite: missing), texts categorical ones. ``roles`` may name
    columns that make something else of it: ``text`` a set of texts, ``user`` and ``item`` one of pairs.
    Raises DataError.
    """
    kind = _kind_of(roles, target, where=str(path))
    where = str(path)
    frame = read_frame(path, texts=[str(column) for column in roles.values()])
    if target is None:
        remedy = f"say {{table: {path.name}, target: COLUMN}}"
        found = f"none; the columns are {listed(frame.columns)}"
        raise DataError("a table needs a target column", found=found, where=where, remedy=remedy)
    for name in (target, *ignore, *(str(column) for column in roles.values())):
        if name not in frame.columns:
            remedy = near_miss(name, frame.columns) or "name one of these"
            found = f"{name!r}; the columns are {listed(frame.columns)}"
            raise DataError("must name a column of the table", found=found, where=where, remedy=remedy)
    if not frame.height:
        raise DataError("the table must hold rows", found="none", where=where, remedy="check that the file is whole")
    inputs = frame.drop(target, *ignore)
    if roles:
        inputs = frame.select(pl.col(str(roles[role])).cast(pl.String).alias(role) for role in sorted(roles)[::-1])
    if not inputs.width:
        found = f"only {listed(frame.columns)}"
        remedy = "add columns or ignore fewer"
        raise DataError("the table needs a column besides the target", found=found, where=where, remedy=remedy)
    targets = _targets(frame[target], path, kind=kind, task=task)
    check_targets(targets, where=f"{where}: column {target!r}")
    columns = [] if kind == "tokens" else [_column(series, where) for series in inputs]
    return Dataset(
        name=path.stem,
        kind=kind,
        task=targets.task,
        inputs=Texts(tuple(inputs["text"].fill_null("")))
        if kind == "tokens"
        else Table(tuple(column for column, _ in columns), tuple(values for _, values in columns)),
        targets=targets.values,
        classes=targets.classes,
    )


def _kind_of(roles: Mapping[str, object], target: str | None, *, where: str) -> Kind:
    """What the columns with roles make of the table."""
    for role, column in roles.items():
        if not isinstance(column, str) or column == target:
            remedy = "name another column than the target"
            raise DataError(f"`{role}` names a column", found=repr(column), where=f"data.{role}", remedy=remedy)
    if set(roles) not in (set(), {"text"}, {"user", "item"}):
        found = ", ".join(roles)
        remedy = "name the columns of both, as in {user: user_id, item: item_id}"
        raise DataError("`text` stands alone, `user` beside `item`", found=found, where=where, remedy=remedy)
    return "table" if not roles else "tokens" if "text" in roles else "pairs"


def read_frame(path: Path, *, texts: Collection[str] = (), only: str | None = None) -> pl.DataFrame:
    """The file as a polars frame: texts stripped of blanks, and numbers where all the texts of a column are numbers.

    The columns ``texts`` of a CSV stay as they are written: ids such as 007 are no numbers. ``only`` names a column of it
    that is read alone.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path)
        frame = _read_csv(path, texts, only)
    except (OSError, UnicodeDecodeError, csv.Error, pl.exceptions.PolarsError) as error:
        found = str(error).partition("\n")[0]
        remedy = "check the file; a CSV needs a line of column names, one separator, and UTF-8"
        raise DataError("cannot be read as a table", found=found, where=str(path), remedy=remedy) from error
    return frame.with_columns(
        _tidy(frame[name], numbers=name not in texts) for name, kind in frame.schema.items() if kind == pl.String
    )


def _read_csv(path: Path, texts: Collection[str], only: str | None) -> pl.DataFrame:
    separator = separator_of(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = header_of(csv.reader(file, delimiter=separator), path)
    known = pl.read_csv(path, separator=separator, n_rows=0).columns
    names = names if len(names) == len(known) else [name.strip() for name in known]
    as_written = {old: pl.String for old, new in zip(known, names, strict=True) if new in texts}
    read = partial(
        pl.read_csv, path, separator=separator, null_values=list(MISSING_TEXTS), schema_overrides=as_written,
        columns=None if only is None else [old for old, new in zip(known, names, strict=True) if new == only],
    )  # fmt: skip
    # Types guessed from the first rows nearly always hold, and guessing them from all rows takes six times as long.
    try:
        frame = read(infer_schema_length=10_000)
    except pl.exceptions.ComputeError:
        frame = read(infer_schema_length=None)
    # Polars leaves doubled quotes in names.
    frame = frame.rename({old: new or old for old, new in zip(known, names, strict=True) if old in frame.columns})
    # Blank lines are no rows.
    return frame.filter(~pl.all_horizontal(pl.all().is_null())) if frame.width > 1 else frame


def header_of(lines: Iterator[list[str]], path: Path) -> list[str]:
    """The names of the columns, from the first of a CSV's lines. Raises DataError where two are the same."""
    names = [name.strip() for name in next(lines, [])]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise DataError(
            "columns have names of their own", found=f"{twice[0]!r} twice", where=str(path), remedy="rename one"
        )
    return names


def separator_of(path: Path) -> str:
    """The separator that the line of column names uses most outside of quotes; a comma if none."""
    with path.open(encoding="utf-8") as file:
        header = re.sub(r'"[^"]*"', "", file.readline())
    return max(_SEPARATORS, key=header.count)


def _tidy(series: pl.Series, *, numbers: bool) -> pl.Series:
    series = without_missing(series)
    for kind in (pl.Int64, pl.Float64) if numbers else ():
        number = series.cast(kind, strict=False)
        if number.null_count() == series.null_count() < len(series):
            return number
    return series


def without_missing(texts: pl.Series) -> pl.Series:
    """Texts without blanks around them, null where they mean a missing value."""
    texts = texts.str.strip_chars()
    return texts.set(texts.is_in(list(MISSING_TEXTS)), None)


def floats_of(numbers: pl.Series) -> Array:
    """Numbers or flags as floats (n,), NaN where missing or infinite."""
    values = np.array(numbers.cast(pl.Float64).fill_null(float("nan")).to_numpy())
    values[np.isinf(values)] = np.nan
    return values


def _is_text(series: pl.Series) -> bool:
    return isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum)


def is_number(series: pl.Series) -> bool:
    """Whether a column holds numbers or flags, or nothing."""
    return bool(series.dtype.is_numeric()) or series.dtype in (pl.Boolean, pl.Null)


def codes_of(series: pl.Series) -> tuple[tuple[str, ...], Array]:
    """The distinct texts, sorted by code point, and the (n,) number of each text, -1 where missing."""
    texts = series.cast(pl.String)
    distinct = texts.drop_nulls().unique().sort()
    numbers = texts.cast(pl.Enum(distinct)).to_physical().cast(pl.Int32).fill_null(-1)
    return tuple(distinct), numbers.to_numpy()


def _column(series: pl.Series, where: str) -> tuple[Column, Array]:
    if _is_text(series):
        categories, codes = codes_of(series)
        return Column(series.name, categories), codes
    if not is_number(series):
        remedy = f"turn it into numbers or texts, or say `ignore: [{series.name}]`"
        found = f"type {series.dtype} in column {series.name!r}"
        raise DataError("columns must hold numbers, flags or texts", found=found, where=where, remedy=remedy)
    return Column(series.name), floats_of(series)


def _targets(series: pl.Series, path: Path, *, kind: Kind, task: str | None) -> Targets:
    where = f"{path}: column {series.name!r}"
    refuse_rows(series.is_null().to_numpy(), "missing", where)
    if _is_text(series):
        classes, codes = codes_of(series)
        return read_targets(codes, kind=kind, task=task or "classification", where=where, names=classes)
    if not is_number(series):
        remedy = "name a target of numbers, flags or texts"
        raise DataError("targets must be plain values", found=f"type {series.dtype}", where=where, remedy=remedy)
    values = series.cast(pl.Float64) if series.dtype.is_decimal() else series
    targets = read_targets(values.to_numpy(), kind=kind, task=task, where=where)
    if targets.task == "classification" and path.suffix.lower() != ".parquet":
        return replace(targets, classes=_as_written(targets.classes, path, series.name))
    return targets


def _as_written(classes: Sequence[str], path: Path, target: str) -> tuple[str, ...]:
    """Numbers and flags for classes, as the file writes them: 007, not 7. One that it writes in several ways stays what it is."""
    written: dict[str, set[str]] = {}
    for text in read_frame(path, texts=[target], only=target)[target].drop_nulls().unique():
        written.setdefault(plain_class(text), set()).add(text)
    return tuple(written[name].pop() if len(written.get(name, ())) == 1 else name for name in classes)
