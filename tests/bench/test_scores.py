from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from metanas.bench import BenchFile, Cell, Comparison, Contestant, Sources, TaskSpec, _scores
from metanas.bench._plots import _curves, _groups
from metanas.bench._points import decimals, point
from metanas.bench._scores import (
    critical_difference,
    hours,
    interval,
    paired_tests,
    proposal_seconds,
    rankings,
    reaches,
    regrets,
    scores,
)

# What x, y and z come to on tasks m/a and m/b with seeds 3 and 4: simple regret after 1, 2 and 4 evaluations.
REGRETS = {
    ("m/a", "x", 3): (4.0, 2.0, 0.0), ("m/a", "y", 3): (4.0, 3.0, 2.0), ("m/a", "z", 3): (6.0, 2.5, 2.0),
    ("m/a", "x", 4): (4.0, 1.0, 0.5), ("m/a", "y", 4): (5.0, 3.0, 0.1), ("m/a", "z", 4): (4.0, 4.0, 3.0),
    ("m/b", "x", 3): (2.0, 0.1, 0.1), ("m/b", "y", 3): (3.0, 0.4, 0.4), ("m/b", "z", 3): (3.0, 3.0, 0.4),
    ("m/b", "x", 4): (3.0, 2.0, 1.0), ("m/b", "y", 4): (3.0, 2.0, 1.5), ("m/b", "z", 4): (5.0, 4.5, 4.0),
}  # fmt: skip


def cell(regret: tuple[float, ...], **more: Any) -> Cell:
    """A search that was judged after 1, 2, 4, 8, ... evaluations."""
    grid = tuple(2**i for i in range(len(regret)))
    known = {"test": None, "tau": {}, "clock": None, "seconds": (0.5,), "evaluated": tuple(range(grid[-1]))}
    return Cell(grid=grid, regret=regret, **(known | more))


def compared(cells: Mapping[tuple[str, str, int], Cell]) -> Comparison:
    """The comparison of these cells, by task, contestant and seed."""
    tasks, names, seeds = (list(dict.fromkeys(each)) for each in zip(*cells, strict=True))
    specs = tuple(TaskSpec(benchmark=task.split("/")[0], dataset=task.split("/")[1]) for task in tasks)
    bench = BenchFile(
        name="made", tasks=specs, contestants=tuple(Contestant(name=name, strategy="random") for name in names),
        sources=Sources(tasks=()), evaluations=4, seeds=len(seeds), first_seed=min(seeds),
    )  # fmt: skip
    return Comparison(bench=bench, cells=cells)


def test_a_regret_is_that_of_the_last_grid_point_that_was_reached() -> None:
    made = cell((7.0, 5.0, 3.0))
    assert [made.regret_after(n) for n in (0, 1, 2, 3, 4, 5, 100)] == [7, 7, 5, 5, 3, 3, 3]


def test_regrets_come_task_by_task_and_in_each_seed_by_seed() -> None:
    comparison = compared({key: cell(regret) for key, regret in REGRETS.items()})
    assert regrets(comparison, 2).tolist() == [[2.0, 3.0, 2.5], [1.0, 3.0, 4.0], [0.1, 0.4, 3.0], [2.0, 2.0, 4.5]]
    assert regrets(comparison, 4, "m/b").tolist() == [[0.1, 0.4, 0.4], [1.0, 1.5, 4.0]]


def test_scores_of_a_comparison_that_is_computed_by_hand() -> None:
    x, y, z = scores(compared({key: cell(regret) for key, regret in REGRETS.items()}), 4)
    assert (x.name, y.name, z.name) == ("x", "y", "z")
    # Ranks in the blocks: 1 2.5 2.5, 2 1 3, 1 2.5 2.5, 1 2 3.
    assert (x.rank, y.rank, z.rank) == (1.25, 2.0, 2.75)
    assert (x.mean, y.mean, z.mean) == pytest.approx((0.4, 1.0, 2.35))
    assert (x.median, y.median, z.median) == pytest.approx((0.3, 0.95, 2.5))
    # Seeds' means of x are 0.05 and 0.75, and Student's t with one degree of freedom has its 97.5 % at 12.706.
    assert (x.low, x.high) == pytest.approx((0, 0.4 + 12.7062 * 0.35), rel=1e-5)
    # Against x, y has one loss, of the second rank: 3 of 16 signs are as rare on one side. z has none: 1 of 16.
    assert x.p is None
    assert (y.p, z.p) == (2 * 3 / 16, 2 * (2 * 1 / 16))


