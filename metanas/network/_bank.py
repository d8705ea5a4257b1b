"""The weights that the networks of a space share: at each place as many as its largest layer has, smaller ones a slice.

Channels are sliced from the front, kernels from the middle (Cai et al. 2020, Once-for-all, section 3; without its kernel
transforms), heads of an attention and gates of a recurrent layer each apart (Chen et al. 2021, AutoFormer, section 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metanas.architecture import RULES, Shape
from metanas.network._build import FUNCTIONS
from metanas.network._modules import MODULES
from metanas.network._user import shape_argument, user_module

Arguments = Mapping[str, Any]

BATCH_NORMS = ("BatchNorm1d", "BatchNorm2d")


class Use(NamedTuple):
    """A layer that needs weights."""

    kind: str
    """Of :data:`metanas.architecture.RULES`, or a module of the user's."""
    arguments: Arguments
    """Of the class."""
    shape: Shape
    """Shape of its input."""


def has_weights(kind: str, arguments: Arguments) -> bool:
    """Whether a layer has weights."""
    return ":" in kind or RULES[kind].params(arguments) > 0


def role_of(kind: str, arguments: Arguments) -> str:
    """What a layer is to its op: only layers of one role share weights."""
    if ":" in kind:
        return "-".join([kind, *(f"{name}={value}" for name, value in sorted(arguments.items()))]).replace(".", "-")
    marks = [kind]
    if "Conv" in kind:
        marks += ["depthwise"] * _is_depthwise(arguments) + ["bias"] * bool(arguments.get("bias", True))
    marks += [str(arguments[name]) for name in ("cell", "column") if name in arguments]
    if kind == "LearnedPosition":
        marks.append(str(len(arguments["shape"])))
    return "-".join(marks)


def _is_depthwise(arguments: Arguments) -> bool:
    groups = arguments.get("groups", 1)
    return bool(groups > 1 and groups == arguments["in_channels"])


