"""The loop: what is counted, what ends it, duplicates, retries, failures, rungs, several objectives."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metanas.errors import StudyError
from metanas.study import Ending, SearchResult, Trials, read_run
from metanas.study._run_file import DEFAULT_TRIALS
from metanas.study._storage import open_storage
from metanas.trial import Attempt, Status, pareto_front
from metanas.worker import InlineEngine

TINY = """\
space: tiny
language: 1
input: table
let: {x1: {choice: [1, 2]}, x2: {choice: [1, 2]}}
network: [{dense: {units: $x1}}, {dense: {units: $x2}}, head]
"""


def test_trials_are_counted_and_recorded(toy: Any) -> None:
    outcome, trials = toy.search(search={"trials": 7})
    assert outcome.ending is Ending.TRIALS
    assert outcome.final is None, "an evaluator of one's own trains nothing for good"
    assert [trial.number for trial in trials] == list(range(7))
    assert {trial.status for trial in trials} == {Status.COMPLETE}
    for trial in trials:
        assert trial.values == pytest.approx([sum(v for k, v in trial.decisions.items()) / 100])
        assert list(trial.curve) == [1, 2]
        assert trial.curve[1] == pytest.approx(trial.curve[2] / 2)
        assert (trial.epochs, trial.attempts) == (2, 1)
    assert [trial.origin for trial in trials] == ["random"] * 6 + ["predictor"]
    assert len({trial.canonical_id for trial in trials}) == 7


@pytest.mark.parametrize("strategy", ["random", "evolution", "local", "meta"])
def test_a_small_space_is_searched_to_its_end(toy: Any, strategy: str) -> None:
    outcome, trials = toy.search(TINY, search={"strategy": strategy, "trials": 50})
    assert outcome.ending is Ending.EXHAUSTED
    assert sorted(tuple(trial.decisions.values()) for trial in trials) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_duplicate_takes_the_known_result_and_is_no_evaluation(toy: Any, orders: Any, tmp_path: Path) -> None:
    orders(log=str(tmp_path / "evaluated"))
    outcome, trials = toy.search(TINY, search={"strategy": "optuna:random", "trials": 50})
    assert outcome.ending is Ending.EXHAUSTED
    firsts = {trial.number: trial for trial in trials if trial.duplicate_of is None}
    copies = [trial for trial in trials if trial.duplicate_of is not None]
    assert len(firsts) == 4
    assert copies
    for copy in copies:
        first = firsts[copy.duplicate_of]
        assert (copy.canonical_id, copy.values, copy.status) == (first.canonical_id, first.values, first.status)
        assert (copy.seconds, copy.number > first.number) == (0.0, True)
    evaluated = [int(line.split()[0]) for line in (tmp_path / "evaluated").read_text().splitlines()]
    assert sorted(evaluated) == sorted(firsts), "each network once"


def test_a_duplicate_of_a_running_trial_waits_for_its_result(toy: Any, orders: Any, tmp_path: Path) -> None:
    orders(log=str(tmp_path / "evaluated"), sleep=0.02)
    workers = {"engine": "local", "count": 2}
    _, trials = toy.search(TINY, search={"strategy": "optuna:random", "trials": 4}, workers=workers)
    firsts = {trial.canonical_id: trial for trial in trials if trial.duplicate_of is None}
    assert len(firsts) == 4
    assert all(trial.status is Status.COMPLETE for trial in trials)
    assert all(trial.values == firsts[trial.canonical_id].values for trial in trials)
    assert len((tmp_path / "evaluated").read_text().splitlines()) == 4


def test_lost_workers_are_replaced_and_the_trial_is_tried_again(toy: Any, orders: Any) -> None:
    orders(kill={"1": 2, "3": 9})
    _, trials = toy.search(search={"trials": 5, "retries": 2}, workers={"engine": "local", "count": 2})
    assert [trial.number for trial in trials] == list(range(5))
    assert (trials[1].status, trials[1].attempts) == (Status.COMPLETE, 3)
    assert (trials[3].status, trials[3].attempts, trials[3].values) == (Status.LOST, 3, None)
    assert "in each of 3 attempts" in trials[3].message
    assert "SIGKILL" in trials[3].message
    assert {trials[n].status for n in (0, 2, 4)} == {Status.COMPLETE}


def test_the_last_trial_of_a_small_space_is_tried_again_too(toy: Any, orders: Any) -> None:
    orders(kill={"3": 1}, sleep=0.2)
    outcome, trials = toy.search(TINY, search={"trials": 50}, workers={"engine": "local", "count": 4})
    assert outcome.ending is Ending.EXHAUSTED
    assert [(trial.status, trial.attempts) for trial in trials] == [(Status.COMPLETE, 1)] * 3 + [(Status.COMPLETE, 2)]


def test_interrupted_sessions_do_not_count_as_lost_workers(toy: Any, orders: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 1, "retries": 1}, workers={"engine": "local", "count": 1})
    toy.session(folder, stop_after=1)
    run, space, _ = read_run(folder)
    folder.journal.unlink()
    stored = Trials(open_storage(folder.journal, None), folder.path.name, space, run.objectives)
    stored.create(space.rows(256)[7], origin="random", canonical_id="x")
    for _ in range(3):
        stored.retry(
            0, Attempt(job_id="", status=Status.CANCELLED)
        )  # as three sessions did that ended with the trial under way
    orders(kill={"0": 5})  # the fifth attempt dies, the sixth does not
    toy.session(folder)
    (trial,) = trials(folder)
    assert (trial.status, trial.attempts) == (Status.COMPLETE, 6)


def test_a_search_whose_evaluations_all_fail_ends(toy: Any, orders: Any, trials: Any) -> None:
    orders(**{"raise": True})
    folder = toy.create(search={"trials": 30})
    with pytest.raises(StudyError, match="must succeed now and then.*5 of 5 that failed.*told to raise"):
        toy.session(folder)
    assert [trial.status for trial in trials(folder)] == [Status.FAILED] * 5
    orders()
    outcome = toy.session(folder)
    assert outcome.ending is Ending.TRIALS
    assert sum(trial.status is Status.COMPLETE for trial in trials(folder)) == 25, "once mended, it goes on"


def test_a_value_that_is_not_finite_is_a_failure(toy: Any, orders: Any) -> None:
    orders(nan=[2])
    _, trials = toy.search(search={"trials": 4})
    assert trials[2].status is Status.FAILED
    assert trials[2].message == "the evaluation gave no finite value of accuracy, found nan"
    assert [trial.values is None for trial in trials] == [False, False, True, False]


def test_an_evaluation_without_the_objective_says_what_it_has(toy: Any, trials: Any) -> None:
    folder = toy.create(objective={"maximize": "acuracy", "minimize": "params"})
    with pytest.raises(StudyError, match="gave no acuracy; it has: accuracy, params"):
        toy.session(folder)
    assert {trial.status for trial in trials(folder)} == {Status.FAILED}


def test_a_target_ends_the_search(toy: Any) -> None:
    outcome, trials = toy.search(TINY, search={"target": 0.04})
    assert outcome.ending is Ending.TARGET
    assert trials[-1].values == (0.04,)
    assert all(trial.values is not None and trial.values[0] < 0.04 for trial in trials[:-1])


def test_a_target_that_is_minimized(toy: Any) -> None:
    outcome, trials = toy.search(objective={"minimize": "params"}, search={"target": 5, "strategy": "local"})
    assert outcome.ending is Ending.TARGET
    assert trials[-1].values is not None
    assert trials[-1].values[0] <= 5


def test_time_ends_the_search_and_its_running_trials(toy: Any, orders: Any, trials: Any) -> None:
    orders(sleep=0.02)
    folder = toy.create(search={"time": 0.3}, fidelity={"epochs": 3})
    assert toy.session(folder).ending is Ending.TIME
    found = trials(folder)
    assert 1 <= len(found) < 100
    assert sum(trial.status is None for trial in found) <= 1, "at most the one that was under way has no end"
    before = len(found)
    assert toy.session(folder).ending is Ending.TIME, "the time of earlier sessions counts"
    assert len(trials(folder)) <= before + 5


def test_gpu_hours_end_the_search_also_those_of_earlier_sessions(toy: Any, trials: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(InlineEngine, "gpus", property(lambda _: 0.5))
    # The fake says that an evaluation of two epochs takes 2 ms, of half a GPU.
    folder = toy.create(search={"gpu_hours": 5.5 * 0.002 * 0.5 / 3600})
    assert toy.session(folder, stop_after=4).ending is Ending.INTERRUPTED
    assert toy.session(folder).ending is Ending.GPU_HOURS
    assert sum(trial.status is Status.COMPLETE for trial in trials(folder)) == 6
    assert toy.session(folder).ending is Ending.GPU_HOURS
    assert len(trials(folder)) == 6


def test_hours_of_gpus_that_are_not_there_leave_the_usual_number_of_trials(toy: Any) -> None:
    folder = toy.create(search={"gpu_hours": 1, "trials": None})
    assert toy.session(folder).ending is Ending.TRIALS
    assert len(SearchResult.load(folder.path).trials) == DEFAULT_TRIALS


def test_rungs_stop_trials_that_are_not_among_the_best(toy: Any) -> None:
    _, trials = toy.search(search={"trials": 40, "strategy": "random"}, fidelity={"epochs": [1, 3, 9]})
    by_status = {status: [t for t in trials if t.status is status] for status in (Status.COMPLETE, Status.PRUNED)}
    assert len(by_status[Status.COMPLETE]) + len(by_status[Status.PRUNED]) == 40
    assert {t.epochs for t in by_status[Status.COMPLETE]} == {9}
    assert {t.epochs for t in by_status[Status.PRUNED]} <= {1, 3}
    assert 1 <= len(by_status[Status.COMPLETE]) <= 25
    best = max(trials, key=lambda t: sum(t.decisions.values()))
    assert best.status is Status.COMPLETE
    assert all(t.values is not None for t in trials), "the last value of a stopped trial counts"


def test_two_objectives_keep_a_pareto_front(toy: Any) -> None:
    folder = toy.create(objective={"maximize": "accuracy", "minimize": "params"}, search={"trials": 60})
    toy.session(folder)
    result = SearchResult.load(folder.path)
    assert result.objectives == (("accuracy", "maximize"), ("params", "minimize"))
    assert [direction.name for direction in result.study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert result.study.metric_names == ["accuracy", "params"]
    values = [trial.values for trial in result.trials]
    expected = {result.trials[i].number for i in pareto_front(values, ["maximize", "minimize"])}
    assert {trial.number for trial in result.pareto} == expected
    assert {trial.number for trial in result.study.best_trials} == expected, "as plain Optuna sees it"
    assert result.best.values is not None
    assert result.best.values[0] == max(v[0] for v in values if v is not None)
    # x2, x3 and x4 cost nothing, so a search that looks at both objectives finds them out.
    late = [t for t in result.trials[30:] if min(t.decisions[f"x{i}"] for i in (2, 3, 4)) >= 3]
    early = [t for t in result.trials[:20] if min(t.decisions[f"x{i}"] for i in (2, 3, 4)) >= 3]
    assert len(late) > len(early)


@pytest.mark.parametrize("strategy", ["random", "evolution", "local"])
def test_an_interrupted_search_proposes_what_the_whole_one_did(toy: Any, trials: Any, strategy: str) -> None:
    options = {
        "search": {
            "strategy": {strategy: {"population": 6, "sample": 3} if strategy == "evolution" else {}},
            "trials": 24,
        }
    }
    _, whole = toy.search(**options)
    for stops in ([1], [9], [3, 4, 8]):
        folder = toy.create(**options)
        for stop in stops:
            assert toy.session(folder, stop_after=stop).ending is Ending.INTERRUPTED
        assert len(trials(folder)) == sum(stops)
        assert toy.session(folder).ending is Ending.TRIALS
        assert [t.decisions for t in trials(folder)] == [t.decisions for t in whole]
        assert [t.values for t in trials(folder)] == [t.values for t in whole]
        assert [t.origin for t in trials(folder)] == [t.origin for t in whole]


_PROPOSE = """
import sys
from pathlib import Path
from metanas.study import create_run, plan, read_run, read_run_file, run_session
planned = plan(read_run_file(Path(sys.argv[1])), allow_python=True)
folder = create_run(planned, Path(sys.argv[2]))
run_session(folder, allow_python=True)
for _, record in sorted(read_run(folder)[2].records.items()):
    print(record.canonical_id, *record.decisions.items(), *record.values)
