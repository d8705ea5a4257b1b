"""The evaluator that trains: jobs to results, and what a final training leaves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metanas.data import dataset_from_arrays, load_dataset
from metanas.errors import DataError
from metanas.evaluator._training_evaluator import TrainingEvaluator, in_original_unit, latency_ms
from metanas.network import build_network
from metanas.space import parse_space_text
from metanas.trial import EpochReport, Job, Purpose, Status

SPACE = """\
space: small
input: table
network: [{id: body, dense: {units: {choice: [2, 16, 512]}}}, head]
train: {batch_size: 16, lr: {choice: [0.01, 1e30]}, optimizer: sgd, warmup: 0.0}
"""


def job(number: int = 0, *, units: int = 16, lr: float = 0.01, epochs: int = 3, **options: Any) -> Job:
    decisions = {"body.units": units, "train.lr": lr}
    return Job(id=f"t{number}", trial=number, decisions=decisions, epochs=epochs, seed=number, **options)


def make(y: Any = None, **options: Any) -> TrainingEvaluator:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)).astype(np.float32)
    targets = np.where(x[:, 0] > 0, "yes", "no") if y is None else y(x)
    settings: dict[str, Any] = {"split_seed": 0, "metrics": ["accuracy", "loss"]}
    return TrainingEvaluator(parse_space_text(SPACE), dataset_from_arrays(x, targets, name="toy"), **settings | options)


def run(evaluator: TrainingEvaluator, task: Job, answer: Callable[[int], Status | None] = lambda epoch: None) -> Any:
    reports: list[EpochReport] = []

    def report(each: EpochReport) -> Status | None:
        reports.append(each)
        return answer(each.epoch)

    return evaluator.evaluate(task, report), reports


def test_a_job_is_trained_and_reported_each_epoch() -> None:
    result, reports = run(make(), job())
    assert (result.job_id, result.status, result.epochs) == ("t0", Status.COMPLETE, 3)
    assert [(r.job_id, r.epoch) for r in reports] == [("t0", 1), ("t0", 2), ("t0", 3)]
    assert reports[0].seconds < reports[-1].seconds <= result.seconds
    assert {"accuracy", "loss", "train_loss"} <= set(reports[0].metrics)
    assert result.metrics["accuracy"] == reports[-1].metrics["accuracy"]
    # 4 inputs, 16 units, 2 classes, each with a bias.
    assert result.metrics["params"] == 4 * 16 + 16 + 16 * 2 + 2
    assert {"flops", "memory", "depth"} <= set(result.metrics)
    assert "latency_ms" not in result.metrics, "only measured when asked for"


def test_the_same_job_gives_the_same_result_whatever_was_trained_before() -> None:
    evaluator = make()
    first, _ = run(evaluator, job(1))
    run(evaluator, job(2, units=2))
    torch.manual_seed(99)
    again, _ = run(evaluator, job(1))
    fresh, _ = run(make(), job(1))
    assert first.metrics == again.metrics == fresh.metrics
    assert run(evaluator, job(3))[0].metrics["loss"] != first.metrics["loss"], "another seed"


@pytest.mark.parametrize("status", [Status.PRUNED, Status.CANCELLED])
def test_a_job_ends_when_it_is_told_to(status: Status) -> None:
    result, reports = run(make(), job(epochs=9), lambda epoch: status if epoch == 2 else None)
    assert (result.status, result.epochs, len(reports)) == (status, 2, 2)
    assert result.metrics["accuracy"] == reports[-1].metrics["accuracy"]


def test_a_network_too_large_is_refused_before_it_is_trained() -> None:
    evaluator = make(memory_limit=40_000)
    result, reports = run(evaluator, job(units=512))
    assert (result.status, reports) == (Status.TOO_LARGE, [])
    assert result.metrics["memory"] > 40_000
    assert "MiB" in result.message
    assert "memory <= 40000" in result.remedy
    assert run(evaluator, job(units=2))[0].status is Status.COMPLETE


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    result, reports = run(make(), job(lr=1e30, epochs=20))
    assert result.status is Status.DIVERGED
    assert len(reports) < 20
    assert result.message
    assert result.remedy


def test_an_architecture_that_no_network_can_be_built_from_is_invalid() -> None:
    branches = "{parallel: [{conv: {out: 4}}, {conv: {out: 8}}], merge: sum}"
    space = parse_space_text(f"space: unequal\ninput: image\nnetwork: [{branches}, global_pool, head]\n")
    dataset = dataset_from_arrays(np.zeros((40, 8, 8)), np.arange(40) % 2, name="toy")
    evaluator = TrainingEvaluator(space, dataset, split_seed=0, metrics=["accuracy"])
    result, _ = run(evaluator, Job(id="a", trial=0, decisions={}, epochs=1, seed=0))
    assert result.status is Status.INVALID
    assert "equal shapes" in result.message
    assert result.remedy


def test_a_regression_ends_in_its_head() -> None:
    evaluator = make(lambda x: x[:, 0])
    space = parse_space_text(SPACE.replace("head]", "head, relu]"))
    other = TrainingEvaluator(space, evaluator.dataset, split_seed=0, metrics=["r2"])
    result, reports = run(other, job())
    assert (result.status, reports) == (Status.INVALID, [])
    assert "must end in its head" in result.message
    assert "put 'head' last" in result.remedy


def test_latency_is_measured_when_it_is_an_objective() -> None:
    result, _ = run(make(metrics=["accuracy", "latency_ms"]), job())
    assert 0 < result.metrics["latency_ms"] < 1000
    layers = build_network_layers(make())
    assert latency_ms(build_network(layers, seed=0), layers, torch.device("cpu")) > 0


def build_network_layers(evaluator: TrainingEvaluator) -> Any:
    from metanas.architecture import Architecture

    return Architecture.from_values(evaluator.space, job().decisions).layers((4,), 2)


# --- the final training


def test_a_final_training_tests_once_and_leaves_the_network(tmp_path: Path) -> None:
    evaluator = make()
    seen, _ = run(evaluator, job())
    result, reports = run(evaluator, job(purpose=Purpose.FINAL, output=str(tmp_path / "best")))
    assert result.status is Status.COMPLETE
    assert not [name for report in reports for name in report.metrics if name.startswith("test_")]
    assert {"test_accuracy", "test_loss", "params"} <= set(result.metrics)
    files = {path.name for path in (tmp_path / "best").iterdir()}
    assert files == {"architecture.json", "preparation.json", "metrics.json", "network.py", "weights.safetensors"}
    architecture = json.loads((tmp_path / "best" / "architecture.json").read_text())
    assert architecture["decisions"] == job().decisions
    assert (
        json.loads((tmp_path / "best" / "metrics.json").read_text())["test_accuracy"] == result.metrics["test_accuracy"]
    )
    assert run(evaluator, job())[0].metrics == seen.metrics, "the search goes on with its own splits"


def test_a_final_training_that_fails_leaves_nothing(tmp_path: Path) -> None:
    result, _ = run(make(), job(lr=1e30, purpose=Purpose.FINAL, output=str(tmp_path / "best")))
    assert result.status is Status.DIVERGED
    assert not (tmp_path / "best").exists()
    assert not [name for name in result.metrics if name.startswith("test_")]


def test_the_final_training_sees_the_validation_part() -> None:
    evaluator = make()
    search, final = (len(evaluator._data(purpose).train.targets) for purpose in (Purpose.SEARCH, Purpose.FINAL))
    assert final == search + len(evaluator.splits.validation)
    assert evaluator._data(Purpose.SEARCH).test is None, "the search has no test data at hand"


def test_a_regression_speaks_in_the_unit_of_its_target(tmp_path: Path) -> None:
    evaluator = make(lambda x: 5000 + 100 * x[:, 0], metrics=["r2", "rmse"])
    result, _ = run(evaluator, job(epochs=15))
    assert result.metrics["r2"] > 0.5
    assert result.metrics["rmse"] == pytest.approx(100 * np.sqrt(1 - result.metrics["r2"]), rel=0.4)
    final, _ = run(evaluator, job(epochs=15, purpose=Purpose.FINAL, output=str(tmp_path)))
    assert final.metrics["test_rmse"] < 100


def test_the_scale_of_the_target_folds_into_the_last_layer() -> None:
    network = build_network(build_network_layers(make()), seed=0).eval()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network(x)
        in_original_unit(network, mean=20.0, std=3.0)
        torch.testing.assert_close(network(x), before * 3 + 20)


# --- the setup


def setup(**changes: Any) -> dict[str, Any]:
    fingerprint = load_dataset("wine", base=Path()).fingerprint
    return {
        "space": {"text": SPACE, "file": "space.yaml", "train": {"batch_size": 64}},
        "data": {"spec": "wine", "base": ".", "fingerprint": fingerprint}, "seed": 0, "metrics": ["accuracy"],
        "memory_limit": None, "allow_python": False,
    } | changes  # fmt: skip


def test_an_evaluator_from_its_setup() -> None:
    threads = torch.get_num_threads()
    try:
        evaluator = TrainingEvaluator.from_setup(json.loads(json.dumps(setup())), device="cpu", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert evaluator.space.recipe_of(evaluator.space.rows(10)[0])["batch_size"] == 64
    assert run(evaluator, job())[0].status is Status.COMPLETE


def test_a_worker_refuses_other_data_than_the_search_began_with() -> None:
    changed = setup()["data"] | {"fingerprint": "0" * 64}
    with pytest.raises(
        DataError, match="must stay as they were when the search began, found fingerprint .* instead of 000000000000"
    ):
        TrainingEvaluator.from_setup(setup(data=changed), device="cpu", threads=torch.get_num_threads())
