from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from metanas.bench import Cell, play, read_bench_file
from metanas.bench._bench import Bench
from metanas.bench._play import draw_sources, grid_to, load_task
from metanas.bench._players import StrategyPlayer
from metanas.bench._spec import CellSpec
from metanas.bench._target import Judge, Target
from metanas.controller import Proposal
from metanas.space import Rows
from metanas.study import MemorySampler
from metanas.tables import ResultTable

Write = Callable[..., Path]


@pytest.fixture
def table(bench_file: Write) -> ResultTable:
    return load_task(read_bench_file(bench_file()).tasks[0])


def _specs(path: Path) -> list[CellSpec]:
    return Bench(read_bench_file(path), path.parent / "out").specs()


@pytest.mark.parametrize("strategy", ["random", "evolution", "local", "optuna:tpe", "optuna:random"])
@pytest.mark.parametrize(("values", "workers"), [("mean", 1), ("repeat", 1), ("mean", 5)])
def test_a_search_goes_through_the_whole_table_once(
    bench_file: Write, strategy: str, values: str, workers: int
) -> None:
    cell = play(_specs(bench_file(strategies=[strategy], evaluations=100, values=values, workers=workers))[0])
    assert sorted(cell.evaluated) == list(range(64))
    assert cell.grid[-1] == 64
    assert len(cell.seconds) == 64
    if values == "mean":
        assert cell.regret[-1] == 0
        assert list(cell.regret) == sorted(cell.regret, reverse=True)


@pytest.mark.parametrize("strategy", ["evolution", "optuna:tpe"])
def test_the_same_seed_searches_the_same_and_another_one_does_not(bench_file: Write, strategy: str) -> None:
    first = _specs(bench_file(strategies=[strategy]))[0]
    assert play(first).evaluated == play(first).evaluated
    assert play(replace(first, seed=5)).evaluated != play(first).evaluated


