"""A Gaussian process on rows of decisions, with an ARD Hamming kernel.

Notation: ``n`` observations, ``m`` other rows, ``d`` decisions. ``k(x, x') = s exp(-sum_j w_j [x_j != x'_j])`` with a
weight a decision (the exponential of a weighted overlap kernel, as in Ru et al. 2020, *CoCaBO*, and Wan et al. 2021,
*CASMOPOLITAN*, equation 3), constant mean, noise ``v``. ``theta`` holds ``log w_1 … log w_d, log s, log v``. The
likelihood and its gradient are Rasmussen & Williams 2006, equations 2.30 and 5.9; leave-one-out is their 5.12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from metanas.space import Rows

Floats = npt.NDArray[np.float64]

_JITTER = 1e-6
_PRIORS = ((-1.5, 1.5), (0.0, 1.0), (-3.0, 1.5))
"""Mean and deviation of the normal priors on log weight, log scale and log noise, for targets of unit variance: a
decision's change leaves ``exp(-0.22)`` of the correlation, and noise is a twentieth of the variance."""
_BOUNDS = ((-7.0, 3.0), (-3.0, 3.0), (-9.0, 1.0))
_STEPS = 40
"""Of the optimiser: from the priors' means it has converged by then."""
_CHUNK = 8192
"""Rows that are predicted at a time, so that memory stays small."""


@dataclass(frozen=True, eq=False)
class HammingGP:
    """A posterior over rows; see :meth:`fit`."""

    rows: Rows
    """``(n, d)``."""
    theta: Floats
    """Logarithms of the kernel's scales, ``(d + 2,)``."""
    offset: float
    """Mean of the targets."""
    spread: float
    """Standard deviation of the targets."""
    factor: Floats
    """Lower Cholesky factor of the noisy kernel matrix, ``(n, n)``."""
    alpha: Floats
    """The matrix's inverse times the standardised targets, ``(n,)``."""

    @classmethod
    def fit(cls, rows: Rows, targets: Floats) -> HammingGP:
        """Fit to targets ``(n,)`` of rows ``(n, d)`` by maximum a posteriori."""
        offset, spread = float(targets.mean()), float(targets.std()) or 1.0
        y = (targets - offset) / spread
        differs = (rows[:, None, :] != rows[None, :, :]).astype(np.float64).transpose(2, 0, 1)
        d = rows.shape[1]
        centre = np.array([_PRIORS[0][0]] * d + [_PRIORS[1][0], _PRIORS[2][0]])
        width = np.array([_PRIORS[0][1]] * d + [_PRIORS[1][1], _PRIORS[2][1]])
        bounds = [_BOUNDS[0]] * d + [_BOUNDS[1], _BOUNDS[2]]

        def loss(theta: Floats) -> tuple[float, Floats]:
            value, gradient = _loss(theta, differs, y)
            away = (theta - centre) / width
            return value + 0.5 * float(away @ away), gradient + away / width

        found = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
        theta = np.asarray(found.x)
        return cls._conditioned(rows, theta, offset, spread, y, differs)

    @classmethod
    def _conditioned(
        cls, rows: Rows, theta: Floats, offset: float, spread: float, y: Floats, differs: Floats
    ) -> HammingGP:
        matrix = np.exp(theta[-2] - np.tensordot(np.exp(theta[:-2]), differs, axes=1))
        matrix[np.diag_indices(len(rows))] += np.exp(theta[-1]) + _JITTER
        factor, _ = cho_factor(matrix, lower=True)
        factor = np.tril(factor)
        return cls(rows, theta, offset, spread, factor, cho_solve((factor, True), y))

    def predict(self, rows: Rows) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(m,)`` of the noiseless targets of rows ``(m, d)``."""
        means, deviations = [], []
        for first in range(0, len(rows), _CHUNK):
            cross = self._kernel(rows[first : first + _CHUNK])
            means.append(cross.T @ self.alpha)
            explained = solve_triangular(self.factor, cross, lower=True)
            variance = np.exp(self.theta[-2]) - np.einsum("nm,nm->m", explained, explained)
            deviations.append(np.sqrt(np.maximum(variance, 1e-12)))
        if not means:
            return np.empty(0), np.empty(0)
        return self.offset + self.spread * np.concatenate(means), self.spread * np.concatenate(deviations)

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(n,)`` of each observation's noisy target given the others."""
        inverse = cho_solve((self.factor, True), np.eye(len(self.rows)))
        precision = np.diag(inverse)
        y = self.factor @ (self.factor.T @ self.alpha)
        mean = y - self.alpha / precision
        return self.offset + self.spread * mean, self.spread / np.sqrt(precision)

    def _kernel(self, rows: Rows) -> Floats:
        """Covariances ``(n, m)`` with the observed rows: a table a decision, so that no ``(n, m, d)`` array is needed."""
        distance = np.zeros((len(self.rows), len(rows)))
        for column, weight in enumerate(np.exp(self.theta[:-2])):
            distance += weight * (self.rows[:, column, None] != rows[None, :, column])
        return np.asarray(np.exp(self.theta[-2] - distance))


def _loss(theta: Floats, differs: Floats, y: Floats) -> tuple[float, Floats]:
    """Negative log likelihood and its gradient; ``differs`` is ``(d, n, n)``."""
    n = len(y)
    weights = np.exp(theta[:-2])
    plain = np.exp(theta[-2] - np.tensordot(weights, differs, axes=1))
    noise = float(np.exp(theta[-1]))
    matrix: Any = plain + (noise + _JITTER) * np.eye(n)
    factor = cho_factor(matrix, lower=True)
    alpha = cho_solve(factor, y)
    slope = cho_solve(factor, np.eye(n)) - np.outer(alpha, alpha)
    value = 0.5 * float(y @ alpha) + float(np.log(np.diag(factor[0])).sum()) + 0.5 * n * np.log(2 * np.pi)
    product = slope * plain
    by_weight = -0.5 * weights * np.tensordot(differs, product, axes=([1, 2], [0, 1]))
    return value, np.concatenate([by_weight, [0.5 * product.sum(), 0.5 * noise * np.trace(slope)]])
