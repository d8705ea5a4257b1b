"""Real searches, tiny, end to end: what the run folder holds, that the exported network is the searched one, and that
the search never sees the test split."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from sklearn.datasets import load_digits

import metanas
from metanas.data import load_dataset, split
from metanas.errors import StudyError
from metanas.study import ARTEFACTS, SearchResult
from metanas.trial import Status

MIXED = """\
space: mixed
input: table
network:
  - repeat: {dense: {units: {choice: [4, 8]}}}
    times: {int: [1, 2]}
  - head
"""


@dataclass(frozen=True)
class Searched:
    """A finished search."""

    result: SearchResult
    data: Path | None = None

    @property
    def folder(self) -> Path:
        return self.result.folder.path


def search(folder: Path, **options: Any) -> SearchResult:
    settings: dict[str, Any] = {
        "trials": 3,
        "epochs": 2,
        "workers": 1,
        "runs": folder / "runs",
        "progress": False,
        "seed": 1,
    }
    return metanas.search(**settings | options)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """Two workers, rungs."""
    folder = tmp_path_factory.mktemp("digits")
    return Searched(search(folder, space="convnet", data="digits", epochs=[1, 2], workers=2, name="digits"))


def people(rows: int = 160) -> str:
    """A table with numbers, categories and missing values, and a target that they tell."""
    rng = np.random.default_rng(0)
    lines = ["age,city,score,rent"]
    for _ in range(rows):
        age, city, score = rng.integers(20, 70), rng.choice(["Bern", "Bonn", "São Paulo, SP"]), rng.normal()
        rent = 500 + 10 * age + 200 * (city == "Bern") + 50 * score
        cells = [str(age), f'"{city}"', f"{score:.3f}"]
        for place in range(3):
            if rng.random() < 0.1:
                cells[place] = ""
        lines.append(",".join([*cells, f"{rent:.2f}"]))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def rents(tmp_path_factory: pytest.TempPathFactory, inline: Any) -> Searched:
    """A regression on a mixed table."""
    folder = tmp_path_factory.mktemp("rents")
    (folder / "people.csv").write_text(people(), encoding="utf-8")
    (folder / "mixed.yaml").write_text(MIXED)
    data = {"table": str(folder / "people.csv"), "target": "rent"}
    options = {"search": {"trials": 3, "seed": 1}, "fidelity": {"epochs": 20}, "name": "rents"}
    return Searched(inline(space=str(folder / "mixed.yaml"), data=data, **options), folder / "people.csv")


# --- the run folder


def test_the_run_folder_is_whole(digits: Searched) -> None:
    files = {path.relative_to(digits.folder).as_posix() for path in digits.folder.rglob("*") if path.is_file()}
    assert {
        "run.yaml", "space.yaml", "info.json", "study.journal", "log.jsonl", "report.html", "best/architecture.json",
        "best/weights.safetensors", "best/network.py", "best/preparation.json", "best/result.json", "best/choice.json", "workers/worker-0.log",
    } <= files  # fmt: skip
    assert not [name for name in files if name.endswith(".new") or "/." in name], "nothing half written is left"
    report = (digits.folder / "report.html").read_text()
    assert "best/network.py" in report
    assert digits.folder.name in report


def test_the_result(digits: Searched) -> None:
    result = digits.result
    assert [t.number for t in result.trials] == [0, 1, 2]
    assert {t.status for t in result.trials} <= {Status.COMPLETE, Status.PRUNED}
    for trial in result.trials:
        assert {"accuracy", "loss", "params", "flops", "memory"} <= set(trial.metrics)
        assert trial.curve[1] == pytest.approx(trial.metrics["accuracy"]) or trial.epochs > 1
        assert not [name for name in trial.metrics if name.startswith("test")]
    assert result.best.values == (max(t.values for t in result.trials if t.values)[0],)
    assert result.architecture.values == result.best.decisions
    assert result.architecture.canonical_id == result.best.canonical_id
    assert {"test_accuracy", "test_loss", "params"} <= set(result.metrics)
    assert sum(p.numel() for p in result.network.parameters()) == result.metrics["params"]
    assert result.study.best_trial.number == result.best.number
    assert result.pareto[0].values == result.best.values
    again = SearchResult.load(digits.folder)
    assert again.trials == result.trials


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_plain_optuna_reads_the_journal(digits: Searched) -> None:
    backend = optuna.storages.journal.JournalFileBackend(str(digits.folder / "study.journal"))
    study = optuna.load_study(study_name=digits.folder.name, storage=optuna.storages.JournalStorage(backend))
    assert study.best_params == digits.result.best.decisions


def test_the_tested_accuracy_is_that_of_the_network_on_the_test_split(digits: Searched) -> None:
    x, y = load_digits(return_X_y=True)
    dataset = load_dataset("digits", base=Path())
    test = split(dataset, seed=1).test
    predicted = digits.result.predict(x.reshape(-1, 8, 8)[test])
    assert (predicted == y[test].astype(str)).mean() == pytest.approx(digits.result.metrics["test_accuracy"])


# --- the exported network

_OUTPUTS = """
import importlib.abc, json, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("metanas", "sklearn", "optuna", "polars"):
            raise ModuleNotFoundError(f"no {name} here", name=name)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import numpy
