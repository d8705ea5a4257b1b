"""A distribution over rows: against the enumeration of a space with recursion, and finite differences."""

from dataclasses import replace

import numpy as np
import pytest

from metanas.controller._policy import Policy
from metanas.errors import MetanasError
from metanas.space import Rows, SearchSpace


def _any_policy(space: SearchSpace, seed: int = 0) -> Policy:
    policy = Policy.prior(space)
    return replace(policy, parameters=np.random.default_rng(seed).normal(size=len(policy.parameters)))


def _enumerated(policy: Policy) -> tuple[Rows, np.ndarray]:
    rows = policy.layout.space.rows(1000)
    return rows, np.exp(policy.log_probability(rows))


def _check_gradient(policy: Policy, gradient: np.ndarray, value: object) -> None:
    direction = np.random.default_rng(9).normal(size=len(policy.parameters))
    ahead, behind = (
        value(replace(policy, parameters=policy.parameters + step * direction))  # type: ignore[operator]
        for step in (1e-6, -1e-6)
    )
    assert gradient @ direction == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-8)


def test_rows_are_drawn_with_their_probabilities(nested: SearchSpace) -> None:
    policy = _any_policy(nested)
    rows, probability = _enumerated(policy)
    assert probability.sum() == pytest.approx(1)
    drawn = policy.sample(20_000, np.random.default_rng(1))
    assert (nested.active(drawn) == (drawn >= 0)).all()
    place = {row.tobytes(): i for i, row in enumerate(rows)}
    counts = np.bincount([place[row.tobytes()] for row in drawn], minlength=len(rows))
    assert np.abs(counts / 20_000 - probability).max() < 0.012


def test_the_prior_is_the_space_s_own(nested: SearchSpace) -> None:
    policy = Policy.prior(nested)
    column = nested.columns["first.leaf.kernel"]
    start = policy.layout.starts[column]
    np.testing.assert_allclose(policy.shares[start : start + 3], [0.5, 0.25, 0.25])


def test_inactive_decisions_have_no_gradient(nested: SearchSpace) -> None:
    policy = _any_policy(nested)
    rows = policy.sample(100, np.random.default_rng(2))
    score = policy.score(rows)
    inactive = (rows < 0)[:, policy.layout.owner]
    assert inactive.any()
    assert (score[inactive] == 0).all()
    one = rows[:1]
    _check_gradient(policy, policy.layout.by_parameters(policy.score(one)[0]), lambda p: p.log_probability(one)[0])
    mass, pull = policy.relaxed(1, 0.5, np.random.default_rng(3), hard=True)
    gradient = pull(np.random.default_rng(4).normal(size=mass.shape))
    # A conditional decision under one that is inactive itself is reached by no gradient, straight through or not.
    row = policy.layout.decode(mass)[0]
    parents = [{p for clause in d.when for p, _ in clause} for d in nested.decisions]
    unreached = [j for j, of in enumerate(parents) if any(row[p] < 0 for p in of)]
    assert unreached
    assert (gradient[np.isin(policy.layout.parameter_owner, unreached)] == 0).all()


def test_entropy_and_divergence_are_those_of_all_rows(nested: SearchSpace) -> None:
    policy, other = _any_policy(nested), _any_policy(nested, 1)
    _, p = _enumerated(policy)
    _, q = _enumerated(other)
    value, gradient = policy.entropy()
    assert value == pytest.approx(-(p @ np.log(p)))
    _check_gradient(policy, gradient, lambda at: at.entropy()[0])
    value, gradient = policy.divergence(other)
    assert value == pytest.approx(p @ (np.log(p) - np.log(q)))
    _check_gradient(policy, gradient, lambda at: at.divergence(other)[0])
    assert policy.divergence(policy)[0] == pytest.approx(0, abs=1e-12)


