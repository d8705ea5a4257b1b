"""What a Gaussian process says of a fixed set of candidates, one observation at a time.

Notation: ``N`` candidates, ``n`` observations of some of them (the same one may be observed repeatedly). With
``K + noise = L L^T`` of the observed, ``V = L^-1 K(observed, all)``, ``(n, N)``. A new observation adds a row to L and to V,
which costs O(n N); nothing is factored anew. The mean is ``m + V^T L^-1 (y - m)``, the variance ``k - sum V^2``
(Rasmussen & Williams 2006, algorithm 2.1).

The variance that features do not explain has two parts: one is the network's own and comes back when it is trained
again (it adds to ``k(x, x)``), the other is the noise of one training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from metanas.predictor._kernels import JITTER, Kernel

Array = npt.NDArray[Any]

_SCALE_COUNT = 6.0
"""How many observations' worth the belief is that normal scores already have the prior's scale."""


class Posterior:
    """One Gaussian process over all candidates, under fixed scales."""

    def __init__(
        self, kernel: Kernel, theta: Array, blocks: Sequence[Array], mean: Array, *, repeatable: float = 0.5
    ) -> None:
        self.kernel = kernel
        self.theta = theta
        self.prior = np.asarray(mean, dtype=np.float64)
        """Prior mean of each candidate, ``(N,)``."""
        unexplained = float(np.exp(theta[-1]))
        self.own = repeatable * unexplained
        """Variance that is a network's own."""
        self.noise = (1 - repeatable) * unexplained
        """Variance of one training."""
        self.variance = kernel.diagonal(theta, blocks) + self.own
        """Of each candidate's true value, ``(N,)``, in the prior's unit."""
        self.indices: list[int] = []
        """Which candidate each observation is of."""
        self._rows = np.empty((16, len(mean)), dtype=np.float32)
        self._factor = np.zeros((16, 16))

    def add(self, index: int, products: Sequence[Array], doubt: float = 0.0) -> None:
        """Observe a candidate, ``doubt`` beside the noise; ``products`` are the kernel's, of all with it, ``(N, 1)`` each."""
        n = len(self.indices)
        self._reserve(n + 1)
        covariance = self.kernel(self.theta, products)[:, 0].astype(np.float32)
        covariance[index] += np.float32(self.own)
        known = self._rows[:n, index].astype(np.float64)
        pivot = math.sqrt(max(float(covariance[index]) + self.noise + doubt + JITTER - float(known @ known), JITTER))
        row = (covariance - known.astype(np.float32) @ self._rows[:n]) / np.float32(pivot)
        self._rows[n] = row
        self._factor[n, :n] = known
        self._factor[n, n] = pivot
        self.variance -= row.astype(np.float64) ** 2
        self.indices.append(index)

    def add_many(self, indices: Sequence[int], products: Sequence[Array], doubts: Sequence[float]) -> None:
        """The same for many at once, ``products`` ``(N, k)`` each: a block of rows of the factor."""
        n, k = len(self.indices), len(indices)
        self._reserve(n + k)
        block = np.ascontiguousarray(self.kernel(self.theta, products).T, dtype=np.float32)
        block[np.arange(k), indices] += np.float32(self.own)
        known = self._rows[:n, indices].T
        inner = block[:, indices].astype(np.float64) - known.astype(np.float64) @ known.T.astype(np.float64)
        inner[np.diag_indices(k)] += self.noise + JITTER + np.asarray(doubts)
        try:
            factor = np.linalg.cholesky((inner + inner.T) / 2)
        except np.linalg.LinAlgError:
            # Nearly equal networks in single precision: one by one, where each pivot is kept from zero.
            for j, index in enumerate(indices):
                self.add(index, [p[:, j : j + 1] for p in products], doubts[j])
            return
        rows = solve_triangular(factor.astype(np.float32), block - known @ self._rows[:n], lower=True, overwrite_b=True)
        self._rows[n : n + k] = rows
        self._factor[n : n + k, :n] = known
        self._factor[n : n + k, n : n + k] = factor
        self.variance -= np.einsum("kn,kn->n", rows, rows)
        self.indices += [int(index) for index in indices]

    def _reserve(self, count: int) -> None:
        while count > len(self._rows):
            n = len(self._rows)
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
            self._factor = np.pad(self._factor, ((0, n), (0, n)))

    def pop(self) -> None:
        """Undo the last :meth:`add`."""
        self.indices.pop()
        self.variance += self._rows[len(self.indices)].astype(np.float64) ** 2

    def scale(self, scores: Array, waiting: Array) -> tuple[float, float]:
        """The factor from scores to the prior's unit that is most likely, and the log evidence of the scores.

        With ``f = s z``: ``(s z - m)^T C (s z - m) / 2 - n log s`` is least where ``s^2 A - s B - n = 0``, with
        ``A = z^T C z`` and ``B = z^T C m``. Observations under way do not count; they come last.
        """
        n = len(self.indices) - int(waiting.sum())
        factor = self._factor[:n, :n]
        z, m = solve_triangular(factor, np.stack([scores[:n], self.prior[self.indices[:n]]], axis=1), lower=True).T
        a, b = z @ z + _SCALE_COUNT, z @ m
        s = (b + np.sqrt(b * b + 4 * a * (n + _SCALE_COUNT))) / (2 * a)
        evidence = -0.5 * float(((s * z - m) ** 2).sum()) - float(np.log(np.diag(factor)).sum()) + n * np.log(s)
        evidence -= 0.5 * _SCALE_COUNT * (s * s - 1 - 2 * np.log(s))
        return float(s), evidence

    def mean(self, scores: Array, scale: float, waiting: Array) -> Array:
        """Posterior mean of each candidate, ``(N,)``, in the scores' unit."""
        n = len(self.indices) - int(waiting.sum())
        if not n:
            return self.prior / scale
        surprise = scale * scores[:n] - self.prior[self.indices[:n]]
        weights = solve_triangular(self._factor[:n, :n], surprise, lower=True)
        return np.asarray((self.prior + weights.astype(np.float32) @ self._rows[:n]) / scale)
