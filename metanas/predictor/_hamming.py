"""A Gaussian process on decisions alone: what is commonly used without sources, and the baseline for all that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Array = npt.NDArray[Any]

_MOST = 400
"""Results that are used, the best half and the latest: the cost grows with the cube."""
_START = (-1.0, -2.0)
"""Logarithms of each decision's weight and of the noise's variance, where the prior has its centre."""
_PRECISION = 0.5


@dataclass(frozen=True)
class HammingGP:
    """Covariance ``exp(-sum of weights of the decisions that differ)``, weights by maximum a posteriori likelihood."""

    rows: Array
    """Rows ``(n, d)`` of the results; −1 where a decision is inactive."""
    centre: float
    """Mean of the targets."""
    spread: float
    """Standard deviation of the targets, the scale of the process."""
    decay: Array
    """Weight of each decision, ``(d,)``."""
    noise: float
    """Variance of the noise in units of the process's."""
    _factor: Array
    _weights: Array

    @classmethod
    def fit(cls, rows: Array, targets: Array) -> HammingGP:
        """From rows ``(n, d)`` and finite targets ``(n,)``, n at least 1."""
        if len(rows) > _MOST:
            best = np.argsort(targets, kind="stable")[: _MOST // 2]
            used = np.unique(np.concatenate([best, np.arange(len(rows) - _MOST // 2, len(rows))]))
            rows, targets = rows[used], targets[used]
        centre, spread = float(targets.mean()), float(targets.std()) or 1.0
        values = (targets - centre) / spread
        differs = (rows[:, None, :] != rows[None]).astype(np.float64)
        n, d = rows.shape
        start = np.array([_START[0]] * d + [_START[1]])

        def loss(theta: Array) -> tuple[float, Array]:
            decay, noise = np.exp(theta[:-1]), np.exp(theta[-1])
            matrix = np.exp(-differs @ decay)
            try:
                factor = cho_factor(matrix + noise * np.eye(n), lower=True)
            except np.linalg.LinAlgError:
                return 1e8, np.zeros(d + 1)
            alpha = cho_solve(factor, values)
            slope = cho_solve(factor, np.eye(n)) - np.outer(alpha, alpha)
            away = theta - start
            value = 0.5 * values @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * _PRECISION * away @ away
            gradient = np.append(
                -0.5 * np.einsum("ij,ijd->d", slope * matrix, differs) * decay, 0.5 * noise * np.trace(slope)
            )
            return float(value), gradient + _PRECISION * away

        theta = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=[(-7, 3)] * (d + 1), options={"maxiter": 30}
        ).x
        decay, noise = np.exp(theta[:-1]), float(np.exp(theta[-1]))
        factor = np.linalg.cholesky(np.exp(-differs @ decay) + (noise + 1e-8) * np.eye(n))
        return cls(rows, centre, spread, decay, noise, factor, cho_solve((factor, True), values))

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the latent function at rows ``(m, d)``, in the targets' unit."""
        distance = np.zeros((len(rows), len(self.rows)))
        for column, decay in enumerate(self.decay):
            distance += decay * (rows[:, column][:, None] != self.rows[:, column][None])
        covariance = np.exp(-distance)
        reduced = solve_triangular(self._factor, covariance.T, lower=True)
        std = np.sqrt(np.maximum(1 - (reduced**2).sum(axis=0), 1e-12))
        return self.centre + self.spread * (covariance @ self._weights), self.spread * std
