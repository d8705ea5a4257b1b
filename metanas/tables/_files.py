"""Tables of the user's own: CSV, Parquet or SQLite, one line an architecture, or one a repeat of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metanas.errors import DataError, listed
from metanas.space import Decision, Rows, Scalar, SearchSpace, did_you_mean, load_space
from metanas.tables._table import Floats, ResultTable

if TYPE_CHECKING:
    import polars as pl

OPTIONAL = ("cost", "repeat", "test", "table", "name", "facts")
"""Fields of :class:`TableFile` that need not be given, as run files and bench files name them."""
_SQLITE = (".db", ".sqlite", ".sqlite3")
_SHOWN = 12
"""Names or values that an error lists."""


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """A file of results, and what its columns are."""

    file: Path
    """``.csv``, ``.tsv``, ``.parquet``, ``.db``, ``.sqlite`` or ``.sqlite3``."""
    metric: str
    """Column of the metric that is searched on."""
    direction: str
    """``maximize`` or ``minimize``, of that metric."""
    cost: str | None = None
    """Column of training seconds."""
    repeat: str | None = None
    """Column that tells an architecture's repeats apart, such as a seed."""
    test: str | None = None
    """Column of the metric of the test data."""
    table: str | None = None
    """Of a database with several tables, the one to read."""
    name: str | None = None
    """What the table is called; None for its file's name without the ending, and that of ``table``."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """What is known of the data set itself, by name, such as ``samples``."""

    @property
    def title(self) -> str:
        """What the table is called."""
        return self.name or (f"{self.file.stem}/{self.table}" if self.table else self.file.stem)


def read_table(file: str | Path, *, space: str | Path | SearchSpace, **options: Any) -> ResultTable:
    """The results in a file; ``options`` are the fields of :class:`TableFile`.

    Every column besides the decisions and ``repeat`` that holds numbers is a metric.

    Raises
    ------
    MetanasError
        If the file cannot be read, a column or a value is missing or not of the space, or an architecture stands
        twice.

    """
    spec = TableFile(file=Path(file), **options)
    found = space if isinstance(space, SearchSpace) else load_space(space)
    where = str(spec.file)
    frame = _read(spec)
    if not frame.height:
        raise DataError("the table must hold rows", found="none", where=where, remedy="check that the file is whole")
    _check_columns(spec, found, frame.columns)
    lines = _rows(frame, found, where)
    rows, place, repeat = _grouped(lines, None if spec.repeat is None else frame[spec.repeat].to_list(), spec, where)
    other = {*(d.name for d in found.decisions), spec.repeat}
    metrics = {
        name: _spread(_numbers(frame, name, where, needed=name in (spec.metric, spec.test)), place, repeat)
        for name in frame.columns
        if name not in other and (frame[name].dtype.is_numeric() or name in (spec.metric, spec.test))
    }
    cost = None
    if spec.cost is not None:
        cost = _spread(_numbers(frame, spec.cost, where), place, repeat)
        if (cost < 0).any():
            raise DataError("a cost is at least 0 seconds", found=f"{np.nanmin(cost):g}", where=f"{where}: {spec.cost}")
        free = int((np.isfinite(metrics[spec.metric]) & ~np.isfinite(cost)).sum())
        if free:
            raise DataError(
                "what has a metric has a cost", found=f"{free} results without", where=f"{where}: column {spec.cost!r}",
                remedy="fill these cells, or name no cost",
            )  # fmt: skip
    if not np.isfinite(metrics[spec.metric]).any():
        raise DataError("some row must have a value", found="none", where=f"{where}: column {spec.metric!r}")
    return ResultTable(
        name=spec.title, space=found, rows=rows, metrics=metrics, metric=spec.metric, direction=spec.direction,
        test=spec.test, cost=cost, facts=spec.facts,
    )  # fmt: skip


def _check_columns(spec: TableFile, space: SearchSpace, columns: Sequence[str]) -> None:
    """Check that the columns that a table's description names are there, each for one purpose."""
    taken = {decision.name: f"the decision {decision.name}" for decision in space.decisions}
    where = str(spec.file)
    for name, what in ((spec.metric, "the metric"), (spec.cost, "the cost"), (spec.repeat, "the repeat"), (spec.test, "the test metric")):  # fmt: skip
        if name is None:
            continue
        if name not in columns:
            raise DataError(
                f"{what} must be a column of the table", found=f"{name!r}; the columns are {listed(columns, _SHOWN)}",
                remedy=did_you_mean(name, columns), where=where,
            )  # fmt: skip
        if name in taken:
            raise DataError(
                "a column of a table is one thing", found=f"{name!r} for {what} and {taken[name]}", where=where,
                remedy="name another column for one of them",
            )  # fmt: skip
        taken[name] = what


