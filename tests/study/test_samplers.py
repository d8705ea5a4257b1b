"""Every Optuna sampler on a conditional space, through the loop."""

import sys
from typing import Any

import pytest

from metanas.errors import MetanasError, MissingDependencyError
from metanas.study import Ending, SearchResult, plan, read_run_file, strategy_names
from metanas.study._strategies import SAMPLERS, make_sampler
from metanas.trial import Status

CONDITIONAL = """\
space: conditional
language: 1
input: table
network:
  - id: body
    choice:
      wide: {dense: {units: {int: [2, 8], step: 2}, act: {choice: [relu, gelu]}}}
      deep:
        id: deep
        repeat: {dense: {units: {choice: [2, 3]}}}
        times: {int: [1, 3]}
        share: false
  - head
train: {lr: {float: [1e-4, 1e-1], log: true}}
"""
CHOICES = CONDITIONAL[: CONDITIONAL.index("train:")]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_searches_a_conditional_space(toy: Any, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = toy.create(
        CHOICES if name in ("grid", "brute_force") else CONDITIONAL, search={"strategy": f"optuna:{name}", "trials": 14}
    )
    toy.session(folder, stop_after=9)
    outcome = toy.session(folder)
    result = SearchResult.load(folder.path)
    assert outcome.ending is Ending.TRIALS
    firsts = [t for t in result.trials if t.duplicate_of is None]
    assert len(firsts) == 14
    assert len({t.canonical_id for t in firsts}) == 14
    assert {t.status for t in result.trials} == {Status.COMPLETE}
    assert {t.origin for t in result.trials} == {f"optuna:{name}"}
    space = result.architecture.space
    for trial, stored in zip(result.trials, result.study.trials, strict=True):
        assert space.to_values(space.to_row(trial.decisions)) == trial.decisions
        shown = {name: stored.params[name] for name in trial.decisions}  # TPE's trials have more
        assert shown | {"train.lr": 0} == trial.decisions | {"train.lr": 0}
        assert stored.params.get("train.lr", 0) == pytest.approx(trial.decisions.get("train.lr", 0), rel=0.01)
        assert stored.state.is_finished()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("settings", "all_decisions"), [({}, True), ({"multivariate": True, "group": True}, False)])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_tpe_is_asked_for_inactive_decisions_too_unless_it_has_groups(
    toy: Any, settings: dict[str, bool], all_decisions: bool
) -> None:
    folder = toy.create(CONDITIONAL, search={"strategy": {"optuna:tpe": settings}, "trials": 14})
    toy.session(folder, stop_after=12)
    toy.session(folder)
    result = SearchResult.load(folder.path)
    names = {decision.name for decision in result.architecture.space.decisions}
    for trial, stored in zip(result.trials, result.study.trials, strict=True):
        assert (set(stored.params) == names) is all_decisions
        assert set(trial.decisions) < names, "what is inactive is no decision of the trial"
        assert {name: stored.params[name] for name in trial.decisions if name != "train.lr"} == {
            name: value for name, value in trial.decisions.items() if name != "train.lr"
        }


@pytest.mark.parametrize("name", ["tpe", "random", "nsgaii"])
def test_samplers_with_two_objectives_and_rungs(toy: Any, name: str) -> None:
    _, trials = toy.search(
        search={"strategy": f"optuna:{name}", "trials": 15}, objective={"maximize": "accuracy", "minimize": "params"},
        fidelity={"epochs": [1, 2, 4]},
    )  # fmt: skip
    assert sum(t.duplicate_of is None for t in trials) == 15
    assert {Status.COMPLETE, Status.PRUNED} >= {t.status for t in trials}


