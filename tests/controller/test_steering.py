"""Steered sampling under constraints on measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from metanas.architecture import Architecture, Measures, ShapeError
from metanas.controller import Steering
from metanas.space import SearchSpace, find_space, load_space, parse_space_text
from metanas.testing.samples import SAMPLES

Row = npt.NDArray[np.int64]


def measure_of(space: SearchSpace) -> Callable[[Row], Mapping[str, float] | None]:
    shape, vocabulary = SAMPLES[space.input]

    def measure(row: Row) -> Mapping[str, float] | None:
        try:
            layers = Architecture(space, tuple(int(v) for v in row)).layers(shape, 10, vocabulary)
        except ShapeError:
            return None
        return Measures.of(layers, batch_size=64).to_json()

    return measure


def bounded(name: str, measure: str, share: float) -> SearchSpace:
    """The space under an upper bound that about ``share`` of its rows meet."""
    space = load_space(name)
    known = [measure_of(space)(row) for row in space.sample(1000, np.random.default_rng(7))]
    bound = np.quantile([values[measure] for values in known if values], share)
    _, text = find_space(name)
    return parse_space_text(f'{text}\nconstraints: ["{measure} <= {bound:.0f}"]\n')


def accepted(space: SearchSpace, rows: npt.NDArray[np.int64]) -> float:
    measure = measure_of(space)
    (rule,) = space.constraints
    known = [(row, measure(row)) for row in rows]
    return float(
        np.mean([values is not None and rule.holds_for(space.to_values(row), values) for row, values in known])
    )


@pytest.mark.parametrize(
    ("name", "measure", "share"),
    [
        ("mobile", "params", 0.01),
        ("mobile", "memory", 0.002),
        ("vit", "flops", 0.002),
        ("text_encoder", "params", 0.01),
    ],
)
def test_a_fifth_or_more_of_steered_rows_meet_rare_constraints(name: str, measure: str, share: float) -> None:
    space = bounded(name, measure, share)
    steering = Steering.learn(space, measure_of(space), np.random.default_rng(0))
    rows = steering.sample(60, np.random.default_rng(1))
    assert rows.shape == (60, len(space.decisions))
    assert steering.plain_share < 0.1
    assert accepted(space, rows) >= 0.2
    assert len({row.tobytes() for row in rows}) > 30


@pytest.mark.parametrize(("name", "measure"), [("convnet", "params"), ("convnet", "flops"), ("resnet", "params")])
def test_and_of_those_in_a_narrow_band(name: str, measure: str) -> None:
    """A few per cent wide: how decisions act together matters there."""
    space = load_space(name)
    known = [measure_of(space)(row) for row in space.sample(300, np.random.default_rng(7))]
    low = np.quantile([values[measure] for values in known if values], 0.25)
    _, text = find_space(name)
    space = parse_space_text(f'{text}\nconstraints: ["{measure} >= {low:.0f} and {measure} <= {1.02 * low:.0f}"]\n')
    steering = Steering.learn(space, measure_of(space), np.random.default_rng(0))
    assert steering.plain_share < 0.05
    assert accepted(space, steering.sample(60, np.random.default_rng(1))) >= 0.2


def test_the_distribution_is_that_of_plain_rows_that_meet_the_constraints() -> None:
    space = bounded("vit", "params", 0.2)
    measure = measure_of(space)
    (rule,) = space.constraints
    plain = [row for row in space.sample(2000, np.random.default_rng(3)) if rule.holds_for({}, measure(row) or {})]
    steering = Steering.learn(space, measure, np.random.default_rng(0))
    steered = [row for row in steering.sample(400, np.random.default_rng(4)) if rule.holds_for({}, measure(row) or {})]
    assert len(steered) > 200
    for column in range(len(space.decisions)):
        for value in range(space.decisions[column].size):
            shares = [np.mean([row[column] == value for row in rows]) for rows in (plain, steered)]
            assert abs(shares[0] - shares[1]) < 0.15, space.decisions[column].name


def test_a_constraint_that_next_to_no_random_row_meets_is_found_by_descent() -> None:
    space = load_space("mobile")
    smallest = space.complete(np.zeros((1, len(space.decisions)), dtype=np.int64), np.random.default_rng(0))[0]
    values: Any = measure_of(space)(smallest)
    _, text = find_space("mobile")
    tight = parse_space_text(f'{text}\nconstraints: ["params <= {1.3 * values["params"]:.0f}"]\n')
    steering = Steering.learn(tight, measure_of(tight), np.random.default_rng(0))
    assert steering.plain_share == 0
    assert accepted(tight, steering.sample(60, np.random.default_rng(1))) >= 0.2


def test_nothing_is_learned_where_plain_rows_are_good() -> None:
    space = parse_space_text(find_space("mobile")[1] + '\nconstraints: ["params <= 1e12"]\n')
    calls = 0

    def measure(row: Row) -> Mapping[str, float]:
        nonlocal calls
        calls += 1
        return {"params": 1.0}

    steering = Steering.learn(space, measure, np.random.default_rng(0))
    assert calls == 128
    assert steering.plain_share == steering.share == 1
    plain = space.sample(5, np.random.default_rng(1))
    assert np.array_equal(steering.sample(5, np.random.default_rng(1)), plain)


def test_steering_repeats_itself() -> None:
    space = bounded("vit", "params", 0.01)
    draws = [
        Steering.learn(space, measure_of(space), np.random.default_rng(5)).sample(20, np.random.default_rng(6))
        for _ in range(2)
    ]
    assert np.array_equal(*draws)


def test_what_no_row_meets_is_given_up_early() -> None:
    space = parse_space_text(find_space("convnet")[1] + '\nconstraints: ["params <= 100"]\n')
    rows: list[bytes] = []

    def measure(row: Row) -> Mapping[str, float] | None:
        rows.append(row.tobytes())
        return measure_of(space)(row)

    steering = Steering.learn(space, measure, np.random.default_rng(0))
    assert steering.share == 0
    assert len(rows) < 1_200


def test_descent_looks_at_no_row_twice() -> None:
    space = parse_space_text(
        "space: tiny\nlanguage: 1\ninput: table\nlet: {width: {choice: [4, 8, 16]}, second: {choice: [4, 8]}}\n"
        'network: [{linear: {out: $width}}, {linear: {out: $second}}, head]\nconstraints: ["params <= 3"]\n'
    )
    descended: list[bytes] = []

    def measure(row: Row) -> Mapping[str, float] | None:
        descended.append(row.tobytes())
        return measure_of(space)(row)

    assert Steering.learn(space, measure, np.random.default_rng(0)).share == 0
    # A first round of 128, and six that are steered among the six rows there are.
    assert len(descended) == 128 + 6 * 64