# --- the file


def _read(spec: TableFile) -> pl.DataFrame:
    if spec.file.suffix.lower() not in _SQLITE:
        if spec.table is not None:
            raise DataError("only a database has tables to name", found=f"table: {spec.table}", where=str(spec.file))
        if not spec.file.is_file():
            raise DataError("there must be such a file", found=_nearest(spec.file), where=str(spec.file))
        from metanas.data import read_frame

        return read_frame(spec.file)
    return _read_database(spec)


def _nearest(path: Path) -> str:
    from metanas.data import TABLE_SUFFIXES

    there = (
        [p.name for p in path.parent.iterdir() if p.suffix in (*TABLE_SUFFIXES, *_SQLITE)]
        if path.parent.is_dir()
        else []
    )
    near = did_you_mean(path.name, there) if there else ""
    return f"none; {near}" if near else "none"


def _read_database(spec: TableFile) -> pl.DataFrame:
    import polars as pl

    where = str(spec.file)
    if not spec.file.is_file():
        raise DataError("there must be such a file", found=_nearest(spec.file), where=where)
    try:
        # Read only, so that a name mistyped makes no empty database and a table in use stays as it is.
        with closing(sqlite3.connect(f"{spec.file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            names = [n for (n,) in database.execute("select name from sqlite_master where type in ('table', 'view')")]
            if not names:
                raise DataError(
                    "a database holds a table", found="none", where=where, remedy="check that the file is whole"
                )
            name = spec.table or (names[0] if len(names) == 1 else "")
            if name not in names:
                raise DataError(
                    "names a table of the database", found=f"{spec.table or 'no name'}; there are {listed(names, _SHOWN)}", where=where,
                    remedy=did_you_mean(spec.table, names) if spec.table else "say 'table: NAME'",
                )  # fmt: skip
            quoted = name.replace('"', '""')
            cursor = database.execute(f'select * from "{quoted}"')
            columns = [column for column, *_ in cursor.description]
            return pl.DataFrame(cursor.fetchall(), schema=columns, orient="row", infer_schema_length=None)
    except (sqlite3.Error, pl.exceptions.PolarsError) as error:
        raise DataError("cannot be read as a database", found=str(error), where=where) from error


# --- decisions


def _rows(frame: pl.DataFrame, space: SearchSpace, where: str) -> Rows:
    """Line by line the architecture ``(lines, n_decisions)``."""
    missing = [d.name for d in space.decisions if d.name not in frame.columns]
    if missing:
        spare = [name for name in frame.columns if name not in space.columns]
        hints = {name: did_you_mean(name, spare) for name in missing[:_SHOWN]}
        near = "; ".join(f"{name}: {hint}" for name, hint in hints.items() if hint.startswith("did you mean"))
        raise DataError(
            f"the table has a column for each decision of the space {space.name}",
            found=f"none for {listed(missing, _SHOWN)}; it has {listed(frame.columns, _SHOWN)}", where=where,
            remedy=near or "name the columns as the decisions",
        )  # fmt: skip
    rows = np.stack([_indices(frame[d.name], d, where) for d in space.decisions], axis=1)
    active = space.active(rows)
    absent = active & (rows < 0)
    if absent.any():
        line, column = (int(v) for v in np.argwhere(absent)[0])
        raise DataError(
            "an active decision has a value",
            found=f"none of {space.decisions[column].name} in row {line + 1}",
            where=where,
            remedy=_empty_option(space.decisions[column]),
        )
    # What a table says of decisions that are off is of no account.
    return np.where(active, rows, -1)


def _empty_option(decision: Decision) -> str:
    """What to do where an option is called what an empty cell of a CSV may hold."""
    from metanas.data import MISSING_TEXTS

    named = [value for value in decision.values if isinstance(value, str) and value in MISSING_TEXTS]
    return (
        f"cells with {named[0]!r} count as empty in a CSV: call the option otherwise, or use Parquet" if named else ""
    )


def _indices(series: pl.Series, decision: Decision, where: str) -> npt.NDArray[np.int64]:
    """Index of each value ``(lines,)``; −1 where there is none."""
    known: dict[Any, int] = {None: -1}
    for value in series.unique().to_list():
        if value is None or (isinstance(value, float) and np.isnan(value)):
            known[value] = -1
            continue
        index = _index_of(value, decision)
        if index is None:
            line = series.to_list().index(value) + 1
            raise DataError(
                f"{decision.name} is one of {listed([_spelt(v) for v in decision.values[:_SHOWN + 1]], _SHOWN)}",
                found=f"{value!r} in row {line}", where=f"{where}: column {decision.name!r}",
                remedy=did_you_mean(str(value), [_spelt(v) for v in list(decision.values)[:1000]]),
            )  # fmt: skip
        known[value] = index
    return np.array([-1 if value != value else known[value] for value in series.to_list()], dtype=np.int64)


def _spelt(value: Scalar) -> str:
    """A value as a space file spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _index_of(value: Any, decision: Decision) -> int | None:
    """Index of a cell of the table: as it is, else as the text or the number that a file may have made of it."""
    forms: list[Scalar] = [value]
    if isinstance(value, str):
        forms += [value == "true"] if value.lower() in ("true", "false") else []
    else:
        forms += [_spelt(value)]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        forms += [int(value)] if float(value).is_integer() else []
        forms += [bool(value)] if value in (0, 1) else []
    for form in forms:
        try:
            return decision.index_of(form)
        except ValueError:
            continue
    if isinstance(value, float):
        # A file may hold fewer digits than the space.
        for index, other in enumerate(decision.values):
            if isinstance(other, float) and np.isclose(value, other, rtol=1e-6, atol=0):
                return index
    return None


# --- lines to architectures and repeats


def _grouped(
    lines: Rows, repeats: Sequence[Any] | None, spec: TableFile, where: str
) -> tuple[Rows, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct rows ``(n, n_decisions)``, and of each line its row and the number of its repeat."""
    rows, place = np.unique(lines, axis=0, return_inverse=True)
    place = place.reshape(-1)
    if repeats is None:
        count = np.bincount(place)
        if count.max() > 1:
            first, second = (np.flatnonzero(place == count.argmax()) + 1)[:2]
            raise DataError(
                "an architecture stands in one row", found=f"rows {first} and {second} with the same decisions",
                where=where, remedy="name the column that tells them apart, as in 'repeat: seed'",
            )  # fmt: skip
        return rows, place, np.zeros(len(lines), dtype=np.int64)
    labels = {label: number for number, label in enumerate(sorted(set(repeats), key=str))}
    numbers = np.array([labels[label] for label in repeats], dtype=np.int64)
    _, index, count = np.unique(place * len(labels) + numbers, return_index=True, return_counts=True)
    if count.max() > 1:
        line = int(index[count.argmax()])
        raise DataError(
            "a repeat of an architecture stands in one row",
            found=f"{count.max()} rows with the decisions of row {line + 1} and {spec.repeat} {repeats[line]!r}", where=where,
        )  # fmt: skip
    return rows, place, numbers


def _spread(values: Floats, place: npt.NDArray[np.int64], repeat: npt.NDArray[np.int64]) -> Floats:
    """Values line by line -> ``(n, r)``."""
    table = np.full((int(place.max()) + 1, int(repeat.max()) + 1), np.nan)
    table[place, repeat] = values
    return table


def _numbers(frame: pl.DataFrame, name: str, where: str, *, needed: bool = True) -> Floats:
    """A column ``(lines,)``, NaN where it is empty; infinite values are refused where it is ``needed``, and otherwise empty."""
    series = frame[name]
    if not (series.dtype.is_numeric() or series.null_count() == len(series)):
        values = [v for v in series.to_list() if v is not None]
        text = next((v for v in values if not _is_number(v)), values[0])
        raise DataError(
            "a metric or cost is a column of numbers", found=f"{text!r} in row {series.to_list().index(text) + 1}",
            where=f"{where}: column {name!r}", remedy="leave cells without a number empty",
        )  # fmt: skip
    import polars as pl

    numbers = np.array(series.cast(pl.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)
    endless = np.isinf(numbers)
    if endless.any() and needed:
        line = int(endless.argmax())
        raise DataError(
            "a metric or cost is finite, or empty", found=f"{numbers[line]:g} in row {line + 1}",
            where=f"{where}: column {name!r}", remedy="leave the cells of failures empty",
        )  # fmt: skip
    numbers[endless] = np.nan
    return numbers


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True
