"""Data sets from every kind of source."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from metanas.data import BUILTIN_NAMES, Table, dataset_from_arrays, fit_preparation, load_dataset, prepare_raw
from metanas.errors import DataError

PEOPLE = """age; job; member; income
31; cook; true; low
44; ; false; high
; nurse; true; low
52; cook; ?; high
23; nurse; false; low
38; pilot; true; high
"""


def write_images(folder: Path, per_class: int = 4, size: tuple[int, int] = (6, 5), mode: str = "RGB") -> None:
    """Two classes of images of one colour; ``size`` is (width, height)."""
    for name, value in (("cat", 40), ("dog", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            colour = value if mode == "L" else (value, 10, 20)
            Image.new(mode, size, colour).save(folder / name / f"{number}.png")


@pytest.mark.parametrize("name", BUILTIN_NAMES)
def test_built_in_sets_load_by_name(name: str, tmp_path: Path) -> None:
    dataset = load_dataset(name, base=tmp_path)
    assert dataset.name == name
    assert dataset.kind == ("image" if name == "digits" else "table")
    assert dataset.task == ("regression" if name == "diabetes" else "classification")
    assert dataset.n_outputs == max(len(dataset.classes), 1)
    assert dataset.fingerprint == load_dataset({"name": name}, base=tmp_path).fingerprint


def test_digits_are_grey_images_and_tables_name_their_columns(tmp_path: Path) -> None:
    digits = load_dataset("digits", base=tmp_path)
    assert isinstance(digits.inputs, np.ndarray)
    assert digits.inputs.shape == (1797, 1, 8, 8)
    iris = load_dataset("iris", base=tmp_path)
    assert iris.classes == ("setosa", "versicolor", "virginica")
    assert iris.columns[0].name == "sepal length (cm)"


def test_csv_with_missing_values_and_blanks(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    dataset = load_dataset({"table": "people.csv", "target": "income"}, base=tmp_path)
    assert isinstance(dataset.inputs, Table)
    assert [column.name for column in dataset.columns] == ["age", "job", "member"]
    assert [column.categories for column in dataset.columns] == [None, ("cook", "nurse", "pilot"), ("false", "true")]
    np.testing.assert_array_equal(dataset.inputs.data[0], [31, 44, np.nan, 52, 23, 38])
    np.testing.assert_array_equal(dataset.inputs.data[1], [0, -1, 1, 0, 1, 2])
    assert dataset.classes == ("high", "low")
    np.testing.assert_array_equal(dataset.targets, [1, 0, 1, 0, 1, 0])


def test_names_of_columns_stand_as_in_the_file(tmp_path: Path) -> None:
    header = '\ufeffa;"say ""hi""" ;"b, c, d, e";t'
    rows = [f"{n};{n % 3};{n % 5};{'xy'[n % 2]}" for n in range(40)]
    (tmp_path / "q.csv").write_text("\n".join([header, *rows[:20], "", *rows[20:], ""]) + "\n", encoding="utf-8")
    dataset = load_dataset({"table": "q.csv", "target": "t", "ignore": ['say "hi"']}, base=tmp_path)
    assert [column.name for column in dataset.columns] == ["a", "b, c, d, e"]
    assert dataset.n_samples == 40
    (tmp_path / "twice.csv").write_text("\n".join(["a,b,a,t", *(f"{n},1,2,{n % 2}" for n in range(20))]))
    with pytest.raises(DataError, match="columns have names of their own, found 'a' twice"):
        load_dataset({"table": "twice.csv", "target": "t"}, base=tmp_path)


