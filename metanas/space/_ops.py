"""The ops of the language: names, parameters and where each may stand.

Signatures only. What an op computes is in ``metanas.architecture``, as a shape and cost rule over layers;
a test holds that both tables name the same ops and parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from metanas.space._yaml import Scalar

Kind = Literal["int", "float", "flag", "text"]

ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "mish", "tanh", "sigmoid")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an op."""

    kind: Kind
    """Type of its values. A real number that arithmetic gives to an ``int`` is rounded to the nearest."""
    about: str
    """What it means, with its unit."""
    default: Scalar | None = None
    """Value when it is not given; None when the op takes it from its input."""
    required: bool = False
    """Whether the space file must give it."""
    low: float | None = None
    """Smallest value."""
    high: float | None = None
    """Largest value."""
    options: tuple[str, ...] = ()
    """All values of a ``text``."""

    def breach(self, value: Scalar) -> str:
        """The rule that ``value`` breaks, or an empty text."""
        if self.kind == "flag":
            return "" if isinstance(value, bool) else "must be true or false"
        if self.kind == "text":
            if not isinstance(value, str):
                return "must be a text"
            return "" if not self.options or value in self.options else f"must be one of {', '.join(self.options)}"
        if isinstance(value, (bool, str)):
            return "must be a number" if self.kind == "float" else "must be a whole number"
        if self.kind == "int" and not isinstance(value, int):
            return "must be a whole number"
        if (
            (self.low is not None and value < self.low)
            or (self.high is not None and value > self.high)
            or value != value
        ):
            return f"must be between {self.low} and {self.high}"
        return ""


