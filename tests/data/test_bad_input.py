"""Data that cannot be used: each error names the place, what was found, and the remedy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from metanas.data import dataset_from_arrays, fit_preparation, load_dataset
from metanas.errors import DataError

TABLE = "age,city,income,label\n" + "\n".join(
    f"{20 + n},{'ab'[n % 2]},{n * 0.5},{'no' if n % 2 else 'yes'}" for n in range(12)
)


def refused(spec: Any, base: Path, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load_dataset(spec, base=base, **options)
    assert caught.value.remedy
    assert caught.value.where
    return caught.value


def refused_arrays(x: Any, y: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        dataset_from_arrays(x, y, **options)
    assert caught.value.remedy
    assert caught.value.where
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "people.csv").write_text(TABLE)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "rule", "remedy"),
    [
        ("digit", "built-in", "'digits'"),
        ({"name": "wines"}, "built-in", "'wine'"),
        ("zebra", "built-in", "breast_cancer"),
        ({"tabel": "people.csv", "target": "income"}, "unknown key", "'table'"),
        ({"table": "people.csv", "targt": "income"}, "unknown key beside `table`", "'target'"),
        ({"table": "people.csv", "size": 3}, "unknown key beside `table`", "keys are"),
        ({"target": "income"}, "needs one of", "add one"),
        ({"table": "people.csv", "images": "."}, "needs one of", "keep one"),
        (3, "must be a name, a path or a mapping", "data: digits"),
        ({"name": "iris", "test": 1.5}, "fraction", "0.2"),
        ({"name": "iris", "validation": True}, "fraction", "0.2"),
        ({"name": "iris", "task": "classify"}, "classification or regression", "'classification'"),
        ({"name": "iris", "task": "regression"}, "numeric", "leave out"),
        ({"table": "people.csv", "target": 3}, "name of a column", "quote"),
        ({"table": "people.csv", "target": "age", "ignore": 3}, "list of columns", "[id]"),
        ({"table": "people.csv", "target": "age", "ignore": "age"}, "no column to ignore", "one place"),
        ({"images": ".", "size": "large"}, "number of pixels", "size: 32"),
        ({"arrays": "people.csv"}, ".npz", "table:"),
        ({"images": "people.csv"}, "folder", "path"),
        ({"table": 3, "target": "x"}, "path", "text"),
    ],
)
def test_run_file_entries(folder: Path, spec: Any, rule: str, remedy: str) -> None:
    error = refused(spec, folder)
    assert rule in error.rule
    assert remedy in error.remedy
    assert error.where.startswith(("data", "built-in data"))


@pytest.mark.parametrize("spec", ["poeple.csv", {"table": "poeple.csv", "target": "income"}])
def test_missing_file(folder: Path, spec: str | Mapping[str, str]) -> None:
    error = refused(spec, folder)
    assert "no such file" in error.rule
    assert str(folder / "poeple.csv") in str(error)
    assert "'people.csv'" in error.remedy


def test_missing_file_that_is_like_no_other(folder: Path) -> None:
    assert str(folder) in refused("sub/set.npz", folder).remedy
    assert refused("notes.xyz", folder).rule == "there is no such file or folder"
    (folder / "notes.xyz").touch()
    assert refused("notes.xyz", folder).rule == "unknown format"


def test_table_without_target_names_its_columns(folder: Path) -> None:
    error = refused("people.csv", folder)
    assert "age, city, income, label" in str(error)
    assert "target: COLUMN" in error.remedy


def test_column_that_is_not_there(folder: Path) -> None:
    error = refused({"table": "people.csv", "target": "incom"}, folder)
    assert "people.csv" in error.where
    assert "'income'" in error.remedy
    assert "'city'" in refused({"table": "people.csv", "target": "income", "ignore": ["citi"]}, folder).remedy


def test_table_with_nothing_to_learn_from(folder: Path) -> None:
    (folder / "empty.csv").write_text("")
    assert "cannot be read" in refused({"table": "empty.csv", "target": "a"}, folder).rule
    (folder / "header.csv").write_text("a,b\n")
    assert "must hold rows" in refused({"table": "header.csv", "target": "a"}, folder).rule
    error = refused({"table": "people.csv", "target": "label", "ignore": ["age", "city", "income"]}, folder)
    assert "besides the target" in error.rule


def test_files_that_are_not_what_they_say(folder: Path) -> None:
    (folder / "set.npz").write_text("hello")
    (folder / "people.parquet").write_text("hello")
    (folder / "latin.csv").write_bytes(b"a,b\n\xff\xfe,2\n")
    (folder / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    assert "set.npz" in refused("set.npz", folder).where
    for name in ("people.parquet", "latin.csv", "ragged.csv"):
        assert name in refused({"table": name, "target": "b"}, folder).where


def test_regression_target_with_missing_values(folder: Path) -> None:
    (folder / "gaps.csv").write_text("x,y\n1,0.5\n2,NaN\n3,\n4,1.5\n5,2.5\n")
    error = refused({"table": "gaps.csv", "target": "y"}, folder)
    assert "2 missing of 5" in str(error)
    assert "row 2" in str(error)
    assert "'y'" in error.where
    error = refused_arrays(np.ones((5, 2)), [0.5, 1.0, np.inf, np.nan, 2.0])
    assert "2 missing or infinite" in str(error)
    assert "row 3" in str(error)


def test_class_target_with_missing_values(folder: Path) -> None:
    (folder / "gaps.csv").write_text("x,y\n1,a\n2,b\n3,a\n4,b\n5,a\n6,?\n7,b\n")
    error = refused({"table": "gaps.csv", "target": "y"}, folder)
    assert "1 missing of 7" in str(error)
    assert "row 6" in str(error)


def test_target_of_texts_for_a_regression(folder: Path) -> None:
    error = refused({"table": "people.csv", "target": "label", "task": "regression"}, folder)
    assert "numeric" in error.rule


def test_columns_of_no_known_type(folder: Path) -> None:
    frame = pl.DataFrame({"when": ["2024-01-01"] * 12, "x": range(12), "y": ["a", "b"] * 6})
    frame.with_columns(pl.col("when").str.to_date()).write_parquet(folder / "dates.parquet")
    error = refused({"table": "dates.parquet", "target": "y"}, folder)
    assert "'when'" in str(error)
    assert "ignore: [when]" in error.remedy
    assert load_dataset({"table": "dates.parquet", "target": "y", "ignore": ["when"]}, base=folder).n_samples == 12
    assert "plain values" in refused({"table": "dates.parquet", "target": "when"}, folder).rule


def test_classes_that_cannot_be_told_apart_or_split() -> None:
    x = np.random.default_rng(0).normal(size=(12, 2))
    assert "'a'" in str(refused_arrays(x, ["a"] * 12))
    error = refused_arrays(x, ["a"] * 10 + ["b"] * 2)
    assert "at least 3" in error.rule
    assert "'b' with 2" in str(error)
    assert "at least 2" in refused_arrays(x, ["a"] * 11 + ["b"], x_test=x, y_test=["b"] * 12).rule
    assert "vary" in refused_arrays(x, [1.5] * 12).rule
    assert "at least 3" in refused_arrays(x[:2], [1.5, 2.5]).rule
    error = refused_arrays(x[:1], [1.5], x_test=x, y_test=np.arange(12) + 0.5)
    assert "validation" in error.rule
    assert error.found == "1 beside those to test on"


def test_arrays_of_the_wrong_form() -> None:
    x, y = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 2
    assert "numeric" in refused_arrays(x.astype(str), y).rule
    assert "table:" in refused_arrays(x.astype(object), y).remedy
    assert "must be a table" in refused_arrays(x[:, 0], y).rule
    assert "one-dimensional" in refused_arrays(x, np.eye(2)[y]).rule
    assert "found 12 and 11" in str(refused_arrays(x, y[:-1]))
    assert "must hold samples" in refused_arrays(x[:0], y[:0]).rule
    assert "arrays" in refused_arrays([[1, 2], [3]], [0, 1]).rule
    assert "together" in refused_arrays(x, y, x_test=x).rule
    assert "one shape" in refused_arrays(x, y, x_test=x[:, :1], y_test=y).rule
    assert "plain values" in refused_arrays(x, y.astype(complex)).rule
    images = np.zeros((12, 4, 4))
    images[5, 1, 1] = np.nan
    assert "the first is number 6" in str(refused_arrays(images, y))


def test_npz_that_lacks_arrays_or_holds_objects(folder: Path) -> None:
    np.savez(folder / "half.npz", x=np.ones((4, 2)), labels=np.ones(4))
    assert "labels, x" in str(refused("half.npz", folder))
    np.savez(folder / "objects.npz", x=np.ones((4, 2)), y=np.array(["a", None, 1, 2], dtype=object))
    error = refused("objects.npz", folder)
    assert "objects.npz: y" in error.where
    assert "astype" in error.remedy


def test_two_test_parts(folder: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 2
    np.savez(folder / "set.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert refused({"arrays": "set.npz", "test": 0.1}, folder).where == "data.test"


def test_folders_of_images(tmp_path: Path) -> None:
    assert "subfolder" in refused({"images": "."}, tmp_path).rule
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"{number}.png")
    Image.new("RGB", (5, 4)).save(tmp_path / "dog" / "wide.png")
    error = refused({"images": "."}, tmp_path)
    assert "4x5 in wide.png" in str(error)
    assert "size: 32" in error.remedy
    whole = (tmp_path / "dog" / "0.png").read_bytes()
    (tmp_path / "dog" / "wide.png").write_bytes(whole[: len(whole) // 2])
    assert refused({"images": "."}, tmp_path).where.endswith("wide.png")
    Image.new("I;16", (4, 4)).save(tmp_path / "dog" / "wide.png")
    assert "8 bits" in refused({"images": "."}, tmp_path).rule
    (tmp_path / "dog" / "wide.png").unlink()
    (tmp_path / "emu").mkdir()
    assert refused({"images": "."}, tmp_path).where.endswith("emu")


def test_training_part_in_which_no_column_varies() -> None:
    dataset = dataset_from_arrays(np.ones((12, 2)), np.arange(12) % 2)
    with pytest.raises(DataError, match="a column must vary"):
        fit_preparation(dataset, np.arange(12))


def test_names_of_columns_with_commas_and_blanks_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text('sold on,city,"area, m2",price\n1,a,2,3\n')
    found = refused({"table": "sales.csv", "target": "cost"}, tmp_path).found
    assert found == "'cost'; the columns are 'sold on', city, 'area, m2', price"
