"""Columns that are not read as their user may have meant."""

from pathlib import Path

import numpy as np
import polars
from PIL import Image

from metanas.data import data_notes, fit_preparation, load_dataset


def test_columns_of_texts_that_look_like_numbers_or_are_not_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["comma;slip;id;city;size;t"] + [
        f"{str(rng.uniform()).replace('.', ',')};{'oops' if n == 7 else rng.integers(90)};n{n};{'ab'[n % 2]};{n};{n % 2}"
        for n in range(80)
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    dataset = load_dataset({"table": "table.csv", "target": "t"}, base=tmp_path)
    notes = list(data_notes(dataset, fit_preparation(dataset, np.arange(60))))
    assert len(notes) == 3
    assert notes[0].startswith("column 'comma' is read as texts, since '0,")
    assert notes[1] == "column 'slip' is read as texts, since 'oops' is no number; empty cells are missing values"
    assert notes[2] == "column 'id' is not read, since none of its 80 texts occurs twice in the training part"
    # Numbers that a Parquet file keeps as texts are meant so.
    codes = polars.DataFrame({"code": [f"{n % 7}0" for n in range(80)], "t": [f"{n % 2}" for n in range(80)]})
    codes.write_parquet(tmp_path / "codes.parquet")
    dataset = load_dataset({"table": "codes.parquet", "target": "t"}, base=tmp_path)
    assert list(data_notes(dataset, fit_preparation(dataset, np.arange(60)))) == []
    digits = load_dataset("digits", base=tmp_path)
    assert list(data_notes(digits, fit_preparation(digits, np.arange(500)))) == []


def test_images_that_are_not_read(tmp_path: Path) -> None:
    for place in (
        "a/1.png",
        "a/2.png",
        "a/3.png",
        "b/1.png",
        "b/2.png",
        "b/3.png",
        "a/deep/z.png",
        "a/deep/y.png",
        "loose.jpg",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / place)
    dataset = load_dataset({"images": str(tmp_path)}, base=tmp_path)
    assert dataset.n_samples == 6
    assert list(data_notes(dataset, fit_preparation(dataset, np.arange(6)))) == [
        "images beside the class folders are not read (1, such as loose.jpg)",
        "images in folders within class folders are not read (2, such as a/deep/y.png)",
    ]