@dataclass(frozen=True, slots=True)
class Op:
    """The signature of an op."""

    about: str
    """One line."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """By name, in the order of the reference."""
    example: str = ""
    """The op as it stands in a space file."""


def _out(about: str = "output channels; as many as the input when not given") -> Parameter:
    return Parameter("int", about, low=1, high=65536)


def _kernel(default: int = 3) -> Parameter:
    return Parameter(
        "int", "kernel size, in pixels or steps; the size of the input is kept at stride 1", default, low=1, high=63
    )


def _dilation(default: int = 1) -> Parameter:
    return Parameter("int", "distance between the pixels or steps of the kernel", default, low=1, high=1024)


_STRIDE = Parameter("int", "step of the window; 2 halves height and width, or length", 1, low=1, high=16)
_DILATION = _dilation()
_GROUPS = Parameter("int", "groups of channels convolved apart", 1, low=1, high=65536)
_RATE = Parameter("float", "share of values set to zero while training", 0.0, low=0.0, high=0.95)


def _act(default: str = "relu") -> Parameter:
    return Parameter("text", "activation", default, options=ACTIVATIONS)


def _dim(about: str = "channels of a vector") -> Parameter:
    return Parameter("int", about, required=True, low=1, high=65536)


_CONV = {"out": _out(), "kernel": _kernel(), "stride": _STRIDE, "dilation": _DILATION, "groups": _GROUPS}

_RECURRENT = {
    "hidden": Parameter("int", "channels of a direction; as many as the input when not given", low=1, high=65536),
    "layers": Parameter("int", "layers, one on the other", 1, low=1, high=16),
    "bidirectional": Parameter("flag", "whether a second one reads from the end; the channels are doubled", False),
}

OPS: Mapping[str, Op] = MappingProxyType(
    {
        "identity": Op(
            "passes its input on; with a stride, through ReLU, a 1x1 convolution and batch normalisation",
            {"stride": _STRIDE},
            "identity",
        ),
        "none": Op("cuts the edge that it stands on", {"stride": _STRIDE}, "none"),
        "symbol": Op(
            "an op known by its name alone, in a space whose results come from a table: it cannot be built",
            {"name": Parameter("text", "what sets it apart from other symbols", required=True)},
            "symbol: {name: gcn}",
        ),
        "conv": Op(
            "convolution",
            {**_CONV, "bias": Parameter("flag", "whether a bias is added", True)},
            "conv: {out: 32, kernel: 3, stride: 2}",
        ),
        "conv_bn": Op("convolution, batch normalisation", _CONV, "conv_bn: {out: 16, kernel: 3}"),
        "conv_bn_act": Op(
            "convolution, batch normalisation, activation",
            {**_CONV, "act": _act()},
            "conv_bn_act: {out: 32, kernel: 3, act: silu}",
        ),
        "relu_conv_bn": Op("ReLU, convolution, batch normalisation", _CONV, "relu_conv_bn: {kernel: 1}"),
        "depthwise": Op(
            "depthwise convolution, batch normalisation, activation",
            {"kernel": _kernel(), "stride": _STRIDE, "dilation": _DILATION, "act": _act()},
            "depthwise: {kernel: 5}",
        ),
        "sep_conv": Op(
            "twice: ReLU, depthwise and pointwise convolution, batch normalisation (DARTS)",
            {"out": _out(), "kernel": _kernel(), "stride": _STRIDE},
            "sep_conv: {kernel: 5}",
        ),
        "dil_conv": Op(
            "ReLU, dilated depthwise and pointwise convolution, batch normalisation (DARTS)",
            {
                "out": _out(),
                "kernel": _kernel(),
                "stride": _STRIDE,
                "dilation": _dilation(2),
            },
            "dil_conv: {kernel: 3, dilation: 2}",
        ),
        "mbconv": Op(
            "inverted residual: expand, depthwise convolution, squeeze-excitation if wanted, project (MobileNetV3)",
            {
                "out": _out(),
                "kernel": _kernel(),
                "stride": _STRIDE,
                "expand": Parameter("float", "inner channels, as a multiple of the input's", 4, low=0.25, high=16),
                "se": Parameter("flag", "whether squeeze-excitation is used", False),
                "act": _act("relu6"),
            },
            "mbconv: {out: 24, kernel: 5, expand: 6, se: true}",
        ),
        "res_block": Op(
            "residual block of two 3x3 convolutions (ResNet)",
            {"out": _out(), "stride": _STRIDE},
            "res_block: {out: 32, stride: 2}",
        ),
        "se": Op(
            "squeeze-excitation: channels weighted by a small network of their means",
            {"ratio": Parameter("int", "input channels over inner channels", 4, low=1, high=64)},
            "se: {ratio: 4}",
        ),
        "avg_pool": Op("average pooling", {"kernel": _kernel(), "stride": _STRIDE}, "avg_pool: {kernel: 3}"),
        "max_pool": Op("maximum pooling", {"kernel": _kernel(), "stride": _STRIDE}, "max_pool: {kernel: 3, stride: 2}"),
        "temporal_conv": Op(
            "residual block of two dilated convolutions over a sequence, each with batch normalisation and ReLU (TCN)",
            {
                "out": _out(),
                "kernel": _kernel(),
                "dilation": _DILATION,
                "causal": Parameter("flag", "whether a step reads no later step", True),
                "dropout": _RATE,
            },
            "temporal_conv: {out: 32, kernel: 3, dilation: 4}",
        ),
        "lstm": Op("LSTM over a sequence: a vector for each step", _RECURRENT, "lstm: {hidden: 64}"),
        "gru": Op("GRU over a sequence: a vector for each step", _RECURRENT, "gru: {hidden: 64, bidirectional: true}"),
        "patches": Op(
            "an image or a sequence cut into patches, each mapped to a vector (ViT)",
            {
                "out": _dim("channels of a patch's vector"),
                "size": Parameter("int", "side of a patch, in pixels or steps", required=True, low=1, high=256),
            },
            "patches: {out: 96, size: 4}",
        ),
        "embed": Op("a learned vector for each token id; reads the input", {"dim": _dim()}, "embed: {dim: 64}"),
        "user_embed": Op("a learned vector for the user of a pair", {"dim": _dim()}, "user_embed: {dim: 16}"),
        "item_embed": Op("a learned vector for the item of a pair", {"dim": _dim()}, "item_embed: {dim: 16}"),
        "tokenize": Op(
            "a row of features becomes a sequence: for each feature a learned vector times its value (FT-Transformer)",
            {"dim": _dim()},
            "tokenize: {dim: 32}",
        ),
        "positional": Op(
            "adds to each position a vector that says where it is",
            {"kind": Parameter("text", "fixed sines, or learned", "sinusoidal", options=("sinusoidal", "learned"))},
            "positional: {kind: learned}",
        ),
        "class_token": Op(
            "puts a learned vector before the first position, for cls_pool; an image becomes a sequence",
            example="class_token",
        ),
        "attention": Op(
            "multi-head self-attention: every position reads every position",
            {
                "heads": Parameter("int", "heads; they divide the channels unless head_dim is given", 4, low=1, high=256),
                "head_dim": Parameter("int", "channels of a head; channels / heads when not given", low=1, high=4096),
                "dropout": _RATE,
            },
            "attention: {heads: 4}",
        ),
        "mlp": Op(
            "two fully connected layers with an activation between, at each position apart",
            {
                "ratio": Parameter("float", "inner channels, as a multiple of the input's", 4, low=0.125, high=16),
                "act": Parameter("text", "activation; swiglu gates by a third layer", "gelu", options=(*ACTIVATIONS, "swiglu")),
                "dropout": _RATE,
            },
            "mlp: {ratio: 3, act: swiglu}",
        ),
        "global_pool": Op("mean over all positions: what is left is a row of features", example="global_pool"),
        "mean_pool": Op("another name of global_pool", example="mean_pool"),
        "global_max_pool": Op("maximum over all positions: what is left is a row of features", example="global_max_pool"),
        "cls_pool": Op("the first position alone, where class_token stands", example="cls_pool"),
        "last_pool": Op("the last position alone, as a recurrent network ends", example="last_pool"),
        "flatten": Op("an image or a sequence becomes a row of features, position by position", example="flatten"),
        "total": Op("sum of a row's features: one value", example="total"),
        "bn": Op("batch normalisation", example="bn"),
        "norm": Op("layer normalisation over the channels at each position, as transformers use it", example="norm"),
        "instance_norm": Op("normalisation of each channel over the positions of one sample", example="instance_norm"),
        "layer_norm": Op("layer normalisation over channels and positions at once", example="layer_norm"),
        "dropout": Op(
            "sets a share of values to zero while training",
            {"rate": Parameter("float", "share of values", 0.1, low=0.0, high=0.95)},
            "dropout: {rate: 0.2}",
        ),
        "act": Op("activation by name", {"kind": _act()}, "act: {kind: {choice: [relu, silu]}}"),
        **{name: Op(f"the activation {name}", example=name) for name in ACTIVATIONS},
        "dense": Op(
            "fully connected layer, normalisation, activation, dropout",
            {
                "units": Parameter("int", "outputs", required=True, low=1, high=65536),
                "act": _act(),
                "norm": Parameter("text", "normalisation", "none", options=("none", "batch", "layer")),
                "dropout": _RATE,
            },
            "dense: {units: 64, act: relu, norm: batch, dropout: 0.1}",
        ),
        "linear": Op(
            "fully connected layer alone",
            {"out": _out("outputs; as many as inputs when not given")},
            "linear: {out: 64}",
        ),
        "head": Op(
            "the outputs: one a class, or one value; pools over positions first",
            {"dropout": _RATE},
            "head",
        ),
    }
)  # fmt: skip

MODULE = Op(
    "a module of the user's, named in 'ops' as my_op: {python: package.module:Class}; its parameters are the class's",
    {"module": Parameter("text", "package.module:Class", required=True)},
)
"""Signature of the op ``python``, which a space file reaches by the name that it gives in ``ops``."""


def signature(name: str) -> Op:
    """The signature of an op, or of a module of the user's (``python``)."""
    return MODULE if name == "python" else OPS[name]
