"""Acquisition values and their gradients, against finite differences and high precision."""

import math

import numpy as np
import pytest

from metanas.controller._critic import CountedCritic, ProcessCritic, confidence_bound, log_improvement
from metanas.controller._hamming import HammingGP
from metanas.controller._layout import Layout
from metanas.controller._pool import expected_improvement
from metanas.space import SearchSpace, load_space

ACQUISITIONS = {"improvement": log_improvement(-2.0), "bound": confidence_bound(1.5), "mean": confidence_bound(0.0)}


def _process(space: SearchSpace, n: int = 40) -> tuple[Layout, HammingGP]:
    layout, rng = Layout(space), np.random.default_rng(0)
    rows = space.sample(n, rng)
    targets = layout.encode(rows) @ rng.normal(size=layout.width)
    return layout, HammingGP.fit(rows, targets, layout.lengths)


@pytest.mark.parametrize("name", ["darts", "mobile", "hierarchical", "text_encoder"])
@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_gradient_and_rows_agree(name: str, acquisition: str) -> None:
    space = load_space(name)
    layout, process = _process(space)
    critic = ProcessCritic(process, layout, ACQUISITIONS[acquisition])
    rng = np.random.default_rng(1)
    rows = space.sample(6, rng)
    encoded = layout.encode(rows)
    np.testing.assert_allclose(critic.value_and_gradient(encoded)[0], critic.value(rows), atol=1e-9)
    relaxed = 0.8 * encoded + 0.2 * layout.encode(space.sample(6, rng))
    _, gradient = critic.value_and_gradient(relaxed)
    direction = rng.normal(size=relaxed.shape)
    ahead, behind = (critic.value_and_gradient(relaxed + step * direction)[0] for step in (1e-6, -1e-6))
    np.testing.assert_allclose((gradient * direction).sum(axis=1), (ahead - behind) / 2e-6, rtol=1e-4, atol=1e-6)


def test_log_improvement_is_its_logarithm_and_goes_on_where_that_vanishes() -> None:
    mean, deviation = np.linspace(-3, 8, 50), np.full(50, 0.7)
    value, by_mean, by_deviation = log_improvement(0.0)(mean, deviation)
    np.testing.assert_allclose(value, np.log(expected_improvement(mean, deviation, 0.0)), rtol=1e-5)
    far = np.array([20.0, 40.0, 400.0, 4e4])
    value, by_mean, by_deviation = log_improvement(0.0)(far, np.ones(4))
    # log phi(z) - 2 log |z|, the first term of the series.
    np.testing.assert_allclose(value, -0.5 * far**2 - 0.5 * math.log(2 * math.pi) - 2 * np.log(far), rtol=1e-4)
    assert (by_mean < 0).all()
    np.testing.assert_allclose(by_mean, -far, rtol=0.01)
    assert (by_deviation > 0).all()


def test_a_believed_row_promises_less() -> None:
    space = load_space("darts")
    layout, process = _process(space)
    critic = ProcessCritic(process, layout, log_improvement(-2.0))
    row = space.sample(1, np.random.default_rng(2))
    near = space.neighbours(row[0], np.random.default_rng(3))
    believing = critic.believing(row)
    assert believing.value(row)[0] < critic.value(row)[0]
    assert (believing.value(near) < critic.value(near)).all()
    np.testing.assert_allclose(believing.process.predict(near)[0], process.predict(near)[0], atol=1e-9)


def test_more_targets_are_as_if_they_had_been_there() -> None:
    space = load_space("mobile")
    _, process = _process(space)
    rng = np.random.default_rng(4)
    rows, targets, at = space.sample(5, rng), rng.normal(size=5), space.sample(20, rng)
    one_by_one = process
    for row, target in zip(rows, targets, strict=True):
        one_by_one = one_by_one.given(row[None], np.array([target]))
    together = process.given(rows, targets)
    for a, b in zip(one_by_one.predict(at), together.predict(at), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7)


def test_a_range_is_ordered(ranges: SearchSpace) -> None:
    layout, rng = Layout(ranges), np.random.default_rng(5)
    rows = ranges.sample(60, rng)
    targets = np.abs(rows[:, 1] - 700) / 500 + 0.1 * rows[:, 0]
    at = ranges.sample(200, rng)
    true = np.abs(at[:, 1] - 700) / 500 + 0.1 * at[:, 0]
    ordered, plain = (HammingGP.fit(rows, targets, lengths).predict(at)[0] for lengths in (layout.lengths, None))
    assert np.corrcoef(ordered, true)[0, 1] > 0.95
    assert np.corrcoef(ordered, true)[0, 1] > np.corrcoef(plain, true)[0, 1]


def test_calls_are_counted() -> None:
    space = load_space("darts")
    layout, process = _process(space)
    critic = CountedCritic(ProcessCritic(process, layout, log_improvement(0.0)))
    rows = space.sample(7, np.random.default_rng(6))
    critic.value(rows)
    critic.value_and_gradient(layout.encode(rows[:3]))
    assert critic.calls == 7 + 2 * 3
