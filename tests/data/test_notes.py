"""Columns that are not read as their user may have meant."""

from pathlib import Path

import numpy as np

from metanas.data import column_notes, fit_preparation, load_dataset


def test_columns_of_texts_that_look_like_numbers_or_are_not_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["comma;slip;id;city;size;t"] + [
        f"{str(rng.uniform()).replace('.', ',')};{'oops' if n == 7 else rng.integers(90)};n{n};{'ab'[n % 2]};{n};{n % 2}"
        for n in range(80)
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    dataset = load_dataset({"table": "table.csv", "target": "t"}, base=tmp_path)
    notes = list(column_notes(dataset, fit_preparation(dataset, np.arange(60))))
    assert len(notes) == 3
    assert notes[0].startswith("column 'comma' is read as texts, since '0,")
    assert notes[1] == "column 'slip' is read as texts, since 'oops' is no number; empty cells are missing values"
    assert notes[2] == "column 'id' is not read, since none of its 80 texts occurs twice in the training part"
    digits = load_dataset("digits", base=tmp_path)
    assert list(column_notes(digits, fit_preparation(digits, np.arange(500)))) == []
