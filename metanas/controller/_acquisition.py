"""What an evaluation is expected to gain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from metanas.predictor import Opinion

Array = npt.NDArray[Any]

_CURIOSITY = 1.0
"""Deviations above the mean. 1/2 and 3/4 are about as good on NAS-Bench-201, and worse on NAS-Bench-Graph."""


def promise(opinion: Opinion) -> Array:
    """An upper confidence bound of each candidate's true score, ``(N,)`` (Srinivas et al. 2010, *Gaussian process
    optimization in the bandit setting*): :data:`_CURIOSITY` deviations above the mean, the experts' disagreement included.
    """
    return np.asarray(opinion.mean + _CURIOSITY * opinion.std)


def shared_promise(opinion: Opinion) -> Array:
    """The mean of the experts' own bounds ``(N,)``, for proposals while others are under way.

    What is under way leaves little doubt about what is good, and where experts disagree most is then what those that know it
    call bad.
    """
    bounds = [member.weight * (member.mean + _CURIOSITY * member.std) for member in opinion.members]
    return np.asarray(np.sum(bounds, axis=0))


def expected_gain(opinion: Opinion, seen: Array) -> Array:
    """How much better the best posterior mean is expected to be after one evaluation of each candidate, ``(N,)``.

    The knowledge gradient (Frazier et al. 2009, *The knowledge-gradient policy for correlated normal beliefs*), with
    the belief about other candidates left as it is: an evaluation moves a mean by a normal step of deviation
    ``std^2 / sqrt(std^2 + noise^2)``, and what it has to beat is the best of ``seen``, for a seen candidate the best of
    the others. Without noise this is expected improvement on the best posterior mean (Jones et al. 1998, equation 15).
    Experts that disagree are each asked, and their answers weighed: one normal distribution over all that they
    believe would take their disagreement for a chance of something better than any of them expects.

    ``seen`` names the candidates with results, at least one.
    """
    mean = opinion.mean
    order = seen[np.argsort(-mean[seen], kind="stable")]
    rival = np.full(len(mean), mean[order[0]])
    rival[order[0]] = mean[order[1]] if len(order) > 1 else np.inf
    total = np.zeros(len(mean))
    for member in opinion.members:
        lead = member.mean - rival
        with np.errstate(invalid="ignore", divide="ignore"):
            step = member.std**2 / np.hypot(member.std, member.noise)
            u = lead / step
            gain = step * np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi) + lead * ndtr(u)
        # A candidate that is seen can be had without another evaluation.
        gain[seen] -= np.maximum(lead[seen], 0)
        total += member.weight * np.where(np.isfinite(gain), gain, 0.0)
    return total