def test_ids_stay_as_they_are_written(tmp_path: Path) -> None:
    users, items = ("007", "7", "0", "1e3"), ("True", "False", " x ", "10.0")
    lines = ["who,what,stars"] + [f"{users[n % 4]},{items[n // 4 % 4]},{n}.5" for n in range(64)]
    (tmp_path / "ratings.csv").write_text("\n".join(lines))
    spec = {"table": "ratings.csv", "target": "stars", "user": "who", "item": "what"}
    dataset = load_dataset(spec, base=tmp_path)
    preparation = fit_preparation(dataset, np.arange(64))
    assert [set(column.categories) for column in preparation.columns] == [set(users), {"True", "False", "x", "10.0"}]
    with (tmp_path / "ratings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids = prepare_raw(preparation, rows, names={"who": "user", "what": "item"})
    assert ids.min() == 1
    np.testing.assert_array_equal(ids, preparation.transform(dataset.inputs))


def test_classes_that_are_numbers_have_the_names_that_the_file_gives_them(tmp_path: Path) -> None:
    written = ("007", " 010", "+3", "12")
    (tmp_path / "t.csv").write_text("\n".join(["a,code", *(f"{n},{written[n % 4]}" for n in range(40))]))
    dataset = load_dataset({"table": "t.csv", "target": "code"}, base=tmp_path)
    assert dataset.classes == ("+3", "007", "010", "12")
    np.testing.assert_array_equal(dataset.targets[:4], [1, 2, 0, 3])
    # One class that is written in two ways is one class.
    (tmp_path / "t.csv").write_text("\n".join(["a,code", *(f"{n},{['7', '07', '8', '08'][n % 4]}" for n in range(40))]))
    assert load_dataset({"table": "t.csv", "target": "code"}, base=tmp_path).classes == ("7", "8")
    (tmp_path / "t.csv").write_text("\n".join(["a,code", *(f"{n},{('TRUE', 'false')[n % 2]}" for n in range(40))]))
    assert load_dataset({"table": "t.csv", "target": "code"}, base=tmp_path).classes == ("false", "TRUE")
    (tmp_path / "t.csv").write_text("\n".join(["a,code", *(f"{n},{('1.0', '2.50')[n % 2]}" for n in range(40))]))
    spec = {"table": "t.csv", "target": "code", "task": "classification"}
    assert load_dataset(spec, base=tmp_path).classes == ("1.0", "2.50")
    (tmp_path / "t.csv").write_text("\n".join(["a,code", *(f"{n},{['7', '07', '8', '08'][n % 4]}" for n in range(40))]))
    quantity = load_dataset({"table": "t.csv", "target": "code", "task": "regression"}, base=tmp_path)
    np.testing.assert_array_equal(quantity.targets[:4], [7, 7, 8, 8])


def test_csv_and_parquet_of_one_table_are_one_data_set(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "size": generator.normal(size=40),
            "rooms": generator.integers(1, 9, 40),
            "kind": generator.choice(["flat", "house"], 40),
            "id": [f"n{number}" for number in range(40)],
            "price": generator.normal(size=40),
        }
    )
    frame.write_csv(tmp_path / "homes.csv")
    frame.write_parquet(tmp_path / "homes.parquet")
    first, second = (
        load_dataset({"table": f"homes.{suffix}", "target": "price", "ignore": "id"}, base=tmp_path)
        for suffix in ("csv", "parquet")
    )
    assert first.task == "regression"
    assert first.n_outputs == 1
    assert [column.name for column in first.columns] == ["size", "rooms", "kind"]
    assert first.fingerprint == second.fingerprint


def test_csv_column_whose_late_rows_change_its_type(tmp_path: Path) -> None:
    rows = [f"{number % 7},{number % 2}" for number in range(10_500)] + ["1.5,0"]
    (tmp_path / "late.csv").write_text("\n".join(["x,y", *rows]))
    dataset = load_dataset({"table": "late.csv", "target": "y"}, base=tmp_path)
    assert isinstance(dataset.inputs, Table)
    assert dataset.inputs.data[0][-1] == 1.5


@pytest.mark.parametrize(
    ("targets", "task"),
    [
        (np.arange(200) % 4, "classification"),
        (np.arange(200) % 2 == 0, "classification"),
        (np.where(np.arange(200) % 2 == 0, "a", "b"), "classification"),
        (np.arange(200) % 20, "classification"),
        (np.arange(200) % 21, "regression"),
        # Of few rows so many integers are a quantity as leave fewer than five samples a class.
        (np.arange(20) % 4, "classification"),
        (np.arange(20) % 5, "regression"),
        (np.arange(8) % 2, "classification"),
        (np.arange(200) % 4 + 0.0, "regression"),
    ],
)
def test_targets_of_a_table_tell_the_task(targets: np.ndarray, task: str) -> None:
    x = np.random.default_rng(0).normal(size=(len(targets), 3))
    assert dataset_from_arrays(x, targets).task == task


