from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metanas.bench import parse_bench_text, read_bench_file
from metanas.errors import MetanasError
from metanas.space import LanguageError


def _read(text: str) -> Any:
    return parse_bench_text(text, "bench.yaml", base=Path("/here"))


def test_a_benchmark_without_a_data_set_means_all_of_them() -> None:
    bench = _read("tasks: [{benchmark: nasbench201}]\nstrategies: [random]\n")
    assert [task.name for task in bench.tasks] == [
        f"nasbench201/{d}" for d in ("cifar10", "cifar100", "imagenet16_120")
    ]
    assert bench.sources.tasks == bench.tasks
    assert bench.budgets == (10, 20, 50, 100)


def test_all_keys() -> None:
    bench = _read(
        """
bench: mine
tasks: [{benchmark: nasbench_graph, datasets: [cora, arxiv]}, {file: a.csv, space: mlp, minimize: loss}]
strategies:
  - random
  - evolution: {population: 10}
  - {name: small, strategy: {evolution: {population: 5}}, sources: none}
sources: {tasks: [{benchmark: nasbench_graph}], known: all}
evaluations: 30
seeds: 4
first_seed: 7
values: repeat
"""
    )
    assert [task.name for task in bench.tasks] == ["nasbench_graph/cora", "nasbench_graph/arxiv", "a"]
    assert bench.tasks[2].options == {"metric": "loss", "direction": "minimize"}
    assert [(c.name, dict(c.settings), c.sources) for c in bench.contestants] == [
        ("random", {}, "given"), ("evolution", {"population": 10}, "given"), ("small", {"population": 5}, "none"),
    ]  # fmt: skip
    assert bench.sources.known is None
    assert len(bench.sources.tasks) == 9
    assert (bench.evaluations, bench.seeds, bench.first_seed, bench.values) == (30, 4, 7, "repeat")
    assert bench.budgets == (10, 20, 30)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("strategies: [random]", "tasks is a list of tables"),
        ("tasks: [{benchmark: nasbench21}]\nstrategies: [random]", "did you mean 'nasbench201'"),
        ("tasks: [{benchmark: nasbench201, dataset: cifar11}]\nstrategies: [random]", "did you mean 'cifar10"),
        ("tasks: [{benchmark: nasbench201, dataset: cifar10, cost: x}]\nstrategies: [random]", "cost"),
        ("tasks: [{file: a.csv, maximize: acc}]\nstrategies: [random]", "add 'space:"),
        ("tasks: [{file: a.csv, space: mlp, metric: acc}]\nstrategies: [random]", "{maximize: acc}"),
        ("tasks: [{file: a.csv, space: mlp}]\nstrategies: [random]", "one metric column"),
        ("tasks: [{file: a.csv, space: mlp, maximise: acc}]\nstrategies: [random]", "did you mean 'maximize'"),
        ("tasks: [{benchmark: nasbench201}, {benchmark: nasbench201, dataset: cifar10}]\nstrategies: [random]", "a task stands once"),
        ("tasks: [{file: a.csv, space: mlp, maximize: acc}, {file: a.csv, space: mlp, maximize: f1}]\nstrategies: [random]", "a task stands once"),
        ("tasks: [{file: x/a.csv, space: mlp, maximize: acc}, {file: y/a.csv, space: mlp, maximize: acc}]\nstrategies: [random]", "names of their own"),
        ("tasks: [{file: x/a.csv, space: mlp, maximize: acc}]\nstrategies: [random]\nsources: {tasks: [{file: y/a.csv, space: mlp, maximize: acc}]}", "/here/x/a.csv and /here/y/a.csv"),
        ("tasks: [{file: a.csv, space: mlp, maximize: acc, facts: 3}]\nstrategies: [random]", "numbers by name"),
        ("tasks: [{file: a.csv, space: mlp, maximize: acc, facts: {classes: ten}}]\nstrategies: [random]", "a fact of a data set is a number"),
        ("tasks: [{file: a.csv, space: mlp, maximize: acc, facts: {classes: .inf}}]\nstrategies: [random]", "a fact of a data set is a number"),
        ("tasks: [{benchmark: nasbench201}]", "strategies is a list of names"),
        ("tasks: [{benchmark: nasbench201}]\nstrategies: [rando]", "did you mean 'random'"),
        ("tasks: [{benchmark: nasbench201}]\nstrategies: [random, random]", "two names"),
        ("tasks: [{benchmark: nasbench201}]\nstrategies: [{evolution: {popul: 3}}]", "did you mean 'population'"),
        ("tasks: [{benchmark: nasbench201}]\nstrategies: [random]\nseeds: 0", "from 1"),
        ("tasks: [{benchmark: nasbench201}]\nstrategies: [random]\nsources: {known: 1}", "known is all"),
        ("tasks: [{benchmark: nasbench201}]\nstrategies: [random]\nvalues: median", "mean or repeat"),
        ("tasks: [{benchmark: nasbench201}]\nstrategies: [random]\nseedz: 3", "did you mean 'seeds'"),
        ("tasks: [{benchmark: nasbench201}]\nstrategies: [supernet]", "a supernet is trained on data"),
        ("space: mlp\ndata: wine", "found a run file; start it with 'metanas search'"),
        ("space: t\ntabular: {a: {choice: [p, q]}}", "found a space file; write e.g. tasks: [{file"),
        ("tasks: []\nstrategies: [random]", "found an empty list"),
        ("- a", "a bench file is a mapping"),
    ],
)  # fmt: skip
def test_mistakes(text: str, says: str) -> None:
    with pytest.raises(LanguageError, match="bench.yaml:") as error:
        _read(text)
    assert says in str(error.value)


def test_a_table_of_ones_own_has_a_name_and_facts() -> None:
    bench = _read(
        """
tasks:
  - {file: x/a.csv, space: mlp, maximize: acc, facts: {samples: 5000, classes: 10}}
  - {file: y/a.csv, space: mlp, maximize: acc, name: other}
  - {file: runs.db, table: third, space: mlp, maximize: acc}
strategies: [random]
"""
    )
    assert [task.name for task in bench.tasks] == ["a", "other", "runs/third"]
    assert bench.tasks[0].options["facts"] == {"samples": 5000.0, "classes": 10.0}


def test_overrides(bench_file: Callable[..., Path]) -> None:
    assert read_bench_file(bench_file(), sets=["seeds=9", "sources.known=50"]).sources.known == 50
    with pytest.raises(MetanasError, match="--set seeds"):
        read_bench_file(bench_file(), sets=["seeds=many"])
