"""The parts that a target's model is made of: what the sources say, and plain encodings, as blocks for a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.predictor._kernels import LINEAR, MATERN, Kernel
from metanas.predictor._source import weighed

Array = npt.NDArray[Any]

TRANSFER = Kernel((LINEAR, LINEAR, LINEAR, MATERN, MATERN))
"""Constant, average of the sources, each source's deviation from it, all sources' scores, features by their relevance."""
PLAIN = Kernel((LINEAR, MATERN))
"""Constant, features by their relevance to the sources."""
UNTAUGHT = Kernel((LINEAR, MATERN, MATERN))
"""Constant, decisions, structure."""
TRANSFER_START = np.array([-2.5, -2.7, -1.5, -1.8, -0.8, -0.8, -0.2, -3.0])
PLAIN_START = np.array([-2.5, 0.0, 0.0, -3.0])
UNTAUGHT_START = np.array([-2.0, -0.5, 0.2, -0.4, 0.1, -2.8])
"""Scales that suit both benchmarks, where there are too few sources to learn them from."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Of some networks, under some sources."""

    average: Array
    """Weighted mean of the sources' scores, standardised, ``(n,)``; empty without sources."""
    transfer: tuple[Array, ...]
    """The blocks for :data:`TRANSFER`; empty without sources."""
    untaught: tuple[Array, ...]
    """Those for :data:`UNTAUGHT`."""

    @property
    def plain(self) -> tuple[Array, ...]:
        """Those for :data:`PLAIN`; empty without sources."""
        return (self.transfer[0], self.transfer[-1]) if self.transfer else ()


def make_parts(encoded: Sequence[Array], scores: Array, weights: Array, spread: float, relevance: Array) -> Parts:
    """From encodings ``(n, d)``, sources' scores ``(m, n)`` and weights ``(m,)`` that sum to 1.

    ``spread`` is the standard deviation of the weighted mean over the space, and ``relevance`` ``(d,)`` what the features of
    both encodings are worth.
    """
    n = len(encoded[0])
    one = np.ones((n, 1), dtype=np.float32)
    decisions, structure = (np.asarray(block, dtype=np.float32) for block in encoded)
    untaught = one, decisions, structure
    if not len(scores):
        return Parts(np.zeros(0), (), untaught)
    mean = weights @ scores
    average = mean / max(spread, 1e-6)
    root = np.sqrt(len(scores))
    deviations = np.ascontiguousarray(((scores - mean) / root).T, dtype=np.float32)
    each = np.ascontiguousarray((scores / root).T, dtype=np.float32)
    features = weighed((decisions, structure), relevance)
    transfer = (one, average[:, None].astype(np.float32), deviations, each, features)
    return Parts(average, transfer, untaught)


def similarity_weights(
    facts: Mapping[str, float], others: Sequence[Mapping[str, float]], length: float | None
) -> Array:
    """A weight for each source, summing to 1: more for data sets with facts like the target's.

    ``exp(-d^2 / (2 length^2))`` with the distance over the facts that all of them know, each standardised over the
    sources, in logarithms where positive. Equal weights without a length, or without facts.
    """
    equal = np.full(len(others), 1 / max(len(others), 1))
    shared = sorted(set(facts).intersection(*others)) if others else []
    if length is None or not shared or len(others) < 2:
        return equal
    table = np.array([[_scaled(f[name]) for name in shared] for f in (*others, facts)])
    spread = table[:-1].std(axis=0)
    varied = spread > 0
    if not varied.any():
        return equal
    table = table[:, varied] / spread[varied]
    distance = ((table[:-1] - table[-1]) ** 2).sum(axis=1)
    weights = np.exp(-0.5 * (distance - distance.min()) / length**2)
    return np.asarray(weights / weights.sum())


def _scaled(value: float) -> float:
    return float(np.sign(value) * np.log1p(abs(value)))
