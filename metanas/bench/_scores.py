"""From the cells of a bench to its comparison: regret, ranks, tests.

A block is one task with one seed: all strategies had the same sources and the same draws there, so differences are
paired. ``b`` blocks, ``k`` strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from metanas.bench._bench import Comparison
from metanas.bench._play import Cell

Floats = npt.NDArray[np.float64]

NEAR = (0.1, 0.5)
"""Points of regret that count as near the optimum; see :func:`metanas.bench._points.point`."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A strategy after so many evaluations, over all tasks and seeds."""

    name: str
    evaluations: int
    mean: float
    """Mean simple regret."""
    median: float
    low: float
    """Lower end of the 95 % interval of the mean."""
    high: float
    rank: float
    """Mean rank over blocks, 1 for the best; ties share theirs."""
    p: float | None
    """Of the paired test against the strategy with the best mean rank, corrected; None for that one itself."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How soon a strategy comes near the optimum."""

    name: str
    regret: float
    """Points that count as near."""
    share: float
    """Of the searches, those that came there at all."""
    median: float | None
    """Evaluations that half of the searches needed; None when fewer than half came there."""


def regrets(comparison: Comparison, evaluations: int, task: str | None = None) -> Floats:
    """Simple regret ``(b, k)`` after so many evaluations, task by task, in each the seeds in order."""
    bench = comparison.bench
    tasks = [t.name for t in bench.tasks] if task is None else [task]
    seeds = range(bench.first_seed, bench.first_seed + bench.seeds)
    return np.array(
        [
            [comparison.cells[name, c.name, seed].regret_after(evaluations) for c in bench.contestants]
            for name in tasks
            for seed in seeds
        ]
    )


def scores(comparison: Comparison, evaluations: int) -> list[Score]:
    """All strategies after so many evaluations, best mean rank first."""
    values = regrets(comparison, evaluations)
    ranks, tests = mean_ranks(values)
    names = [c.name for c in comparison.bench.contestants]
    found = []
    for column in np.argsort(ranks, kind="stable"):
        low, high = interval(values[:, column], comparison.bench.seeds)
        found.append(
            Score(
                name=names[column], evaluations=evaluations, mean=float(values[:, column].mean()),
                median=float(np.median(values[:, column])), low=low, high=high, rank=float(ranks[column]),
                p=tests.get(int(column)),
            )
        )  # fmt: skip
    return found


def mean_ranks(values: Floats) -> tuple[Floats, dict[int, float]]:
    """Mean ranks ``(k,)`` over blocks ``(b, k)``, 1 for the least; and each other column's p against the best one."""
    ranks: Floats = stats.rankdata(np.round(values, 9), axis=1).mean(axis=0)
    return ranks, paired_tests(values, int(ranks.argmin()))


def interval(values: Floats, seeds: int) -> tuple[float, float]:
    """The 95 % interval of a mean over blocks ``(b,)``: Student's t over seeds, each seed's value its mean over tasks.

    The tasks are the ones of the bench, not a sample of tasks.
    """
    by_seed = values.reshape(-1, seeds).mean(axis=0)
    mean = float(by_seed.mean())
    if seeds < 2:
        return mean, mean
    half = float(stats.t.ppf(0.975, seeds - 1) * by_seed.std(ddof=1) / np.sqrt(seeds))
    return max(mean - half, 0.0), mean + half


def paired_tests(values: Floats, reference: int) -> dict[int, float]:
    """Wilcoxon's signed-rank test of each column of ``(b, k)`` against one, two-sided, corrected by Holm (1979)."""
    raw: dict[int, float] = {}
    for column in range(values.shape[1]):
        if column != reference:
            difference = np.round(values[:, column] - values[:, reference], 9)
            raw[column] = float(stats.wilcoxon(difference, zero_method="wilcox").pvalue) if difference.any() else 1.0
    corrected: dict[int, float] = {}
    worst = 0.0
    for position, column in enumerate(sorted(raw, key=raw.__getitem__)):
        worst = max(worst, min(1.0, (len(raw) - position) * raw[column]))
        corrected[column] = worst
    return corrected


def critical_difference(strategies: int, blocks: int) -> float:
    """Difference of mean ranks that is significant at 5 % by Nemenyi's test (Demšar 2006, section 3.2.2)."""
    if strategies < 2:
        return 0.0
    q = float(stats.studentized_range.ppf(0.95, strategies, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(strategies * (strategies + 1) / (6 * blocks)))


def reaches(comparison: Comparison, points: Mapping[str, float]) -> list[Reach]:
    """How soon each strategy comes near the optimum, for each of :data:`NEAR`; ``points`` says what a point is, by task."""
    found = []
    for contestant in comparison.bench.contestants:
        cells = [(task, cell) for (task, name, _), cell in comparison.cells.items() if name == contestant.name]
        for near in NEAR:
            needed = [cell.evaluations_to(near * points[task]) for task, cell in cells]
            came = sorted(n for n in needed if n is not None)
            half = (len(needed) + 1) // 2
            found.append(
                Reach(
                    name=contestant.name, regret=near, share=len(came) / len(needed),
                    median=float(came[half - 1]) if len(came) >= half else None,
                )
            )  # fmt: skip
    return found


def rankings(comparison: Comparison) -> dict[str, dict[int, float]]:
    """Mean Kendall's τ of each strategy that has a model, by number of evaluations."""
    found: dict[str, dict[int, float]] = {}
    for contestant in comparison.bench.contestants:
        taus: dict[int, list[float]] = {}
        for (_, name, _), cell in comparison.cells.items():
            if name == contestant.name:
                for number, tau in cell.tau.items():
                    taus.setdefault(number, []).append(tau)
        if taus:
            found[contestant.name] = {number: float(np.mean(values)) for number, values in sorted(taus.items())}
    return found


def proposal_seconds(comparison: Comparison) -> dict[str, tuple[float, float]]:
    """Median and 95th percentile of the seconds that each strategy takes for a proposal."""
    found = {}
    for contestant in comparison.bench.contestants:
        seconds = [
            s for (_, name, _), cell in comparison.cells.items() if name == contestant.name for s in cell.seconds
        ]
        found[contestant.name] = (float(np.median(seconds)), float(np.quantile(seconds, 0.95)))
    return found


def hours(comparison: Comparison, budgets: Sequence[int]) -> dict[str, list[float]]:
    """Mean hours in virtual time until so many results, by strategy, over the tasks whose tables know times."""
    return {
        name: [value / 3600 for value in values]
        for name, values in _means(comparison, budgets, lambda cell: cell.clock).items()
    }


def tested(comparison: Comparison, budgets: Sequence[int]) -> dict[str, list[float]]:
    """Mean test value of the recommended network, by strategy, at each budget, over the tasks whose tables have some."""
    return _means(comparison, budgets, lambda cell: cell.test)


def _means(
    comparison: Comparison, budgets: Sequence[int], values: Callable[[Cell], Sequence[float] | None]
) -> dict[str, list[float]]:
    """By strategy, the mean over its cells of what they know at grid points; empty where none does."""
    found: dict[str, list[list[float]]] = {}
    for (_, name, _), cell in comparison.cells.items():
        if (known := values(cell)) is not None:
            found.setdefault(name, []).append([known[cell.place(budget)] for budget in budgets])
    return {c.name: np.mean(found[c.name], axis=0).tolist() for c in comparison.bench.contestants if c.name in found}
