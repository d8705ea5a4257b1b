"""Searches whose evaluations are looked up."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metanas.errors import MetanasError
from metanas.space import SearchSpace, load_space
from metanas.study import Ending, RunFolder, SearchResult, create_run, plan, read_run_file, read_timeline, run_session
from metanas.tables import ResultTable
from metanas.trial import Status

SPACE = "space: toy\nlanguage: 1\ninput: table\ntabular: {a: {choice: [p, q, r, s]}, b: {choice: [1, 2, 3, 4]}}\n"


def _write(folder: Path, **keys: Any) -> Path:
    (folder / "toy.yaml").write_text(SPACE)
    lines = ["a,b,acc,size,seconds"]
    # All but the last row.
    lines += [f"{'pqrs'[i // 4]},{i % 4 + 1},{80 + i % 4 - i // 4},{i},{3600 * (1 + i % 4)}" for i in range(15)]
    (folder / "results.csv").write_text("\n".join(lines) + "\n")
    table = {"file": "results.csv", "metric": "acc", "cost": "seconds"} | keys.pop("table", {})
    settings = {
        "space": "toy.yaml", "evaluator": {"table": {k: v for k, v in table.items() if v}}, "objective": {"maximize": "acc"},
        "search": {"strategy": "random", "trials": 40}, "workers": {"engine": "simulated", "count": 3},
    }  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(json.dumps({k: v for k, v in (settings | keys).items() if v}))
    return path


def _search(path: Path) -> SearchResult:
    folder = create_run(plan(read_run_file(path)), path.parent / "runs")
    run_session(folder)
    return SearchResult.load(folder.path)


@pytest.mark.parametrize("strategy", ["random", "local", "gp", "optuna:tpe"])
@pytest.mark.parametrize("engine", ["simulated", "inline"])
def test_what_the_table_has_is_evaluated_and_nothing_else(tmp_path: Path, strategy: str, engine: str) -> None:
    search = {"strategy": strategy, "trials": 40}
    result = _search(_write(tmp_path, search=search, workers={"engine": engine, "count": 1}))
    own = [trial for trial in result.trials if trial.duplicate_of is None]
    assert len(own) == 15
    assert {trial.status for trial in own} == {Status.COMPLETE}
    assert dict(result.best.decisions) == {"a": "p", "b": 4}
    assert result.best.values == (83.0,)
    assert result.best.metrics == {"acc": 83.0, "size": 3.0, "seconds": 14_400.0}


def test_trials_are_dated_by_the_table_and_run_side_by_side(tmp_path: Path) -> None:
    trials = _search(_write(tmp_path)).trials
    for trial in trials:
        assert trial.started is not None
        assert trial.ended is not None
        assert trial.ended - trial.started == pytest.approx(3600 * trial.decisions["b"], abs=1)  # type: ignore[operator]
    begun = min(t.started for t in trials if t.started)
    total = sum(3600 * int(t.decisions["b"]) for t in trials)
    assert max(t.ended for t in trials if t.ended) - begun < total / 2


def test_a_limit_of_time_is_virtual_and_a_resume_goes_on_after_it(tmp_path: Path) -> None:
    path = _write(tmp_path, search={"strategy": "random", "time": "4h"})
    folder = create_run(plan(read_run_file(path)), tmp_path / "runs")
    run_session(folder)
    first = [t for t in SearchResult.load(folder.path).trials if t.status is Status.COMPLETE]
    assert 3 <= len(first) <= 12
    run_session(RunFolder.open(folder.path), sets=["search.time=100h"])
    later = [t for t in SearchResult.load(folder.path).trials if t.status is Status.COMPLETE]
    assert len(later) == 15


@pytest.mark.parametrize("hours", [4, 13])
def test_a_limit_of_time_cuts_trials_where_it_is(tmp_path: Path, hours: int) -> None:
    # After 13 hours all are proposed, and the last ones under way.
    path = _write(tmp_path, search={"strategy": "random", "time": f"{hours}h"})
    folder = create_run(plan(read_run_file(path)), tmp_path / "runs")
    run_session(folder)
    trials = SearchResult.load(folder.path).trials
    assert any(t.status is None for t in trials), "one was under way"
    timeline = read_timeline(folder.log)
    assert timeline.seconds == pytest.approx(3600 * hours, abs=1)
    assert timeline.ending == Ending.TIME
    # The clock goes on from there, and what was cut off counts.
    for more in (hours, hours + 1):
        run_session(RunFolder.open(folder.path), sets=[f"search.time={more}h"])
        assert read_timeline(folder.log).seconds == pytest.approx(3600 * more, abs=1)


def test_a_search_that_has_evaluated_all_there_is_can_be_gone_on_with(tmp_path: Path, command: Any) -> None:
    table = {"file": "few.csv", "metric": "acc", "cost": ""}
    path = _write(tmp_path, table=table, workers={"engine": "inline"}, search={"strategy": "random"})
    (tmp_path / "few.csv").write_text("a,b,acc\np,1,80\nq,2,81\nr,3,85\n")
    code, out, said = command("search", path, "--runs", tmp_path / "runs")
    assert code == 0
    assert "of 3 evaluated" in out
    assert "a r, b 3; metanas architecture show" in out
    assert "has ended: every architecture that can be proposed was evaluated" in said
    (run,) = (tmp_path / "runs").iterdir()
    code, out, _ = command("resume", run)
    assert code == 0
    assert "Finished: every architecture" in command("status", run)[1]
    code, _, err = command("export", run, tmp_path / "out")
    assert code == 2
    assert "a search over a table trains no network" in err
    assert "Looked up in a table" in (run / "report.html").read_text()


def test_several_objectives(tmp_path: Path) -> None:
    result = _search(_write(tmp_path, objective={"maximize": "acc", "minimize": "size"}))
    assert {tuple(t.values or ()) for t in result.pareto} == {(80.0, 0.0), (81.0, 1.0), (82.0, 2.0), (83.0, 3.0)}


def test_the_cost_is_an_objective_like_other_columns(tmp_path: Path) -> None:
    result = _search(_write(tmp_path, objective={"maximize": "acc", "minimize": "seconds"}))
    assert {tuple(t.values or ()) for t in result.pareto} == {(80.0 + n, 3600.0 * (1 + n)) for n in range(4)}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"table": {"metric": "acx"}}, "did you mean 'acc'"),
        ({"table": {"metric": "b"}}, "found 'b' for the metric and the decision b"),
        ({"table": {"metric": "acc", "cost": "acc"}}, "found 'acc' for the cost and the metric"),
        ({"objective": {"maximize": "siz"}}, "did you mean 'size'"),
        ({"objective": None}, "a metric of your own needs a direction"),
        ({"table": {"cost": ""}}, "needs the table's training seconds"),
        ({"data": "wine"}, "takes no data"),
        ({"fidelity": {"epochs": [1, 2]}}, "takes no rungs"),
        ({"constraints": ["params <= 10"]}, "no constraints on measures|no networks|tabular"),
        ({"table": {"costs": "seconds"}}, "did you mean 'cost'"),
        ({"evaluator": {"table": {"benchmark": "nasbench201"}}}, "add 'dataset: ...'"),
        ({"evaluator": {"table": "results.csv"}}, "a table is {file: results.csv"),
        ({"evaluator": {"tabel": {"file": "results.csv"}}}, "found the key 'tabel'; did you mean 'table'"),
    ],
)
def test_mistakes(tmp_path: Path, keys: dict[str, Any], says: str) -> None:
    path = _write(tmp_path, **keys)
    with pytest.raises(MetanasError, match=says):
        plan(read_run_file(path))


def test_a_table_that_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    path = _write(tmp_path, search={"strategy": "random", "trials": 3})
    folder = create_run(plan(read_run_file(path)), tmp_path / "runs")
    run_session(folder)
    table = tmp_path / "results.csv"
    table.write_text(table.read_text().replace("p,1,80", "p,1,99"))
    with pytest.raises(MetanasError, match="must stay as they were"):
        run_session(folder, sets=["search.trials=9"])


def test_what_is_open_is_told_without_reading_all_trials_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    to_row = SearchSpace.to_row
    path = _write(tmp_path, search={"strategy": "gp", "trials": 15}, workers={"engine": "inline"})
    folder = create_run(plan(read_run_file(path)), tmp_path / "runs")
    monkeypatch.setattr(SearchSpace, "to_row", lambda space, values: read.append(1) or to_row(space, values))
    run_session(folder)
    assert len(read) < 4 * 15, "a few for each trial, not for each of the others too"


@pytest.mark.parametrize(
    ("metric", "objective", "found"),
    [
        (None, None, ("val_acc", "maximize")),
        ("val_acc", None, ("val_acc", "maximize")),
        ("latency", None, ("latency", "minimize")),
        ("model_size", None, ("model_size", "minimize")),
        ("latency", {"maximize": "latency"}, ("latency", "maximize")),
    ],
)
def test_metrics_of_benchmarks_know_which_way_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str | None, objective: Any, found: tuple[str, str]
) -> None:
    rows = np.array([[0] * 6, [4, 2, 1, 2, 1, 1]])
    columns = {"val_acc": [[80.0], [90.0]], "latency": [[0.1], [0.2]], "model_size": [[1.0], [2.0]]}
    table = ResultTable(
        name="nasbench201/cifar10", space=load_space("nasbench201"), rows=rows, metric="val_acc", direction="maximize",
        metrics={name: np.array(values) for name, values in columns.items()},
    )  # fmt: skip
    monkeypatch.setattr("metanas.evaluator._table_evaluator.load_benchmark", lambda benchmark, dataset: table)
    named = {"benchmark": "nasbench201", "dataset": "cifar10"} | ({"metric": metric} if metric else {})
    settings = {"space": "nasbench201", "evaluator": {"table": named}, "search": {"strategy": "meta", "trials": 2}}
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(settings | ({"objective": objective} if objective else {})))
    planned = plan(read_run_file(path))
    assert planned.objectives == (found,)
    assert planned.gate.table is not None
    assert (planned.gate.table.metric, planned.gate.table.direction) == found
    # What earlier searches say of accuracies is nothing to a search for costs alone.
    assert (planned.model is None) == (found[0] != "val_acc")