def test_task_overrides_what_the_targets_tell(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    numbers = np.arange(30) % 3 + 1
    assert dataset_from_arrays(x, numbers, task="regression").n_outputs == 1
    dataset = dataset_from_arrays(x, numbers.astype(float), task="classification")
    assert dataset.classes == ("1", "2", "3")
    np.savez(tmp_path / "set.npz", x=x, y=numbers)
    assert load_dataset({"arrays": "set.npz", "task": "regression"}, base=tmp_path).task == "regression"


@pytest.mark.parametrize("shape", [(12, 7, 6), (12, 7, 6, 1), (12, 1, 7, 6)])
def test_layouts_of_grey_images_are_one_data_set(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, 12 * 42, dtype=np.uint8)
    labels = np.arange(12) % 2
    dataset = dataset_from_arrays(pixels.reshape(shape), labels)
    assert isinstance(dataset.inputs, np.ndarray)
    np.testing.assert_array_equal(dataset.inputs, pixels.reshape(12, 1, 7, 6))
    assert dataset.fingerprint == dataset_from_arrays(pixels.reshape(12, 7, 6), labels[:, None]).fingerprint


def test_channels_last_images_become_channels_first() -> None:
    images = np.random.default_rng(0).random((9, 6, 6, 3))
    dataset = dataset_from_arrays(images, np.arange(9) % 3)
    assert isinstance(dataset.inputs, np.ndarray)
    assert dataset.inputs.dtype == np.float32
    np.testing.assert_allclose(dataset.inputs, images.transpose(0, 3, 1, 2), rtol=1e-6)


def test_npz_keeps_the_test_part_it_names(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((20, 4, 4)), np.arange(20) % 2
    np.savez(tmp_path / "set.npz", x_train=x[:14], y_train=y[:14], x_test=x[14:], y_test=y[14:])
    dataset = load_dataset("set.npz", base=tmp_path)
    assert dataset.name == "set"
    np.testing.assert_array_equal(dataset.test_indices, np.arange(14, 20))


def test_folder_of_images(tmp_path: Path) -> None:
    write_images(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no image")
    for spec in ("pets", {"images": "pets"}):
        dataset = load_dataset(spec, base=tmp_path)
        assert dataset.classes == ("cat", "dog")
        assert isinstance(dataset.inputs, np.ndarray)
        assert dataset.inputs.shape == (8, 3, 5, 6)
        assert dataset.inputs.dtype == np.uint8
        np.testing.assert_array_equal(dataset.inputs[0, :, 0, 0], [40, 10, 20])
        np.testing.assert_array_equal(dataset.targets, [0, 0, 0, 0, 1, 1, 1, 1])


def test_grey_images_have_one_channel_and_size_resizes(tmp_path: Path) -> None:
    write_images(tmp_path / "pets", mode="L")
    Image.new("L", (9, 9), 7).save(tmp_path / "pets" / "cat" / "large.png")
    square = load_dataset({"images": "pets", "size": 4}, base=tmp_path)
    oblong = load_dataset({"images": "pets", "size": [3, 8]}, base=tmp_path)
    assert isinstance(square.inputs, np.ndarray)
    assert isinstance(oblong.inputs, np.ndarray)
    assert square.inputs.shape == (9, 1, 4, 4)
    assert oblong.inputs.shape == (9, 1, 3, 8)


def test_fingerprint_follows_the_contents_and_not_the_name() -> None:
    x, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    first = dataset_from_arrays(x, y)
    assert dataset_from_arrays(x.copy(), y, name="other").fingerprint == first.fingerprint
    changed = x.copy()
    changed[3, 1] += 1e-9
    assert dataset_from_arrays(changed, y).fingerprint != first.fingerprint
    assert dataset_from_arrays(x, 1 - y).fingerprint != first.fingerprint


def test_fingerprint_is_the_same_in_every_process() -> None:
    """Pinned: a run folder compares the data of today with a fingerprint from another machine."""
    dataset = dataset_from_arrays(np.arange(24.0).reshape(12, 2), np.array(["a", "b"] * 6))
    assert dataset.fingerprint == "26441fbd80e823dae8171212fd6350672c8dd453f1759e4d9fa5585b6a73662b"


def test_importing_loads_nothing_heavy() -> None:
    code = """
import sys
import metanas.data
loaded = {"torch", "sklearn", "polars", "PIL"} & set(sys.modules)
assert not loaded, loaded
metanas.data.batches
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
