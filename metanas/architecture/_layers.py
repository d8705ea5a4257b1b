"""A network as layers with shapes: what every op is made of.

A shape is a tuple without the batch, channels first: ``(C, height, width)`` for an image, ``(C, length)`` for a
sequence, ``(features,)`` for a row; ids as they are read have no channels, ``(length,)``. Each kind of layer has a
rule in ``_rules``; ``metanas.network`` builds and writes it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from metanas.architecture._rules import RULES, Shape, ShapeError


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, or one merge of several values."""

    name: str
    """A Python identifier, unique in its network."""
    kind: str
    """One of :data:`RULES`, or ``package.module:Class`` for a module of the user's."""
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
    def vocabulary(self) -> tuple[int, ...]:
        """How many ids there are: of tokens, or of users and of items; empty where the input is no ids."""
        return tuple(self.layers[0].arguments.get("vocabulary", ()))

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
        """Layers with weights (convolutions, fully connected, recurrent) on the longest path."""
        depths: list[int] = []
        for layer in self.layers:
            weighted = RULES[layer.kind].depth(layer.arguments) if layer.kind in RULES else 0
            depths.append(max((depths[i] for i in layer.inputs), default=0) + weighted)
        return depths[self.output]

    def memory(self, batch_size: int, *, optimizer_slots: int = 2) -> int:
        """Peak bytes of a training step in 32-bit floats, as autograd keeps values.

        Weights, gradients and ``optimizer_slots`` values a parameter (Adam 2, SGD with momentum 1); every value that
        the backward pass of some layer reads, once; and the two largest values again, for the gradients in flight.
        """
        saved: set[int] = set()
        inside = 0
        for index, layer in enumerate(self.layers):
            # Of a user's module nothing is known: as much as its input and its output.
            rule = RULES.get(layer.kind)
            keeps = rule.keeps if rule else "both"
            if keeps in ("input", "both"):
                saved.update(layer.inputs)
            if keeps in ("output", "both"):
                saved.add(index)
            if rule:
                inside += rule.inside([self.layers[i].shape for i in layer.inputs], layer.arguments, layer.shape)
        sizes = [math.prod(layer.shape) for layer in self.layers]
        values = sum(sizes[i] for i in saved) + inside + sum(sorted(sizes)[-2:])
        return int(4 * (self.params * (2 + optimizer_slots) + batch_size * values))


_ACTIVATIONS = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU",
    "hardswish": "Hardswish", "mish": "Mish", "tanh": "Tanh", "sigmoid": "Sigmoid",
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
    vocabulary: tuple[int, ...] = ()
    """How many ids the input has: one number for tokens, two for pairs."""
    shapes_only: bool = False
    """Whether layers have no names of their own and no costs, which takes half the time."""
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
        self._refuse_ids(kind, inputs)
        shapes = [self.layers[i].shape for i in inputs]
        try:
            shape = rule.shape(shapes, arguments)
        except ShapeError as error:
            raise ShapeError(
                error.rule, found=error.found, remedy="use a smaller kernel or fewer strides", where=self.site
            ) from None
        if self.shapes_only:
            self.layers.append(Layer(kind, kind, arguments, inputs, shape, 0, 0, self.site))
        else:
            params, flops = rule.params(arguments), rule.flops(shapes, arguments, shape)
            name = self._name(kind.lower())
            self.layers.append(Layer(name, kind, arguments, inputs, shape, params, flops, self.site))
        return len(self.layers) - 1

    def _name(self, kind: str) -> str:
        """A name for the next layer."""
        name = f"{self.prefix}_{kind}"
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_{self._names[name]}"

    def _refuse_ids(self, kind: str, inputs: Sequence[int]) -> None:
        """Ids are names, not quantities: the input is read by embeddings alone."""
        if self.vocabulary and 0 in inputs and kind != "IdEmbedding":
            remedy = "put embed before it" if len(self.vocabulary) == 1 else "begin with user_embed and item_embed"
            raise ShapeError("ids are embedded first", found=f"{kind} on ids", remedy=remedy, where=self.site)

    def module(self, x: int, path: str, arguments: Mapping[str, Any]) -> int:
        """Add a module of the user's."""
        if self.modules is None:
            raise ShapeError(
                "a module of yours is built where Python code is allowed", found=path,
                remedy="pass --allow-python (modules=user_modules from Python) if you trust this code", where=self.site,
            )  # fmt: skip
        made = self.modules(path, self.shape(x), arguments)
        name = self._name("module")
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
                "a convolution reads an image or a sequence", found=f"shape {list(self.shape(x))}",
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