def test_half_of_the_searches_must_come_near_the_optimum() -> None:
    far = (9.0, 8.0, 7.0, 6.0)
    found = [(0.5, 0.4, 0.3, 0.2), (9.0, 0.5, 0.5, 0.5), (9.0, 8.0, 0.4, 0.1), (9.0, 8.0, 7.0, 0.0), far]
    comparison = compared({("m/a", "x", seed): cell(regret) for seed, regret in enumerate(found)})
    near, less_near = reaches(comparison, {"m/a": 1.0})
    # To 0.1 two of five came, after 8; to 0.5 four, after 1, 2, 4 and 8.
    assert (near.regret, near.share, near.median) == (0.1, 0.4, None)
    assert (less_near.regret, less_near.share, less_near.median) == (0.5, 0.8, 4)


def test_near_is_so_many_points_of_each_task_whatever_its_unit() -> None:
    comparison = compared({("m/a", "x", 0): cell((0.6, 0.4)), ("m/b", "x", 0): cell((0.006, 0.0051))})
    near, less_near = reaches(comparison, {"m/a": 1.0, "m/b": 0.01})
    assert (near.share, less_near.share, less_near.median) == (0, 0.5, 2)


def test_hours_and_test_values_are_means_over_the_tasks_that_have_them() -> None:
    clocks = {"x": ((3600, 7200, 14400), (1800, 3600, 7200)), "y": ((36, 72, 108), (36, 72, 108))}
    cells = {}
    for name, both in clocks.items():
        for seed, clock in enumerate(both):
            cells["m/a", name, seed] = cell((3, 2, 1), clock=clock)
            cells["m/b", name, seed] = cell((3, 2, 1), test=(70 + seed, 80 + seed, 90 + seed))
    comparison = compared(cells)
    found = hours(comparison, [1, 3, 4])
    assert list(found) == ["x", "y"]
    assert found["x"] == pytest.approx([0.75, 1.5, 3.0])
    assert found["y"] == pytest.approx([0.01, 0.02, 0.03])
    assert _scores.tested(comparison, [1, 2, 9]) == {"x": [70.5, 80.5, 90.5], "y": [70.5, 80.5, 90.5]}
    assert hours(compared({("m/a", "x", 0): cell((1,))}), [1]) == {}


def test_rankings_and_seconds_are_over_all_searches_of_a_strategy() -> None:
    cells = {
        ("m/a", "x", 0): cell((1,), tau={0: 0.5, 10: 1.0}, seconds=(1.0, 2.0)),
        ("m/a", "x", 1): cell((1,), tau={0: 0.1}, seconds=(3.0,)),
        ("m/a", "y", 0): cell((1,)),
        ("m/a", "y", 1): cell((1,)),
    }
    assert rankings(compared(cells)) == {"x": {0: pytest.approx(0.3), 10: 1.0}}
    assert proposal_seconds(compared(cells)) == {"x": (2.0, pytest.approx(2.9)), "y": (0.5, 0.5)}


@pytest.mark.parametrize(
    ("losses", "expected", "places"),
    [
        ([-91.6, -60.0, -9.0], 1.0, 3),
        ([-100.0, -100.0, -1.0], 1.0, 3),
        ([-46.0, -8.0, -1.0], 1.0, 3),
        ([-0.93, -0.9, -0.1], 0.01, 5),
        ([-1.0, -0.9, -0.1], 0.01, 5),
        ([3e-5, 0.14, 7000.0], 0.01, 5),
        ([2e-4, 0.03, 4e7], 0.001, 6),
        ([120.0, 800.0, 5000.0], 10.0, 3),
        ([0.0, 0.0, 3.0], 1.0, 3),
        ([-0.9, np.nan, np.inf], 0.01, 5),
    ],
)
def test_a_point_is_a_hundredth_of_the_power_of_ten_that_values_reach(
    losses: list[float], expected: float, places: int
) -> None:
    assert point(np.array(losses)) == pytest.approx(expected, rel=1e-12)
    assert decimals([1.0, point(np.array(losses))], 3) == places


@pytest.mark.parametrize("unit", [1.0, 0.01, 1e-6])
def test_curves_are_drawn_where_they_are_and_zero_at_the_least_of_them(unit: float) -> None:
    given = {"x": (0.6, 0.4, 0.0), "y": (0.05, 0.03, 0.01)}
    comparison = compared({("m/a", n, 0): cell(tuple(unit * r for r in regret)) for n, regret in given.items()})
    axes = Figure().subplots()
    _curves(axes, comparison, "m/a")
    drawn = [list(line.get_ydata() / unit) for line in axes.lines]
    assert drawn == [pytest.approx([0.6, 0.4, 0.01]), pytest.approx([0.05, 0.03, 0.01])]


def test_curves_that_are_all_at_the_optimum_can_be_drawn() -> None:
    axes = Figure().subplots()
    _curves(axes, compared({("m/a", "x", 0): cell((0.0, 0.0))}), "m/a")
    assert (np.asarray(axes.lines[0].get_ydata()) > 0).all()


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
