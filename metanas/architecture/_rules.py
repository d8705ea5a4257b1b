"""Kinds of layers: one rule each for shape, parameters, multiply-adds and what autograd keeps.

Kinds that begin with a capital are modules: classes of ``torch.nn``, or of ``metanas.network`` where there is none.
The others are functions. Arguments are those of the class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from metanas.errors import MetanasError

Shape = tuple[int, ...]


class ShapeError(MetanasError):
    """No network can be built: a layer or merge does not fit the shapes that reach it."""


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
    """What autograd keeps of the values between layers: nothing, ``input``, ``output`` or ``both``."""
    inside: Callable[[Sequence[Shape], Mapping[str, Any], Shape], int] = lambda inputs, arguments, out: 0
    """Shapes read, arguments, shape made -> 32-bit values of one sample that autograd keeps beside those."""
    depth: Callable[[Mapping[str, Any]], int] = lambda arguments: 0
    """Arguments -> layers with weights (convolutions, fully connected, recurrent) in a row."""


_WINDOW = (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))


def _window(shape: Shape, arguments: Mapping[str, Any], channels: int) -> Shape:
    k, s, p, d = (arguments.get(key, default) for key, default in _WINDOW)
    spare = (s - 1) if arguments.get("ceil_mode") else 0
    sizes = [(size + 2 * p - d * (k - 1) - 1 + spare) // s + 1 for size in shape[1:]]
    if min(sizes) < 1:
        raise ShapeError(f"a window of {k} (stride {s}, dilation {d}) fits its input", found=f"shape {list(shape)}")
    return (channels, *sizes)


def _conv(inputs: Sequence[Shape], arguments: Mapping[str, Any]) -> Shape:
    return _window(inputs[0], arguments, arguments["out_channels"])


def _conv_params(a: Mapping[str, Any], rank: int) -> int:
    weights = a["out_channels"] * (a["in_channels"] // a.get("groups", 1)) * a["kernel_size"] ** rank
    return int(weights + (a["out_channels"] if a.get("bias", True) else 0))


def _one(arguments: Mapping[str, Any]) -> int:
    return 1


def _conv_rule(rank: int) -> Rule:
    return Rule(
        _conv, lambda a: _conv_params(a, rank), keeps="input", depth=_one,
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


def _size(inputs: Sequence[Shape], arguments: Mapping[str, Any], out: Shape) -> int:
    return math.prod(out)


# Indices are 64-bit.
_MAX_POOL = Rule(_pool, keeps="input", inside=lambda inputs, a, out: 2 * math.prod(out))


# --- positions: attention, recurrence, embeddings


def _positions(shape: Shape) -> int:
    return math.prod(shape[1:])


def _attention_params(a: Mapping[str, Any]) -> int:
    inner = a["heads"] * a["head_dim"]
    return int((a["dim"] + 1) * 3 * inner + (inner + 1) * a["dim"])


def _attention_flops(inputs: Sequence[Shape], a: Mapping[str, Any], out: Shape) -> int:
    """Four projections; products of queries with keys, and of weights with values."""
    length, inner = _positions(out), a["heads"] * a["head_dim"]
    return int(4 * length * a["dim"] * inner + 2 * length * length * inner)


def _attention_inside(inputs: Sequence[Shape], a: Mapping[str, Any], out: Shape) -> int:
    """Queries, keys, values, what was read; with dropout also the weights, as they are and dropped."""
    length, inner = _positions(out), a["heads"] * a["head_dim"]
    weights = 3 * a["heads"] * length * length if a.get("dropout") else a["heads"] * length
    return int(4 * length * inner + weights)


def _mlp_widths(a: Mapping[str, Any]) -> tuple[int, int]:
    """Values that the first layer makes, and values that the second reads."""
    return (2 if a.get("act") == "swiglu" else 1) * a["hidden"], a["hidden"]


def _mlp_params(a: Mapping[str, Any]) -> int:
    made, read = _mlp_widths(a)
    return int((a["dim"] + 1) * made + (read + 1) * a["dim"])


def _mlp_flops(inputs: Sequence[Shape], a: Mapping[str, Any], out: Shape) -> int:
    return int(_positions(out) * a["dim"] * sum(_mlp_widths(a)))


def _mlp_inside(inputs: Sequence[Shape], a: Mapping[str, Any], out: Shape) -> int:
    made, read = _mlp_widths(a)
    # A gate is a product, which keeps the activated half too.
    kept = made + read + (read if a.get("act") == "swiglu" else 0) + (2 * read if a.get("dropout") else 0)
    return _positions(out) * kept


def _gates(a: Mapping[str, Any]) -> int:
    return 4 if a["cell"] == "lstm" else 3


def _directions(a: Mapping[str, Any]) -> int:
    return 2 if a.get("bidirectional") else 1


def _recurrent_widths(a: Mapping[str, Any]) -> list[int]:
    """Channels that each layer reads."""
    return [a["input_size"]] + [a["hidden_size"] * _directions(a)] * (a.get("num_layers", 1) - 1)


def _recurrent_weights(a: Mapping[str, Any]) -> int:
    hidden = a["hidden_size"]
    return sum(_gates(a) * hidden * (width + hidden) * _directions(a) for width in _recurrent_widths(a))


def _recurrent_params(a: Mapping[str, Any]) -> int:
    biases = 2 * _gates(a) * a["hidden_size"] * _directions(a) * a.get("num_layers", 1)
    return _recurrent_weights(a) + int(biases)


def _recurrent_inside(inputs: Sequence[Shape], a: Mapping[str, Any], out: Shape) -> int:
    """For each step of each layer and direction: its gates and states; and what the layers hand on."""
    units = a["hidden_size"] * _directions(a) * a.get("num_layers", 1)
    return int(_positions(out) * units * _KEPT_BY_CELL[a["cell"]])


_KEPT_BY_CELL = {"lstm": 20, "gru": 7.5}
"""Values that autograd keeps a unit and step, as measured on CPUs: 17 to 24 (oneDNN's workspace), and 7 to 9."""


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
            depth=_one,
        ),
        "BatchNorm1d": _NORM,
        "BatchNorm2d": _NORM,
        "GroupNorm": Rule(_same, lambda a: 2 * a["num_channels"], keeps="input"),
        "LayerNorm": Rule(_same, lambda a: 2 * a["normalized_shape"], keeps="input"),
        "ChannelNorm": Rule(_same, lambda a: 2 * a["normalized_shape"], keeps="input"),
        "CausalConv1d": Rule(
            lambda inputs, a: (a["out_channels"], *inputs[0][1:]), lambda a: _conv_params(a, 1), depth=_one,
            flops=lambda inputs, a, out: _conv_params({**a, "bias": False}, 1) * out[1],
            inside=lambda inputs, a, out: inputs[0][0] * (inputs[0][1] + a.get("dilation", 1) * (a["kernel_size"] - 1)),
        ),
        "Recurrent": Rule(
            lambda inputs, a: (a["hidden_size"] * _directions(a), *inputs[0][1:]), _recurrent_params, keeps="input",
            flops=lambda inputs, a, out: _recurrent_weights(a) * out[1], inside=_recurrent_inside,
            depth=lambda a: int(a.get("num_layers", 1)),
        ),
        "IdEmbedding": Rule(
            lambda inputs, a: (a["embedding_dim"], *(inputs[0] if a.get("column") is None else ())),
            lambda a: a["num_embeddings"] * a["embedding_dim"],
            keeps="input",
        ),
        "FeatureTokens": Rule(
            lambda inputs, a: (a["dim"], a["features"]), lambda a: 2 * a["dim"] * a["features"], keeps="input",
            flops=_size,
        ),
        "ClassToken": Rule(
            lambda inputs, a: (inputs[0][0], 1 + _positions(inputs[0])), lambda a: a["dim"],
            flops=lambda inputs, a, out: 0,
        ),
        "LearnedPosition": Rule(_same, lambda a: math.prod(a["shape"])),
        "SinusoidalPosition": Rule(_same),
        "Attention": Rule(
            _same, _attention_params, _attention_flops, keeps="input", inside=_attention_inside, depth=lambda a: 2
        ),
        "Mlp": Rule(_same, _mlp_params, _mlp_flops, keeps="input", inside=_mlp_inside, depth=lambda a: 2),
        "Dropout": Rule(_same, inside=_size),
        "AvgPool1d": Rule(_pool, keeps="input"),
        "AvgPool2d": Rule(_pool, keeps="input"),
        "MaxPool1d": _MAX_POOL,
        "MaxPool2d": _MAX_POOL,
        **{kind: Rule(_same, keeps="output") for kind in ("ReLU", "Tanh", "Sigmoid")},
        **{kind: Rule(_same, keeps="input") for kind in ("ReLU6", "LeakyReLU", "ELU", "GELU", "SiLU", "Hardswish", "Mish")},
        "sum": Rule(_same, flops=_total),
        "mean": Rule(_same, flops=_total),
        "product": Rule(_same, flops=_total, keeps="input"),
        "concat": Rule(_concat, flops=lambda inputs, arguments, out: 0),
        "scale": Rule(_same, keeps="input"),
        "global_mean": Rule(lambda inputs, a: (inputs[0][0],)),
        "global_max": Rule(lambda inputs, a: (inputs[0][0],), keeps="both"),
        "first": Rule(lambda inputs, a: (inputs[0][0],), flops=lambda inputs, a, out: 0),
        "last": Rule(lambda inputs, a: (inputs[0][0],), flops=lambda inputs, a, out: 0),
        "total": Rule(lambda inputs, a: (1,)),
        "flatten": Rule(lambda inputs, a: (math.prod(inputs[0]),), flops=lambda inputs, a, out: 0),
    }
)  # fmt: skip
