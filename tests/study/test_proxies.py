"""Searches by ``meta`` that begin with zero-cost proxies: scored once, kept, left where they cannot be told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metanas.study._session as session_module
from metanas.bench import parse_bench_text
from metanas.errors import MetanasError
from metanas.evaluator import PROXIES
from metanas.predictor import Predictor, save_predictor
from metanas.space import load_space
from metanas.study import (
    Listener,
    MetaSampler,
    RunFolder,
    Search,
    create_run,
    plan,
    read_run,
    read_run_file,
    run_session,
    task_of_run,
)  # fmt: skip

SPACE = """\
space: small
input: table
network: [{id: body, dense: {units: {choice: [2, 4, 8, 16, 24, 32, 48, 64]}}}, {id: act, choice: [relu, identity, tanh, gelu]}, head]
"""


class Heard(Listener):
    """Notes what it hears, and stops the search after so many networks."""

    def __init__(self, stop_after: int = 10_000) -> None:
        self.scored: list[int] = []
        self.ended: list[int] = []
        self.messages: list[str] = []
        self.stop_after = stop_after
        self.search: Search | None = None

    def proxies_reported(self, done: int) -> None:
        self.scored.append(done)
        if done == self.stop_after:
            assert self.search is not None
            self.search.stop()

    def proxies_ended(self, networks: int) -> None:
        self.ended.append(networks)

    def proxies_left(self, message: str) -> None:
        self.messages.append(message)


def folder(path: Path, **search: Any) -> RunFolder:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3)).astype(np.float32)
    np.savez(path / "data.npz", x=x, y=np.where(x[:, 0] * x[:, 1] > 0, "a", "b"))
    (path / "space.yaml").write_text(SPACE)
    settings = {
        "space": "space.yaml", "data": "data.npz", "workers": {"engine": "inline"}, "fidelity": {"epochs": 1},
        "search": {"strategy": {"meta": {"proxies": 20}}, "trials": 3} | search,
    }  # fmt: skip
    (path / "run.yaml").write_text(json.dumps(settings))
    return create_run(plan(read_run_file(path / "run.yaml")), path / "runs")


def session(run: RunFolder, heard: Heard) -> None:
    def begin(search: Search) -> None:
        heard.search = search

    run_session(run, listener=heard, on_search=begin)


def decisions(run: RunFolder) -> list[Any]:
    return [record.decisions for _, record in sorted(read_run(run)[2].records.items())]


def test_the_first_network_is_one_that_proxies_promise_and_they_are_kept(tmp_path: Path) -> None:
    run, heard = folder(tmp_path), Heard()
    session(run, heard)
    kept = json.loads(run.proxies.read_text())
    assert kept["names"] == list(PROXIES)
    assert len(kept["rows"]) == len(kept["values"]) == 20
    assert heard.ended == [20]
    records = [record for _, record in sorted(read_run(run)[2].records.items())]
    assert [record.origin for record in records] == ["predictor"] * 3, "none is at random"
    units = [row[0] for row in kept["rows"]]
    params = [values[list(PROXIES).index("params")] for values in kept["values"]]
    assert np.corrcoef(units, params)[0, 1] > 0.9
    assert records[0].decisions["body.units"] >= 24, "large networks have more of nearly all proxies"


def test_a_search_that_was_stopped_scores_the_rest_and_proposes_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, stopped, first, second = folder(tmp_path / "a"), folder(tmp_path / "b"), Heard(stop_after=7), Heard()
    session(whole, Heard())
    session(stopped, first)
    assert first.scored[-1] == 7
    assert not read_run(stopped)[2].records
    session(stopped, second)
    assert second.scored == list(range(7, 21))
    assert decisions(stopped) == decisions(whole)
    run_session(stopped, sets=["search.trials=4"], listener=(third := Heard()))
    assert third.scored == []
    run_session(whole, sets=["search.trials=4"])
    assert decisions(stopped) == decisions(whole)
    run_session(whole, sets=["search.trials=5", "search.strategy={meta: {proxies: 25}}"], listener=(more := Heard()))
    assert more.ended == [25]


def test_networks_that_cannot_be_scored_stop_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(networks: Any, **_: Any) -> Iterator[Any]:
        raise RuntimeError("no double precision here")
        yield networks

    monkeypatch.setattr(session_module, "proxy_scores", broken)
    run, heard = folder(tmp_path), Heard()
    session(run, heard)
    assert heard.messages == ["no double precision here"]
    assert [record.origin for record in read_run(run)[2].records.values()] == ["random"] * 3


def test_proxies_take_a_part_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("metanas.study._proxies.time.monotonic", lambda: next(clock))
    run, heard = folder(tmp_path, time="200s", strategy={"meta": {"proxies": 40}}), Heard()
    session(run, heard)
    assert 0 < heard.scored[-1] < 20
    assert "there was time for" in heard.messages[0]


def test_where_earlier_searches_tell_nothing_is_scored(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    earlier = folder(tmp_path / "a", strategy="random", trials=8)
    run_session(earlier)
    save_predictor(Predictor.fit("known", [task_of_run(earlier.path)]), tmp_path / "known")
    run, heard = folder(tmp_path / "b", predictor=str(tmp_path / "known")), Heard()
    session(run, heard)
    assert heard.scored == []
    assert not run.proxies.exists()


def test_proxies_need_networks_that_are_built(tmp_path: Path) -> None:
    with pytest.raises(MetanasError, match="20 networks or more"):
        folder(tmp_path, strategy={"meta": {"proxies": 3}})
    rule = "proxies are of networks that are built"
    with pytest.raises(MetanasError, match=rule):
        parse_bench_text(
            "bench: a\ntasks: [{benchmark: nasbench201}]\nstrategies: [{meta: {proxies: 50}}]\n",
            "b.yaml",
            base=tmp_path,
        )
    with pytest.raises(MetanasError, match=rule):
        MetaSampler(load_space("mlp"), "meta", options={"proxies": 50})
    (tmp_path / "table.csv").write_text("units,acc\n2,0.5\n4,0.6\n")
    (tmp_path / "space.yaml").write_text("space: t\ninput: table\ntabular: {units: {choice: [2, 4]}}\n")
    (tmp_path / "run.yaml").write_text(
        "space: space.yaml\nevaluator: {table: {file: table.csv, metric: acc}}\nobjective: {maximize: acc}\n"
        "search: {strategy: {meta: {proxies: 50}}}\n"
    )
    with pytest.raises(MetanasError, match=rule):
        plan(read_run_file(tmp_path / "run.yaml"))
