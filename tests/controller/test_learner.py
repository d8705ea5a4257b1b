"""Learning a policy by gradient, with every estimator."""

from dataclasses import replace

import numpy as np
import pytest

from metanas.controller._learner import Learner
from metanas.controller._policy import Policy
from metanas.errors import MetanasError
from metanas.space import Rows, SearchSpace


class Linear:
    """A critic whose values are sums over the values of decisions."""

    def __init__(self, policy: Policy) -> None:
        self.weights = np.random.default_rng(0).normal(size=policy.layout.width)
        self.layout = policy.layout

    def value(self, rows: Rows) -> np.ndarray:
        return np.asarray(self.layout.encode(rows) @ self.weights)

    def value_and_gradient(self, relaxed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return relaxed @ self.weights, np.broadcast_to(self.weights, relaxed.shape)


class Blind:
    """A critic without a gradient."""

    def __init__(self, critic: Linear) -> None:
        self.value = critic.value


@pytest.mark.parametrize("estimator", ["straight-through", "gumbel", "softmax", "leave-one-out"])
def test_learning_raises_the_expected_value(nested: SearchSpace, estimator: str) -> None:
    policy = Policy.prior(nested)
    critic = Linear(policy)
    values = critic.value(nested.rows(1000))
    learner = Learner(estimator=estimator, steps=150, batch=16)  # type: ignore[arg-type]
    given = Blind(critic) if estimator == "leave-one-out" else critic
    learned = learner.learn(policy, given, np.random.default_rng(1))
    drawn = critic.value(learned.sample(200, np.random.default_rng(2)))
    assert drawn.mean() > np.quantile(values, 0.97)
    # The same generator learns the same.
    again = learner.learn(policy, given, np.random.default_rng(1))
    assert (again.parameters == learned.parameters).all()


def test_entropy_and_divergence_hold_it_back(nested: SearchSpace) -> None:
    policy = Policy.prior(nested)
    critic = Linear(policy)
    free = Learner(estimator="softmax", steps=150)
    greedy = free.learn(policy, critic, np.random.default_rng(3))
    curious = replace(free, entropy=1.0).learn(policy, critic, np.random.default_rng(3))
    loyal = replace(free, divergence=3.0).learn(policy, critic, np.random.default_rng(3))
    assert curious.entropy()[0] > greedy.entropy()[0] + 0.5
    assert loyal.divergence(policy)[0] < greedy.divergence(policy)[0] / 2


def test_watching_ends_it(nested: SearchSpace) -> None:
    policy = Policy.prior(nested)
    seen: list[Rows] = []

    def watch(_: Policy, rows: Rows, values: np.ndarray) -> bool:
        assert len(rows) == len(values) == 8
        seen.append(rows)
        return len(seen) < 3

    Learner().learn(policy, Linear(policy), np.random.default_rng(4), watch=watch)
    assert len(seen) == 3
    assert (nested.active(seen[0]) == (seen[0] >= 0)).all()


def test_what_it_cannot_do_is_said(nested: SearchSpace) -> None:
    policy = Policy.prior(nested)
    with pytest.raises(MetanasError, match="needs a critic with a gradient"):
        Learner().learn(policy, Blind(Linear(policy)), np.random.default_rng(5))
    for wrong in ({"batch": 1, "estimator": "leave-one-out"}, {"steps": -1}, {"temperature": (1.0, 0.0)}):
        with pytest.raises(MetanasError, match="a learner takes"):
            Learner(**wrong)  # type: ignore[arg-type]
