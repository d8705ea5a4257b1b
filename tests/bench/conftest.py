"""A bench on small tables: three data sets of one space of 64 rows, in CSV files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

SPACE = "space: toy\nlanguage: 1\ninput: table\ntabular: {a: {choice: [p, q, r, s]}, b: {choice: [1, 2, 3, 4]}, c: {choice: [x, y, z, w]}}\n"


@pytest.fixture
def bench_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes the tables and a bench file; keys given replace its own."""
    (tmp_path / "toy.yaml").write_text(SPACE)
    for number in range(3):
        rng = np.random.default_rng(number)
        lines = ["a,b,c,seed,acc,test,seconds"]
        for i in range(64):
            a, b, c = i // 16, i // 4 % 4, i % 4
            true = 80 + 2 * a - 1.5 * abs(b - 1) + 0.7 * c * (1 if number < 2 else -1)
            lines += [
                f"{'pqrs'[a]},{b + 1},{'xyzw'[c]},{s},{true + rng.normal(0, 0.3):.4f},{true - 1:.4f},{60 + i}"
                for s in range(3)
            ]
        (tmp_path / f"set{number}.csv").write_text("\n".join(lines) + "\n")
    tasks = [
        {
            "file": f"set{n}.csv",
            "space": "toy.yaml",
            "maximize": "acc",
            "repeat": "seed",
            "test": "test",
            "cost": "seconds",
        }
        for n in range(3)
    ]

    def write(**keys: Any) -> Path:
        settings = {
            "bench": "toy",
            "tasks": tasks,
            "strategies": ["random", "local"],
            "evaluations": 12,
            "seeds": 2,
        } | keys
        path = tmp_path / "bench.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        return path

    return write
