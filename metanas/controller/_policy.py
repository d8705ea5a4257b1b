"""A policy: a distribution over the rows of a space, by logits over its table of decisions.

Decisions are drawn in order, each by the softmax of its logits, and count where they are active; so the probability of
a row is that of its active decisions, and an inactive one gets no gradient. Recursion is bounded by the table itself:
it ends where the space's ``depth`` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from metanas.controller._layout import Layout
from metanas.errors import MetanasError
from metanas.space import Rows, SearchSpace

Floats = npt.NDArray[np.float64]

_STRENGTH = 1.0
"""Rows that the start of a learned policy is worth."""


@dataclass(frozen=True, eq=False)
class Policy:
    """See :meth:`prior` and :meth:`learned`."""

    layout: Layout
    """Columns of the space's decisions."""
    parameters: Floats
    """Of the logits, ``(p,)``: see :meth:`Layout.logits`."""

    @classmethod
    def prior(cls, space: SearchSpace) -> Policy:
        """By the space's own weights (``prior:``), all values alike without them."""
        layout = Layout(space)
        logits = np.zeros(layout.width)
        for start, decision in zip(layout.starts, space.decisions, strict=True):
            if decision.prior:
                logits[start : start + decision.size] = decision.log_prior
        return cls(layout, layout.parameters_of(logits))

    def learned(self, rows: Rows, weights: Floats | None = None, *, strength: float = _STRENGTH) -> Policy:
        """The policy that rows ``(n, d)`` with weights ``(n,)`` suggest, as good ones of other data sets or of this one.

        Shares of the values among the active, with this policy as ``strength`` rows more (a Dirichlet prior on each
        decision). In a long range a row counts for the knots around its value.
        """
        if rows.shape[1:] != (len(self.layout.sizes),):
            raise MetanasError(
                "rows have a value for each decision of the space", found=f"{rows.shape}", where="a policy"
            )
        weights = np.ones(len(rows)) if weights is None else weights
        counted = self.layout.by_parameters(weights @ self.layout.encode(rows))
        owner = self.layout.parameter_owner
        shares = _softmax(self.parameters, owner)
        total = np.bincount(owner, counted, minlength=len(self.layout.sizes))[owner] + strength
        return replace(self, parameters=np.log(np.maximum((counted + strength * shares) / total, 1e-12)))

    @property
    def logits(self) -> Floats:
        """Of each column, ``(w,)``."""
        return self.layout.logits(self.parameters)

    @property
    def shares(self) -> Floats:
        """Probability of each value where its decision is active, ``(w,)``."""
        return _softmax(self.logits, self.layout.owner)

    # --- rows

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` rows ``(n, d)``; the space's constraints are not looked at."""
        noisy = self.logits + rng.gumbel(size=(n, self.layout.width))
        values = self.layout.best_values(noisy)
        return self.layout.complete(values, values)

    def log_probability(self, rows: Rows) -> Floats:
        """Of rows ``(n, d)``, ``(n,)``."""
        return np.asarray(self.layout.encode(rows) @ np.log(self.shares))

    def score(self, rows: Rows) -> Floats:
        """Gradient by the logits ``(n, w)`` of the log probability of each row: 0 for decisions that are inactive."""
        return self.layout.encode(rows) - (rows >= 0)[:, self.layout.owner] * self.shares

    # --- divergences

    def entropy(self) -> tuple[float, Floats]:
        """Of the distribution over rows, and its gradient by the parameters.

        The entropies of decisions, each by its probability to be active: exact where :class:`Layout` is.
        """
        shares = self.shares
        return self._expected(-np.log(np.maximum(shares, 1e-300)))

    def divergence(self, other: Policy) -> tuple[float, Floats]:
        """Kullback-Leibler divergence from ``other`` to this policy, ``E_this[log this - log other]``, and its gradient."""
        tiny = 1e-300
        return self._expected(np.log(np.maximum(self.shares, tiny)) - np.log(np.maximum(other.shares, tiny)))

    def _expected(self, terms: Floats) -> tuple[float, Floats]:
        """``sum_jv a_j y_jv t_jv`` and its gradient, where ``t`` is ``±log y`` plus what does not depend on the policy."""
        shares = self.shares[None]
        mass, activity = self.layout.relax(shares)
        value = float(mass[0] @ terms)
        # The derivative of log y itself adds a constant a column of a decision, which the softmax takes away.
        by_shares = self.layout.pull(shares, mass, activity, terms[None])
        return value, self.layout.by_parameters(_through_softmax(shares, by_shares, self.layout.owner)[0])

    # --- relaxed rows

    def relaxed(
        self, n: int, temperature: float, rng: np.random.Generator, *, hard: bool
    ) -> tuple[Floats, Callable[[Floats], Floats]]:
        """``n`` Gumbel-softmax samples ``(n, w)``, and what takes gradients by them to the mean one by the parameters.

        Jang et al. 2017, *Categorical Reparameterization with Gumbel-Softmax*. With ``hard`` they are rows of the space,
        whose gradient is passed straight through the rounding of each decision (section 2.2 there).
        """
        layout = self.layout
        soft = _softmax((self.logits + rng.gumbel(size=(n, layout.width))) / temperature, layout.owner)
        return self._pulled(soft, layout.encode(layout.best_values(soft)) if hard else soft, temperature)

    def mean_row(self) -> tuple[Floats, Callable[[Floats], Floats]]:
        """The policy's shares as one relaxed row ``(1, w)``, as in DARTS (Liu et al. 2019), and its gradient's way back."""
        return self._pulled(self.shares[None], self.shares[None], 1.0)

    def _pulled(self, soft: Floats, shares: Floats, temperature: float) -> tuple[Floats, Callable[[Floats], Floats]]:
        mass, activity = self.layout.relax(shares)

        def pull(by_mass: Floats) -> Floats:
            by_shares = self.layout.pull(shares, mass, activity, by_mass)
            by_logits = _through_softmax(soft, by_shares, self.layout.owner) / temperature
            return self.layout.by_parameters(by_logits.mean(axis=0))

        return mass, pull

    # --- score function

    def leave_one_out(self, rows: Rows, values: Floats) -> Floats:
        """Unbiased estimate of the gradient by the parameters of the expected value, from values ``(n,)`` of rows drawn.

        Each row's baseline is the mean value of the others (RLOO; Kool et al. 2019, *Buy 4 REINFORCE Samples, Get a
        Baseline for Free!*, equation 8).
        """
        if len(rows) < 2:
            raise MetanasError("a leave-one-out estimate takes two rows or more", found=len(rows), where="a policy")
        advantage = (values - values.mean()) * len(rows) / (len(rows) - 1)
        return self.layout.by_parameters(advantage @ self.score(rows) / len(rows))


def _softmax(logits: Floats, owner: npt.NDArray[np.int64]) -> Floats:
    """Softmax within each decision, along the last axis."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    if not len(starts):
        return logits.copy()
    high = np.maximum.reduceat(logits, starts, axis=-1)[..., owner]
    raised = np.exp(logits - high)
    return np.asarray(raised / np.add.reduceat(raised, starts, axis=-1)[..., owner])


def _through_softmax(shares: Floats, by_shares: Floats, owner: npt.NDArray[np.int64]) -> Floats:
    """Gradient by logits of what has this gradient by their softmax, ``(n, w)``."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    if not len(starts):
        return by_shares.copy()
    mean = np.add.reduceat(shares * by_shares, starts, axis=-1)[..., owner]
    return shares * (by_shares - mean)
