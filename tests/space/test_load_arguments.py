"""Training settings and constraints that are given beside a space file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import metanas


def test_what_a_run_file_would_add_is_taken_as_plain_values() -> None:
    space = metanas.load_space(
        "mlp", train={"lr": {"float": [1e-4, 1e-2], "log": True}, "epochs": 3}, constraints=["params <= 1e5"]
    )
    (lr,) = [decision for decision in space.decisions if decision.part == "train"]
    assert lr.log
    assert [constraint.text for constraint in space.constraints] == ["params <= 1e5"]
    values = space.to_values(space.sample(1, np.random.default_rng(0))[0])
    row = space.to_row({**values, lr.name: 1e-3})
    assert space.recipe_of(row)["lr"] == pytest.approx(1e-3, rel=0.02)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"constraints": ["parms <= 3"]}, "did you mean 'params'"),
        ({"train": {"lr": {"flaot": [1, 2]}}}, "flaot"),
        ({"train": {"lr": object()}}, "training settings are numbers, texts, lists and mappings"),
    ],
)
def test_what_is_no_such_thing_is_told(given: dict[str, Any], words: str) -> None:
    with pytest.raises(metanas.MetanasError, match=words):
        metanas.load_space("mlp", **given)
