"""Measuring a network on data: a forward pass without gradients, then the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from metanas.data import batches
from metanas.evaluator._forward import Data, autocast, laid_out, on_device, precision_of
from metanas.evaluator._losses import build_loss
from metanas.evaluator._metrics import MetricFunction, metric_functions
from metanas.evaluator._recipe import Recipe

BATCH_FACTOR = 4
"""Samples at once, to one of a training batch: without activations to keep, they need no more memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Measures a network."""

    functions: Mapping[str, MetricFunction]
    """What to compute of outputs and targets in the original unit; ``loss`` takes them standardised."""
    regression: bool
    """Whether outputs are numbers and not scores of classes."""
    target_scale: tuple[float, float] | None
    """Mean and standard deviation that standardised the targets."""
    batch_size: int
    """Samples at once."""
    precision: torch.dtype
    """Arithmetic of the forward pass."""

    @torch.inference_mode()
    def predict(self, network: nn.Module, data: Data) -> torch.Tensor:
        """Outputs in float32, (n, K) or (n,) numbers; leaves the network in evaluation mode."""
        network.eval()
        with autocast(data[0].device, self.precision):
            parts = [
                network(laid_out(inputs)).float()
                for inputs, _ in batches(*data, batch_size=self.batch_size, generator=None)
            ]
        outputs = torch.cat(parts)
        return outputs.reshape(len(outputs)) if self.regression else outputs

    @torch.inference_mode()
    def measure(self, outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
        """The value of each metric."""
        restored = outputs, targets
        if self.target_scale is not None:
            mean, deviation = self.target_scale
            # In doubles, as beside a large mean a float32 loses the digits in which outputs and targets differ.
            restored = outputs.double() * deviation + mean, targets.double() * deviation + mean
        return {
            name: float(function(outputs, targets) if name == "loss" else function(*restored))
            for name, function in self.functions.items()
        }


def build_meter(
    recipe: Recipe,
    *,
    task: str,
    metrics: Sequence[str],
    device: torch.device,
    target_scale: tuple[float, float] | None,
    allow_python: bool,
) -> Meter:
    """A meter of the metrics of these names. Raises MetanasError for a loss or metric that cannot be had."""
    loss = build_loss(recipe.loss, task=task, allow_python=allow_python)
    return Meter(
        functions=metric_functions(metrics, task=task, loss=loss, allow_python=allow_python),
        regression=task == "regression",
        target_scale=target_scale,
        batch_size=BATCH_FACTOR * (recipe.batch_size or 128),
        precision=precision_of(recipe, device),
    )


def evaluate(
    network: nn.Module,
    data: Data,
    *,
    recipe: Recipe,
    task: str,
    metrics: Sequence[str],
    device: torch.device | str,
    target_scale: tuple[float, float] | None = None,
    allow_python: bool = False,
) -> dict[str, float]:
    """The metrics of a trained network on ``data``; the arguments are those of :func:`train`.

    Raises MetanasError for a loss or metric that cannot be had, and torch's error where memory does not suffice.
    """
    device = torch.device(device)
    meter = build_meter(
        recipe, task=task, metrics=metrics, device=device, target_scale=target_scale, allow_python=allow_python
    )
    data = on_device(device, data)
    return meter.measure(meter.predict(network.to(device), data), data[1])
