"""Learning a policy by gradient: what a critic says of relaxed rows, or of rows drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from metanas.controller._critic import Critic, DifferentiableCritic
from metanas.controller._policy import Policy
from metanas.errors import MetanasError
from metanas.space import Rows

Floats = npt.NDArray[np.float64]
Estimator = Literal["straight-through", "gumbel", "softmax", "leave-one-out"]
Watch = Callable[[Policy, Rows, Floats], bool]
"""Is shown the policy, and the rows ``(n, d)`` that a step valued with their values; whether to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """Gradient ascent with Adam (Kingma & Ba 2015) on the critic's expected value, plus entropy, minus divergence."""

    estimator: Estimator = "straight-through"
    """Of the gradient: relaxed samples that are hard or soft, the policy's mean row, or rows drawn with a leave-one-out
    baseline, for which the critic needs no gradient."""
    steps: int = 60
    """Of Adam."""
    batch: int = 8
    """Samples a step."""
    rate: float = 0.15
    """Adam's step, in logits."""
    temperature: tuple[float, float] = (1.0, 0.2)
    """Of relaxed samples, at the first and the last step; it falls evenly in its logarithm."""
    entropy: float = 0.0
    """Worth of a nat of entropy."""
    divergence: float = 0.0
    """Cost of a nat of divergence from the policy that learning began with."""

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch < 1 + (self.estimator == "leave-one-out") or min(self.temperature) <= 0:
            raise MetanasError(
                "a learner takes steps, samples (two or more to leave one out) and temperatures above 0",
                found=f"steps {self.steps}, batch {self.batch}, temperature {self.temperature}", where="a learner",
            )  # fmt: skip

    def learn(self, policy: Policy, critic: Critic, rng: np.random.Generator, *, watch: Watch | None = None) -> Policy:
        """The policy after its steps."""
        start, adam = policy, Adam(self.rate, len(policy.parameters))
        for step in range(self.steps):
            share = step / max(self.steps - 1, 1)
            temperature = self.temperature[0] ** (1 - share) * self.temperature[1] ** share
            gradient, rows, values = self._gradient(policy, critic, temperature, rng)
            if self.entropy:
                gradient = gradient + self.entropy * policy.entropy()[1]
            if self.divergence:
                gradient = gradient - self.divergence * policy.divergence(start)[1]
            policy = replace(policy, parameters=policy.parameters + adam.step(gradient))
            if watch is not None and not watch(policy, rows, values):
                break
        return policy

    def _gradient(
        self, policy: Policy, critic: Critic, temperature: float, rng: np.random.Generator
    ) -> tuple[Floats, Rows, Floats]:
        """An estimate of the gradient by the parameters; and the rows that were valued for it."""
        if self.estimator == "leave-one-out":
            rows = policy.sample(self.batch, rng)
            values = critic.value(rows)
            return policy.leave_one_out(rows, values), rows, values
        if not isinstance(critic, DifferentiableCritic):
            raise MetanasError(
                f"{self.estimator} needs a critic with a gradient", remedy="use leave-one-out", where="a learner"
            )
        none = np.empty((0, len(policy.layout.sizes)), dtype=np.int64)
        if self.estimator == "softmax":
            mass, pull = policy.mean_row()
        else:
            mass, pull = policy.relaxed(self.batch, temperature, rng, hard=self.estimator == "straight-through")
        values, slopes = critic.value_and_gradient(mass)
        if self.estimator != "straight-through":
            return pull(slopes), none, np.empty(0)
        return pull(slopes), policy.layout.decode(mass), values


class Adam:
    """Steps upwards."""

    def __init__(self, rate: float, size: int) -> None:
        self.rate = rate
        self._mean, self._square, self._count = np.zeros(size), np.zeros(size), 0

    def step(self, gradient: Floats) -> Floats:
        """What to add to the parameters."""
        self._count += 1
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.99 * self._square + 0.01 * gradient**2
        mean, square = self._mean / (1 - 0.9**self._count), self._square / (1 - 0.99**self._count)
        return self.rate * mean / (np.sqrt(square) + 1e-8)
