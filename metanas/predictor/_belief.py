"""What is believed of a set of candidates after some results: Gaussian processes that disagree, weighed by evidence.

One of them trusts the sources, one knows nothing of them. Each has a posterior in closed form; their weights are
prior times marginal likelihood of the target's own results, so the sources are dropped where they mislead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.predictor._kernels import MATERN, Kernel, product, squared_norms
from metanas.predictor._posterior import Posterior

Array = npt.NDArray[Any]

_COUNTS = 0.001
"""Weight from which on an expert has a say in proposals."""
_BLOCK = 64
"""Observations taken in at once: more need more memory, and are hardly quicker."""


@dataclass(frozen=True, slots=True)
class Expert:
    """One Gaussian process of the mixture, over all candidates."""

    name: str
    """``transfer`` or ``plain``, and the like."""
    kernel: Kernel
    """Its parts."""
    theta: Array
    """Their scales."""
    blocks: tuple[Array, ...]
    """Features of the candidates, ``(N, d)`` each."""
    mean: Array
    """Prior mean of the candidates, ``(N,)``."""
    log_prior: float
    """Log of its weight before any result, up to a constant."""


@dataclass(frozen=True, slots=True)
class Member:
    """What one expert believes, in the unit of the target's own normal scores."""

    name: str
    """Of the expert."""
    weight: float
    """Of the expert."""
    mean: Array
    """Of each candidate, ``(N,)``."""
    std: Array
    """Of the candidate's true score, ``(N,)``."""
    noise: float
    """Standard deviation of one evaluation around it."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """Belief in the unit of the target's own normal scores: high is good."""

    mean: Array
    """Of each candidate, ``(N,)``."""
    std: Array
    """Of the candidate's true score, ``(N,)``, calibrated."""
    noise: float
    """Standard deviation of one evaluation around it."""
    weights: tuple[float, ...]
    """Of the experts, summing to 1."""
    members: tuple[Member, ...] = field(default=(), repr=False)
    """The experts that count."""

    def of(self, member: Member) -> Opinion:
        """What one of them would say alone; not calibrated."""
        alone = replace(member, weight=1.0)
        return Opinion(mean=member.mean, std=member.std, noise=member.noise, weights=(1.0,), members=(alone,))


class Belief:
    """The experts' posteriors, kept up to date one observation at a time."""

    def __init__(self, experts: Sequence[Expert], *, repeatable: float, widen: float = 1.0) -> None:
        self.experts = tuple(experts)
        self.widen = widen
        """Factor of all standard deviations, from calibration on the sources."""
        self._posteriors = [Posterior(e.kernel, e.theta, e.blocks, e.mean, repeatable=repeatable) for e in self.experts]
        # Experts share blocks, and all of a block would be read for each observation.
        apart = {
            id(block): block
            for e in self.experts
            for kind, block in zip(e.kernel.kinds, e.blocks, strict=True)
            if kind == MATERN
        }
        self._norms = {key: squared_norms(block) for key, block in apart.items()}
        """Squared norms of the candidates, by block."""

    @property
    def indices(self) -> list[int]:
        """Which candidate each observation is of."""
        return self._posteriors[0].indices

    def observe(self, indices: Sequence[int], doubts: Sequence[float] | None = None) -> None:
        """Take in that candidates are evaluated; ``doubts`` are variances that evaluations have beside their noise."""
        doubts = [0.0] * len(indices) if doubts is None else doubts
        for start in range(0, len(indices), _BLOCK):
            some = list(indices[start : start + _BLOCK])
            known: dict[tuple[str, int], Array] = {}
            for expert, posterior in zip(self.experts, self._posteriors, strict=True):
                products = []
                for kind, block in zip(expert.kernel.kinds, expert.blocks, strict=True):
                    key = kind, id(block)
                    if key not in known:
                        known[key] = product(kind, block, block[some], self._norms.get(id(block)))
                    products.append(known[key])
                if len(some) == 1:
                    posterior.add(some[0], products, doubts[start])
                else:
                    posterior.add_many(some, products, doubts[start : start + _BLOCK])

    def forget(self) -> None:
        """Undo the last :meth:`observe`."""
        for posterior in self._posteriors:
            posterior.pop()

    def opinion(self, scores: Array) -> Opinion:
        """From the normal scores ``(n,)`` of all observations, in order; NaN for those under way, which come last.

        A candidate under way is believed to come to what it is expected to (Ginsbourger et al. 2010, *Kriging is
        well-suited to parallelize optimization*): its uncertainty is gone, its mean as it was.
        """
        waiting = np.isnan(scores)
        means, variances, evidence, noises = [], [], [], []
        for expert, posterior in zip(self.experts, self._posteriors, strict=True):
            scale, log = posterior.scale(scores, waiting)
            mean = posterior.mean(scores, scale, waiting)
            means.append(mean)
            # In single precision what is known exactly may come out below zero.
            variances.append(np.maximum(posterior.variance, 0) / scale**2)
            noises.append(posterior.noise / scale**2)
            evidence.append(log + expert.log_prior)
        weights = np.exp(np.array(evidence) - max(evidence))
        weights /= weights.sum()
        mean = sum(w * m for w, m in zip(weights, means, strict=True))
        square = sum(w * (v + (m - mean) ** 2) for w, m, v in zip(weights, means, variances, strict=True))
        return Opinion(
            mean=np.asarray(mean),
            std=self.widen * np.sqrt(square),
            noise=float(np.sqrt(weights @ np.array(noises))),
            weights=tuple(float(w) for w in weights),
            members=tuple(
                Member(expert.name, float(w), np.asarray(m), np.sqrt(v), float(np.sqrt(n)))
                for expert, w, m, v, n in zip(self.experts, weights, means, variances, noises, strict=True)
                if w > _COUNTS
            ),
        )
