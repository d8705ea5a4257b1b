"""Searches by a supernet: trained once, gone through, left where it does not serve."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metanas.controller import SupernetRanking
from metanas.errors import MetanasError
from metanas.study import Listener, RunFolder, Search, create_run, plan, read_run, read_run_file, run_session
from metanas.study._timeline import time_so_far
from metanas.trial import EpochReport, Result, Status

SPACE = """\
space: small
input: table
network: [{id: body, dense: {units: {choice: [2, 4, 8, 16]}}}, {id: act, choice: [relu, identity, tanh]}, head]
"""


class Heard(Listener):
    """Notes what it hears, and stops the search after so many epochs of the supernet."""

    def __init__(self, stop_after: int = 99) -> None:
        self.epochs: list[int] = []
        self.results: list[Result] = []
        self.left: list[float] = []
        self.stop_after = stop_after
        self.search: Search | None = None

    def supernet_reported(self, report: EpochReport) -> None:
        self.epochs.append(report.epoch)
        if report.epoch == self.stop_after:
            assert self.search is not None
            self.search.stop()

    def supernet_left(self, agreement: float) -> None:
        self.left.append(agreement)

    def supernet_ended(self, result: Result) -> None:
        self.results.append(result)


def folder(path: Path, **search: Any) -> RunFolder:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3)).astype(np.float32)
    np.savez(path / "data.npz", x=x, y=np.where(x[:, 0] * x[:, 1] > 0, "a", "b"))
    (path / "space.yaml").write_text(SPACE)
    settings = {
        "space": "space.yaml", "data": "data.npz", "workers": {"engine": "inline"}, "fidelity": {"epochs": 1},
        "search": {"strategy": {"supernet": {"epochs": 3, "candidates": 8, "then": "ranking"}}, "trials": 4} | search,
    }  # fmt: skip
    (path / "run.yaml").write_text(json.dumps(settings))
    return create_run(plan(read_run_file(path / "run.yaml")), path / "runs")


def session(run: RunFolder, heard: Heard) -> None:
    def begin(search: Search) -> None:
        heard.search = search

    run_session(run, listener=heard, on_search=begin)


def test_the_best_networks_of_the_supernet_are_evaluated_in_its_order(tmp_path: Path) -> None:
    run, heard = folder(tmp_path), Heard()
    session(run, heard)
    ranking = json.loads((run.supernet / "ranking.json").read_text())
    space, trials = read_run(run)[1:]
    records = [record for _, record in sorted(trials.records.items())]
    assert heard.epochs == [1, 2, 3]
    assert [record.origin for record in records] == ["supernet"] * 4
    assert [space.to_row(record.decisions).tolist() for record in records] == ranking["rows"][:4]
    assert not (run.checkpoints / "supernet").exists()


def test_a_stopped_supernet_goes_on_where_it_was_and_is_trained_once(tmp_path: Path) -> None:
    run, first, second, third = folder(tmp_path), Heard(stop_after=1), Heard(), Heard()
    session(run, first)
    assert not read_run(run)[2].records
    session(run, second)
    assert second.epochs == [2, 3]
    assert len(read_run(run)[2].records) == 4
    run_session(run, sets=["search.trials=5"], listener=third)
    assert third.epochs == []
    assert len(read_run(run)[2].records) == 5


def test_a_supernet_takes_a_part_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, heard = folder(tmp_path, time="1h"), Heard()
    given: list[float] = []
    left = Search._seconds_left

    def spent(search: Search, share: float) -> float:
        given.append(left(search, share) or 0.0)
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr(Search, "_seconds_left", spent)
        session(run, heard)
    assert given == [1800.0]
    assert heard.epochs == [1], "one epoch is the least that tells something"
    ranking = json.loads((run.supernet / "ranking.json").read_text())
    assert (ranking["epochs"], ranking["early"]) == (1, True)
    assert len(read_run(run)[2].records) == 4
    again = Heard()
    run_session(run, sets=["search.trials=5"], listener=again)
    assert again.epochs == [], "what it found is kept"


def test_the_time_of_a_supernet_that_was_stopped_counts(tmp_path: Path, command: Any) -> None:
    run = folder(tmp_path, time="1h")
    session(run, Heard(stop_after=2))
    spent, _ = time_so_far(run.log)
    assert spent > 0
    events = [json.loads(line)["event"] for line in run.log.read_text().splitlines()]
    assert events == ["session_began", "supernet_reported", "supernet_reported", "session_ended"]
    code, out, _ = command("status", run.path)
    assert code == 0
    assert "Supernet: 2 epochs trained" in out


def test_a_ranking_that_disagrees_is_left_and_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"epochs": 1, "candidates": 8, "then": "ranking", "check": 2}
    run, heard = folder(tmp_path, strategy={"supernet": settings}), Heard()
    agree = SupernetRanking.agreement
    # As if the first two had come out the other way round.
    monkeypatch.setattr(SupernetRanking, "agreement", lambda self, seen: agree(self, seen) if len(seen) < 2 else -1.0)
    session(run, heard)
    origins = [record.origin for _, record in sorted(read_run(run)[2].records.items())]
    assert origins[:2] == ["supernet"] * 2
    assert "supernet" not in origins[2:]
    assert heard.left == [-1.0], "said once"


def test_meta_goes_on_with_the_ranking_as_its_source(tmp_path: Path) -> None:
    run, heard = folder(tmp_path, strategy={"supernet": {"epochs": 3, "candidates": 8}}), Heard()
    session(run, heard)
    records = read_run(run)[2].records
    assert [records[number].origin for number in range(4)] == ["predictor"] * 4
    assert heard.epochs == [1, 2, 3]
    again, other = Heard(), Heard()
    run_session(run, sets=["search.trials=5"], listener=again)
    assert again.epochs == []
    assert len(read_run(run)[2].records) == 5
    run_session(run, sets=["search.trials=6", "search.strategy.supernet.method=gdas"], listener=other)
    assert other.epochs == [1, 2, 3], "the ranking of another supernet does not count"


@pytest.mark.parametrize("then", ["ranking", "meta"])
def test_without_room_for_a_supernet_the_search_goes_on_without(tmp_path: Path, then: str) -> None:
    run = folder(
        tmp_path, strategy={"supernet": {"method": "darts", "epochs": 2, "then": then}}, max_memory="5KB", trials=2
    )
    heard = Heard()
    session(run, heard)
    assert [result.status for result in heard.results] == [Status.TOO_LARGE]
    assert [record.origin for record in read_run(run)[2].records.values()] == ["random"] * 2


def test_a_supernet_needs_an_evaluator_that_trains_and_a_method_that_is_known(tmp_path: Path) -> None:
    with pytest.raises(MetanasError, match="did you mean 'darts'"):
        folder(tmp_path, strategy={"supernet": {"method": "dart"}})
    with pytest.raises(MetanasError, match="did you mean 'meta'"):
        folder(tmp_path, strategy={"supernet": {"then": "metta"}})
    with pytest.raises(MetanasError, match="whole number"):
        folder(tmp_path, strategy={"supernet": {"epochs": "many"}})
    path = tmp_path / "run.yaml"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"evaluator": {"python": "a:B"}, "search": {"strategy": "supernet"}})
    )
    with pytest.raises(MetanasError, match="a supernet is trained"):
        plan(read_run_file(path), allow_python=True)
