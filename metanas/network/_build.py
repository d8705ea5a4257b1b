"""Layers -> a module. Layer kinds with a capital are classes of ``torch.nn`` or of ``_modules``; the others are the
functions here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from metanas.architecture import LayerGraph
from metanas.network._modules import MODULES
from metanas.network._user import shape_argument, user_module


def _sum(*values: Tensor) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _product(*values: Tensor) -> Tensor:
    result = values[0]
    for value in values[1:]:
        result = result * value
    return result


FUNCTIONS: Mapping[str, tuple[Callable[..., Tensor], Callable[..., str]]] = MappingProxyType(
    {
        "sum": (_sum, lambda *names: " + ".join(names)),
        "mean": (lambda *v: _sum(*v) / len(v), lambda *names: f"({' + '.join(names)}) / {len(names)}"),
        "product": (_product, lambda *names: " * ".join(names)),
        "concat": (lambda *v: torch.cat(v, 1), lambda *names: f"torch.cat([{', '.join(names)}], 1)"),
        "scale": (
            lambda x, w: x * w[(..., *[None] * (x.ndim - 2))],
            lambda x, w: f"{x} * {w}[(..., *[None] * ({x}.ndim - 2))]",
        ),
        "global_mean": (lambda x: x.flatten(2).mean(2), lambda x: f"{x}.flatten(2).mean(2)"),
        "global_max": (lambda x: x.flatten(2).amax(2), lambda x: f"{x}.flatten(2).amax(2)"),
        "first": (lambda x: x.flatten(2)[:, :, 0], lambda x: f"{x}.flatten(2)[:, :, 0]"),
        "last": (lambda x: x.flatten(2)[:, :, -1], lambda x: f"{x}.flatten(2)[:, :, -1]"),
        "total": (lambda x: x.sum(1, keepdim=True), lambda x: f"{x}.sum(1, keepdim=True)"),
        "flatten": (lambda x: x.flatten(1), lambda x: f"{x}.flatten(1)"),
    }
)
"""Kind -> what it computes on tensors ``(batch, …)``, and the same as source text."""


class Network(nn.Module):
    """The module of a :class:`~metanas.architecture.LayerGraph`: ``(batch, *input_shape)`` to ``(batch, outputs)``.

    Its layers are attributes by their names in the graph, as in the file that :func:`export_source` writes, so both
    have the same state dict.
    """

    def __init__(self, graph: LayerGraph) -> None:
        super().__init__()
        self.graph = graph
        self._steps: list[tuple[Callable[..., Tensor], tuple[int, ...], tuple[int, ...]]] = []
        last = {i: step for step, layer in enumerate(graph.layers) for i in layer.inputs}
        for step, layer in enumerate(graph.layers[1:], start=1):
            function: Callable[..., Tensor]
            if layer.kind in FUNCTIONS:
                function = FUNCTIONS[layer.kind][0]
            else:
                if ":" in layer.kind:
                    given = {**layer.arguments, **shape_argument(layer.kind, graph.layers[layer.inputs[0]].shape)}
                    function = user_module(layer.kind, given)
                else:
                    function = (MODULES.get(layer.kind) or getattr(nn, layer.kind))(**layer.arguments)
                self.add_module(layer.name, function)
            dead = tuple({i for i in layer.inputs if last[i] == step})
            self._steps.append((function, layer.inputs, dead))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(batch, outputs)``: logits, or the value of a regression."""
        values: list[Tensor | None] = [x]
        for function, inputs, dead in self._steps:
            values.append(function(*[values[i] for i in inputs]))
            for i in dead:
                # Inference frees what nothing reads any more; training keeps what autograd holds.
                values[i] = None
        result = values[self.graph.output]
        assert result is not None
        return result


def build_network(graph: LayerGraph, *, seed: int | None = None) -> Network:
    """Build the module with PyTorch's own initial weights, drawn under ``seed`` without touching the global generator."""
    if seed is None:
        return Network(graph)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(graph)
