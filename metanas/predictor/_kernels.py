"""Sums of simple kernels over blocks of features, their scales, and the likelihood of values under them.

Notation. A *block* is an array ``(n, d)`` of features. ``k(x, x') = sum_b s_b k_b(x_b, x'_b)`` over blocks b with
``k_b`` either linear, ``x . x'``, or Matérn 5/2, ``(1 + r + r^2/3) exp(-r)`` with ``r = sqrt(5) |x - x'| / l_b``
(Rasmussen & Williams 2006, *Gaussian Processes for Machine Learning*, equation 4.17). ``theta`` holds the logarithms
of all ``s_b`` and ``l_b`` in the order of the blocks, and of the noise's variance last. The likelihood and its
gradient are their equations 2.30 and 5.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

Array = npt.NDArray[Any]

LINEAR, MATERN = "linear", "matern"
JITTER = 1e-6
"""Added to the diagonal, in units of a standardised target's variance."""
_LOWEST, _HIGHEST = -8.0, 4.0
"""Bounds of log scales: beyond them a part is off, or the matrix is singular in double precision."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A sum of kernels, one a block."""

    kinds: tuple[str, ...]
    """``linear`` or ``matern`` for each block."""

    @property
    def n_scales(self) -> int:
        """Length of ``theta``."""
        return sum(1 + (kind == MATERN) for kind in self.kinds) + 1

    def products(self, a: Sequence[Array], b: Sequence[Array]) -> list[Array]:
        """What each part needs of the pairs, ``(n, m)``: inner products, or squared distances."""
        return [product(kind, x, y) for kind, x, y in zip(self.kinds, a, b, strict=True)]

    def diagonal(self, theta: Array, blocks: Sequence[Array]) -> Array:
        """``k(x, x)`` of each point, ``(n,)``."""
        total = np.zeros(len(blocks[0]))
        for kind, i, x in zip(self.kinds, self._starts(), blocks, strict=True):
            total += np.exp(theta[i]) * (squared_norms(x) if kind == LINEAR else 1.0)
        return total

    def __call__(self, theta: Array, products: Sequence[Array]) -> Array:
        """Values of the kernel from :meth:`products`, in their precision."""
        total: Array | None = None
        for kind, i, p in zip(self.kinds, self._starts(), products, strict=True):
            if kind == LINEAR:
                part = p * p.dtype.type(np.exp(theta[i]))
            else:
                r = np.sqrt(p * p.dtype.type(5 * np.exp(-2 * theta[i + 1])))
                part = (1 + r + r * r / 3) * np.exp(p.dtype.type(theta[i]) - r)
            total = part if total is None else total + part
        assert total is not None
        return total

    def loss(
        self, theta: Array, products: Sequence[Array], values: Array, noise: Array | float = 1.0
    ) -> tuple[float, Array]:
        """Negative log likelihood of values ``(n,)`` of mean zero, and its gradient; ``noise`` multiplies the noise's variance."""
        matrices, gradients = [], []
        for kind, i, p in zip(self.kinds, self._starts(), products, strict=True):
            if kind == LINEAR:
                matrices.append(p * np.exp(theta[i]))
                gradients.append(matrices[-1])
            else:
                r = np.sqrt(5 * p) * np.exp(-theta[i + 1])
                decay = np.exp(theta[i] - r)
                matrices.append((1 + r + r * r / 3) * decay)
                gradients += [matrices[-1], decay * r * r * (1 + r) / 3]
        n = len(values)
        variance = np.exp(theta[-1]) * np.broadcast_to(noise, (n,))
        matrix = sum(matrices) + np.diag(variance + JITTER)
        try:
            factor = cho_factor(matrix, lower=True)
        except np.linalg.LinAlgError:
            return 1e8, np.zeros(self.n_scales)
        alpha = cho_solve(factor, values)
        weights = cho_solve(factor, np.eye(n)) - np.outer(alpha, alpha)
        gradient = [0.5 * float((weights * g).sum()) for g in gradients]
        gradient.append(0.5 * float(np.diag(weights) @ variance))
        loss = 0.5 * values @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * n * np.log(2 * np.pi)
        return float(loss), np.array(gradient)

    def fit(
        self, tasks: Sequence[tuple[Sequence[Array], Array]], start: Array, *, precision: float, iterations: int = 30
    ) -> Array:
        """Scales that make the values of all tasks likely; a normal prior of this precision lies around ``start``."""

        def total(theta: Array) -> tuple[float, Array]:
            loss = 0.5 * precision * float(((theta - start) ** 2).sum())
            gradient = precision * (theta - start)
            for products, values in tasks:
                one, slope = self.loss(theta, products, values)
                loss += one
                gradient = gradient + slope
            return loss, gradient

        bounds = [(min(_LOWEST, s), max(_HIGHEST, s)) for s in start]
        options = {"maxiter": iterations}
        found: Array = minimize(total, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
        return found

    def _starts(self) -> list[int]:
        starts, k = [], 0
        for kind in self.kinds:
            starts.append(k)
            k += 1 + (kind == MATERN)
        return starts


def product(kind: str, a: Array, b: Array, norms: Array | None = None) -> Array:
    """What a kernel of this kind needs of the pairs, ``(n, m)``; ``norms`` of ``a`` as in :func:`squared`."""
    return a @ b.T if kind == LINEAR else squared(a, b, norms)


def squared_norms(a: Array) -> Array:
    """Squared norms ``(n,)`` of points ``(n, d)``."""
    return np.asarray(np.einsum("nd,nd->n", a, a))


def squared(a: Array, b: Array, norms: Array | None = None) -> Array:
    """Squared distances ``(n, m)`` of points ``(n, d)`` and ``(m, d)``; ``norms`` are the squared ones of ``a``, where known."""
    d = a @ b.T
    d *= -2
    d += squared_norms(b)
    d += (squared_norms(a) if norms is None else norms)[:, None]
    np.maximum(d, 0, out=d)
    return d
