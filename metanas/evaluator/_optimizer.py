"""A recipe's optimizer, and its learning rate along the way."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from metanas.evaluator._recipe import Recipe

_FUSED = ("cpu", "cuda")
"""Devices with optimizers of one kernel. A step of AdamW on two cores' CPU took a third to a quarter of the time of
PyTorch's default there, for 75 thousand and for 5 million weights."""


def parameter_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """The weights that are trained: matrices and filters with weight decay; biases, norms and scales without."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(
    groups: list[dict[str, Any]], recipe: Recipe, device: torch.device, *, some: bool = False
) -> torch.optim.Optimizer:
    """The recipe's optimizer for parameter groups that lie on ``device``; ``some`` where a step moves some of them only."""
    fused = device.type in _FUSED
    if recipe.optimizer == "sgd":
        # The one of one kernel takes no weights with momentum together with others that have none yet.
        fused = fused and not some
        nesterov = recipe.nesterov and recipe.momentum > 0
        return torch.optim.SGD(groups, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=nesterov, fused=fused)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.peak_lr, fused=fused)


def learning_rate(recipe: Recipe, progress: float) -> float:
    """The learning rate when a part ``progress`` in (0, 1) of the training is done.

    A straight rise over ``recipe.warmup``, then the schedule: with t in (0, 1) the part of the rest that is done,
    (1 + cos(pi t)) / 2 (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts), 1 - t, or 1.
    """
    if progress < recipe.warmup:
        return recipe.peak_lr * progress / recipe.warmup
    rest = (progress - recipe.warmup) / (1 - recipe.warmup)
    if recipe.schedule == "cosine":
        return recipe.peak_lr * (1 + math.cos(math.pi * rest)) / 2
    return recipe.peak_lr * (1 - rest) if recipe.schedule == "linear" else recipe.peak_lr
