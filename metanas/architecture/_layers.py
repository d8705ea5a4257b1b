"""A network as layers with shapes: what every op is made of.

A shape is a tuple without the batch: ``(channels, height, width)`` for an image, ``(features,)`` for a row. Each kind
of layer has one rule here for its shape, parameters and multiply-adds; ``metanas.network`` builds and writes it.
Layer kinds that begin with a capital are classes of ``torch.nn`` and their arguments are that class's own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from metanas.errors import MetanasError

Shape = tuple[int, ...]


class ShapeError(MetanasError):
    """No network can be built: a layer or merge does not fit the shapes that reach it."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, or one merge of several values."""

    name: str
    """A Python identifier, unique in its network."""
    kind: str
    """A class of ``torch.nn``, or one of the functions in :data:`RULES`."""
    arguments: Mapping[str, Any]
    """Of the class, or of the function."""
    inputs: tuple[int, ...]
    """Layers that it reads, in order."""
    shape: Shape
    """Shape of its value."""
    params: int
    """Trainable parameters."""
    flops: int
    """Multiply-adds of one sample, forward; for a pool or an activation one per value read."""
    site: str = ""
    """The op that it belongs to."""


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """Layers in topological order; layer 0 is the input."""

    layers: tuple[Layer, ...]
    """All layers."""
    output: int
    """The layer whose value is the result."""

    @property
    def input_shape(self) -> Shape:
        """Shape of one sample."""
        return self.layers[0].shape

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(layer.params for layer in self.layers)

    @property
    def flops(self) -> int:
        """Multiply-adds of one sample, forward."""
        return sum(layer.flops for layer in self.layers)

    @property
    def depth(self) -> int:
        """Layers with weights (convolutions, fully connected) on the longest path."""
        depths: list[int] = []
        for layer in self.layers:
            weighted = layer.kind.startswith("Conv") or layer.kind == "Linear"
            depths.append(max((depths[i] for i in layer.inputs), default=0) + weighted)
        return depths[self.output]

    def memory(self, batch_size: int, *, optimizer_slots: int = 2) -> int:
        """Peak bytes of a training step in 32-bit floats, as autograd keeps values.

        Weights, gradients and ``optimizer_slots`` values a parameter (Adam 2, SGD with momentum 1); every value that
        the backward pass of some layer reads, once; and the two largest values again, for the gradients in flight.
        """
        saved: set[int] = set()
        extra = 0.0
        for index, layer in enumerate(self.layers):
            # Of a user's module nothing is known: as much as its input and its output.
            keeps = RULES[layer.kind].keeps if layer.kind in RULES else "both"
            if keeps in ("input", "both") or (keeps == "pool" and layer.inputs):
                saved.update(layer.inputs)
            if keeps in ("output", "both"):
                saved.add(index)
            if keeps == "pool":
                extra += 2 * math.prod(layer.shape)  # indices are 64-bit
            if keeps == "mask":
                extra += math.prod(layer.shape)
        sizes = [math.prod(layer.shape) for layer in self.layers]
        values = sum(sizes[i] for i in saved) + extra + sum(sorted(sizes)[-2:])
        return int(4 * (self.params * (2 + optimizer_slots) + batch_size * values))


@dataclass(frozen=True, slots=True)
class Rule:
    """Shape and cost of a kind of layer."""

    shape: Callable[[Sequence[Shape], Mapping[str, Any]], Shape]
    """Shapes read and arguments -> shape made."""
    params: Callable[[Mapping[str, Any]], int] = lambda arguments: 0
    """Arguments -> trainable parameters."""
    flops: Callable[[Sequence[Shape], Mapping[str, Any], Shape], int] = lambda inputs, arguments, out: math.prod(
        inputs[0]
    )
    """Shapes read, arguments, shape made -> multiply-adds."""
    keeps: str = ""
    """What autograd keeps: ``input``, ``output``, ``mask`` (of the output's size), ``pool`` (input and indices)."""


