"""A folder with tables of one space, for predictors and searches over them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SPACE = """\
space: kitchen
language: 1
input: table
tabular: {a: {choice: [p, q, r, s]}, b: {choice: [1, 2, 3, 4, 5]}, c: {choice: [on, off]}}
"""


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A space, tables of three data sets that differ a little, and a bench file that names them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "kitchen.yaml").write_text(SPACE)
    rng = np.random.default_rng(0)
    for name, tilt in (("x", 0.0), ("y", 0.2), ("z", 0.4)):
        lines = ["a,b,c,acc"]
        for i, a in enumerate("pqrs"):
            for b in range(1, 6):
                for k, c in enumerate(("on", "off")):
                    value = 60 - 3 * i + (1 - 2 * tilt) * b - 2 * k + 0.1 * rng.standard_normal()
                    lines.append(f"{a},{b},{c},{value:.3f}")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    _bench_file(tmp_path, "tables.yaml", ["x.csv", "y.csv"])
    return tmp_path


@pytest.fixture
def kitchen_space() -> str:
    """Text of the space."""
    return SPACE


@pytest.fixture
def bench_file() -> Callable[..., None]:
    """Writes a bench file into a folder, by name, over some of its tables."""
    return _bench_file


@pytest.fixture
def run_file() -> Callable[..., Path]:
    """Writes a run file into a folder for a search over one of its tables, with settings of the search."""
    return _run_file


def _bench_file(folder: Path, name: str, files: list[str]) -> None:
    tables = [{"file": file, "space": "kitchen.yaml", "maximize": "acc"} for file in files]
    (folder / name).write_text(json.dumps({"bench": "b", "tasks": tables, "strategies": ["meta"]}))


def _run_file(folder: Path, table: str, **search: Any) -> Path:
    path = folder / "run.yaml"
    settings = {
        "name": "k", "space": "kitchen.yaml", "evaluator": {"table": {"file": f"{table}.csv", "metric": "acc"}},
        "objective": {"maximize": "acc"}, "workers": {"engine": "inline"}, "search": {"trials": 8, **search},
    }  # fmt: skip
    path.write_text(json.dumps(settings))
    return path