import torch
import network
samples = json.load(open(sys.argv[2]))
samples = {"image": torch.tensor, "array": numpy.array}.get(sys.argv[3], lambda rows: rows)(samples)
prepared = network.prepare(samples)
with torch.inference_mode():
    outputs = network.load()(prepared)
print(json.dumps({"prepared": prepared.tolist(), "outputs": outputs.tolist(), "classes": getattr(network, "CLASSES", None)}))
"""


def outputs(best: Path, samples: Any, kind: str, tmp_path: Path) -> dict[str, Any]:
    """What ``best/network.py`` makes of raw samples in a process that has no metanas."""
    (tmp_path / "samples.json").write_text(json.dumps(samples))
    command = [sys.executable, "-I", "-c", _OUTPUTS, str(best), str(tmp_path / "samples.json"), kind]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout))


def test_the_exported_image_network_is_the_searched_one(digits: Searched, tmp_path: Path) -> None:
    images = load_digits().images[:50, None]
    found = outputs(digits.folder / "best", images.tolist(), "image", tmp_path)
    as_array = outputs(digits.folder / "best", images.tolist(), "array", tmp_path)
    assert as_array["prepared"] == found["prepared"]
    prepared = digits.result.preparation.transform(images)
    np.testing.assert_allclose(found["prepared"], prepared, atol=1e-5)
    with torch.inference_mode():
        expected = digits.result.network(torch.from_numpy(prepared)).numpy()
    np.testing.assert_allclose(found["outputs"], expected, atol=1e-5)
    assert found["classes"] == [str(n) for n in range(10)]
    assert [found["classes"][int(np.argmax(row))] for row in found["outputs"]] == list(digits.result.predict(images))


def _rows(path: Path) -> list[dict[str, Any]]:
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    return [
        {"age": float(r["age"]) if r["age"] else None, "city": r["city"] or None, "score": float(r["score"]) if r["score"] else None}
        for r in rows
    ]  # fmt: skip


def test_the_exported_table_network_is_the_searched_one(rents: Searched, tmp_path: Path) -> None:
    assert rents.data is not None
    rows = _rows(rents.data)
    odd = [
        {"age": 33.0, "city": "Atlantis", "score": None},
        {"city": "Bern"},
        {"age": 50.0, "city": None, "score": 1.0, "more": 3},
    ]
    found = outputs(rents.folder / "best", rows + odd, "table", tmp_path)
    dataset = load_dataset({"table": str(rents.data), "target": "rent"}, base=Path())
    np.testing.assert_allclose(
        found["prepared"][: len(rows)], rents.result.preparation.transform(dataset.inputs), atol=1e-5
    )
    np.testing.assert_allclose(found["prepared"], rents.result.preparation.transform_rows(rows + odd), atol=1e-5)
    predicted = rents.result.predict(rows + odd)
    np.testing.assert_allclose(np.array(found["outputs"])[:, 0], predicted, rtol=1e-5)
    assert found["classes"] is None
    # In francs, not in standard deviations.
    assert 700 < predicted.mean() < 1300
    test = split(dataset, seed=1).test
    error = np.sqrt(np.mean((predicted[: len(rows)][test] - dataset.targets[test]) ** 2))
    r2 = 1 - error**2 / dataset.targets[test].var()
    assert r2 == pytest.approx(rents.result.metrics["test_r2"], abs=1e-4)
    assert r2 > 0.3, "it learned something"


def test_predictions_of_a_table_take_rows_and_tables(rents: Searched) -> None:
    assert rents.data is not None
    rows = _rows(rents.data)[:5]
    dataset = load_dataset({"table": str(rents.data), "target": "rent"}, base=Path())
    np.testing.assert_allclose(rents.result.predict(rows), rents.result.predict(dataset.inputs)[:5], rtol=1e-5)


# --- arrays, memory, divergence


def test_arrays(tmp_path: Path, inline: Any) -> None:
    x = np.random.default_rng(0).normal(size=(120, 5))
    y = np.where(x[:, 0] > 0, "yes", "no")
    first = search(tmp_path, space="mlp", data=(x, y), trials=1, epochs=3)
    assert set(first.predict(x)) <= {"yes", "no"}
    assert first.predict(x[:1]).shape == (1,)
    assert first.predict([{f"x{i}": v for i, v in enumerate(row)} for row in x]).tolist() == first.predict(x).tolist()
    (arrays,) = (tmp_path / "runs").glob("*.npz")
    second = inline(data=str(arrays), search={"trials": 1, "seed": 1}, fidelity={"epochs": 3})
    np.testing.assert_array_equal(second.predict(x), first.predict(x))
    for name, value in first.metrics.items():
        assert second.metrics[name] == pytest.approx(value), (
            "the same seed gives the same network, in another process too"
        )


def test_a_home_that_cannot_be_written_is_not_worth_a_warning(digits: Searched, tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    code = (
        "import sys, pathlib, metanas._search as s; from metanas.study import RunFolder; early = 'matplotlib' in sys.modules\n"
        "s.write_report(RunFolder.open(pathlib.Path(sys.argv[1]))); print(early, 'matplotlib' in sys.modules)"
    )
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    run = subprocess.run(
        [sys.executable, "-c", code, str(digits.folder)], capture_output=True, text=True, env=environment
    )
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "False True", "")


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SearchResult]:
    """A search on wine in this process, by the command line's steps."""
    from metanas._search import start
    from metanas.study import parse_run_text

    def run(**keys: Any) -> SearchResult:
        folder = tmp_path_factory.mktemp("inline")
        settings = {
            "space": "mlp",
            "data": "wine",
            "workers": {"engine": "inline"},
            "fidelity": {"epochs": 1},
            "name": "wine",
        }
        parsed = parse_run_text(json.dumps(settings | keys), "run.yaml", base=folder)
        return start(parsed, runs=folder, quiet=True)

    return run


