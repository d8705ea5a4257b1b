"""A Gaussian process on rows of decisions, with an ARD Hamming kernel.

Notation: ``n`` observations, ``m`` other rows, ``d`` decisions. ``k(x, x') = s exp(-sum_j w_j D_j(x_j, x'_j))`` with a
weight a decision, constant mean, noise ``v``. ``D_j`` is 1 where the values of a choice differ (the exponential of a
weighted overlap kernel, as in Ru et al. 2020, *CoCaBO*, and Wan et al. 2021, *CASMOPOLITAN*, equation 3), for a range
the share of it that lies between both (with which the exponential is an Ornstein-Uhlenbeck kernel), and 1 between
active and inactive. ``theta`` holds ``log w_1 … log w_d, log s, log v``. The likelihood and its gradient are Rasmussen &
Williams 2006, equations 2.30 and 5.9; leave-one-out is their 5.12.

``D_j`` is linear in the shares ``P_jv`` of a relaxed row (:class:`Layout`), so the kernel extends to relaxed rows as
``s exp(-c - P A)`` with ``A (w, n)`` and ``c (n,)`` of the observations: a matrix product, whose gradient is another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.blas import dtrsm
from scipy.optimize import minimize

from metanas.controller._layout import Layout
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
    lengths: Floats
    """Steps between both ends of a range, ``(d,)``; 0 for a choice."""

    @classmethod
    def fit(cls, rows: Rows, targets: Floats, lengths: Floats | None = None) -> HammingGP:
        """Fit to targets ``(n,)`` of rows ``(n, d)`` by maximum a posteriori; without ``lengths`` all are choices."""
        offset, spread = float(targets.mean()), float(targets.std()) or 1.0
        y = (targets - offset) / spread
        d = rows.shape[1]
        lengths = np.zeros(d) if lengths is None else lengths
        differs = np.stack([_differences(rows[:, j], rows[:, j], lengths[j]) for j in range(d)])
        centre = np.array([_PRIORS[0][0]] * d + [_PRIORS[1][0], _PRIORS[2][0]])
        width = np.array([_PRIORS[0][1]] * d + [_PRIORS[1][1], _PRIORS[2][1]])
        bounds = [_BOUNDS[0]] * d + [_BOUNDS[1], _BOUNDS[2]]

        def loss(theta: Floats) -> tuple[float, Floats]:
            value, gradient = _loss(theta, differs, y)
            away = (theta - centre) / width
            return value + 0.5 * float(away @ away), gradient + away / width

        found = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
        theta = np.asarray(found.x)
        matrix = np.exp(theta[-2] - np.tensordot(np.exp(theta[:-2]), differs, axes=1))
        matrix[np.diag_indices(len(rows))] += np.exp(theta[-1]) + _JITTER
        factor = np.tril(cho_factor(matrix, lower=True)[0])
        return cls(rows, theta, offset, spread, factor, cho_solve((factor, True), y), lengths)

    def given(self, rows: Rows, targets: Floats) -> HammingGP:
        """The same process after more targets ``(m,)`` of rows ``(m, d)``; its scales stay as they are."""
        cross = self._kernel(rows)
        own = np.exp(self.theta[-2] - _distance(rows, rows, self.theta, self.lengths))
        own[np.diag_indices(len(rows))] += np.exp(self.theta[-1]) + _JITTER
        explained = solve_triangular(self.factor, cross, lower=True)
        n = len(self.rows)
        factor = np.zeros((n + len(rows), n + len(rows)))
        factor[:n, :n] = self.factor
        factor[n:, :n] = explained.T
        factor[n:, n:] = np.linalg.cholesky(own - explained.T @ explained)
        y = np.concatenate([self._standardised, (targets - self.offset) / self.spread])
        alpha = cho_solve((factor, True), y)
        return replace(self, rows=np.concatenate([self.rows, rows]), factor=factor, alpha=alpha)

    def predict(self, rows: Rows) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(m,)`` of the noiseless targets of rows ``(m, d)``."""
        means, deviations = [], []
        for first in range(0, len(rows), _CHUNK):
            cross = self._kernel(rows[first : first + _CHUNK])
            means.append(cross.T @ self.alpha)
            # ``cross`` whitened; from the right, since that takes arrays as they lie in memory, and a fifth of the time.
            explained = dtrsm(1.0, self.factor.T, cross.T, side=1).T
            variance = np.exp(self.theta[-2]) - np.einsum("nm,nm->m", explained, explained)
            deviations.append(np.sqrt(np.maximum(variance, 1e-12)))
        if not means:
            return np.empty(0), np.empty(0)
        return self.offset + self.spread * np.concatenate(means), self.spread * np.concatenate(deviations)

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(n,)`` of each observation's noisy target given the others."""
        inverse = cho_solve((self.factor, True), np.eye(len(self.rows)))
        precision = np.diag(inverse)
        mean = self._standardised - self.alpha / precision
        return self.offset + self.spread * mean, self.spread / np.sqrt(precision)

    def linear(self, layout: Layout) -> tuple[Floats, Floats]:
        """``A (w, n)`` and ``c (n,)``, of which the covariances of a relaxed row ``P (w,)`` are ``exp(log s - c - P A)``."""
        weights = np.exp(self.theta[:-2])
        known = self.rows >= 0
        slopes = np.empty((layout.width, len(self.rows)))
        for j, (start, size) in enumerate(zip(layout.starts, layout.sizes, strict=True)):
            apart = _differences(np.arange(size), self.rows[:, j], self.lengths[j])
            # An inactive decision has no mass, and is 1 away from an active one.
            slopes[start : start + size] = weights[j] * (apart - known[:, j])
        return slopes, np.asarray(known @ weights, dtype=np.float64)

    @property
    def _standardised(self) -> Floats:
        """The targets it was given, of mean 0 and unit variance, ``(n,)``."""
        return np.asarray(self.factor @ (self.factor.T @ self.alpha))

    def _kernel(self, rows: Rows) -> Floats:
        """Covariances ``(n, m)`` with the observed rows."""
        away = _distance(self.rows, rows, self.theta, self.lengths)
        np.subtract(self.theta[-2], away, out=away)
        return np.exp(away, out=away)


def _distance(a: Rows, b: Rows, theta: Floats, lengths: Floats) -> Floats:
    """Weighted distances ``(n, m)``: of ranges one at a time, so that no ``(n, m, d)`` array is needed."""
    weights = np.exp(theta[:-2])
    choices = lengths == 0
    # Of choices, what is alike is a matrix product of one-hot rows, which is several times quicker than comparing.
    places = [np.unique(np.concatenate([a[:, j], b[:, j]]), return_inverse=True) for j in np.flatnonzero(choices)]
    distance = np.full((len(a), len(b)), weights[choices].sum())
    if places:
        shown = np.concatenate([(at[:, None] == np.arange(len(values))).T for values, at in places]).astype(np.float64)
        scale = np.repeat(weights[choices], [len(values) for values, _ in places])
        distance -= (shown[:, : len(a)] * scale[:, None]).T @ shown[:, len(a) :]
    for column in np.flatnonzero(~choices):
        distance += weights[column] * _differences(a[:, column], b[:, column], lengths[column])
    return distance


def _differences(a: Rows, b: Rows, length: float) -> Floats:
    """``D_j`` of values ``(n,)`` and ``(m,)`` of a decision, ``(n, m)``."""
    if not length:
        return np.asarray(a[:, None] != b[None, :], dtype=np.float64)
    apart = np.abs(a[:, None] - b[None, :]) / length
    return np.where((a[:, None] < 0) != (b[None, :] < 0), 1.0, apart)


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
