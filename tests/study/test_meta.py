"""Searches with the strategy ``meta``."""

from typing import Any

from metanas.study import read_run, read_run_file, task_of_run
from metanas.trial import Status


def test_proposals_meet_constraints_and_early_stops_count(toy: Any) -> None:
    folder = toy.create(
        search={"strategy": {"meta": {"start": 3}}, "trials": 12}, constraints=["params <= 60"],
        fidelity={"epochs": [1, 2]},
    )  # fmt: skip
    toy.session(folder)
    trials = [record for _, record in sorted(read_run(folder)[2].records.items())]
    assert len(trials) == 12
    assert {t.status for t in trials} <= {Status.COMPLETE, Status.PRUNED}
    assert "predictor" in {t.origin for t in trials}
    assert len({t.canonical_id for t in trials}) == len(trials) - sum(t.origin == "repeat" for t in trials)
    space = read_run(folder)[1]
    assert all("params <= 60" in c.text for c in space.constraints)
    task = task_of_run(folder.path)
    assert task.losses.shape[0] == len({t.canonical_id for t in trials})
    assert task.facts == {"samples": 60.0, "classes": 2.0, "features": 3.0}
    assert read_run_file(folder.run_file).predictor == "none", "one that is learned meanwhile does not join in"


def test_a_resumed_search_proposes_what_it_would_have_proposed(toy: Any) -> None:
    search = {"strategy": {"meta": {"start": 3}}, "trials": 9}
    whole = toy.create(search=search)
    toy.session(whole)
    stopped = toy.create(search=search)
    toy.session(stopped, stop_after=5)
    toy.session(stopped)
    rows = [[t.decisions for _, t in sorted(read_run(f)[2].records.items())] for f in (whole, stopped)]
    assert rows[0] == rows[1]


def test_of_a_run_early_stops_are_guesses_with_a_doubt(toy: Any) -> None:
    folder = toy.create(search={"trials": 40, "strategy": "random"}, fidelity={"epochs": [1, 3, 9]})
    toy.session(folder)
    trials = [record for _, record in sorted(read_run(folder)[2].records.items())]
    task = task_of_run(folder.path)
    assert task.doubt is not None
    certain = {t.canonical_id for t in trials if t.status is Status.COMPLETE}
    assert (task.doubt > 0).sum() == len({t.canonical_id for t in trials} - certain) > 0
