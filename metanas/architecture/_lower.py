"""Ops -> layers: what each op computes. One function an op, by name in :data:`LOWER`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from metanas.architecture._graph import OpGraph
from metanas.architecture._layers import Layer, LayerGraph, Modules, Trace
from metanas.architecture._lower_positions import POSITION_OPS
from metanas.architecture._rules import Shape, ShapeError
from metanas.space import ACTIVATIONS

Lower = Callable[..., int]


def lower(
    graph: OpGraph,
    input_shape: Shape,
    outputs: int,
    vocabulary: tuple[int, ...] = (),
    *,
    modules: Modules | None = None,
) -> LayerGraph:
    """The layers of a graph of ops for samples of ``input_shape`` and a head of ``outputs``.

    ``vocabulary`` is how many ids there are, where samples are ids: of tokens ``(length,)``, or of users and items
    ``(2,)``. ``modules`` says what modules of the user's make; without it they are refused.

    Raises
    ------
    ShapeError
        If a layer or a merge does not fit what reaches it, no path leads to the output, or the result is not a row
        of ``outputs`` values.

    """
    if graph.output is None:
        raise ShapeError(
            "a path leads from the input to the output",
            found="no such path",
            remedy="choose another architecture",
        )
    given: dict[str, Any] = {"vocabulary": tuple(vocabulary)} if vocabulary else {}
    entry = Layer("x", "input", given, (), tuple(input_shape), 0, 0)
    trace = Trace([entry], outputs, modules=modules, vocabulary=tuple(vocabulary))
    values = [0]
    for node in graph.nodes[1:]:
        trace.begin(node.site)
        inputs = [values[i] for i in node.inputs]
        if node.op in LOWER:
            values.append(LOWER[node.op](trace, *inputs, **node.parameters))
        else:
            values.append(lower_merge(trace, node.op, inputs))
    result = values[graph.output]
    if trace.shape(result) != (outputs,):
        raise ShapeError(
            f"the network ends in a row of {outputs} outputs", found=f"shape {list(trace.shape(result))}",
            remedy="end it with head",
        )  # fmt: skip
    return LayerGraph(tuple(trace.layers), result)


def lower_merge(t: Trace, kind: str, values: Sequence[int]) -> int:
    """A merge of two values or more: ``sum``, ``concat``, ``mean``, ``product``, or the ``residual`` of two."""
    return _residual(t, *values) if kind == "residual" else t.merge(kind, values)


def _residual(t: Trace, x: int, y: int) -> int:
    """X + y; x is projected where the shapes differ (He et al. 2016, option B)."""
    if t.shape(x) == t.shape(y):
        return t.merge("sum", [x, y])
    return t.merge("sum", [_projected(t, x, t.shape(y)), y])


def _projected(t: Trace, x: int, target: Shape) -> int:
    shape = t.shape(x)
    if len(shape) != len(target):
        return x
    if len(shape) == 1:
        return t.linear(x, target[0])
    ratios = {-(-a // b) for a, b in zip(shape[1:], target[1:], strict=True)}
    stride = ratios.pop() if len(ratios) == 1 else 1
    return t.norm(t.conv(x, target[0], 1, max(1, stride)))


def _conv(t: Trace, x: int, *, out: Any, kernel: int, stride: int, dilation: int, groups: int, bias: bool) -> int:
    return t.conv(x, out, kernel, stride, dilation=dilation, groups=groups, bias=bias)


def _conv_bn(t: Trace, x: int, *, out: Any, kernel: int, stride: int, dilation: int, groups: int) -> int:
    return t.norm(t.conv(x, out, kernel, stride, dilation=dilation, groups=groups))


def _conv_bn_act(t: Trace, x: int, *, act: str, **conv: Any) -> int:
    return t.act(_conv_bn(t, x, **conv), act)


def _relu_conv_bn(t: Trace, x: int, **conv: Any) -> int:
    return _conv_bn(t, t.act(x, "relu"), **conv)


def _depthwise_conv(t: Trace, x: int, kernel: int, stride: int = 1, dilation: int = 1) -> int:
    return t.conv(x, None, kernel, stride, dilation=dilation, groups=t.shape(x)[0])


def _depthwise(t: Trace, x: int, *, kernel: int, stride: int, dilation: int, act: str) -> int:
    return t.act(t.norm(_depthwise_conv(t, x, kernel, stride, dilation)), act)


def _sep_conv(t: Trace, x: int, *, out: Any, kernel: int, stride: int) -> int:
    """Liu et al. 2019 (DARTS), appendix: the separable convolution is applied twice, the stride in the first."""
    channels = t.shape(x)[0]
    x = t.norm(t.conv(_depthwise_conv(t, t.act(x, "relu"), kernel, stride), channels))
    return t.norm(t.conv(_depthwise_conv(t, t.act(x, "relu"), kernel), out))


def _dil_conv(t: Trace, x: int, *, out: Any, kernel: int, stride: int, dilation: int) -> int:
    return t.norm(t.conv(_depthwise_conv(t, t.act(x, "relu"), kernel, stride, dilation), out))


def _mbconv(t: Trace, x: int, *, out: Any, kernel: int, stride: int, expand: float, se: bool, act: str) -> int:
    """Sandler et al. 2018 (MobileNetV2), figure 4; squeeze-excitation as in Howard et al. 2019 (MobileNetV3)."""
    channels = t.shape(x)[0]
    inner, y = max(1, round(channels * expand)), x
    if inner != channels:
        y = t.act(t.norm(t.conv(y, inner)), act)
    y = t.act(t.norm(_depthwise_conv(t, y, kernel, stride)), act)
    if se:
        y = _se(t, y, ratio=4)
    y = t.norm(t.conv(y, channels if out is None else out))
    return t.merge("sum", [y, x]) if t.shape(y) == t.shape(x) else y


def _res_block(t: Trace, x: int, *, out: Any, stride: int) -> int:
    """He et al. 2016, figure 2; the shortcut pools before it projects, as NAS-Bench-201's does."""
    y = t.act(t.norm(t.conv(x, out, 3, stride)), "relu")
    y = t.norm(t.conv(y, out, 3))
    if t.shape(y) == t.shape(x):
        return t.merge("sum", [x, y])
    if stride > 1:
        x = t.add(f"AvgPool{t.rank(x)}d", x, kernel_size=stride, stride=stride, padding=0, ceil_mode=True)
    return t.merge("sum", [t.conv(x, t.shape(y)[0]), y])


