"""Splits: disjoint, stratified, seeded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.data import Dataset, dataset_from_arrays, split
from metanas.errors import DataError


def classes(*counts: int) -> Dataset:
    labels = np.repeat([f"class {number}" for number in range(len(counts))], counts)
    return dataset_from_arrays(np.random.default_rng(0).normal(size=(len(labels), 2)), labels)


@given(counts=st.lists(st.integers(3, 40), min_size=2, max_size=6), seed=st.integers(0, 2**40))
def test_every_part_holds_every_class(counts: list[int], seed: int) -> None:
    dataset = classes(*counts)
    parts = split(dataset, seed=seed)
    together = np.concatenate([parts.train, parts.validation, parts.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(sum(counts)))
    for rows in (parts.train, parts.validation, parts.test):
        assert set(dataset.targets[rows]) == set(range(len(counts)))
        np.testing.assert_array_equal(rows, np.sort(rows))


def test_shares_are_kept_by_class() -> None:
    dataset = classes(500, 100)
    parts = split(dataset, seed=1, test=0.2, validation=0.25)
    np.testing.assert_array_equal(np.bincount(dataset.targets[parts.test]), [100, 20])
    np.testing.assert_array_equal(np.bincount(dataset.targets[parts.validation]), [100, 20])
    np.testing.assert_array_equal(np.bincount(dataset.targets[parts.train]), [300, 60])


def test_rounding_keeps_the_size_of_a_part() -> None:
    assert len(split(classes(*[13] * 10), seed=0, test=0.1).test) == 13


def test_seed_decides() -> None:
    dataset = classes(30, 30)
    first, again, other = split(dataset, seed=5), split(dataset, seed=5), split(dataset, seed=6)
    np.testing.assert_array_equal(first.test, again.test)
    np.testing.assert_array_equal(first.validation, again.validation)
    assert not np.array_equal(first.test, other.test)
    # Pinned: a resumed study must part the data as it did before.
    np.testing.assert_array_equal(split(classes(6, 6), seed=0).test, [4, 11])


def test_test_rows_do_not_depend_on_the_validation_fraction() -> None:
    dataset = classes(30, 30)
    np.testing.assert_array_equal(split(dataset, seed=5).test, split(dataset, seed=5, validation=0.4).test)


def test_fixed_test_part_is_kept() -> None:
    x, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    dataset = dataset_from_arrays(x[:20], y[:20], x_test=x[20:], y_test=y[20:])
    for seed in (0, 1):
        parts = split(dataset, seed=seed)
        np.testing.assert_array_equal(parts.test, np.arange(20, 30))
        assert len(parts.validation) == 4


def test_regression_is_split_without_classes() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    parts = split(dataset_from_arrays(x, x[:, 0]), seed=0)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (32, 8, 10)


def test_final_training_joins_train_and_validation() -> None:
    parts = split(classes(30, 30), seed=0)
    final = parts.final()
    np.testing.assert_array_equal(final.train, np.sort(np.concatenate([parts.train, parts.validation])))
    assert len(final.validation) == 0
    np.testing.assert_array_equal(final.test, parts.test)


@pytest.mark.parametrize("value", [0, 1, -0.1, 2.0, float("nan"), True])
def test_fractions_out_of_range(value: float) -> None:
    with pytest.raises(DataError, match=r"data\.test: must be a fraction"):
        split(classes(5, 5), seed=0, test=value)
