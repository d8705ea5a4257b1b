"""How the search compares with random search at the same number of trials, from its own trials alone.

With k trials drawn at random from the whole space, the expected best of m <= k such draws has an unbiased estimate
from order statistics: the mean of the best over all subsets of size m,
``sum_i x_(i) C(i - 1, m - 1) / C(k, m)`` with x_(i) in ascending order of merit (Tang et al. 2020, "Showing Your Work
Doesn't Always Work", equation 5). Beyond k the sample says nothing. Failed draws are the lowest ranks, and subsets that
hold nothing else are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metanas.report._format import number
from metanas.report._values import full_values
from metanas.trial import Status, TrialRecord

RANDOM = "random"
_MIN_RANDOM = 5
"""Below this the interval is a guess."""
_CLEAR = 0.05
"""A p-value below this is told without the warning."""
_BOOTSTRAPS = 1000
"""Resamples: enough for two digits of a 90 % interval, and for a p-value down to 0.001."""


@dataclass(frozen=True, slots=True)
class RandomComparison:
    """Guided trials against as many random ones."""

    random: int
    """Random trials that ended, failed ones included: k."""
    guided: int
    """Trials that ended and were not drawn at random."""
    compared: int
    """Trials compared on either side: min(k, guided)."""
    expected: float
    """Expected best of that many random trials."""
    low: float
    """5th percentile of the same over bootstrap samples."""
    high: float
    """95th percentile."""
    reached: float | None
    """Best value of the first guided trials, as it was measured; None when all of those failed."""
    stopped: bool
    """Whether some trials were stopped early; they count with estimates in all else."""
    wins: float
    """Share of all pairs of a guided and a random trial in which the guided one is better; ties count half."""
    p: float
    """Two-sided p-value of that share (permutation test): chance of such a share, or one further from a half, were the
    guided trials random too."""


def ended(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that used up a place in the budget."""
    return [t for t in trials if t.status not in (None, Status.CANCELLED)]


def compare_with_random(
    trials: Sequence[TrialRecord], direction: str, rng: np.random.Generator
) -> RandomComparison | None:
    """Compare by the first objective, or None with fewer than 5 random trials or no other trial.

    Both sides are the trials of this study: the guided ones knew the random ones' results, which came on top of their
    number. The first ``compared`` guided trials are taken, as a search with that budget would have ended there.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    done = ended(trials)
    full = full_values(trials)
    merits = np.array([sign * full[t.number] if t.number in full else -np.inf for t in done])
    drawn = np.array([t.origin == RANDOM for t in done], dtype=bool)
    draws, guided = merits[drawn], merits[~drawn]
    if len(draws) < _MIN_RANDOM or not len(guided) or not np.isfinite(draws).any():
        return None
    m = min(len(draws), len(guided))
    samples = rng.choice(draws, size=(_BOOTSTRAPS, len(draws)))
    low, high = np.nanquantile(expected_best(samples, m), [0.05, 0.95])
    first = [t.values[0] for t in [t for t in done if t.origin != RANDOM][:m] if t.number in full and t.values]
    reached = max(first, key=lambda value: sign * value, default=None)
    wins, p = _pairs(guided, draws, rng)
    return RandomComparison(
        random=len(draws),
        guided=len(guided),
        compared=m,
        expected=sign * float(expected_best(draws[None], m)[0]),
        low=min(sign * float(low), sign * float(high)),
        high=max(sign * float(low), sign * float(high)),
        reached=reached,
        stopped=any(t.status is Status.PRUNED for t in done),
        wins=wins,
        p=p,
    )


def random_line(strategy: str, trials: Sequence[TrialRecord], comparison: RandomComparison | None) -> tuple[str, str]:
    """How the search compares with random search, in a sentence or two, and the small print."""
    done = ended(trials)
    draws = sum(t.origin == RANDOM for t in done)
    if strategy == RANDOM:
        return "This search was itself random: what it reached is what random search reaches in one go.", ""
    if done and draws == len(done):
        return "All trials so far were drawn at random, so there is nothing to compare yet.", ""
    if comparison is None:
        had = (
            f"only {draws} of its {len(done)} trials {'was' if draws == 1 else 'were'}"
            if draws
            else "none of its trials was"
        )
        return (
            f"How this search compares with random search is not known: {had} drawn at random from the whole space.",
            "To find out, run the same run file with --set search.strategy=random and compare the two reports.",
        )
    c = comparison
    line = (
        f"The first {c.compared} guided trials reached {number(c.reached)}; the best of as many random ones is expected "
        f"at {number(c.expected)} (90 % interval {number(c.low)} to {number(c.high)}). "
        f"A guided trial beat a random one in {c.wins:.0%} of pairs ({_p_value(c.p)}"
        f"{'' if c.p < _CLEAR else ', which chance may explain'})."
    )
    note = (
        f"Estimated from the {c.random} trials of this study that were drawn at random, on the first objective; for more "
        f"draws than those nothing can be estimated, and the search had {c.random + c.guided} trials in all. The guided "
        "trials came after random ones and knew their results, and one search is one draw. A second search with "
        "--set search.strategy=random is the full comparison."
    )
    if c.stopped:
        note += " Trials that were stopped early count, in what is expected and in pairs, with what they would have come to by estimate."
    return line, note


def _p_value(p: float) -> str:
    return "p < 0.002" if p < 0.002 else f"p = {p:.2g}"


def expected_best(draws: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """Expected greatest of ``m`` of the ``draws`` (batch, k), -inf where a draw failed; (batch,), NaN without success."""
    k = draws.shape[1]
    ranks = np.arange(k, m, -1)
    # The greatest has weight m / k; each rank below it the next factor, C(i - 2, m - 1) / C(i - 1, m - 1).
    shares = np.cumprod(np.concatenate([[m / k], (ranks - m) / (ranks - 1)]))[::-1]
    ordered = np.sort(draws, axis=1)[:, m - 1 :]
    finished = np.isfinite(ordered)
    weights = shares * finished
    total = weights.sum(axis=1)
    best = (weights * np.where(finished, ordered, 0.0)).sum(axis=1)
    return np.asarray(np.divide(best, total, out=np.full(len(draws), np.nan), where=total > 0))


def _pairs(guided: NDArray[np.float64], draws: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """Share of pairs that the guided trial wins, ties as halves, and its p-value over random relabellings."""
    merits = np.concatenate([guided, draws])
    ordered = np.sort(merits)
    ranks = (np.searchsorted(ordered, merits, "left") + np.searchsorted(ordered, merits, "right") + 1) / 2
    g = len(guided)
    relabelled = np.array([rng.permutation(ranks)[:g].sum() for _ in range(_BOOTSTRAPS)])
    centre = g * ranks.mean()
    seen = ranks[:g].sum()
    p = (1 + np.sum(np.abs(relabelled - centre) >= abs(seen - centre) - 1e-9)) / (1 + _BOOTSTRAPS)
    return float((seen - g * (g + 1) / 2) / (g * len(draws))), float(p)
