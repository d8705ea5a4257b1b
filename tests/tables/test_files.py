import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metanas.errors import MetanasError
from metanas.space import parse_space_text
from metanas.tables import ResultTable, read_table

SPACE = parse_space_text(
    "space: t\nlanguage: 1\ninput: table\n"
    "tabular: {op: {choice: [conv, pool]}, width: {choice: [8, 16]}, lr: {choice: [1e-3, 1e-1]}, se: {choice: [true, false]}}\n"
)
CSV = """op,width,lr,se,val_acc,seconds
conv,8,0.001,true,0.5,10
conv,16,0.1,false,0.6,20
pool,16,1e-1,true,0.7,30
"""


def _write(folder: Path, text: str = CSV) -> Path:
    path = folder / "results.csv"
    path.write_text(text)
    return path


def _table(path: Path, **options: Any) -> ResultTable:
    return read_table(path, space=SPACE, **{"metric": "val_acc", "direction": "maximize"} | options)


def test_a_csv(tmp_path: Path) -> None:
    table = _table(_write(tmp_path), cost="seconds")
    assert table.index(np.array([[0, 0, 0, 0], [0, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]])).tolist() == [0, 1, 2, -1]
    assert table.mean_losses.tolist() == [-0.5, -0.6, -0.7]
    assert table.seconds is not None
    assert table.seconds.tolist() == [10, 20, 30]
    assert set(table.metrics) == {"val_acc", "seconds"}


def test_parquet_and_sqlite_say_the_same_as_the_csv(tmp_path: Path) -> None:
    path = _write(tmp_path)
    frame = pl.read_csv(path)
    frame.write_parquet(tmp_path / "results.parquet")
    with closing(sqlite3.connect(tmp_path / "results.db")) as database:
        database.execute("create table runs (op text, width integer, lr real, se integer, val_acc real, seconds real)")
        database.executemany("insert into runs values (?, ?, ?, ?, ?, ?)", frame.rows())
        database.commit()
    first = _table(path, cost="seconds")
    for other in ("results.parquet", "results.db"):
        table = _table(tmp_path / other, cost="seconds")
        assert table.rows.tolist() == first.rows.tolist()
        assert table.losses.tolist() == first.losses.tolist()
        assert table.seconds is not None


def test_repeats_are_told_apart_by_a_column(tmp_path: Path) -> None:
    text = "op,width,lr,se,seed,val_acc\nconv,8,0.001,true,1,0.5\nconv,8,0.001,true,2,0.7\npool,8,0.001,true,2,0.9\n"
    table = _table(_write(tmp_path, text), repeat="seed")
    assert np.array_equal(table.metrics["val_acc"], [[0.5, 0.7], [np.nan, 0.9]], equal_nan=True)
    with pytest.raises(MetanasError, match=r"rows 1 and 2 with the same decisions.*repeat: seed"):
        _table(_write(tmp_path, text))
    with pytest.raises(MetanasError, match=r"2 rows with the decisions of row 1 and seed 1"):
        _table(_write(tmp_path, text.replace("true,2,0.7", "true,1,0.7")), repeat="seed")


def test_what_is_said_of_inactive_decisions_does_not_count(tmp_path: Path) -> None:
    space = parse_space_text(
        "space: t\nlanguage: 1\ninput: table\nnetwork:\n"
        "  - choice: {deep: {dense: {units: {choice: [4, 8]}}}, flat: identity}\n    id: body\n  - head\n"
    )
    names = [d.name for d in space.decisions]
    path = _write(tmp_path, f"{names[0]},{names[1]},acc\ndeep,8,1\nflat,8,2\n")
    table = read_table(path, space=space, metric="acc", direction="maximize")
    assert sorted(table.rows.tolist()) == [[0, 1], [1, -1]]
    with pytest.raises(MetanasError, match="an active decision has a value, found none of .* in row 1"):
        read_table(
            _write(tmp_path, f"{names[0]},{names[1]},acc\ndeep,,1\n"), space=space, metric="acc", direction="maximize"
        )


