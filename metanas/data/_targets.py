"""From a column of answers to a task and its targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metanas.data._dataset import TASKS, Array, Kind, Task
from metanas.errors import DataError

MOST_INTEGER_CLASSES = 20
"""More distinct integers than this in the target of a table are taken for a quantity."""
SAMPLES_A_CLASS = 5
"""Integers are taken for classes when there are at least this many samples for each, on average."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What is to be predicted."""

    task: Task
    """Classes or numbers."""
    values: Array
    """(n,): int64 class numbers, or float64."""
    classes: tuple[str, ...] = ()
    """Names of the classes, by number."""


def read_targets(values: Array, *, kind: Kind, task: str | None, where: str, names: Sequence[str] = ()) -> Targets:
    """Make targets of an array of answers (n,) without missing texts.

    Texts and flags are classes; integers are classes for images, and for tables where they take few values; floats
    are quantities. ``task`` overrides this. ``names`` are the classes when the values already are class numbers.
    Raises DataError.
    """
    _check_shape(values, where)
    if task is None:
        task = _deduce_task(values, kind)
    if task == "regression":
        return Targets("regression", _regression(values, names, where))
    if task != "classification":
        raise DataError(
            f"task must be one of {', '.join(TASKS)}", found=repr(task), where=where, remedy="or leave it out"
        )
    _refuse_missing(values, where)
    distinct, numbers = np.unique(values, return_inverse=True)
    if names and values.dtype.kind in "iu":
        classes = tuple(str(names[number]) for number in distinct)
    else:
        classes = tuple(class_name(value) for value in distinct.tolist())
    return Targets("classification", numbers.astype(np.int64), classes)


def check_targets(targets: Targets, *, where: str, test: Array | None = None) -> None:
    """Refuse targets that no split can serve; ``test``, rows set apart for testing, leaves two parts to fill.

    Raises DataError.
    """
    if targets.task == "regression":
        if np.ptp(targets.values) == 0:
            found = f"{targets.values[0]:g} in every row"
            raise DataError("the target must vary", found=found, where=where, remedy="name another target")
        left = len(targets.values) - (0 if test is None else len(test))
        if left < 2:
            rule, found = "training and validation need a sample each", f"{left} beside those to test on"
            raise DataError(rule, found=found, where=where, remedy="add samples")
        return
    if len(targets.classes) < 2:
        remedy = "name another target, or add samples of another class"
        raise DataError(
            "a classification needs two classes or more",
            found=f"only {targets.classes[0]!r}",
            where=where,
            remedy=remedy,
        )
    needed, parts = (3, "training, validation and test") if test is None else (2, "training and validation")
    labels = targets.values if test is None else np.delete(targets.values, test)
    counts = np.bincount(labels, minlength=len(targets.classes))
    small = np.flatnonzero(counts < needed)
    if len(small):
        found = ", ".join(f"{targets.classes[i]!r} with {counts[i]}" for i in small[:5])
        found += f" and {len(small) - 5} more" if len(small) > 5 else ""
        remedy = "add samples, merge or remove these classes, or say `task: regression` if the target is a quantity"
        rule = f"each class needs at least {needed} samples, one each for {parts}"
        raise DataError(rule, found=found, where=where, remedy=remedy)


def _check_shape(values: Array, where: str) -> None:
    if values.ndim != 1:
        remedy = "give one label a sample; for one-hot rows, take their argmax(axis=1)"
        raise DataError("targets must be one-dimensional", found=f"shape {values.shape}", where=where, remedy=remedy)
    if values.dtype.kind not in "biufU":
        remedy = "give numbers, texts or flags"
        raise DataError("targets must be plain values", found=f"type {values.dtype}", where=where, remedy=remedy)
    if not len(values):
        raise DataError("the data must hold samples", found="none", where=where, remedy="check that the file is whole")


def _deduce_task(values: Array, kind: Kind) -> Task:
    if values.dtype.kind == "f":
        return "regression"
    if values.dtype.kind in "iu" and kind == "table":
        most = min(MOST_INTEGER_CLASSES, len(values) // SAMPLES_A_CLASS)
        # Two distinct values are classes however few rows there are: a quantity would take more.
        return "classification" if len(np.unique(values)) <= max(most, 2) else "regression"
    if kind == "pairs" and len(np.unique(values)) > 2:
        return "regression"  # a rating
    return "classification"


def _regression(values: Array, names: Sequence[str], where: str) -> Array:
    if values.dtype.kind == "U" or names:
        found = f"the text {str(names[0] if names else values[0])!r}"
        remedy = "name a numeric target, or leave out `task: regression`"
        raise DataError("the target of a regression must be numeric", found=found, where=where, remedy=remedy)
    if len(values) < 3:
        remedy = "add samples"
        raise DataError("a regression needs at least 3 samples", found=f"{len(values)}", where=where, remedy=remedy)
    _refuse_missing(values, where)
    return values.astype(np.float64)


def _refuse_missing(values: Array, where: str) -> None:
    if values.dtype.kind == "f":
        refuse_rows(~np.isfinite(values), "missing or infinite (NaN, inf)", where)


def refuse_rows(bad: Array, what: str, where: str) -> None:
    """Raise DataError if any of ``bad`` (n,) is set, saying how many targets are ``what`` and the first such row."""
    if bad.any():
        found = f"{int(bad.sum())} {what} of {len(bad)}, the first in row {int(bad.argmax()) + 1} (the first is row 1)"
        raise DataError("every target must be known", found=found, where=where, remedy="fill or remove these rows")


def plain_class(text: str) -> str:
    """How the class would be called that a text means: that of a number or a flag, in one way of writing it, or the text."""
    if text.lower() in ("true", "false"):
        return text.capitalize()
    for kind in (int, float):
        try:
            return class_name(kind(text))
        except ValueError:
            continue
    return text


def class_numbers(values: Sequence[object], classes: Sequence[str]) -> Array:
    """The numbers (n,) of the classes that a file or an array writes as ``values``: -1 for a new one, NaN for None and NaN."""
    exact = {name: number for number, name in enumerate(classes)}
    plain = {plain_class(name): number for number, name in enumerate(classes)}
    names = [None if value is None or value != value else class_name(value) for value in values]
    found = [np.nan if name is None else exact.get(name, plain.get(plain_class(name), -1)) for name in names]
    return np.array(found, np.float64)


def class_name(value: object) -> str:
    """How a class is called that a file or an array writes as ``value``."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
