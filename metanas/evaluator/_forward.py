"""A forward pass on a device: its arithmetic, its memory layout, and what is said when memory runs out."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from metanas.evaluator._recipe import Recipe

Data = tuple[torch.Tensor, torch.Tensor]
"""Inputs, float32 (n, C, H, W) or (n, F); targets (n,), int64 class numbers or float32 standardised numbers."""


def precision_of(recipe: Recipe, device: torch.device) -> torch.dtype:
    """The arithmetic that the recipe asks for; with ``auto``, mixed on CUDA alone."""
    if recipe.precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[recipe.precision]
    if device.type != "cuda":
        return torch.float32
    # An emulated bfloat16 is slower than the float16 that such a GPU has.
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """A context in which forward passes compute in ``precision`` where that is safe; it may be entered again."""
    return nullcontext() if precision == torch.float32 else torch.autocast(device.type, precision)


def laid_out(inputs: torch.Tensor) -> torch.Tensor:
    """Images with their channels last in memory, other inputs as they are.

    Not on CUDA alone: on a CPU, a training step of a network of cells took 0.54 times as long so, one of inverted
    bottlenecks 0.51, one of plain convolutions 0.84 (32 x 32 pixels, batch of 128, one thread).
    """
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs


def reorder(network: nn.Module, order: torch.memory_format) -> None:
    """Keep the weights of 2-d convolutions in this order in memory."""
    network.to(memory_format=order)  # type: ignore[call-overload, unused-ignore]


def on_device(device: torch.device, data: Data) -> Data:
    """The same data on ``device``."""
    return data[0].to(device), data[1].to(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the computer itself, had no memory left."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    signs = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in signs)
