"""Critics: what says how good rows are, and in which direction they get better.

A critic values rows ``(n, d)``. A differentiable one values relaxed rows ``(n, w)``, too (:class:`Layout`), and returns
the gradient; at rows of the space both agree. Both count what they are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.special import log_ndtr, ndtr

from metanas.controller._hamming import HammingGP
from metanas.controller._layout import Layout
from metanas.space import Rows

Floats = npt.NDArray[np.float64]


@runtime_checkable
class Critic(Protocol):
    """Values rows; more is better."""

    def value(self, rows: Rows) -> Floats:
        """Values ``(n,)`` of rows ``(n, d)``."""


@runtime_checkable
class DifferentiableCritic(Critic, Protocol):
    """Values relaxed rows, too."""

    def value_and_gradient(self, relaxed: Floats) -> tuple[Floats, Floats]:
        """Values ``(n,)`` of relaxed rows ``(n, w)``, and the gradient ``(n, w)`` of each."""


class CountedCritic:
    """A critic, and how often it was asked."""

    def __init__(self, critic: DifferentiableCritic) -> None:
        self.critic = critic
        self.calls = 0
        """Rows valued, and twice the relaxed rows whose gradient was taken: forward and backward."""

    def value(self, rows: Rows) -> Floats:
        """See :class:`Critic`."""
        self.calls += len(rows)
        return self.critic.value(rows)

    def value_and_gradient(self, relaxed: Floats) -> tuple[Floats, Floats]:
        """See :class:`DifferentiableCritic`."""
        self.calls += 2 * len(relaxed)
        return self.critic.value_and_gradient(relaxed)


_LEAST = 1e-6
"""Least standard deviation, in units of the targets'."""

Acquisition = Callable[[Floats, Floats], tuple[Floats, Floats, Floats]]
"""From means and standard deviations ``(n,)`` of a loss to a value, and its derivatives by both."""


def log_improvement(best: float) -> Acquisition:
    """Logarithm of the expected improvement on ``best``: the same order, and a slope where the improvement vanishes.

    Ament et al. 2023, *Unexpected Improvements to Expected Improvement for Bayesian Optimization*, equation 9; here with
    ``h(z) = phi(z) + z Phi(z) = phi(z) (1 - |z| r(z))`` for ``z < 0``, ``r`` Mills' ratio, and its series far out.
    """

    def value(mean: Floats, deviation: Floats) -> tuple[Floats, Floats, Floats]:
        z = (best - mean) / deviation
        log_density = -0.5 * z * z - 0.5 * np.log(2 * np.pi)
        low = np.minimum(z, -1.0)
        ratio = np.exp(log_ndtr(low) + 0.5 * low * low + 0.5 * np.log(2 * np.pi))
        # 1 - |z| r(z) loses all its digits far out, where it is 1/z^2 - 3/z^4 + 15/z^6.
        far = low < -30.0
        lost = np.where(far, (1 - 3 / low**2 + 15 / low**4) / low**2, 1 + low * ratio)
        near = np.where(z < -1.0, 1.0, np.exp(log_density) + z * ndtr(z))
        log_h = np.where(z < -1.0, log_density + np.log(np.where(far | (lost > 0), lost, 1.0)), np.log(near))
        by_z = np.exp(log_ndtr(z) - log_h)
        by_deviation = np.exp(log_density - log_h) / deviation
        return np.log(deviation) + log_h, -by_z / deviation, by_deviation

    return value


def confidence_bound(width: float) -> Acquisition:
    """How low a loss may be: ``width`` deviations below its mean (Srinivas et al. 2010, GP-UCB); 0 for the mean alone."""

    def value(mean: Floats, deviation: Floats) -> tuple[Floats, Floats, Floats]:
        one = np.ones_like(mean)
        return width * deviation - mean, -one, width * one

    return value


@dataclass(frozen=True, eq=False)
class ProcessCritic:
    """The acquisition value under a Gaussian process of losses, with its gradient in closed form."""

    process: HammingGP
    """The belief about losses."""
    layout: Layout
    """Of the space's columns."""
    acquisition: Acquisition
    """Of mean and deviation."""

    def value(self, rows: Rows) -> Floats:
        """See :class:`Critic`."""
        return self._valued(self.layout.encode(rows))[0]

    def value_and_gradient(self, relaxed: Floats) -> tuple[Floats, Floats]:
        """See :class:`DifferentiableCritic`.

        With ``k = exp(log s - c - P A)``, ``mean = k . alpha`` and ``variance = s - k . beta``, ``beta = K^-1 k``, the
        gradients by ``P`` are ``-(k alpha) A^T`` and ``2 (k beta) A^T``.
        """
        p = self.process
        value, by_mean, by_deviation, k, white, deviation = self._valued(relaxed)
        by_variance = by_deviation * p.spread / (2 * deviation)
        # The least deviation has no slope.
        by_variance[deviation <= _LEAST] = 0.0
        by_k = by_mean[:, None] * p.spread * p.alpha - 2 * by_variance[:, None] * (white @ self._whitening)
        return value, -(by_k * k) @ self._linear[0].T

    def _valued(self, relaxed: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
        """Values, derivatives by mean and deviation, kernels, ``L^-1 k``, and standardised deviations."""
        p, (slopes, constant) = self.process, self._linear
        k = np.exp(p.theta[-2] - constant - relaxed @ slopes)
        white = k @ self._whitening.T
        variance = np.exp(p.theta[-2]) - np.einsum("mn,mn->m", white, white)
        deviation = np.sqrt(np.maximum(variance, _LEAST**2))
        value, by_mean, by_deviation = self.acquisition(p.offset + p.spread * (k @ p.alpha), p.spread * deviation)
        return value, by_mean, by_deviation, k, white, deviation

    @cached_property
    def _linear(self) -> tuple[Floats, Floats]:
        return self.process.linear(self.layout)

    @cached_property
    def _whitening(self) -> Floats:
        """The inverse of the covariance's factor: rows are many, so a product is cheaper than solving for each."""
        return np.asarray(solve_triangular(self.process.factor, np.eye(len(self.process.rows)), lower=True))

    def believing(self, rows: Rows) -> ProcessCritic:
        """The critic when rows ``(m, d)`` have come to what is expected of them (the kriging believer of Ginsbourger et
        al. 2010): their surroundings promise less.
        """
        mean, _ = self.process.predict(rows)
        return ProcessCritic(self.process.given(rows, mean), self.layout, self.acquisition)
