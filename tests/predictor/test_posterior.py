"""The Gaussian processes' closed forms, against dense ones in double precision; and how observations are chosen for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from metanas.predictor import NORMAL_80, SpaceModel, similarity_weights
from metanas.predictor._field import chosen
from metanas.predictor._kernels import JITTER, LINEAR, MATERN, Kernel
from metanas.predictor._posterior import Posterior
from metanas.predictor._space_model import _Lessons

N = 12
KERNEL = Kernel((LINEAR, MATERN))
SCALES = np.array([0.5, 1.5, 2.0, 0.3])
"""Of the linear part, of the Matern part, its length, and the variance that neither explains."""
OWN = 0.4
"""Share of that last variance that is a network's own."""
BLOCKS = tuple(np.random.default_rng(0).normal(size=(N, d)).astype(np.float32) for d in (2, 3))
MEAN = np.random.default_rng(1).normal(size=N)
OBSERVED = [3, 7, 3, 0, 11]
DOUBTS = [0.0, 0.8, 0.3, 0.0, 2.0]
SCORES = np.array([1.2, -0.4, 0.7, -1.1, 0.2])


def covariance() -> np.ndarray:
    """Of the candidates' true values, entry by entry."""
    found = np.zeros((N, N))
    for i in range(N):
        for j in range(N):
            r = np.sqrt(5) * np.linalg.norm(BLOCKS[1][i] - BLOCKS[1][j]) / SCALES[2]
            found[i, j] = SCALES[0] * BLOCKS[0][i] @ BLOCKS[0][j] + SCALES[1] * (1 + r + r**2 / 3) * np.exp(-r)
    return found + OWN * SCALES[3] * np.eye(N)


def observed_covariance(doubts: Sequence[float]) -> np.ndarray:
    """Of the observations: noise and doubt are each evaluation's alone."""
    noise = (1 - OWN) * SCALES[3] + JITTER
    return covariance()[np.ix_(OBSERVED, OBSERVED)] + np.diag(noise + np.asarray(doubts))


def products(indices: Sequence[int]) -> list[np.ndarray]:
    return KERNEL.products(BLOCKS, [block[list(indices)] for block in BLOCKS])


def posterior(how: str, doubts: Sequence[float] = DOUBTS) -> Posterior:
    """After the observations, taken in one by one, all at once, or some in each way."""
    found = Posterior(KERNEL, np.log(SCALES), BLOCKS, MEAN, repeatable=OWN)
    singly = {"add": 5, "add_many": 0, "both": 2}[how]
    for index, doubt in zip(OBSERVED[:singly], doubts, strict=False):
        found.add(index, products([index]), doubt)
    if singly < len(OBSERVED):
        found.add_many(OBSERVED[singly:], products(OBSERVED[singly:]), doubts[singly:])
    return found


@pytest.mark.parametrize("how", ["add", "add_many", "both"])
@pytest.mark.parametrize("doubts", [DOUBTS, [0.0] * 5])
def test_mean_and_variance_are_those_of_the_dense_process(how: str, doubts: list[float]) -> None:
    found = posterior(how, doubts)
    scale, all_known = 1.7, np.zeros(5, dtype=bool)
    gain = covariance()[:, OBSERVED] @ np.linalg.inv(observed_covariance(doubts))
    mean = MEAN + gain @ (scale * SCORES - MEAN[OBSERVED])
    assert found.mean(SCORES, scale, all_known) == pytest.approx(mean / scale, abs=1e-4)
    variance = np.diag(covariance() - gain @ covariance()[OBSERVED])
    assert found.variance == pytest.approx(variance, abs=1e-4)


def test_before_any_observation_all_is_as_the_prior_has_it() -> None:
    found = Posterior(KERNEL, np.log(SCALES), BLOCKS, MEAN, repeatable=OWN)
    assert found.variance == pytest.approx(np.diag(covariance()))
    assert found.mean(np.zeros(0), 2.0, np.zeros(0, dtype=bool)) == pytest.approx(MEAN / 2)


def test_a_doubtful_observation_says_less() -> None:
    doubtful, sure = (posterior("add", doubts).variance for doubts in (DOUBTS, [0.0] * 5))
    assert (doubtful >= sure - 1e-6).all()
    assert doubtful[11] > sure[11] + 0.1


