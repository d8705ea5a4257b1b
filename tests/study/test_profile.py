"""Profiles of spaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metanas.architecture import Architecture, Measures
from metanas.data import load_dataset
from metanas.errors import MetanasError
from metanas.space import load_space, parse_space_text
from metanas.study import profile_space

TEXT = """
space: profiled
input: table
network:
  - {id: body, repeat: {dense: {units: {choice: [8, 16, 64]}}}, times: {int: [1, 3]}, share: false}
  - {id: idle, choice: {a: identity, b: {repeat: identity, times: 2}}}
  - head
constraints: ["params <= 1200", "body.times != 2 or params > 0", "params <= 100e3"]
"""


def test_a_profile_holds_the_true_extremes_and_shares() -> None:
    space = parse_space_text(TEXT)
    dataset = load_dataset("iris", base=Path())
    heard: list[str] = []
    found = profile_space(space, dataset, told=heard.append)
    free = parse_space_text(TEXT[: TEXT.index("constraints")])
    measured = [
        Measures.of(Architecture(free, tuple(int(v) for v in row)).layers((4,), 3), batch_size=96).params
        for row in free.rows(10_000)
    ]
    smallest, median, largest = found.measures["params"]
    assert (smallest, largest) == (min(measured), max(measured))
    assert smallest < median < largest
    assert found.measures["depth"][0] == 2
    assert found.built == 1
    assert found.problems == ()
    assert found.constraints["params <= 100e3"] == 1
    rows = space.sample(2000, np.random.default_rng(0))
    values = [
        Measures.of(Architecture(space, tuple(int(v) for v in row)).layers((4,), 3), batch_size=96).params
        for row in rows
    ]
    assert found.constraints["params <= 1200"] == pytest.approx(np.mean(np.array(values) <= 1200), abs=0.1)
    assert found.all_constraints == found.constraints["params <= 1200"]
    assert found.steered >= found.all_constraints
    assert found.idle == ("idle",)
    assert list(found.steps) == ["smallest", "median", "largest"]
    assert all(seconds > 0 for _, seconds in found.steps.values())
    assert any("timing" in text for text in heard)


def test_a_space_for_other_data_is_an_error() -> None:
    with pytest.raises(MetanasError, match="one kind"):
        profile_space(load_space("convnet"), load_dataset("iris", base=Path()))


def test_a_space_that_cannot_be_built_says_why() -> None:
    space = parse_space_text("space: s\ninput: image\nnetwork: [global_pool, conv, head]\n")
    with pytest.raises(MetanasError, match="a convolution reads an image"):
        profile_space(space, load_dataset("digits", base=Path()))


def test_what_a_search_would_refuse_is_in_the_profile() -> None:
    space = parse_space_text(
        "space: s\ninput: table\nnetwork: [{choice: {a: relu, b: [{dense: {units: 4}}, conv]}}, head]\n"
    )
    found = profile_space(space, load_dataset("iris", base=Path()))
    (problem,) = found.problems
    assert "a convolution reads an image" in problem
    assert "choice=b" in problem
    assert found.to_json()["problems"] == [problem]