def test_a_trial_is_stopped_at_the_rung_whoever_trains_it(inline: Any, tmp_path: Path) -> None:
    here = inline(search={"trials": 9, "strategy": "random", "seed": 3}, fidelity={"epochs": [1, 4]})
    there = search(tmp_path, space="mlp", data="wine", epochs=[1, 4], trials=9, strategy="random", seed=3, workers=1)
    assert [(t.status, t.epochs, t.values) for t in there.trials] == [
        (t.status, t.epochs, t.values) for t in here.trials
    ]
    assert {t.epochs for t in there.trials if t.status is Status.PRUNED} == {1}


def test_networks_that_are_too_large_are_refused_and_the_search_goes_on(inline: Any) -> None:
    result = inline(search={"max_memory": "400K", "trials": 12, "strategy": "random"})
    statuses = [t.status for t in result.trials]
    assert set(statuses) == {Status.TOO_LARGE, Status.COMPLETE}
    for trial in result.trials:
        assert (trial.metrics["memory"] > 400 * 1024) == (trial.status is Status.TOO_LARGE)
        assert (trial.values is None) == (trial.status is Status.TOO_LARGE)
    refused = next(t for t in result.trials if t.status is Status.TOO_LARGE)
    assert "MiB" in refused.message
    assert "memory <= 409600" in refused.message
    assert result.best.status is Status.COMPLETE
    assert "test_accuracy" in result.metrics


