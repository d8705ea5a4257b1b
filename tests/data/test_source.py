"""The preparation as source prepares as the preparation itself does."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import torch

from metanas.data import (
    Preparation,
    dataset_from_arrays,
    fit_preparation,
    load_dataset,
    preparation_source,
    prepare_raw,
)
from metanas.errors import DataError


def run(preparation: Preparation) -> dict[str, Any]:
    names: dict[str, Any] = {"torch": torch}
    exec(preparation_source(preparation), names)
    return names


def test_images() -> None:
    dataset = load_dataset("digits", base=Path())
    preparation = fit_preparation(dataset, np.arange(500))
    names = run(preparation)
    raw = dataset.inputs[500:520]
    torch.testing.assert_close(names["prepare"](torch.from_numpy(raw)), torch.from_numpy(preparation.transform(raw)))
    assert names["CLASSES"] == list(dataset.classes)


def test_rows_of_a_table_with_all_that_can_be_missing(tmp_path: Path) -> None:
    lines = ["age,job,member,income"] + [
        f"{'' if n % 7 == 0 else 20 + n},{('cook', 'nurse', '')[n % 3]},{'true' if n % 4 else 'false'},{n}.5"
        for n in range(60)
    ]
    (tmp_path / "people.csv").write_text("\n".join(lines), encoding="utf-8")
    dataset = load_dataset({"table": "people.csv", "target": "income"}, base=tmp_path)
    preparation = fit_preparation(dataset, np.arange(60))
    rows: list[dict[str, object]] = [
        {"age": 30, "job": "cook"}, {"age": None, "job": None}, {"age": math.nan, "job": " nurse "},
        {"age": -math.inf, "job": "pilot", "member": True}, {"age": "41", "job": "nurse", "member": "true"},
        {"age": "", "job": "", "member": "False"}, {"age": " NA ", "job": "NA", "member": ""},
    ]  # fmt: skip
    names = run(preparation)
    prepared = names["prepare"](rows)
    torch.testing.assert_close(prepared, torch.from_numpy(preparation.transform_rows(rows)))
    assert (prepared[-1] == prepared[1]).all(), "texts that mean missing in the file do so in rows of it"
    assert "CLASSES" not in names


def test_pairs_and_mappings_of_both() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.integers(5, 9, size=(60, 2)).astype(str)
    dataset = dataset_from_arrays(pairs, rng.normal(size=60), kind="pairs")
    preparation = fit_preparation(dataset, np.arange(60))
    names = run(preparation)
    rows = [{"user": user, "item": item} for user, item in pairs.tolist()]
    expected = preparation.transform_rows(rows)
    assert expected.min() > 0
    for given in (rows, pairs, pairs.tolist(), [tuple(pair) for pair in pairs]):
        assert (names["prepare"](given).numpy() == expected).all()
        assert (prepare_raw(preparation, given) == expected).all()
    numbers = pairs.astype(float)
    for given in (numbers, torch.from_numpy(numbers), torch.from_numpy(pairs.astype(int)), numbers.tolist()):
        assert (names["prepare"](given).numpy() == expected).all()
        assert (prepare_raw(preparation, given) == expected).all()
    columns = [{"who": user, "what": item} for user, item in pairs.tolist()]
    assert (prepare_raw(preparation, columns, names={"who": "user", "what": "item"}) == expected).all()


def test_texts_come_as_lists_and_as_rows_of_their_column() -> None:
    texts = ["good film", "bad film", "good good", "bad bad"] * 10
    dataset = dataset_from_arrays(texts, ["p", "n", "p", "n"] * 10, kind="tokens")
    preparation = fit_preparation(dataset, np.arange(40))
    names = run(preparation)
    expected = preparation.transform(texts)
    assert (names["prepare"](texts).numpy() == expected).all()
    rows = [{"id": n, "review": text} for n, text in enumerate(texts)]
    frame = polars.DataFrame(rows)
    for given in (texts, rows, frame, frame.select("review"), frame["review"].to_list()):
        assert (prepare_raw(preparation, given, names={"review": "text"}) == expected).all()
    for wrong in (frame, {"review": texts}, rows, texts[0]):
        with pytest.raises(DataError, match="samples are texts"):
            prepare_raw(preparation, wrong)
        with pytest.raises(TypeError, match="a list of texts"):
            names["prepare"](wrong)


def test_samples_of_one_channel_may_come_without_it() -> None:
    rng = np.random.default_rng(0)
    for x, kind in ((rng.normal(size=(30, 8, 8)), None), (rng.normal(size=(30, 40)), "sequence")):
        dataset = dataset_from_arrays(x, np.arange(30.0), kind=kind)
        preparation = fit_preparation(dataset, np.arange(30))
        for given in (x, x[:, None]):
            torch.testing.assert_close(run(preparation)["prepare"](given), torch.from_numpy(preparation.transform(x)))


def test_a_table_with_names_takes_no_rows_without(tmp_path: Path) -> None:
    preparation = fit_preparation(load_dataset("wine", base=tmp_path), np.arange(100))
    with pytest.raises(DataError, match="give mappings or a data frame with alcohol, malic_acid, ash and so on"):
        prepare_raw(preparation, np.zeros((2, 13)))


@pytest.mark.parametrize("samples", [[1.0, 2.0], 3.0, "text", {"x0": 1}, [[1, 2], [3]], [{"x0": 1}, [1, 2]]])
def test_what_is_no_row_of_a_table(samples: object) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    preparation = fit_preparation(dataset_from_arrays(x, x[:, 0]), np.arange(60))
    with pytest.raises(DataError, match="rows"):
        prepare_raw(preparation, samples)


def test_rows_come_as_lists_tensors_and_frames() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    preparation = fit_preparation(dataset_from_arrays(x, x[:, 0]), np.arange(60))
    expected = prepare_raw(preparation, x)
    assert expected.std() > 0.9
    frame = polars.DataFrame({"x1": x[:, 1], "x0": x[:, 0]})
    for given in (x.tolist(), torch.from_numpy(x), frame, frame.to_dicts(), list(x)):
        np.testing.assert_array_equal(prepare_raw(preparation, given), expected)
    named = polars.DataFrame({"height": x[:, 0], "width": x[:, 1]})
    np.testing.assert_array_equal(prepare_raw(preparation, named), expected, err_msg="as np.asarray(named) in a search")


def test_samples_of_another_shape_are_refused() -> None:
    rng = np.random.default_rng(0)
    cases: list[tuple[Any, str | None, Any, str]] = [
        (rng.normal(size=(30, 8, 8)), None, np.zeros((2, 9, 8)), r"images must be (batch, 1, 8, 8), found (2, 1, 9, 8)"),
        (rng.normal(size=(30, 3, 8, 8)), None, np.zeros((8, 8)), r"images must be (batch, 3, 8, 8), found (8, 8)"),
        (rng.normal(size=(30, 40)), "sequence", np.zeros((2, 50)), r"sequences must be (batch, 1, 40), found (2, 1, 50)"),
        (rng.integers(0, 9, size=(30, 5)), "tokens", np.zeros((2, 4), int), r"ids must be (batch, 5), found (2, 4)"),
    ]  # fmt: skip
    for x, kind, given, words in cases:
        preparation = fit_preparation(dataset_from_arrays(x, np.arange(30.0), kind=kind), np.arange(30))
        with pytest.raises(ValueError, match=re.escape(words)):
            run(preparation)["prepare"](given)
        with pytest.raises(DataError):
            preparation.transform(given)


def test_a_column_that_no_row_has_is_refused() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    preparation = fit_preparation(dataset_from_arrays(x, x[:, 0]), np.arange(60))
    prepare = run(preparation)["prepare"]
    for refuse, error in ((prepare, ValueError), (preparation.transform_rows, DataError)):
        with pytest.raises(error, match="the rows need every column, found no 'x1'"):
            refuse([{"x0": 1.0}, {"x0": 2.0}])
    some = [{"x0": 1.0}, {"x1": 2.0}]
    torch.testing.assert_close(prepare(iter(some)), torch.from_numpy(preparation.transform_rows(some)))


def test_no_samples_are_prepared_to_none(tmp_path: Path) -> None:
    texts = dataset_from_arrays(["good film", "bad film"] * 20, ["p", "n"] * 20, kind="tokens")
    pairs = dataset_from_arrays(np.full((40, 2), "a"), np.arange(40.0), kind="pairs")
    for dataset in (texts, pairs, load_dataset("wine", base=tmp_path)):
        preparation = fit_preparation(dataset, np.arange(40))
        expected = torch.from_numpy(prepare_raw(preparation, []))
        assert expected.shape == (0, *preparation.input_shape)
        torch.testing.assert_close(run(preparation)["prepare"]([]), expected)
