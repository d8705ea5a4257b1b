"""Preparation: fitted on the rows it is given, and whole in its JSON form."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from metanas.data import Column, Dataset, Preparation, Table, dataset_from_arrays, fit_preparation, load_dataset
from metanas.errors import DataError

NAN = np.nan
ALL = np.arange(6)


def table(**columns: Sequence[float | str | None]) -> Dataset:
    """A data set of six rows; lists of texts become categorical columns."""
    found, data = [], []
    for name, values in columns.items():
        if any(isinstance(value, str) for value in values):
            texts = sorted({value for value in values if isinstance(value, str)})
            found.append(Column(name, tuple(texts)))
            data.append(np.array([-1 if value is None else texts.index(str(value)) for value in values], np.int32))
        else:
            found.append(Column(name))
            data.append(np.array(values, np.float64))
    return Dataset(
        name="six",
        kind="table",
        task="regression",
        inputs=Table(tuple(found), tuple(data)),
        targets=np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    )


def test_numbers_are_standardised_with_the_statistics_of_the_training_rows() -> None:
    dataset = table(a=[0, 2, 4, 6, 100, -100])
    preparation = fit_preparation(dataset, np.arange(4))
    features = preparation.transform(dataset.take(ALL))
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[:, 0], (np.array([0, 2, 4, 6, 100, -100]) - 3) / np.sqrt(5), rtol=1e-6)


def test_missing_numbers_take_the_median_and_are_told() -> None:
    dataset = table(a=[1, NAN, 3, 8, 3, NAN], b=[1, 2, 3, 4, 5, NAN])
    preparation = fit_preparation(dataset, np.arange(5))
    assert preparation.input_shape == (3,)
    a, missing, b = preparation.transform(dataset.take(ALL)).T
    assert a[1] == a[2] == a[5]
    np.testing.assert_array_equal(missing, [0, 1, 0, 0, 0, 1])
    # b has no missing values in the training rows: its median (and mean), and no feature for it.
    assert b[5] == 0


def test_categories_become_one_feature_each_and_unknown_ones_zeros() -> None:
    dataset = table(a=["x", "y", "x", "y", "new", None])
    preparation = fit_preparation(dataset, np.arange(4))
    expected = [[1, 0], [0, 1], [1, 0], [0, 1], [0, 0], [0, 0]]
    np.testing.assert_array_equal(preparation.transform(dataset.take(ALL)), expected)
    np.testing.assert_array_equal(
        fit_preparation(dataset, ALL).transform(dataset.take(ALL)),
        [[*row, int(n == 5)] for n, row in enumerate(expected)],
    )


def test_column_of_ids_does_not_blow_up_the_features() -> None:
    names = [f"id {number}" for number in range(400)]
    codes = np.concatenate([np.arange(400), np.arange(400), np.arange(200, 250)]).astype(np.int32)
    inputs = Table((Column("id", tuple(names)),), (codes,))
    dataset = Dataset(name="ids", kind="table", task="regression", inputs=inputs, targets=codes.astype(float))
    preparation = fit_preparation(dataset, np.arange(len(codes)))
    assert preparation.input_shape == (64,)
    assert set(names[200:250]) <= set(preparation.columns[0].categories)


def test_constant_columns_get_no_feature() -> None:
    dataset = table(a=[7, 7, 7, 7, 7, 9], b=["x"] * 6, c=[NAN] * 6, d=[1, 2, 3, 4, 5, 6], e=[1e9 + 0.1] * 6)
    preparation = fit_preparation(dataset, np.arange(5))
    assert [column.name for column in preparation.columns] == ["d"]
    assert np.isfinite(preparation.transform(dataset.take(ALL))).all()


def test_constant_column_with_gaps_keeps_the_feature_for_them() -> None:
    dataset = table(a=[7, NAN, 7, NAN, 7, 7])
    features = fit_preparation(dataset, ALL).transform(dataset.take(ALL))
    np.testing.assert_array_equal(features[:, 0], [0, 1, 0, 1, 0, 0])


def test_rows_are_prepared_as_the_table_was_after_a_round_trip_through_json() -> None:
    dataset = table(a=[1, NAN, 3, 8, 3, 5], b=["x", "y", None, "y", "x", "x"], c=[0, 1, 0, 1, 1, 0])
    preparation = fit_preparation(dataset, ALL)
    loaded = Preparation.from_json(json.loads(json.dumps(preparation.to_json())))
    assert loaded == preparation
    rows: list[dict[str, object]] = [
        {"a": 1, "b": "x", "c": False},
        {"c": 1, "a": None, "b": " y ", "other": 3},
        {"a": 3.0, "b": None, "c": 0},
        {"a": "8", "b": "y", "c": True},
        {"a": 3, "b": "x", "c": 1},
        {"a": 5, "b": "x", "c": 0},
    ]
    np.testing.assert_array_equal(loaded.transform_rows(rows), preparation.transform(dataset.take(ALL)))
    np.testing.assert_array_equal(loaded.transform_rows([{"a": 1, "b": "unseen", "c": 0}])[0, 2:4], [0, 0])
    assert loaded.transform_rows([]).shape == (0, *loaded.input_shape)


def test_rows_that_cannot_be_prepared() -> None:
    preparation = fit_preparation(table(age=[1, 2, 3, 4, 5, 6]), ALL)
    with pytest.raises(DataError, match="no 'age'; did you mean 'Age'"):
        preparation.transform_rows([{"Age": 3}])
    with pytest.raises(DataError, match="row 2: column 'age' holds numbers, found 'old'"):
        preparation.transform_rows([{"age": 3}, {"age": "old"}])


def test_columns_of_a_table_may_come_in_another_order() -> None:
    dataset = table(a=[1, 2, 3, 4, 5, 7], b=["x", "y", "y", "y", "x", "x"])
    preparation = fit_preparation(dataset, ALL)
    swapped = table(b=["y", "x", "z", "y", "y", "y"], a=[1, 2, 3, 4, 5, 7])
    features = preparation.transform(swapped.take(ALL))
    np.testing.assert_array_equal(features[:, 0], preparation.transform(dataset.take(ALL))[:, 0])
    np.testing.assert_array_equal(features[:3, 1:], [[0, 1], [1, 0], [0, 0]])


def test_targets_are_standardised_for_a_regression_and_left_alone_for_classes() -> None:
    dataset = table(a=[1, 2, 3, 4, 5, 7])
    preparation = fit_preparation(dataset, np.arange(3))
    scaled = preparation.transform_targets(dataset.targets)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled * preparation.target_std + preparation.target_mean, dataset.targets, rtol=1e-6)
    assert scaled[:3].mean() == pytest.approx(0, abs=1e-6)
    labels = np.arange(12) % 2
    classes = dataset_from_arrays(np.random.default_rng(0).normal(size=(12, 2)), labels)
    np.testing.assert_array_equal(fit_preparation(classes, ALL).transform_targets(classes.targets), labels)
    assert fit_preparation(classes, ALL).classes == ("0", "1")


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_images_are_scaled_by_channel(kind: type) -> None:
    images: np.ndarray = np.random.default_rng(0).integers(0, 256, (10_000, 3, 4, 5)).astype(kind)
    images[:, 2] = 9
    dataset = dataset_from_arrays(images, np.arange(10_000) % 2)
    rows = np.arange(1, 9_500)
    preparation = fit_preparation(dataset, rows)
    assert preparation.input_shape == (3, 4, 5)
    np.testing.assert_allclose(preparation.channel_mean, images[rows].mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(preparation.channel_std[:2], images[rows][:, :2].std(axis=(0, 2, 3)))
    prepared = preparation.transform(dataset.take(rows))
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(prepared.std(axis=(0, 2, 3)), [1, 1, 0], atol=1e-5)
    assert Preparation.from_json(json.loads(json.dumps(preparation.to_json()))) == preparation


def test_new_images_may_come_in_other_layouts(tmp_path: Path) -> None:
    preparation = fit_preparation(load_dataset("digits", base=tmp_path), np.arange(1000))
    images = np.random.default_rng(0).random((4, 8, 8))
    expected = preparation.transform(images[:, None])
    np.testing.assert_array_equal(preparation.transform(images), expected)
    np.testing.assert_array_equal(preparation.transform(images[..., None]), expected)
    with pytest.raises(DataError, match=r"\(n, 1, 8, 8\)"):
        preparation.transform(images[:, :7])


def test_samples_that_cannot_be_prepared(tmp_path: Path) -> None:
    images = fit_preparation(load_dataset("digits", base=tmp_path), np.arange(1000))
    holes = np.zeros((3, 8, 8))
    holes[1, 0, 0] = NAN
    tokens = fit_preparation(
        dataset_from_arrays(np.arange(60).reshape(20, 3), np.arange(20) % 2, kind="tokens"), np.arange(20)
    )
    some: list[list[int]] = [[1, 2, 3], [1, 2]]
    for preparation, samples, words in (
        (images, some, "samples are of one size, found some that differ"),
        (images, [["a"] * 8] * 8, "samples are numbers, found type <U1"),
        (images, holes, "in 1 of 3, the first is number 2"),
        (tokens, some, "samples are of one size"),
        (tokens, np.array([[1, -2, 3]]), "not below 0, found -2"),
    ):
        with pytest.raises(DataError, match=re.escape(words)):
            preparation.transform(samples)  # type: ignore[arg-type]


def test_what_is_constant_but_for_rounding_is_not_divided_by_its_noise() -> None:
    rng = np.random.default_rng(0)
    rows = dataset_from_arrays(rng.normal(size=(400, 3)), np.append(np.full(399, 0.1), 5.0))
    preparation = fit_preparation(rows, np.arange(300))
    assert preparation.target_std == 1
    np.testing.assert_allclose(preparation.transform_targets(np.array([0.1, 5.0])), [0, 4.9], atol=1e-6)
    pixels = rng.normal(size=(400, 2, 4, 4))
    pixels[:, 1] = 0.1
    pixels[399, 1] = 0.2
    preparation = fit_preparation(dataset_from_arrays(pixels, np.arange(400) % 2), np.arange(300))
    assert preparation.channel_std[1] == 1
    assert abs(preparation.transform(pixels[399:])).max() < 10