def _window(shape: Shape, arguments: Mapping[str, Any], channels: int) -> Shape:
    k, s, p, d = (
        arguments.get(key, 1 if key != "padding" else 0) for key in ("kernel_size", "stride", "padding", "dilation")
    )
    spare = (s - 1) if arguments.get("ceil_mode") else 0
    sizes = tuple((size + 2 * p - d * (k - 1) - 1 + spare) // s + 1 for size in shape[1:])
    if any(size < 1 for size in sizes):
        raise ShapeError(f"a window of {k} (stride {s}, dilation {d}) fits its input", found=f"shape {list(shape)}")
    return (channels, *sizes)


def _conv(inputs: Sequence[Shape], arguments: Mapping[str, Any]) -> Shape:
    return _window(inputs[0], arguments, arguments["out_channels"])


def _conv_params(a: Mapping[str, Any], rank: int) -> int:
    weights = a["out_channels"] * (a["in_channels"] // a.get("groups", 1)) * a["kernel_size"] ** rank
    return int(weights + (a["out_channels"] if a.get("bias", True) else 0))


def _conv_rule(rank: int) -> Rule:
    return Rule(
        _conv, lambda a: _conv_params(a, rank), keeps="input",
        flops=lambda inputs, a, out: _conv_params({**a, "bias": False}, rank) * math.prod(out[1:]),
    )  # fmt: skip


def _same(inputs: Sequence[Shape], arguments: Mapping[str, Any]) -> Shape:
    return inputs[0]


def _pool(inputs: Sequence[Shape], arguments: Mapping[str, Any]) -> Shape:
    return _window(inputs[0], arguments, inputs[0][0])


def _concat(inputs: Sequence[Shape], arguments: Mapping[str, Any]) -> Shape:
    return (sum(shape[0] for shape in inputs), *inputs[0][1:])


def _total(inputs: Sequence[Shape], arguments: Mapping[str, Any], out: Shape) -> int:
    return sum(math.prod(shape) for shape in inputs)


_NORM = Rule(_same, lambda a: 2 * a["num_features"], keeps="input")

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "input": Rule(_same, flops=lambda inputs, arguments, out: 0),
        "Conv1d": _conv_rule(1),
        "Conv2d": _conv_rule(2),
        "Linear": Rule(
            lambda inputs, a: (*inputs[0][:-1], a["out_features"]),
            lambda a: (a["in_features"] + 1) * a["out_features"],
            lambda inputs, a, out: a["in_features"] * math.prod(out),
            keeps="input",
        ),
        "BatchNorm1d": _NORM,
        "BatchNorm2d": _NORM,
        "GroupNorm": Rule(_same, lambda a: 2 * a["num_channels"], keeps="input"),
        "LayerNorm": Rule(_same, lambda a: 2 * a["normalized_shape"], keeps="input"),
        "Dropout": Rule(_same, keeps="mask"),
        "AvgPool2d": Rule(_pool, keeps="input"),
        "MaxPool2d": Rule(_pool, keeps="pool"),
        **{kind: Rule(_same, keeps="output") for kind in ("ReLU", "Tanh", "Sigmoid")},
        **{kind: Rule(_same, keeps="input") for kind in ("ReLU6", "LeakyReLU", "ELU", "GELU", "SiLU", "Hardswish")},
        "sum": Rule(_same, flops=_total),
        "mean": Rule(_same, flops=_total),
        "product": Rule(_same, flops=_total, keeps="input"),
        "concat": Rule(_concat, flops=lambda inputs, arguments, out: 0),
        "scale": Rule(_same, keeps="input"),
        "global_mean": Rule(lambda inputs, a: (inputs[0][0],)),
        "flatten": Rule(lambda inputs, a: (math.prod(inputs[0]),), flops=lambda inputs, a, out: 0),
    }
)  # fmt: skip

_ACTIVATIONS = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU",
    "hardswish": "Hardswish", "tanh": "Tanh", "sigmoid": "Sigmoid",
}  # fmt: skip


class Module(NamedTuple):
    """What a module of the user's makes of its input."""

    shape: Shape
    """Shape of its value."""
    params: int
    """Trainable parameters."""
    flops: int
    """Multiply-adds of one sample, as far as they are known."""


Modules = Callable[[str, Shape, Mapping[str, Any]], Module]
"""``package.module:Class``, shape of the input and keyword arguments -> what the module makes of it."""


