"""Losses by name, and functions of the user's own by dotted name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from metanas.errors import MetanasError
from metanas.evaluator._own import import_own
from metanas.evaluator._recipe import DOTTED_NAME, LOSSES, python_refused

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(outputs, targets) -> a scalar, the mean over the batch. Outputs are (n, classes) scores with targets (n,) of class
numbers, or outputs (n,) with targets (n,) of standardised numbers."""

_FOR_TASK = {"classification": ("cross_entropy",), "regression": ("mse", "mae")}


def build_loss(
    name: str, *, task: str, label_smoothing: float = 0.0, allow_python: bool = False, where: str = "train.loss"
) -> Loss:
    """The loss of that name: ``auto`` is the first that suits ``task``, ``package.module:function`` the user's own.

    Raises MetanasError for a name that does not exist, does not suit the task, or is not allowed.
    """
    suited = _FOR_TASK[task]
    if name == "auto":
        name = suited[0]
    if name not in LOSSES:
        function: Loss = import_function(name, allow_python=allow_python, where=where)
        return function
    if name not in suited:
        remedy = f"use {' or '.join(suited)}, or leave it out"
        raise MetanasError(f"the loss must suit a {task}", found=name, remedy=remedy, where=where)
    if name == "cross_entropy":
        return nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    return nn.MSELoss() if name == "mse" else nn.L1Loss()


def import_function(name: str, *, allow_python: bool, where: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names, imported only if ``allow_python``.

    Raises MetanasError where that is not allowed or there is no such function.
    """
    if not DOTTED_NAME.fullmatch(name):
        raise MetanasError("a function of your own reads package.module:function", found=repr(name), where=where)
    if not allow_python:
        raise python_refused(name, where=where)
    return import_own(name, kind="function", where=where)
