"""Columns of a table of decisions: against the space itself, and by finite differences."""

import numpy as np
import pytest

from metanas.controller._layout import Layout
from metanas.space import SearchSpace, load_space


@pytest.mark.parametrize("name", ["mobile", "hierarchical", "text_encoder", "nasbench101"])
def test_rows_of_the_space_are_one_hot(name: str) -> None:
    space = load_space(name)
    layout = Layout(space)
    rows = space.sample(50, np.random.default_rng(0))
    encoded = layout.encode(rows)
    assert (encoded.sum(axis=1) == (rows >= 0).sum(axis=1)).all()
    assert (layout.decode(encoded) == rows).all()
    # Values of inactive decisions change nothing, and each row is its own completion.
    values = layout.best_values(encoded + np.random.default_rng(1).random(encoded.shape) * 0.1)
    assert (layout.complete(values, values) == rows).all()
    assert (layout.complete(rows, values) == rows).all()
    mass, activity = layout.relax(layout.encode(values))
    assert (mass == encoded).all()
    assert (activity == (rows >= 0)).all()


def test_activity_is_the_probability_to_be_active(nested: SearchSpace) -> None:
    layout = Layout(nested)
    rng = np.random.default_rng(2)
    shares = rng.random(layout.width)
    shares /= np.bincount(layout.owner, shares)[layout.owner]
    rows = nested.rows(1000)
    probability = np.exp(layout.encode(rows) @ np.log(shares))
    assert probability.sum() == pytest.approx(1)
    mass, activity = layout.relax(shares[None])
    np.testing.assert_allclose(activity[0], probability @ (rows >= 0), atol=1e-12)
    np.testing.assert_allclose(mass[0], probability @ layout.encode(rows), atol=1e-12)


@pytest.mark.parametrize("name", ["mobile", "hierarchical"])
def test_pull_is_the_gradient_of_relax(name: str) -> None:
    layout = Layout(load_space(name))
    rng = np.random.default_rng(3)
    shares, direction = rng.random((2, 3, layout.width))
    by_mass, by_activity = rng.normal(size=(3, layout.width)), rng.normal(size=(3, len(layout.sizes)))

    def value(at: np.ndarray) -> np.ndarray:
        mass, activity = layout.relax(at)
        return (mass * by_mass).sum(axis=1) + (activity * by_activity).sum(axis=1)

    gradient = layout.pull(shares, *layout.relax(shares), by_mass, by_activity)
    slope = (value(shares + 1e-6 * direction) - value(shares - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose((gradient * direction).sum(axis=1), slope, rtol=1e-6)


def test_logits_of_a_long_range_lie_on_lines_between_knots(ranges: SearchSpace) -> None:
    layout = Layout(ranges)
    rng = np.random.default_rng(4)
    parameters, gradient = rng.normal(size=layout.parameters), rng.normal(size=layout.width)
    assert layout.parameters < layout.width / 10
    logits = layout.logits(parameters)
    np.testing.assert_allclose(layout.parameters_of(logits), parameters, atol=0.5)
    # The chain rule of a linear map is its transpose.
    assert gradient @ logits == pytest.approx(layout.by_parameters(gradient) @ parameters)
    rate = logits[layout.starts[1] : layout.starts[1] + layout.sizes[1]]
    assert np.abs(np.diff(rate)).max() < 0.2
