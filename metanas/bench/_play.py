"""One search of a bench, in memory."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from metanas._rng import derive_seed, generator
from metanas.bench._players import Player, SamplerPlayer, StrategyPlayer
from metanas.bench._spec import BUDGETS, CellSpec, Sources, TaskSpec
from metanas.bench._target import Judge, Target
from metanas.errors import MetanasError
from metanas.space import SearchSpace
from metanas.study import MemorySampler, make_strategy, takes_facts, takes_sources
from metanas.tables import ResultTable, TaskData, load_benchmark, read_table

_RANKED = 1000
"""Architectures on which a model's ranking is judged."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a search came to. Grid points are numbers of evaluations."""

    grid: tuple[int, ...]
    """When the recommended architecture was judged."""
    regret: tuple[float, ...]
    """Simple regret of the recommended architecture at each grid point, in the metric's unit."""
    test: tuple[float, ...] | None
    """Its test value at each grid point; None where the table has none."""
    tau: Mapping[int, float]
    """Kendall's τ between predicted and true losses, by number of evaluations; empty without a model."""
    clock: tuple[float, ...] | None
    """Seconds in virtual time at each grid point: trainings alone; None where the table knows no times."""
    seconds: tuple[float, ...]
    """Of each proposal."""
    evaluated: tuple[int, ...]
    """Places in the table, in order."""

    def to_json(self) -> dict[str, Any]:
        """The cell as JSON values."""
        return asdict(self) | {"tau": {str(budget): tau for budget, tau in self.tau.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        """The inverse of :meth:`to_json`."""
        test, clock = (None if data[key] is None else tuple(data[key]) for key in ("test", "clock"))
        return cls(
            grid=tuple(data["grid"]), regret=tuple(data["regret"]), test=test, clock=clock,
            tau={int(budget): tau for budget, tau in data["tau"].items()}, seconds=tuple(data["seconds"]),
            evaluated=tuple(data["evaluated"]),
        )  # fmt: skip

    def regret_after(self, evaluations: int) -> float:
        """Simple regret after so many evaluations; of a search that ended before, its last."""
        return self.regret[self.place(evaluations)]

    def place(self, evaluations: int) -> int:
        """Of the grid point after so many evaluations, or the last one before."""
        return max(int(np.searchsorted(self.grid, evaluations, side="right")) - 1, 0)

    def evaluations_to(self, regret: float) -> int | None:
        """The first grid point at which the regret is at most ``regret``; None when there is none."""
        within = np.array(self.regret) <= regret + 1e-9
        return self.grid[int(within.argmax())] if within.any() else None


def grid_to(evaluations: int) -> tuple[int, ...]:
    """Grid points: each up to 50, then coarser, since a model's recommendation costs time."""
    points = {n for n in range(1, evaluations + 1) if n <= 50 or (n <= 100 and n % 5 == 0) or n % 10 == 0}
    return tuple(sorted(points | {evaluations}))


def load_task(task: TaskSpec) -> ResultTable:
    """The table of a task."""
    if task.benchmark:
        return load_benchmark(task.benchmark, task.dataset)
    return _file(_Key(task))


def draw_sources(
    sources: Sources, target: TaskSpec, space: SearchSpace, *, seed: int, single: bool
) -> tuple[TaskData, ...]:
    """What a strategy knows of the other data sets of the target's space: the same for every strategy with this seed."""
    # All of a table is the same for every seed, and what strategies make of so much takes them long.
    whole = sources.known is None and not single
    return tuple(
        _source(_Key(task), sources.known, 0 if whole else seed, single) for task in sources_of(target, sources, space)
    )


def sources_of(target: TaskSpec, sources: Sources, space: SearchSpace) -> list[TaskSpec]:
    """The source tasks of a target: the others that are of its ``space``."""
    return [
        task
        for task in sources.tasks
        if not task.same_table(target) and load_task(task).space.decisions == space.decisions
    ]


@dataclass(frozen=True, eq=False)
class _Key:
    """A task as a key: its options are a mapping, which has no hash."""

    task: TaskSpec

    def __hash__(self) -> int:
        return hash(self.task.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.task == other.task


@lru_cache(maxsize=64)
def _source(key: _Key, known: int | None, seed: int, single: bool) -> TaskData:
    """One source task. The same object for all strategies and targets, who remember what they made of it."""
    table = load_task(key.task)
    return table.task(known, generator(seed, "source", key.task.name), single=single)


@lru_cache(maxsize=32)
def _file(key: _Key) -> ResultTable:
    return read_table(key.task.file, space=key.task.space, **key.task.options)


def play(cell: CellSpec) -> Cell:
    """Search.

    Raises
    ------
    MetanasError
        If a table cannot be read, or the strategy does not suit it.

    """
    table = load_task(cell.task)
    target = Target(table, seed=cell.seed, values=cell.values)
    judge = Judge(table)
    player = _player(cell, table)
    ranked, losses = judge.ranking(_RANKED, generator(cell.seed, "ranking", table.name))
    grid = grid_to(min(cell.evaluations, len(target.candidates())))
    regret: list[float] = []
    test: list[float] = []
    clock: list[float] = []
    seconds: list[float] = []
    tau: dict[int, float] = {}
    under_way: list[tuple[float, int, float]] = []
    now = 0.0
    for number in range(grid[-1] + 1):
        if number in (0, *BUDGETS):
            predicted = player.predict(ranked, generator(cell.seed, "predict", table.name, number))
            if predicted is not None:
                tau[number] = float(np.nan_to_num(kendalltau(predicted, losses).statistic))
        while len(under_way) < cell.workers and len(seconds) < grid[-1]:
            began = time.perf_counter()
            proposal = player.propose(target, generator(cell.seed, "proposal", table.name, len(seconds)))
            seconds.append(time.perf_counter() - began)
            if proposal is None:
                raise MetanasError(
                    "a strategy goes on while something is left to evaluate",
                    found=f"no proposal after {len(seconds) - 1}", where=cell.contestant.name,
                )  # fmt: skip
            row = proposal.row
            heapq.heappush(under_way, (now + target.seconds(row), player.begin(row), target.evaluate(row)))
        if number == grid[-1]:
            break
        now, ended, loss = heapq.heappop(under_way)
        player.end(ended, loss)
        if number + 1 in grid:
            recommended = player.recommend()
            recommended = table.rows[target.evaluated[ended]] if recommended is None else recommended
            regret.append(judge.regret(recommended))
            clock.append(now)
            value = judge.test(recommended)
            test += [] if value is None else [value]
    return Cell(
        grid=grid, regret=tuple(regret), test=tuple(test) or None, clock=None if table.cost is None else tuple(clock),
        tau=tau, seconds=tuple(seconds), evaluated=tuple(target.evaluated),
    )  # fmt: skip


def _player(cell: CellSpec, table: ResultTable) -> Player:
    contestant = cell.contestant
    if contestant.strategy.startswith("optuna:"):
        seed = derive_seed(cell.seed, "sampler", table.name)
        sampler = MemorySampler(contestant.strategy, contestant.settings, table.space, seed=seed)
        return SamplerPlayer(sampler, table.space)
    settings = dict(contestant.settings)
    if takes_facts(contestant.strategy):
        settings |= {"facts": table.facts, "single": cell.values == "repeat"}
    if takes_sources(contestant.strategy) and contestant.sources != "none":
        assert cell.sources is not None
        sources = draw_sources(cell.sources, cell.task, table.space, seed=cell.seed, single=cell.values == "repeat")
        if contestant.sources == "shuffled":
            rng = generator(cell.seed, "shuffle", table.name)
            sources = tuple(replace(source, losses=rng.permutation(source.losses)) for source in sources)
        settings["sources"] = sources
    return StrategyPlayer(make_strategy(contestant.strategy, settings), table.space)
