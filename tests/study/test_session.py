"""From a run file to a run folder: what is resolved, recorded, refused; and decisions about the training."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from metanas.architecture import Architecture
from metanas.errors import ConstraintError, MetanasError, StudyError
from metanas.evaluator import Recipe
from metanas.evaluator._training_evaluator import TrainingEvaluator
from metanas.study import Lease, RunFolder, SearchResult, create_run, plan, read_run_file, resolved
from metanas.study._session import _setup
from metanas.worker import plan_slots

LR = {"lr": {"float": [1e-4, 1e-1], "log": True}, "optimizer": {"choice": ["adamw", "sgd"]}, "batch_size": 32}


# --- the resolved run file


def test_the_resolved_run_file_reads_as_the_same_run(toy: Any) -> None:
    path = toy.write(
        constraints=["params <= 1e5"], search={"strategy": {"evolution": {"population": 7}}, "trials": 9, "time": "1h", "seed": 2},
        train=LR, fidelity={"epochs": [2, 4], "stop": {"curve": {"percent": 3}}}, objective={"maximize": "accuracy", "minimize": ["params"]},
    )  # fmt: skip
    first = plan(read_run_file(path), allow_python=True)
    folder = create_run(first, toy.folder / "runs")
    again = plan(read_run_file(folder.run_file), allow_python=True)
    for field in (
        "strategy", "strategy_options", "trials", "time", "gpu_hours", "target", "seed", "retries", "max_memory", "rungs", "stop",
        "stop_options", "train", "workers", "engine", "storage", "evaluator", "name",
    ):  # fmt: skip
        assert getattr(again.run, field) == getattr(first.run, field), field
    assert again.objectives == first.objectives
    assert again.space.decisions == first.space.decisions
    assert [c.text for c in again.space.constraints] == ["params <= 1e5"]
    assert again.dataset.fingerprint == first.dataset.fingerprint
    assert resolved(again) == resolved(first) | {"data": resolved(again)["data"]}


def test_every_default_is_written(toy: Any) -> None:
    folder = toy.create()
    written = yaml.safe_load(folder.run_file.read_text())
    assert set(written) == {
        "name", "space", "data", "objective", "constraints", "search", "fidelity", "train", "workers", "storage", "evaluator",
    }  # fmt: skip
    assert written["objective"] == {"maximize": ["accuracy"]}
    assert written["search"]["strategy"] == "meta"
    assert os.path.isabs(written["data"])


@pytest.mark.parametrize(
    "data", ["data.npz", {"arrays": "data.npz"}, {"arrays": "data.npz", "test": 0.3}, "digits", {"name": "wine"}]
)
def test_paths_of_data_become_absolute(toy: Any, data: Any) -> None:
    kind = "convnet" if data == "digits" else "mlp"
    run = read_run_file(toy.write(data=data), sets=[f"space={kind}"])
    written = resolved(plan(run, allow_python=True))["data"]
    if data == "data.npz":
        assert written == str(toy.folder / "data.npz")
    elif data == "digits":
        assert written == "digits"
    elif "arrays" in data:
        assert written == data | {"arrays": str(toy.folder / "data.npz")}
    else:
        assert written == data


def test_a_path_in_the_home_folder(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(toy.folder))
    folder = toy.create(data="~/data.npz")
    assert yaml.safe_load(folder.run_file.read_text())["data"] == str(toy.folder / "data.npz")
    folder = toy.create(data={"arrays": "~/data.npz"})
    assert yaml.safe_load(folder.run_file.read_text())["data"] == {"arrays": str(toy.folder / "data.npz")}


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:se/c:r@et@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me"),
        ("postgresql+psycopg2://me:secret@host/db", "postgresql+psycopg2://me@host/db"),
        ("sqlite:///study.db", "sqlite:///study.db"),
    ],
)
def test_no_password_is_written(toy: Any, url: str, written: str) -> None:
    folder = toy.create(storage=url)
    assert yaml.safe_load(folder.run_file.read_text())["storage"] == written
    everything = b"".join(path.read_bytes() for path in folder.path.rglob("*") if path.is_file())
    assert b"secret" not in everything


def test_a_run_folder_says_where_it_comes_from(toy: Any) -> None:
    folder = toy.create(search={"seed": 5})
    info = folder.read_info()
    assert folder.path.name.startswith("toy-2")
    assert info["seed"] == 5
    assert {"metanas", "python", "torch", "optuna", "numpy"} <= set(info["versions"])
    assert info["data"]["samples"] == {"train": 38, "validation": 10, "test": 12}
    assert info["data"]["shape"] == [3]
    assert len(info["data"]["fingerprint"]) >= 12
    assert toy.create().path != toy.create().path, "two in one second"


def test_changed_data_are_refused_on_a_resume(toy: Any) -> None:
    import numpy as np

    folder = toy.create()
    toy.session(folder, stop_after=2)
    np.savez(toy.folder / "data.npz", x=np.random.default_rng(1).normal(size=(60, 3)), y=np.repeat(["a", "b"], 30))
    with pytest.raises(StudyError, match="data must stay as they were.*restore the data"):
        toy.session(folder)


def test_a_space_of_ones_own_is_kept_in_the_folder(toy: Any, trials: Any) -> None:
    folder = toy.create(search={"trials": 4})
    toy.session(folder, stop_after=2)
    (toy.folder / "space.yaml").unlink()
    (toy.folder / "run.yaml").unlink()
    toy.session(folder)
    assert len(trials(folder)) == 4


# --- who owns a folder


def test_a_second_process_is_told_who_works_on_the_run(toy: Any) -> None:
    folder = toy.create()
    with Lease(folder):
        with pytest.raises(StudyError) as caught:
            toy.session(folder)
        assert f"process {os.getpid()} on {socket.gethostname()}, since 2" in str(caught.value)
        assert "wait for it, or stop it first" in str(caught.value)
    toy.session(folder)


@pytest.mark.parametrize("make", [False, True])
def test_no_run_folder(tmp_path: Path, make: bool) -> None:
    run = tmp_path / "runs" / "toy-20260101-000000"
    run.mkdir(parents=True)
    (run / "run.yaml").touch()
    (run / "info.json").touch()
    wrong = tmp_path / "runs" / "toy"
    if make:
        wrong.mkdir()
        (wrong / "run.yaml").touch()  # to start from
    with pytest.raises(StudyError, match="must be a run folder") as caught:
        RunFolder.open(wrong)
    assert ("none that a search made" if make else "no such folder") in str(caught.value)
    if not make:
        assert f"did you mean {run}?" in str(caught.value)


# --- decisions about the training


def test_training_settings_can_be_decisions(toy: Any) -> None:
    planned = plan(read_run_file(toy.write(train=LR)), allow_python=True)
    decisions = {d.name: d for d in planned.space.decisions if d.part == "train"}
    assert set(decisions) == {"train.lr", "train.optimizer"}
    assert (decisions["train.lr"].kind, decisions["train.lr"].log) == ("float", True)
    row = planned.space.to_row({"x1": 1, "x2": 1, "x3": 1, "x4": 1, "train.lr": 1e-4, "train.optimizer": "sgd"})
    recipe = Recipe.from_mapping(Architecture(planned.space, tuple(int(v) for v in row)).recipe)
    assert (recipe.lr, recipe.optimizer, recipe.batch_size) == (pytest.approx(1e-4), "sgd", 32)
    other = row.copy()
    other[planned.space.columns["train.lr"]] = 500
    ids = {Architecture(planned.space, tuple(int(v) for v in r)).canonical_id for r in (row, other)}
    assert len(ids) == 2, "another training is another trial"


def test_decisions_about_the_training_are_in_the_study(toy: Any, trials: Any) -> None:
    folder = toy.create(train=LR, search={"trials": 5, "strategy": "random"})
    toy.session(folder)
    study = SearchResult.load(folder.path).study
    for trial, record in zip(study.trials, trials(folder), strict=True):
        lr = trial.distributions["train.lr"]
        assert isinstance(lr, optuna.distributions.FloatDistribution)
        assert (lr.low, lr.high, lr.log) == (pytest.approx(1e-4), pytest.approx(1e-1), True)
        assert 1e-4 <= trial.params["train.lr"] <= 1e-1
        assert trial.params == record.decisions


def test_workers_see_the_same_decisions_and_train_by_them(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from metanas.evaluator import _training_evaluator
    from metanas.trial import Job

    planned = plan(read_run_file(toy.write(train=LR, evaluator="train", constraints=["x1 < 4"])))
    setup = json.loads(json.dumps(_setup(planned, plan_slots(1), False)))
    evaluator = TrainingEvaluator.from_setup(setup, device="cpu", threads=1)
    assert evaluator.space.decisions == planned.space.decisions
    seen = []

    def train(*arguments: Any, recipe: Recipe, **options: Any) -> Any:
        seen.append(recipe)
        raise RuntimeError

    monkeypatch.setattr(_training_evaluator, "train", train)
    lr = planned.space.decisions[planned.space.columns["train.lr"]].values[700]
    decisions = {"x1": 1, "x2": 1, "x3": 1, "x4": 1, "train.lr": lr, "train.optimizer": "sgd"}
    with pytest.raises(RuntimeError):
        evaluator.evaluate(Job(id="a", trial=0, decisions=decisions, epochs=1, seed=0), lambda report: None)
    assert (seen[0].lr, seen[0].optimizer, seen[0].batch_size) == (lr, "sgd", 32)


def test_settings_of_the_space_and_the_run_file(toy: Any) -> None:
    space = (toy.write(), (toy.folder / "space.yaml").read_text())[1] + "train: {lr: 0.01, optimizer: sgd}\n"
    planned = plan(read_run_file(toy.write(space, train={"lr": 0.5})), allow_python=True)
    recipe = planned.space.recipe_of(planned.space.rows(256)[0])
    assert recipe == {"lr": 0.5, "optimizer": "sgd"}, "the run file goes before the space"


def test_settings_of_the_space_are_checked(toy: Any) -> None:
    text = (toy.write(), (toy.folder / "space.yaml").read_text())[1]
    with pytest.raises(MetanasError, match="lr"):
        plan(read_run_file(toy.write(text + "train: {lr: {choice: [0.1, -1]}}\n")), allow_python=True)
    with pytest.raises(MetanasError, match="batch_size"):
        plan(read_run_file(toy.write(text + "train: {batchsize: 3}\n")), allow_python=True)


# --- what does not go together


def test_space_and_data_of_two_kinds(toy: Any) -> None:
    with pytest.raises(MetanasError, match="the space and the data are of one kind.*input: image"):
        plan(read_run_file(toy.write(), sets=["data=digits"]), allow_python=True)


@pytest.mark.parametrize("metric", ["r2", "rmse"])
def test_metric_of_another_task(toy: Any, metric: str) -> None:
    objective = {"maximize" if metric == "r2" else "minimize": metric}
    with pytest.raises(MetanasError, match=metric):
        plan(read_run_file(toy.write(objective=objective, evaluator="train")))


def test_own_code_needs_permission(toy: Any) -> None:
    with pytest.raises(MetanasError, match="--allow-python"):
        plan(read_run_file(toy.write()))
    with pytest.raises(MetanasError, match="allow"):
        plan(read_run_file(toy.write(evaluator="train", objective={"maximize": "fake_evaluator:accuracy"})))
    with pytest.raises(MetanasError, match="allow"):
        plan(read_run_file(toy.write(evaluator="train", train={"loss": "fake_evaluator:accuracy"})))


def test_a_constraint_no_network_meets_names_the_smallest_values(toy: Any) -> None:
    run = read_run_file(toy.write(constraints=["params <= 3"]))
    with pytest.raises(ConstraintError) as caught:
        plan(run, allow_python=True)
    text = str(caught.value)
    assert "'params <= 3'" in text
    assert "relax them; the smallest values seen were params 14" in text


def test_constraints_hold_for_every_trial(toy: Any) -> None:
    from metanas.study._gate import Gate

    path = toy.write(constraints=["params <= 60", "x1 + x2 <= 4"], search={"trials": 30})
    planned = plan(read_run_file(path), allow_python=True)
    folder = create_run(planned, toy.folder / "runs")
    toy.session(folder)
    gate = Gate(
        planned.space, planned.preparation.input_shape, planned.dataset.n_outputs, samples=len(planned.splits.train)
    )
    found = SearchResult.load(folder.path).trials
    assert len(found) == 30
    for trial in found:
        assert gate.measures(planned.space.to_row(trial.decisions)).params <= 60
        assert trial.decisions["x1"] + trial.decisions["x2"] <= 4