@dataclass(slots=True)
class Trace:
    """Layers as ops add them; the shapes are known at each step, and no data runs."""

    layers: list[Layer]
    outputs: int
    """Outputs of the head: classes, or 1."""
    site: str = ""
    """Where the next layers belong."""
    prefix: str = ""
    """Begin of their names."""
    modules: Modules | None = None
    """Says what modules of the user's make; None where none may be imported."""
    _names: Counter[str] = field(default_factory=Counter)

    def shape(self, x: int) -> Shape:
        """Shape of a value."""
        return self.layers[x].shape

    def begin(self, site: str) -> None:
        """Layers that follow belong to the op at ``site``."""
        self.site = site
        base = "".join(c if c.isascii() and c.isalnum() else "_" for c in site).strip("_").lower() or "network"
        base = f"n_{base}" if base[0].isdigit() else base
        self._names[base] += 1
        self.prefix = base if self._names[base] == 1 else f"{base}_{self._names[base]}"

    def add(self, kind: str, *inputs: int, **arguments: Any) -> int:
        """Add a layer; its shape, parameters and cost come from :data:`RULES`."""
        rule = RULES[kind]
        shapes = [self.layers[i].shape for i in inputs]
        try:
            shape = rule.shape(shapes, arguments)
        except ShapeError as error:
            raise ShapeError(
                error.rule, found=error.found, remedy="use a smaller kernel or fewer strides", where=self.site
            ) from None
        name = f"{self.prefix}_{kind.lower()}"
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name}_{self._names[name]}"
        self.layers.append(
            Layer(
                name,
                kind,
                arguments,
                inputs,
                shape,
                rule.params(arguments),
                rule.flops(shapes, arguments, shape),
                self.site,
            )
        )
        return len(self.layers) - 1

    def module(self, x: int, path: str, arguments: Mapping[str, Any]) -> int:
        """Add a module of the user's."""
        if self.modules is None:
            raise ShapeError("a module of yours is built where Python code is allowed", found=path, where=self.site)
        made = self.modules(path, self.shape(x), arguments)
        name = f"{self.prefix}_module"
        self._names[name] += 1
        name = name if self._names[name] == 1 else f"{name}_{self._names[name]}"
        self.layers.append(Layer(name, path, arguments, (x,), made.shape, made.params, made.flops, self.site))
        return len(self.layers) - 1

    # --- layers that ops share

    def rank(self, x: int) -> int:
        """Number of positions' axes: 2 for an image, 0 for a row."""
        return len(self.shape(x)) - 1

    def conv(
        self,
        x: int,
        out: int | None,
        kernel: int = 1,
        stride: int = 1,
        *,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> int:
        """A convolution that keeps the size at stride 1 (an even kernel loses one position)."""
        channels, rank = self.shape(x)[0], self.rank(x)
        if rank not in (1, 2):
            raise ShapeError(
                "a convolution reads an image", found=f"shape {list(self.shape(x))}",
                remedy="put it before global_pool or flatten, or use dense", where=self.site,
            )  # fmt: skip
        out = channels if out is None else out
        if channels % groups or out % groups:
            raise ShapeError(
                "groups divide the channels",
                found=f"{groups} groups, {channels} channels in, {out} out",
                where=self.site,
            )
        arguments: dict[str, Any] = {"in_channels": channels, "out_channels": out, "kernel_size": kernel}
        optional = {
            "stride": (stride, 1),
            "padding": (dilation * (kernel - 1) // 2, 0),
            "dilation": (dilation, 1),
            "groups": (groups, 1),
        }
        arguments |= {key: value for key, (value, default) in optional.items() if value != default}
        if not bias:
            arguments["bias"] = False
        return self.add(f"Conv{rank}d", x, **arguments)

    def norm(self, x: int) -> int:
        """Batch normalisation."""
        rank = self.rank(x)
        return self.add("BatchNorm2d" if rank == 2 else "BatchNorm1d", x, num_features=self.shape(x)[0])

    def act(self, x: int, name: str) -> int:
        """An activation."""
        return self.add(_ACTIVATIONS[name], x)

    def dropout(self, x: int, rate: float) -> int:
        """Dropout, unless its rate is 0."""
        return self.add("Dropout", x, p=float(rate)) if rate > 0 else x

    def linear(self, x: int, out: int | None) -> int:
        """A fully connected layer."""
        shape = self.shape(x)
        if len(shape) != 1:
            raise ShapeError(
                "a fully connected layer reads a row of features", found=f"shape {list(shape)}",
                remedy="put global_pool or flatten before it", where=self.site,
            )  # fmt: skip
        return self.add("Linear", x, in_features=shape[0], out_features=shape[0] if out is None else out)

    def merge(self, kind: str, values: Sequence[int]) -> int:
        """A merge; all shapes must agree (for ``concat``, all but the channels)."""
        shapes = [self.shape(v) for v in values]
        first = shapes[0]
        for value, shape in zip(values[1:], shapes[1:], strict=True):
            good = shape[1:] == first[1:] and len(shape) == len(first) if kind == "concat" else shape == first
            if not good:
                a, b = self.layers[values[0]], self.layers[value]
                raise ShapeError(
                    f"the branches of a {kind} have equal shapes" + (" but for the channels" if kind == "concat" else ""),
                    found=f"{list(a.shape)} from {a.site or 'the input'} and {list(b.shape)} from {b.site or 'the input'}",
                    remedy="give the branches the same 'out' and 'stride', or use 'residual', which projects",
                    where=self.site,
                )  # fmt: skip
        return self.add(kind, *values)