class Bank(nn.Module):
    """Shared weights by key, each a module of PyTorch's as large as the largest use of it, and so initialised."""

    def __init__(self, uses: Mapping[str, Sequence[Use]]) -> None:
        super().__init__()
        self.shared = nn.ModuleDict()
        self._largest: dict[str, Arguments] = {}
        for key, wanted in uses.items():
            kind, arguments, shape = wanted[0]
            if ":" in kind:
                self.shared[key] = user_module(kind, {**arguments, **shape_argument(kind, shape)})
            else:
                self._largest[key] = _largest(kind, [use.arguments for use in wanted])
                self.shared[key] = _made(kind, self._largest[key])
        self._cuts: dict[tuple[str, tuple[tuple[str, Any], ...]], dict[str, _Cut] | None] = {}

    def weights(self, key: str, use: Use) -> dict[str, Tensor]:
        """The weights of a layer by name, views of the shared ones. Raises KeyError where there are not enough."""
        module = self.shared[key]
        cuts = None if ":" in use.kind else self._cuts_of(key, use)
        if cuts is None:
            return dict(module.named_parameters())
        return {name: cuts[name].of(weight) for name, weight in module.named_parameters() if name in cuts}

    def _cuts_of(self, key: str, use: Use) -> dict[str, _Cut] | None:
        """How a layer's weights are cut; None where it takes them whole."""
        name = key, tuple(use.arguments.items())
        if name not in self._cuts:
            self._cuts[name] = _cuts(use.kind, self._largest[key], use.arguments)
        return self._cuts[name]

    def run(self, key: str, use: Use, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """What the layer computes of ``x``; a batch norm by the batch's own statistics, its result times ``scale``."""
        kind, arguments, _ = use
        if ":" in kind:
            return self.shared[key](x)  # type: ignore[no-any-return]
        weights = self.weights(key, use)
        if kind in BATCH_NORMS:
            weight, bias = weights["weight"], weights["bias"]
            if scale is not None:
                weight, bias = weight * scale, bias * scale
            return nn.functional.batch_norm(x, None, None, weight, bias, training=True)
        if kind in ("Conv1d", "Conv2d"):
            convolve = nn.functional.conv2d if kind == "Conv2d" else nn.functional.conv1d
            rest = {name: arguments[name] for name in ("stride", "padding", "dilation", "groups") if name in arguments}
            return convolve(x, weights["weight"], weights.get("bias"), **rest)
        if kind == "Linear":
            return nn.functional.linear(x, weights["weight"], weights["bias"])
        skeleton = _skeleton(kind, tuple(arguments.items())).train(self.training)
        if kind == "Recurrent":
            # It reads a list of its own.
            cell: Any = skeleton.cell
            cell._flat_weights = [weights[f"cell.{name}"] for name in cell._flat_weights_names]
            result: Tensor = skeleton(x)
        else:
            result = functional_call(skeleton, weights, (x,))
        return result


def run_plain(kind: str, arguments: Arguments, inputs: Sequence[Tensor], *, training: bool) -> Tensor:
    """What a layer or merge without weights computes."""
    if kind in FUNCTIONS:
        return FUNCTIONS[kind][0](*inputs)
    if kind == "Dropout":
        return nn.functional.dropout(inputs[0], arguments["p"], training)
    result: Tensor = _plain_module(kind, tuple(arguments.items())).to(inputs[0].device)(inputs[0])
    return result


def _made(kind: str, arguments: Arguments) -> nn.Module:
    made: nn.Module = (MODULES.get(kind) or getattr(nn, kind))(**arguments)
    return made


@lru_cache(maxsize=512)
def _plain_module(kind: str, arguments: tuple[tuple[str, Any], ...]) -> nn.Module:
    return _made(kind, dict(arguments))


@lru_cache(maxsize=4096)
def _skeleton(kind: str, arguments: tuple[tuple[str, Any], ...]) -> nn.Module:
    """A layer without memory for its weights."""
    with torch.device("meta"):
        return _made(kind, dict(arguments))


# --- slices

_BY_USE = ("stride", "padding", "dilation", "dropout")
"""Arguments that do not matter to the weights."""


def _largest(kind: str, uses: Sequence[Arguments]) -> Arguments:
    """The arguments of a layer that holds the weights of all uses."""
    largest: dict[str, Any] = {}
    for name in dict.fromkeys(name for use in uses for name in use):
        values = [use[name] for use in uses if name in use]
        if name in _BY_USE:
            continue
        if name == "shape":
            largest[name] = tuple(max(sizes) for sizes in zip(*values, strict=True))
        elif name == "act":
            largest[name] = "swiglu" if "swiglu" in values else values[0]
        else:
            largest[name] = values[0] if isinstance(values[0], str) else max(values)
    if "groups" in largest:
        groups = math.gcd(*(use.get("groups", 1) for use in uses))
        fits = not (largest["in_channels"] % groups or largest["out_channels"] % groups)
        depthwise = all(_is_depthwise(use) for use in uses)
        largest["groups"] = largest["in_channels"] if depthwise else groups if fits else 1
        if depthwise:
            # A depthwise layer may multiply its channels.
            ratio = max(-(-use["out_channels"] // use["in_channels"]) for use in uses)
            largest["out_channels"] = ratio * largest["in_channels"]
    return largest


class _Cut(NamedTuple):
    """A part of a weight."""

    view: Shape
    """Shape in which the whole is cut."""
    part: tuple[slice, ...]
    """What is taken."""
    shape: Shape
    """Shape of the part as the layer wants it."""

    def of(self, weight: Tensor) -> Tensor:
        if weight.shape != self.view:
            weight = weight.reshape(self.view)
        weight = weight[self.part]
        return weight if weight.shape == self.shape else weight.reshape(self.shape)


def _cuts(kind: str, largest: Arguments, wanted: Arguments) -> dict[str, _Cut] | None:
    whole, part = _shapes(kind, largest), _shapes(kind, wanted)
    if whole == part:
        return None
    views, parts = _views(kind, largest), _views(kind, wanted)
    cuts = {}
    for name, shape in part.items():
        view, size = views.get(name, whole[name]), parts.get(name, shape)
        if any(small > large for small, large in zip(size, view, strict=True)):
            raise KeyError(name)
        middle = "Conv" in kind and name == "weight"
        starts = [
            (large - small) // 2 if middle and axis >= 2 else 0
            for axis, (small, large) in enumerate(zip(size, view, strict=True))
        ]
        cuts[name] = _Cut(view, tuple(slice(s, s + n) for s, n in zip(starts, size, strict=True)), shape)
    return cuts


def _shapes(kind: str, arguments: Arguments) -> dict[str, Shape]:
    skeleton = _skeleton(kind, tuple(arguments.items()))
    return {name: tuple(weight.shape) for name, weight in skeleton.named_parameters()}


def _views(kind: str, a: Arguments) -> dict[str, Shape]:
    """Shapes in which weights are cut where their own would mix what belongs to different heads or gates."""
    if kind == "Attention":
        heads, width = a["heads"], a["head_dim"]
        return {
            "queries_keys_values.weight": (3, heads, width, a["dim"]),
            "queries_keys_values.bias": (3, heads, width),
            "project.weight": (a["dim"], heads, width),
        }
    if kind == "Mlp":
        gates = 2 if a.get("act") == "swiglu" else 1
        return {"expand.weight": (gates, a["hidden"], a["dim"]), "expand.bias": (gates, a["hidden"])}
    if kind == "Recurrent":
        hidden, ways = a["hidden_size"], 2 if a.get("bidirectional") else 1
        gates = 4 if a["cell"] == "lstm" else 3
        views: dict[str, Shape] = {}
        for layer in range(a.get("num_layers", 1)):
            for end in ("", "_reverse")[:ways]:
                reads = (ways, hidden) if layer else (a["input_size"],)
                views[f"cell.weight_ih_l{layer}{end}"] = (gates, hidden, *reads)
                views[f"cell.weight_hh_l{layer}{end}"] = (gates, hidden, hidden)
                for bias in ("ih", "hh"):
                    views[f"cell.bias_{bias}_l{layer}{end}"] = (gates, hidden)
        return views
    return {}
