"""The preparation as source prepares as the preparation itself does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metanas.data import Preparation, fit_preparation, load_dataset, preparation_source


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
    lines = ["age,job,income"] + [
        f"{'' if n % 7 == 0 else 20 + n},{('cook', 'nurse', '')[n % 3]},{n}.5" for n in range(60)
    ]
    (tmp_path / "people.csv").write_text("\n".join(lines), encoding="utf-8")
    dataset = load_dataset({"table": "people.csv", "target": "income"}, base=tmp_path)
    preparation = fit_preparation(dataset, np.arange(60))
    rows: list[dict[str, object]] = [
        {"age": 30, "job": "cook"}, {"age": None, "job": None}, {"age": math.nan, "job": " nurse "},
        {"age": -math.inf, "job": "pilot"}, {"age": "41", "job": "nurse"},
    ]  # fmt: skip
    names = run(preparation)
    torch.testing.assert_close(names["prepare"](rows), torch.from_numpy(preparation.transform_rows(rows)))
    assert "CLASSES" not in names
