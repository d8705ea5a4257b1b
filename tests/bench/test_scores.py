import numpy as np
import pytest
from scipy import stats

from metanas.bench._plots import _groups
from metanas.bench._scores import critical_difference, interval, paired_tests


@pytest.mark.parametrize(("strategies", "q"), [(2, 1.960), (4, 2.569), (10, 3.164)])
def test_the_critical_difference_is_that_of_its_source(strategies: int, q: float) -> None:
    # Demšar 2006, table 5 (a).
    blocks = 14
    expected = q * np.sqrt(strategies * (strategies + 1) / (6 * blocks))
    assert critical_difference(strategies, blocks) == pytest.approx(expected, rel=1e-3)


def test_tests_are_corrected_by_holm() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=30)
    values = np.stack(
        [
            base,
            base + 0.05 * rng.normal(size=30) + 0.02,
            base + 0.5 + 0.1 * rng.normal(size=30),
            base + 0.2 * rng.normal(size=30),
        ],
        axis=1,
    )
    raw = {c: stats.wilcoxon(values[:, c] - values[:, 0]).pvalue for c in (1, 2, 3)}
    found = paired_tests(values, 0)
    low, middle, high = sorted(raw, key=lambda c: raw[c])
    assert found[low] == pytest.approx(3 * raw[low])
    assert found[middle] == pytest.approx(max(found[low], min(1, 2 * raw[middle])))
    assert found[high] == pytest.approx(max(found[middle], raw[high]))


def test_equal_strategies_do_not_differ() -> None:
    assert paired_tests(np.ones((10, 2)), 0) == {1: 1.0}


def test_the_interval_is_over_seeds() -> None:
    values = np.array([1.0, 2.0, 3.0, 3.0, 4.0, 5.0])  # two tasks, three seeds
    low, high = interval(values, 3)
    half = 4.302653 * 1 / np.sqrt(3)
    assert (low, high) == pytest.approx((3 - half, 3 + half))
    assert interval(values, 1) == (3, 3)


def test_bars_join_the_longest_runs() -> None:
    assert _groups([1.0, 1.5, 2.2, 4.0], 1.0) == [(1.0, 1.5), (1.5, 2.2)]
    assert _groups([1.0, 3.0], 1.0) == []