def _se(t: Trace, x: int, *, ratio: int) -> int:
    """Hu et al. 2018, figure 3."""
    channels = t.shape(x)[0]
    _needs_positions(t, x, "squeeze-excitation")
    squeezed = t.add("global_mean", x)
    hidden = t.act(t.linear(squeezed, max(1, channels // ratio)), "relu")
    return t.add("scale", x, t.act(t.linear(hidden, channels), "sigmoid"))


def _needs_positions(t: Trace, x: int, what: str) -> None:
    if t.rank(x) not in (1, 2):
        raise ShapeError(
            f"{what} reads an image or a sequence",
            found=f"shape {list(t.shape(x))}",
            remedy="put it before global_pool",
            where=t.site,
        )


def _avg_pool(t: Trace, x: int, *, kernel: int, stride: int) -> int:
    _needs_positions(t, x, "pooling")
    padding = (kernel - 1) // 2
    return t.add(f"AvgPool{t.rank(x)}d", x, kernel_size=kernel, stride=stride, padding=padding, count_include_pad=False)


def _max_pool(t: Trace, x: int, *, kernel: int, stride: int) -> int:
    _needs_positions(t, x, "pooling")
    return t.add(f"MaxPool{t.rank(x)}d", x, kernel_size=kernel, stride=stride, padding=(kernel - 1) // 2)


def _global_pool(t: Trace, x: int) -> int:
    return t.add("global_mean", x) if t.rank(x) else x


def _flatten(t: Trace, x: int) -> int:
    return t.add("flatten", x) if t.rank(x) else x


def _bn(t: Trace, x: int) -> int:
    return t.norm(x)


def _layer_norm(t: Trace, x: int) -> int:
    channels = t.shape(x)[0]
    # Over the channels and positions of an image at once: one group.
    return (
        t.add("GroupNorm", x, num_groups=1, num_channels=channels)
        if t.rank(x)
        else t.add("LayerNorm", x, normalized_shape=channels)
    )


def _instance_norm(t: Trace, x: int) -> int:
    """Ulyanov et al. 2016: a group for each channel."""
    _needs_positions(t, x, "instance normalisation")
    channels = t.shape(x)[0]
    return t.add("GroupNorm", x, num_groups=channels, num_channels=channels)


def _dropout(t: Trace, x: int, *, rate: float) -> int:
    return t.dropout(x, rate)


def _act(t: Trace, x: int, *, kind: str) -> int:
    return t.act(x, kind)


def _activation(name: str) -> Lower:
    return lambda t, x: t.act(x, name)


def _dense(t: Trace, x: int, *, units: int, act: str, norm: str, dropout: float) -> int:
    x = t.linear(x, units)
    if norm != "none":
        x = t.norm(x) if norm == "batch" else _layer_norm(t, x)
    return t.dropout(t.act(x, act), dropout)


def _linear(t: Trace, x: int, *, out: Any) -> int:
    return t.linear(x, out)


def _head(t: Trace, x: int, *, dropout: float) -> int:
    return t.linear(t.dropout(_global_pool(t, x), dropout), t.outputs)


def _identity(t: Trace, x: int, *, stride: int) -> int:
    """With a stride, as DARTS reduces an input (Liu et al. 2019), but by one convolution instead of two interleaved."""
    if stride == 1 or not t.rank(x):
        return x
    return t.norm(t.conv(t.act(x, "relu"), None, 1, stride))


def _python(t: Trace, x: int, *, module: str, **arguments: Any) -> int:
    return t.module(x, module, arguments)


def _symbol(t: Trace, x: int, *, name: str) -> int:
    raise ShapeError(
        "a symbol cannot be built", found=name, remedy="evaluate this space from a table, not by training", where=t.site
    )


LOWER: Mapping[str, Lower] = MappingProxyType(
    {
        "python": _python,
        "symbol": _symbol,
        "identity": _identity,
        "conv": _conv,
        "conv_bn": _conv_bn,
        "conv_bn_act": _conv_bn_act,
        "relu_conv_bn": _relu_conv_bn,
        "depthwise": _depthwise,
        "sep_conv": _sep_conv,
        "dil_conv": _dil_conv,
        "mbconv": _mbconv,
        "res_block": _res_block,
        "se": _se,
        "avg_pool": _avg_pool,
        "max_pool": _max_pool,
        "global_pool": _global_pool,
        "mean_pool": _global_pool,
        "flatten": _flatten,
        "bn": _bn,
        "instance_norm": _instance_norm,
        "layer_norm": _layer_norm,
        "dropout": _dropout,
        "act": _act,
        **{name: _activation(name) for name in ACTIVATIONS},
        "dense": _dense,
        "linear": _linear,
        "head": _head,
        **POSITION_OPS,
    }
)
"""Every op but ``none``, which makes no layers."""