def test_a_metric_that_is_true_or_false_is_no_number(tmp_path: Path) -> None:
    text = CSV.replace("0.5", "true").replace("0.6", "false").replace("0.7", "true")
    with pytest.raises(MetanasError, match="a column of numbers, found True"):
        _table(_write(tmp_path, text))


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (("width", "widht"), {}, "none for width.*width: did you mean 'widht'"),
        (("val_acc", "vall_acc"), {}, "the metric must be a column.*did you mean 'vall_acc'"),
        (("", ""), {"cost": "secs"}, "the cost must be a column"),
        (("pool", "poll"), {}, r"op is one of conv, pool, found 'poll' in row 3; did you mean 'pool'"),
        (("16,1e-1", "12,1e-1"), {}, r"width is one of 8, 16, found 12 in row 3"),
        (("0.7", "good"), {}, "a column of numbers, found 'good'"),
        (("30", "-30"), {"cost": "seconds"}, "a cost is at least 0"),
        ((",30", ","), {"cost": "seconds"}, "what has a metric has a cost, found 1 results without"),
        (("", ""), {"table": "x"}, "only a database has tables"),
        (("", ""), {"repeat": "val_acc"}, "found 'val_acc' for the repeat and the metric"),
        (("", ""), {"test": "width"}, "found 'width' for the test metric and the decision width"),
    ],
)
def test_mistakes(tmp_path: Path, change: tuple[str, str], options: dict[str, str], says: str) -> None:
    with pytest.raises(MetanasError, match=says) as error:
        _table(_write(tmp_path, CSV.replace(*change)), **options)
    assert "results.csv" in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "op,width,lr,se,val_acc\n", CSV.replace("0.5", "").replace("0.6", "").replace("0.7", "")]
)
def test_a_table_without_results(tmp_path: Path, text: str) -> None:
    with pytest.raises(MetanasError, match=r"results\.csv"):
        _table(_write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    _write(tmp_path)
    with pytest.raises(MetanasError, match=r"did you mean 'results\.csv'"):
        _table(tmp_path / "result.csv")
    with pytest.raises(MetanasError, match="there must be such a file"):
        _table(tmp_path / "no.db")
    assert not (tmp_path / "no.db").exists()
    (tmp_path / "bad.db").write_bytes(b"not a database, and long enough to be looked at" * 20)
    with pytest.raises(MetanasError, match="cannot be read as a database"):
        _table(tmp_path / "bad.db")
    sqlite3.connect(tmp_path / "empty.db").close()
    with pytest.raises(MetanasError, match="a database holds a table, found none"):
        _table(tmp_path / "empty.db")
    with closing(sqlite3.connect(tmp_path / "two.db")) as database:
        database.execute("create table first (a text)")
        database.execute("create table second (a text)")
    with pytest.raises(MetanasError, match="there are first, second; say 'table: NAME'"):
        _table(tmp_path / "two.db")
    with pytest.raises(MetanasError, match="did you mean 'second'"):
        _table(tmp_path / "two.db", table="secnd")


def test_what_is_no_number_is_named_with_its_row(tmp_path: Path) -> None:
    for cell, says in (("n/a?", "'n/a?' in row 2"), ("inf", "inf in row 2"), ("-inf", "-inf in row 2")):
        with pytest.raises(MetanasError, match="column 'val_acc'") as error:
            _table(_write(tmp_path, CSV.replace("0.6,20", f"{cell},20")))
        assert says in str(error.value)
        assert "empty" in error.value.remedy


def test_what_is_infinite_in_a_column_that_nobody_searches_on_is_left_out(tmp_path: Path) -> None:
    lines = [f"{line},{more}" for line, more in zip(CSV.splitlines(), ("loss", "1.5", "inf", "2.5"), strict=True)]
    table = _table(_write(tmp_path, "\n".join(lines)))
    assert np.isnan(table.metrics["loss"]).sum() == 1


def test_an_option_that_is_called_as_an_empty_cell(tmp_path: Path) -> None:
    space = parse_space_text("space: s\ninput: table\ntabular: {op: {choice: [a, 'null']}}")
    path = tmp_path / "results.csv"
    path.write_text("op,acc\na,1\nnull,2\n")
    with pytest.raises(MetanasError, match="found none of op in row 2; cells with 'null' count as empty in a CSV"):
        read_table(path, space=space, metric="acc", direction="maximize")
