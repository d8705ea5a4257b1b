"""Metrics by name. Importing this loads neither torch nor scikit-learn, so that objectives can be checked without them.

Notation: outputs (n, K) scores of K classes and targets (n,) of class numbers; or outputs and targets (n,) of numbers
in their original units. Definitions are scikit-learn's (https://scikit-learn.org/stable/modules/model_evaluation.html);
those made of counts and sums are computed on the device that holds the tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from metanas.errors import DataError, MetanasError
from metanas.evaluator._recipe import DOTTED_NAME, python_refused
from metanas.space import did_you_mean

if TYPE_CHECKING:
    import torch

MetricFunction = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor | float"]
"""(outputs, targets) -> a number, or a tensor () that holds one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a name in an objective stands for."""

    direction: Literal["maximize", "minimize"]
    """Which way is better."""
    tasks: tuple[str, ...]
    """Tasks that it is defined for."""
    about: str
    """One line for the user."""


_CLASSES, _NUMBERS = ("classification",), ("regression",)

METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(direction="maximize", tasks=_CLASSES, about="part of the samples whose class is right"),
    "balanced_accuracy": Metric(direction="maximize", tasks=_CLASSES, about="accuracy in each class, averaged"),
    "f1": Metric(direction="maximize", tasks=_CLASSES, about="F1 score of each class, averaged (macro)"),
    "auc": Metric(
        direction="maximize",
        tasks=_CLASSES,
        about="area under the ROC curve; of each class against the rest, averaged, where there are more than two",
    ),
    "r2": Metric(direction="maximize", tasks=_NUMBERS, about="part of the variance that is explained"),
    "rmse": Metric(direction="minimize", tasks=_NUMBERS, about="root of the mean squared error, in the target's unit"),
    "mae": Metric(direction="minimize", tasks=_NUMBERS, about="mean absolute error, in the target's unit"),
    "loss": Metric(
        direction="minimize",
        tasks=_CLASSES + _NUMBERS,
        about="the training loss, without label smoothing and on standardised targets",
    ),
}
"""Every metric, by name."""

DEFAULT_METRIC: Mapping[str, str] = {"classification": "accuracy", "regression": "r2"}
"""What a search maximizes when told nothing, by task. R2 for numbers, because it compares across data sets."""


def metric_problem(name: str, *, task: str, where: str = "", allow_python: bool = False) -> MetanasError | None:
    """What keeps ``name`` from being a metric for ``task``, if anything does. A user's own function is not imported."""
    if name in METRICS:
        if task in METRICS[name].tasks:
            return None
        suited = [other for other, metric in METRICS.items() if task in metric.tasks]
        remedy = f"use one of {', '.join(suited)}"
        return MetanasError(f"the metric must suit a {task}", found=name, remedy=remedy, where=where)
    if DOTTED_NAME.fullmatch(name):
        return None if allow_python else python_refused(name, where=where)
    remedy = did_you_mean(name, METRICS)
    return MetanasError("there is no metric of this name", found=repr(name), remedy=remedy, where=where)


def metric_functions(
    names: Sequence[str], *, task: str, loss: MetricFunction, allow_python: bool = False, where: str = "objective"
) -> dict[str, MetricFunction]:
    """The functions that compute the metrics of these names; ``loss`` is what ``loss`` stands for.

    Raises MetanasError for a name that does not exist, does not suit the task, or is not allowed.
    """
    functions = {}
    for name in names:
        problem = metric_problem(name, task=task, where=where, allow_python=allow_python)
        if problem is not None:
            raise problem
        if name in METRICS:
            functions[name] = loss if name == "loss" else _FUNCTIONS[name]
        else:
            # Here, because it loads torch.
            from metanas.evaluator._losses import import_function

            functions[name] = import_function(name, allow_python=allow_python, where=where)
    return functions


def _accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs.argmax(1) == targets).double().mean()


def _balanced_accuracy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    right, truth, _ = _counts(outputs, targets)
    return (right.double() / truth)[truth > 0].mean()


def _f1(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    right, truth, predicted = _counts(outputs, targets)
    seen = truth + predicted
    # A class that neither stands in the targets nor is ever predicted has no score.
    return (2 * right.double() / seen)[seen > 0].mean()


def _counts(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each class (K,): samples that are rightly predicted, that belong to it, that are predicted."""
    classes, predicted = outputs.shape[1], outputs.argmax(1)
    right = targets[predicted == targets].bincount(minlength=classes)
    return right, targets.bincount(minlength=classes), predicted.bincount(minlength=classes)


def _auc(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    # Logarithms of doubles, because probabilities near 1 would tie.
    scores = outputs.double().log_softmax(1).cpu().numpy()
    truth = targets.cpu().numpy()
    # Of two classes, the second is the positive one; its curve is the mirror image of the first's.
    columns = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    areas = [
        float(roc_auc_score(truth == column, scores[:, column]))
        for column in columns
        if 0 < (truth == column).sum() < len(truth)
    ]
    if not areas:
        remedy = "give more validation samples, or choose another metric"
        raise DataError("auc needs samples of two classes to be measured on", found="one", remedy=remedy)
    return sum(areas) / len(areas)


def _r2(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    outputs, targets = outputs.double(), targets.double()
    error = (outputs - targets).square().sum().item()
    variation = (targets - targets.mean()).square().sum().item()
    if variation == 0:
        # Targets that do not vary are explained or not; scikit-learn says the same.
        return float(error == 0)
    return float(1 - error / variation)


def _rmse(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs.double() - targets.double()).square().mean().sqrt()


def _mae(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs.double() - targets.double()).abs().mean()


_FUNCTIONS: Mapping[str, MetricFunction] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "auc": _auc,
    "r2": _r2,
    "rmse": _rmse,
    "mae": _mae,
}