def test_constraints_hold_for_a_sampler_too(toy: Any) -> None:
    folder = toy.create(search={"strategy": "optuna:tpe", "trials": 12}, constraints=["x1 + x2 <= 4"])
    toy.session(folder, stop_after=5)
    toy.session(folder)
    result = SearchResult.load(folder.path)
    assert all(t.decisions["x1"] + t.decisions["x2"] <= 4 for t in result.trials)
    refused = [t for t in result.study.trials if "metanas:refused" in t.user_attrs]
    assert refused
    assert {t.user_attrs["metanas:refused"] for t in refused} == {"x1 + x2 <= 4"}
    assert {t.state.name for t in refused} == {"FAIL"}
    assert len(result.trials) + len(refused) == len(result.study.trials)


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_sampler_that_does_not_find_what_the_constraints_allow_is_helped_out(toy: Any, name: str) -> None:
    """Of 65,600 networks 4 are allowed, which 200 proposals in a row miss."""
    narrow = (
        "space: narrow\nlanguage: 1\ninput: table\nlet: {x1: {int: [1, 40]}, x2: {int: [1, 40]}, x3: {int: [1, 40]}}\n"
        + (
            "network: [{dense: {units: $x1}}, {dense: {units: $x2}}, "
            "{id: c, choice: {a: {dense: {units: $x3}}, b: relu}}, head]\n"
        )
    )
    outcome, trials = toy.search(
        narrow, search={"strategy": f"optuna:{name}", "trials": 20}, constraints=["x1 + x2 <= 2", "x3 <= 3"]
    )
    assert outcome.ending is Ending.EXHAUSTED
    assert len({t.canonical_id for t in trials}) == 4
    assert "random" in {t.origin for t in trials}


def test_settings_reach_the_sampler(toy: Any) -> None:
    folder = toy.create()
    space = SearchResult.load(_ended(toy, folder)).architecture.space
    sampler = make_sampler("optuna:tpe", {"n_startup_trials": 3}, space, 0)
    assert sampler._n_startup_trials == 3  # type: ignore[attr-defined]
    with pytest.raises(MetanasError, match=r"optuna\.samplers\.TPESampler must take the settings.*n_start"):
        make_sampler("optuna:tpe", {"n_start": 3}, space, 0)
    with pytest.raises(MetanasError, match="a sampler is seeded by the search, found seed: 3"):
        make_sampler("optuna:gp", {"seed": 3}, space, 0)


def _ended(toy: Any, folder: Any) -> Any:
    toy.session(folder, stop_after=1)
    return folder.path


def test_a_sampler_whose_package_is_missing_says_what_to_install(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)  # which makes the import fail
    run = read_run_file(toy.write(CONDITIONAL, search={"strategy": "optuna:cmaes"}))
    with pytest.raises(
        MissingDependencyError, match="this needs the package cmaes; install it with: pip install cmaes"
    ):
        plan(run, allow_python=True)


def test_a_grid_needs_choices(toy: Any) -> None:
    run = read_run_file(toy.write(CONDITIONAL, search={"strategy": "optuna:grid"}))
    with pytest.raises(MetanasError, match="a grid needs a space of choices"):
        plan(run, allow_python=True)


@pytest.mark.parametrize("name", ["grid", "brute_force"])
def test_exhaustive_samplers_find_every_network(toy: Any, name: str) -> None:
    tiny = "space: tiny\nlanguage: 1\ninput: table\nlet: {x1: {choice: [1, 2, 3]}, x2: {choice: [1, 2]}}\n" + (
        "network: [{dense: {units: $x1}}, {dense: {units: $x2}}, head]\n"
    )
    outcome, trials = toy.search(tiny, search={"strategy": f"optuna:{name}", "trials": 100})
    assert outcome.ending is Ending.EXHAUSTED
    assert len({t.canonical_id for t in trials}) == 6


@pytest.mark.parametrize(
    ("settings", "says"), [({"n_start": 3}, "'n_start'"), ({"n_startup_trials": "x"}, "'<' not supported between")]
)
def test_a_bad_setting_leaves_no_run_folder(toy: Any, command: Any, settings: dict[str, Any], says: str) -> None:
    path = toy.write(search={"strategy": {"optuna:tpe": settings}})
    code, _, err = command("search", path, "--runs", toy.folder / "runs", "--allow-python", "-q")
    assert (code, len(err.splitlines())) == (2, 1)
    ((name, value),) = settings.items()
    assert f"TPESampler must take the settings {name}: {value!r}, found TypeError: " in err
    assert says in err
    assert not list((toy.folder / "runs").glob("*"))
    assert read_run_file(path).strategy in strategy_names()


def test_a_bad_setting_that_shows_in_the_middle_of_a_search_is_told(toy: Any, command: Any) -> None:
    settings = {"n_startup_trials": 2, "n_ei_candidates": "x"}
    path = toy.write(search={"strategy": {"optuna:tpe": settings}, "trials": 4})
    code, _, err = command("search", path, "--runs", toy.folder / "runs", "--allow-python", "-q")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "TPESampler must take the settings n_startup_trials: 2, n_ei_candidates: 'x', found " in err
