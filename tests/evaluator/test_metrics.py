import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from metanas.errors import DataError, MetanasError
from metanas.evaluator import Recipe
from metanas.evaluator._meter import build_meter
from metanas.evaluator._metrics import DEFAULT_METRIC, METRICS, metric_functions, metric_problem


def value(name, outputs, targets, task="classification"):
    function = metric_functions([name], task=task, loss=torch.nn.functional.cross_entropy)[name]
    return float(function(torch.as_tensor(outputs), torch.as_tensor(targets)))


def scores(n, classes, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, classes)).astype(np.float32), random.integers(classes, size=n)


@pytest.mark.parametrize(("n", "classes", "seed"), [(200, 2, 0), (200, 5, 1), (7, 10, 2), (12, 6, 3)])
def test_class_metrics_are_scikit_learns(n, classes, seed):
    """Some of these have classes that are absent from the targets, from the predictions, or from both."""
    outputs, targets = scores(n, classes, seed)
    predicted = outputs.argmax(1)
    present = np.unique(targets)
    recalls = reference.recall_score(targets, predicted, labels=present, average=None)
    assert value("accuracy", outputs, targets) == pytest.approx(reference.accuracy_score(targets, predicted))
    assert value("balanced_accuracy", outputs, targets) == pytest.approx(recalls.mean())
    f1 = reference.f1_score(targets, predicted, average="macro", zero_division=0.0)
    assert value("f1", outputs, targets) == pytest.approx(f1)


def test_auc_of_two_classes_and_of_more():
    outputs, targets = scores(100, 2)
    expected = reference.roc_auc_score(targets, outputs[:, 1] - outputs[:, 0])
    assert value("auc", outputs, targets) == pytest.approx(expected)
    outputs, targets = scores(200, 4)
    odds = torch.as_tensor(outputs).double().softmax(1).numpy()
    assert value("auc", outputs, targets) == pytest.approx(reference.roc_auc_score(targets, odds, multi_class="ovr"))


def test_auc_tells_confident_scores_apart():
    """Their probabilities are all 1 in single precision."""
    outputs = np.array([[0, 20], [0, 24], [0, 28], [0, 32]], np.float32)
    assert value("auc", outputs, [0, 0, 1, 1]) == 1


def test_auc_leaves_out_classes_without_samples_and_needs_two():
    outputs, targets = scores(60, 3)
    targets[targets == 2] = 0
    odds = torch.as_tensor(outputs).double().softmax(1).numpy()
    expected = np.mean([reference.roc_auc_score(targets == k, odds[:, k]) for k in (0, 1)])
    assert value("auc", outputs, targets) == pytest.approx(expected)
    with pytest.raises(DataError, match="two classes"):
        value("auc", outputs, np.zeros_like(targets))


def test_number_metrics_are_scikit_learns():
    random = np.random.default_rng(0)
    targets = 1e4 + random.normal(size=50).astype(np.float32)
    outputs = targets + random.normal(size=50).astype(np.float32)
    for name, expected in [
        ("r2", reference.r2_score(targets, outputs)),
        ("rmse", reference.root_mean_squared_error(targets, outputs)),
        ("mae", reference.mean_absolute_error(targets, outputs)),
    ]:
        assert value(name, outputs, targets, "regression") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mean", [0.0, 1e5, 1.7e9])
def test_numbers_far_from_zero_are_measured_as_well_as_others(mean):
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.normal(size=1000)).float()
    outputs = targets + torch.from_numpy(0.3 * rng.normal(size=1000)).float()
    meter = build_meter(
        Recipe(), task="regression", metrics=["rmse", "mae", "r2"], device=torch.device("cpu"),
        target_scale=(mean, 50.0), allow_python=False,
    )  # fmt: skip
    found, error = meter.measure(outputs, targets), 50 * (outputs - targets).double()
    assert found["rmse"] == pytest.approx(error.square().mean().sqrt().item(), rel=1e-6)
    assert found["mae"] == pytest.approx(error.abs().mean().item(), rel=1e-6)
    assert found["r2"] == pytest.approx(1 - (error / 50).var().item() / targets.double().var().item(), abs=1e-3)


def test_r2_of_targets_that_do_not_vary():
    assert value("r2", [1.0, 1.0], [1.0, 1.0], "regression") == 1
    assert value("r2", [1.0, 2.0], [1.0, 1.0], "regression") == 0


def test_every_name_can_be_computed_and_the_defaults_suit():
    outputs, targets = scores(30, 2)
    for name, metric in METRICS.items():
        assert metric.about
        for task in metric.tasks:
            functions = metric_functions([name], task=task, loss=lambda *_: torch.tensor(0.5))
            data = (outputs, targets) if task == "classification" else (outputs[:, 0], outputs[:, 1])
            assert np.isfinite(float(functions[name](*map(torch.as_tensor, data))))
    for task, name in DEFAULT_METRIC.items():
        assert task in METRICS[name].tasks


@pytest.mark.parametrize(
    ("name", "task", "text"),
    [
        ("acuracy", "classification", "did you mean 'accuracy'?"),
        ("accuracy", "regression", "objective: the metric must suit a regression, found accuracy; use one of r2, rmse"),
        ("speed", "classification", "use one of accuracy"),
        ("my_package:score", "classification", "--allow-python"),
    ],
)
def test_metrics_that_cannot_be_had(name, task, text):
    problem = metric_problem(name, task=task, where="objective")
    assert text in str(problem)
    with pytest.raises(MetanasError) as raised:
        metric_functions([name], task=task, loss=torch.nn.functional.mse_loss)
    assert str(raised.value) == str(problem)


def test_own_metric_by_dotted_name(tmp_path, monkeypatch):
    (tmp_path / "own_metrics_for_test.py").write_text(
        "def worst(outputs, targets):\n    return (outputs - targets).abs().max()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = "own_metrics_for_test:worst"
    assert metric_problem(name, task="regression", allow_python=True) is None
    functions = metric_functions([name], task="regression", loss=torch.nn.functional.mse_loss, allow_python=True)
    assert float(functions[name](torch.tensor([1.0, 2.0]), torch.tensor([1.5, 5.0]))) == 3