def test_leave_one_out_is_unbiased(nested: SearchSpace) -> None:
    policy = _any_policy(nested)
    rows, p = _enumerated(policy)
    values = np.random.default_rng(4).normal(size=len(rows)) + 5
    exact = policy.layout.by_parameters((p * values) @ policy.score(rows))
    _check_gradient(policy, exact, lambda at: float(np.exp(at.log_probability(rows)) @ values))
    # Its expectation over all pairs of rows.
    expected = np.zeros_like(exact)
    likely = np.argsort(-p)[:60]
    weight = p[likely] / p[likely].sum()
    for i, a in enumerate(likely):
        for j, b in enumerate(likely):
            expected += weight[i] * weight[j] * policy.leave_one_out(rows[[a, b]], values[[a, b]])
    score = policy.score(rows[likely])
    truncated = policy.layout.by_parameters(
        (weight * (values[likely] - weight @ values[likely])) @ (score - weight @ score)
    )
    np.testing.assert_allclose(expected, truncated, atol=1e-12)
    # What is left out is the rows that are next to never drawn: by sampling.
    rng = np.random.default_rng(5)
    place = {row.tobytes(): i for i, row in enumerate(rows)}
    estimates = []
    for _ in range(2000):
        drawn = policy.sample(4, rng)
        estimates.append(policy.leave_one_out(drawn, values[[place[row.tobytes()] for row in drawn]]))
    error = np.std(estimates, axis=0) / np.sqrt(len(estimates))
    assert (np.abs(np.mean(estimates, axis=0) - exact) < 5 * error + 1e-12).all()
    with pytest.raises(MetanasError, match="two rows"):
        policy.leave_one_out(rows[:1], values[:1])


def test_relaxed_samples_have_the_gradient_of_their_values(nested: SearchSpace, ranges: SearchSpace) -> None:
    for space in (nested, ranges):
        policy = _any_policy(space)
        weights = np.random.default_rng(6).normal(size=policy.layout.width)

        def value(at: Policy, weights: np.ndarray = weights) -> float:
            mass, _ = at.relaxed(5, 0.7, np.random.default_rng(7), hard=False)
            return float(np.square(mass @ weights).mean())

        mass, pull = policy.relaxed(5, 0.7, np.random.default_rng(7), hard=False)
        _check_gradient(policy, pull(2 * (mass @ weights)[:, None] * weights), value)
        mass, pull = policy.mean_row()
        _check_gradient(
            policy,
            pull(2 * (mass @ weights)[:, None] * weights),
            lambda at, weights=weights: float(np.square(at.mean_row()[0] @ weights).mean()),
        )


def test_hard_samples_are_rows_and_cold_ones_nearly(nested: SearchSpace) -> None:
    policy = _any_policy(nested)
    mass, _ = policy.relaxed(50, 1.0, np.random.default_rng(8), hard=True)
    rows = policy.layout.decode(mass)
    assert (policy.layout.encode(rows) == mass).all()
    assert (nested.active(rows) == (rows >= 0)).all()
    cold, _ = policy.relaxed(50, 1e-3, np.random.default_rng(8), hard=False)
    assert np.abs(cold - mass).max() < 0.05


def test_a_policy_is_learned_from_good_rows(nested: SearchSpace, ranges: SearchSpace) -> None:
    rows = nested.rows(1000)
    good = rows[(rows[:, 0] == 1) & (rows[:, nested.columns["tail.times"]] == 2)]
    policy = Policy.prior(nested).learned(good, strength=2.0)
    drawn = policy.sample(500, np.random.default_rng(10))
    assert (drawn[:, 0] == 1).mean() > 0.9
    weighted = Policy.prior(nested).learned(rows, (rows[:, 0] == 1).astype(float))
    assert weighted.shares[1] > 0.9
    # Nothing was seen of what is inactive in all of them: it stays as it was.
    column = int(policy.layout.starts[nested.columns["first.leaf.kernel"]])
    np.testing.assert_allclose(policy.shares[column : column + 3], [0.5, 0.25, 0.25])
    near = np.array([[0, 700, 20, 1], [0, 720, 22, 1], [0, 680, 19, 1]])
    drawn = Policy.prior(ranges).learned(near, strength=0.1).sample(500, np.random.default_rng(11))
    assert (np.abs(drawn[:, 1] - 700) < 150).mean() > 0.9
    with pytest.raises(MetanasError, match="each decision"):
        policy.learned(rows[:, :3])