"""


def test_the_same_seed_proposes_the_same_in_another_process(toy: Any, tmp_path: Path) -> None:
    import subprocess

    path = toy.write(search={"strategy": {"evolution": {"population": 5, "sample": 2}}, "trials": 15, "seed": 3})
    outputs = [
        subprocess.run(
            [sys.executable, "-c", _PROPOSE, str(path), str(tmp_path / "other")], capture_output=True, text=True, check=True,
            env=dict(__import__("os").environ, PYTHONHASHSEED=seed),
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 15
    _, other = toy.search(search={"strategy": {"evolution": {"population": 5, "sample": 2}}, "trials": 15, "seed": 4})
    assert outputs[0].split()[0] != other[0].canonical_id, "another seed, another search"


def test_a_finished_search_goes_on_when_it_gets_more_trials(toy: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 3})
    toy.session(folder)
    first = trials(folder)
    assert toy.session(folder).ending is Ending.TRIALS
    assert trials(folder) == first, "nothing left to do, nothing done"
    toy.session(folder, sets=["search.trials=5"])
    assert trials(folder)[:3] == first
    assert len(trials(folder)) == 5
    toy.session(folder)
    assert len(trials(folder)) == 5, "the new number was kept"


def test_the_log_tells_the_story(toy: Any, orders: Callable[..., None]) -> None:
    import json

    folder = toy.create(search={"trials": 3})
    toy.session(folder)
    events = [json.loads(line) for line in folder.log.read_text().splitlines()]
    assert [e["event"] for e in events] == ["session_began", *["trial_started", "trial_ended"] * 3, "session_ended"]
    assert [e["trial"] for e in events if e["event"] == "trial_ended"] == [0, 1, 2]
    assert events[-1]["reason"] == Ending.TRIALS
