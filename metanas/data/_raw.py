"""What people hand over to predict for: rows, arrays, tensors and data frames, as a preparation takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from metanas.data._dataset import Table
from metanas.data._preparation import Preparation
from metanas.errors import DataError, listed


def prepare_raw(preparation: Preparation, samples: Any, *, names: Mapping[str, str] | None = None) -> NDArray[Any]:
    """Prepare raw samples: an array, a tensor or nested lists; of tables and pairs also mappings by column, or a data frame.

    ``names`` are other names of columns, by the name that they may stand under. Raises DataError.
    """
    if preparation.kind == "tokens" and preparation.words:
        return preparation.transform(_texts(samples, names or {}))
    if preparation.kind not in ("table", "pairs") or isinstance(samples, Table):
        return preparation.transform(samples)
    rows = _records(samples)
    if rows is None or (hasattr(samples, "columns") and _unnamed(preparation, rows)):
        columns = ["user", "item"] if preparation.kind == "pairs" else None
        values = _lists(samples) if rows is None else [list(row.values()) for row in rows]
        if columns is None and not _of_array(preparation) and values:
            first = listed([column.name for column in preparation.columns[:3]])
            raise DataError(
                "rows are mappings by column, where the search had columns with names", found="values without names",
                remedy=f"give mappings or a data frame with {first} and so on",
            )  # fmt: skip
        rows = [_named(row, columns) for row in values]
    return preparation.transform_rows([{(names or {}).get(name, name): v for name, v in row.items()} for row in rows])


def _records(samples: Any) -> Sequence[Mapping[str, object]] | None:
    """Rows as mappings by column; None for what names no columns."""
    if hasattr(samples, "to_dicts"):  # polars
        return list(samples.to_dicts())
    if hasattr(samples, "to_dict") and hasattr(samples, "columns"):  # pandas
        return [{str(name): value for name, value in row.items()} for row in samples.to_dict("records")]
    if isinstance(samples, Sequence) and samples and all(isinstance(row, Mapping) for row in samples):
        return samples
    return None


def _texts(samples: Any, names: Mapping[str, str]) -> Any:
    """Texts, of rows of a table those of the column that the search read, or of the only one."""
    rows = _records(samples)
    if rows is None and isinstance(samples, Mapping):
        raise DataError("samples are texts", found="a mapping", remedy="give a list of texts, or of rows")
    if not rows:
        return samples
    columns = [name for name in rows[0] if names.get(name, name) == "text"] or list(rows[0])
    if len(columns) > 1:
        raise DataError(
            "samples are texts", found=f"rows of {listed(columns)}", remedy="give the column of texts alone"
        )
    return ["" if row.get(columns[0]) is None else row[columns[0]] for row in rows]


def _of_array(preparation: Preparation) -> bool:
    """Whether the columns are those of an array, which have no names of their own."""
    return all(re.fullmatch(r"x\d+", column.name) for column in preparation.columns)


def _unnamed(preparation: Preparation, rows: Sequence[Mapping[str, object]]) -> bool:
    """Whether the columns are those of an array, and these rows have other names: a frame stands for an array then."""
    known = [column.name for column in preparation.columns]
    return _of_array(preparation) and not any(name in row for row in rows for name in known)


def _lists(samples: Any) -> list[list[object]]:
    """Rows of values, each as long as the first."""
    if hasattr(samples, "tolist"):
        samples = samples.tolist()
    single = isinstance(samples, str | Mapping) or not hasattr(samples, "__iter__")
    rows = [] if single else list(samples)
    if single or any(isinstance(row, str | Mapping) or not hasattr(row, "__iter__") for row in rows):
        raise DataError(
            "samples of a table or of pairs are rows: mappings by column, or values in order, (n, columns)",
            found="a single row, or values" if not single else type(samples).__name__, remedy="put a row into a list",
        )  # fmt: skip
    rows = [list(row) for row in rows]
    if len({len(row) for row in rows}) > 1:
        raise DataError("rows are of one length", found=", ".join(sorted({str(len(row)) for row in rows})))
    return rows


def _named(row: Sequence[object], columns: Sequence[str] | None) -> dict[str, object]:
    # So are the columns of an array named.
    columns = columns or [f"x{place}" for place in range(len(row))]
    if len(row) != len(columns):
        raise DataError(f"a row is ({', '.join(columns)})", found=f"{len(row)} values")
    return dict(zip(columns, row, strict=True))