@pytest.mark.parametrize("name", ARTEFACTS)
def test_a_network_whose_files_are_gone_is_trained_again_by_a_resume(inline: Any, name: str) -> None:
    result = inline(search={"trials": 1})
    before = {path.name: path.read_bytes() for path in result.folder.best.iterdir()}
    (result.folder.best / name).unlink()
    again = SearchResult.load(result.folder.path)
    with pytest.raises(StudyError, match=f"no {name}; train it again with: metanas resume"):
        again.artefact(name)
    metanas.resume(result.folder.path, progress=False)
    assert again.artefact(name).read_bytes() == before[name]
    assert len(again.trials) == 1


def test_trainings_that_diverge_are_noted_and_the_search_goes_on(inline: Any) -> None:
    result = inline(
        search={"trials": 6, "strategy": "random"},
        train={"lr": {"choice": [1e-3, 1e30]}, "optimizer": "sgd", "warmup": 0.0, "batch_size": 16},
    )  # fmt: skip
    assert {t.decisions["train.lr"]: t.status for t in result.trials} == {1e-3: Status.COMPLETE, 1e30: Status.DIVERGED}
    assert all((t.status is Status.COMPLETE) == (t.decisions["train.lr"] == 1e-3) for t in result.trials)
    assert "lower" in next(t.message for t in result.trials if t.status is Status.DIVERGED)


def test_a_search_that_finds_no_network_says_so(toy: Any, command: Any) -> None:
    run = toy.write(
        evaluator="train", train={"lr": 1e30, "optimizer": "sgd", "warmup": 0.0, "batch_size": 8},
        search={"trials": 2}, fidelity={"epochs": 3},
    )  # fmt: skip
    code, out, err = command("search", run, "--runs", toy.folder / "runs", "-q")
    assert (code, out) == (3, "")
    assert "No network could be trained in 2 trials." in err
    assert "The last said: " in err
    (folder,) = (toy.folder / "runs").iterdir()
    result = SearchResult.load(folder)
    assert result.metrics == {}, "by which scripts tell that there is no network"
    last = re.escape(result.trials[-1].message)
    for use in (lambda: result.best, lambda: result.predict(np.zeros((1, 3)))):
        with pytest.raises(StudyError, match=f"succeeded, found none of 2; the last said: {last}; .* search again"):
            use()


# --- the test split


def test_the_search_never_sees_the_test_split(inline: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 4))
    y = np.where(x[:, 0] + x[:, 1] > 0, "a", "b")
    parts = {"x_train": x[:100], "y_train": y[:100], "x_test": x[100:], "y_test": y[100:]}
    np.savez(tmp_path / "clean.npz", **parts)
    poisoned = parts | {"x_test": 1e3 * rng.normal(size=(50, 4)), "y_test": np.where(parts["y_test"] == "a", "b", "a")}
    np.savez(tmp_path / "poisoned.npz", **poisoned)
    options = {"search": {"trials": 4, "strategy": "local", "seed": 3}, "fidelity": {"epochs": 3}}
    clean, other = (inline(data=str(tmp_path / f"{name}.npz"), **options) for name in ("clean", "poisoned"))
    assert [t.decisions for t in clean.trials] == [t.decisions for t in other.trials]
    for one, two in zip(clean.trials, other.trials, strict=True):
        assert one.metrics == two.metrics
        assert one.curve == two.curve
    weights = [result.network.state_dict() for result in (clean, other)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items()), (
        "nor does the final training"
    )
    assert clean.metrics["test_accuracy"] > other.metrics["test_accuracy"] + 0.2


# --- from Python


def test_a_resume_from_python(toy: Any) -> None:
    folder = toy.create(search={"trials": 4})
    toy.session(folder, stop_after=2)
    result = metanas.resume(folder.path, allow_python=True, progress=False, sets=["search.trials=5"])
    assert len(result.trials) == 5
    assert result.metrics == {}
    with pytest.raises(metanas.MetanasError, match="an evaluator of your own trains no network"):
        _ = result.network