def test_what_is_undone_leaves_no_trace() -> None:
    found, before = posterior("add_many"), posterior("add_many")
    found.add(5, products([5]), 0.1)
    assert found.variance[5] < before.variance[5] - 0.01
    found.pop()
    assert found.indices == OBSERVED
    assert found.variance == pytest.approx(before.variance, abs=1e-5)


@pytest.mark.parametrize("waiting", [0, 2])
def test_the_scale_of_scores_is_the_most_likely_one(waiting: int) -> None:
    """Under the density of the scores and six more of variance 1, whose part is 0 at the scale 1."""
    n = len(OBSERVED) - waiting
    within = observed_covariance(DOUBTS)[:n, :n]
    scores = np.concatenate([SCORES[:n], np.full(waiting, np.nan)])

    def evidence(s: float) -> float:
        off = s * SCORES[:n] - MEAN[OBSERVED[:n]]
        density = -0.5 * off @ np.linalg.solve(within, off) - 0.5 * np.linalg.slogdet(within)[1] + n * np.log(s)
        return float(density + 6 * (np.log(s) - s**2 / 2 + 1 / 2))

    best = minimize_scalar(lambda s: -evidence(s), bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    s, found = posterior("add").scale(scores, np.isnan(scores))
    assert s == pytest.approx(best.x, rel=1e-4)
    assert found == pytest.approx(-best.fun, rel=1e-4)


# --- which observations are used


def test_up_to_so_many_observations_all_are_used() -> None:
    assert chosen(np.random.default_rng(0).normal(size=350)) == list(range(350))


@pytest.mark.parametrize("n", [460, 451, 499])
def test_of_very_many_observations_the_best_and_an_even_sample_of_the_rest_are_used(n: int) -> None:
    scores = np.random.default_rng(0).permutation(n).astype(float)
    used = chosen(scores)
    assert used == sorted(set(used))
    # The latest, that came after the last choice, are all there.
    assert used[300:] == list(range(450, n))
    best = np.argsort(-scores[:450])[:150]
    assert set(best.tolist()) <= set(used)
    # Of the 300 others every second, from the first to the last.
    rest = np.setdiff1d(np.arange(450), best)
    places = np.flatnonzero(np.isin(rest, used))
    assert len(places) == 150
    assert (places[0], places[-1]) == (0, 299)
    assert set(np.diff(places)) <= {2, 3}


def test_what_is_used_changes_only_every_so_many_observations() -> None:
    scores = np.random.default_rng(0).normal(size=500)
    assert chosen(scores[:499])[:300] == chosen(scores[:450])[:300]
    assert chosen(scores[:500])[:300] != chosen(scores[:450])[:300]


# --- how much data sets tell of each other


def test_weights_of_sources_fall_with_the_square_of_their_distance() -> None:
    # In logarithms the sources are at 0 and 1, half of which is their standard deviation; the target is at 0.
    sources, target = [{"samples": 0.0}, {"samples": np.e - 1}], {"samples": 0.0}
    for length in (2.0, 3.0):
        far = np.exp(-(2**2) / (2 * length**2))
        assert similarity_weights(target, sources, length) == pytest.approx([1 / (1 + far), far / (1 + far)])
    assert similarity_weights(target, sources, None).tolist() == [0.5, 0.5]
    assert similarity_weights({"other": 1.0}, sources, 2.0).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("within", "expected"), [(0.5, 0.8), (1.0, 1.6), (0.25, 0.5), (4.0, 3.0)])
def test_intervals_are_widened_until_they_cover_80_percent(
    model: SpaceModel, monkeypatch: pytest.MonkeyPatch, within: float, expected: float
) -> None:
    """Deviations spread evenly up to ``2 * within`` of an 80 % interval; the factor stays between 0.5 and 3."""
    off = np.linspace(0, 2 * within * NORMAL_80, 101)
    monkeypatch.setattr(_Lessons, "_judged", lambda self, j, n: (0.0, off))
    factor = _Lessons(model)._widening()
    assert factor == pytest.approx(expected)