def test_regret_is_what_the_best_mean_so_far_loses_to_the_optimum(bench_file: Write, table: ResultTable) -> None:
    cell = play(_specs(bench_file())[0])
    best = np.minimum.accumulate(table.mean_losses[list(cell.evaluated)]) - table.mean_losses.min()
    assert np.allclose(cell.regret, best[np.array(cell.grid) - 1])
    assert cell.test is not None
    assert cell.test[-1] == pytest.approx(
        table.metrics["test"][table.mean_losses == table.mean_losses[list(cell.evaluated)].min()].mean()
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_a_model_that_predicts_the_true_losses_ranks_them_perfectly(
    bench_file: Write, table: ResultTable, monkeypatch: pytest.MonkeyPatch, sign: int
) -> None:
    class Knowing(StrategyPlayer):
        def predict(self, rows: Rows, rng: np.random.Generator) -> npt.NDArray[np.float64]:
            return sign * table.mean_losses[table.index(rows)]

    monkeypatch.setattr("metanas.bench._play.StrategyPlayer", Knowing)
    cell = play(_specs(bench_file(strategies=["random"]))[0])
    assert cell.tau == {0: pytest.approx(sign), 10: pytest.approx(sign)}


@pytest.mark.parametrize("cost", ["seconds", None])
def test_workers_in_parallel_propose_before_results_are_there(
    bench_file: Write, monkeypatch: pytest.MonkeyPatch, cost: str | None
) -> None:
    known: list[tuple[set[int], int]] = []

    class Watching(StrategyPlayer):
        def propose(self, target: Target, rng: np.random.Generator) -> Proposal | None:
            pending = {o.number for o in self._observations if o.pending}
            known.append((pending, len(self._observations) - len(pending)))
            return super().propose(target, rng)

    monkeypatch.setattr("metanas.bench._play.StrategyPlayer", Watching)
    spec = _specs(bench_file(workers=3, evaluations=20))[0]
    if cost is None:
        spec = replace(
            spec, task=replace(spec.task, options={k: v for k, v in spec.task.options.items() if k != "cost"})
        )
    cell = play(spec)
    assert [(len(pending), results) for pending, results in known] == [(0, 0), (1, 0), *((2, n) for n in range(18))]
    table = load_task(spec.task)
    assert (cell.clock is None) == (cost is None)
    if table.seconds is None or cell.clock is None:
        # All take as long: in order.
        assert [pending for pending, _ in known[2:]] == [{n, n + 1} for n in range(18)]
        return
    # Three machines, each of which takes the next evaluation when it is done.
    free = [0.0] * 3
    ends = []
    for place in cell.evaluated:
        ends.append(min(free) + table.seconds[place])
        free[free.index(min(free))] = ends[-1]
    assert list(cell.clock) == pytest.approx(sorted(ends))
    assert sorted(ends) != ends


@pytest.mark.parametrize(("workers", "tries"), [(1, 64), (4, 5)])
def test_a_sampler_that_insists_on_one_network_gets_another_at_random(
    bench_file: Write, monkeypatch: pytest.MonkeyPatch, workers: int, tries: int
) -> None:
    asked: list[int] = []
    ask = MemorySampler.ask

    def insists(self: MemorySampler) -> tuple[int, np.ndarray]:
        number, _ = ask(self)
        asked.append(number)
        return number, np.array([0, 0, 0])

    monkeypatch.setattr(MemorySampler, "ask", insists)
    cell = play(_specs(bench_file(strategies=["optuna:random"], workers=workers, evaluations=4))[0])
    assert len(set(cell.evaluated)) == 4
    # As many tries as the table has rows, or a few of what is under way.
    assert len(asked) == 1 + 3 * tries


def test_what_is_recommended_is_of_results_that_are_there(bench_file: Write, table: ResultTable) -> None:
    cell = play(_specs(bench_file(workers=3, evaluations=20))[0])
    one = play(_specs(bench_file(workers=1, evaluations=20))[0])
    assert table.seconds is not None
    assert one.clock is not None
    assert list(one.clock) == pytest.approx(np.cumsum(table.seconds[list(one.evaluated)]))
    places = np.array(cell.evaluated[:3])
    first = places[table.seconds[places].argmin()]
    assert cell.regret[0] == pytest.approx(table.mean_losses[first] - table.mean_losses.min())


def test_a_cell_is_the_same_after_its_json(bench_file: Write) -> None:
    cell = play(_specs(bench_file())[0])
    assert Cell.from_json(cell.to_json()) == cell


def test_single_repeats_are_drawn_without_return_and_are_equal_for_all_strategies(table: ResultTable) -> None:
    one, other = (Target(table, seed=3, values="repeat") for _ in range(2))
    row = table.rows[7]
    drawn = [one.evaluate(row) for _ in range(3)]
    assert sorted(drawn) == sorted(table.losses[7])
    other.evaluate(table.rows[1])
    assert other.evaluate(row) == drawn[0]
    assert one.evaluate(row) in table.losses[7]
    assert one.evaluated == [7] * 4


def test_a_target_accepts_what_it_has_and_what_was_not_evaluated(table: ResultTable) -> None:
    part = ResultTable(
        name="part", space=table.space, rows=table.rows[:5], metric="acc", direction="maximize",
        metrics={"acc": np.where(np.arange(5)[:, None] == 2, np.nan, table.metrics["acc"][:5])},
    )  # fmt: skip
    target = Target(part, seed=0, values="mean")
    assert [target(row) for row in table.rows[:6]] == [True, True, False, True, True, False]
    target.evaluate(table.rows[1])
    assert not target(table.rows[1])
    assert target.open().tolist() == [True, False, True, True]
    assert target.candidates() is target.candidates()
    assert {tuple(row) for row in target.sample(50, np.random.default_rng(0))} == {
        tuple(r) for r in target.candidates()
    }


def test_the_judge_judges_by_the_mean(table: ResultTable) -> None:
    judge = Judge(table)
    assert judge.regret(table.rows[table.mean_losses.argmin()]) == 0
    assert judge.regret(table.rows[3]) == pytest.approx(table.mean_losses[3] - table.mean_losses.min())


def test_sources_are_the_other_tasks_and_drawn_anew_for_each_seed(bench_file: Write) -> None:
    bench = read_bench_file(bench_file(sources={"known": 10}))
    table = load_task(bench.tasks[1])
    first = draw_sources(bench.sources, bench.tasks[1], table.space, seed=0, single=False)
    assert [source.name for source in first] == ["set0", "set2"]
    assert [source.rows.shape for source in first] == [(10, 3)] * 2
    again = draw_sources(bench.sources, bench.tasks[1], table.space, seed=0, single=True)
    assert again[0].rows.tolist() == first[0].rows.tolist()
    assert again[0].losses.shape == (10, 1)
    other = draw_sources(bench.sources, bench.tasks[1], table.space, seed=1, single=False)
    assert other[0].rows.tolist() != first[0].rows.tolist()


def test_a_table_is_no_source_of_itself_whatever_it_is_called(bench_file: Write) -> None:
    path = bench_file()
    tasks = yaml.safe_load(path.read_text())["tasks"]
    renamed = [task | {"name": f"again{i}", "facts": {"samples": 10 + i}} for i, task in enumerate(tasks)]
    bench = read_bench_file(bench_file(sources={"known": 10, "tasks": renamed}))
    table = load_task(bench.tasks[1])
    drawn = draw_sources(bench.sources, bench.tasks[1], table.space, seed=0, single=False)
    assert [(source.name, source.facts) for source in drawn] == [
        ("again0", {"samples": 10}),
        ("again2", {"samples": 12}),
    ]


def test_whole_tables_are_one_object_for_all_seeds_but_for_single_repeats(bench_file: Write) -> None:
    bench = read_bench_file(bench_file(sources={"known": "all"}))
    table = load_task(bench.tasks[1])
    first, other = (draw_sources(bench.sources, bench.tasks[1], table.space, seed=s, single=False)[0] for s in (0, 1))
    assert first is other
    drawn = [draw_sources(bench.sources, bench.tasks[1], table.space, seed=s, single=True)[0] for s in (0, 1)]
    assert drawn[0].losses.tolist() != drawn[1].losses.tolist()


def test_the_grid_is_fine_at_first() -> None:
    assert grid_to(7) == (1, 2, 3, 4, 5, 6, 7)
    assert grid_to(113)[48:] == (49, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100, 110, 113)
