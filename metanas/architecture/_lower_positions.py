"""Ops -> layers, where positions matter: attention, recurrence, embeddings of ids and of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from metanas.architecture._layers import Trace
from metanas.architecture._rules import ShapeError


def _needs(t: Trace, x: int, ranks: tuple[int, ...], rule: str, remedy: str) -> None:
    if t.rank(x) not in ranks:
        raise ShapeError(rule, found=f"shape {list(t.shape(x))}", remedy=remedy, where=t.site)


_POSITIONS = (1, 2, 3)


def _norm(t: Trace, x: int) -> int:
    """Ba et al. 2016 (layer normalisation), over the channels at each position, as transformers use it."""
    return t.add("ChannelNorm" if t.rank(x) else "LayerNorm", x, normalized_shape=t.shape(x)[0])


def _temporal_conv(t: Trace, x: int, *, out: Any, kernel: int, dilation: int, causal: bool, dropout: float) -> int:
    """Bai et al. 2018 (TCN), figure 1b, with batch normalisation in the place of weight normalisation."""
    _needs(t, x, (1,), "a temporal convolution reads a sequence", "use conv on images, embed before it on tokens")
    if not causal and kernel % 2 == 0:
        raise ShapeError("a temporal convolution that is not causal has an odd kernel", found=str(kernel), where=t.site)
    y = x
    for _ in range(2):
        y = t.norm(_causal(t, y, out, kernel, dilation) if causal else t.conv(y, out, kernel, dilation=dilation))
        y = t.dropout(t.act(y, "relu"), dropout)
    if t.shape(x) != t.shape(y):
        x = t.conv(x, t.shape(y)[0], bias=True)
    return t.act(t.merge("sum", [x, y]), "relu")


def _causal(t: Trace, x: int, out: int | None, kernel: int, dilation: int) -> int:
    channels = t.shape(x)[0]
    arguments: dict[str, Any] = {
        "in_channels": channels, "out_channels": channels if out is None else out, "kernel_size": kernel,
    }  # fmt: skip
    if dilation != 1:
        arguments["dilation"] = dilation
    return t.add("CausalConv1d", x, **arguments, bias=False)


def _recurrent(cell: str) -> Callable[..., int]:
    """Hochreiter & Schmidhuber 1997 (LSTM), Cho et al. 2014 (GRU)."""

    def lower(t: Trace, x: int, *, hidden: int | None, layers: int, bidirectional: bool) -> int:
        _needs(t, x, (1,), "a recurrent layer reads a sequence", "put it before a pool; embed tokens first")
        arguments: dict[str, Any] = {"cell": cell, "input_size": t.shape(x)[0], "hidden_size": hidden or t.shape(x)[0]}
        if layers != 1:
            arguments["num_layers"] = layers
        if bidirectional:
            arguments["bidirectional"] = True
        return t.add("Recurrent", x, **arguments)

    return lower


def _embed(t: Trace, x: int, *, dim: int) -> int:
    if len(t.vocabulary) != 1 or x != 0:
        found = f"shape {list(t.shape(x))}" if x else f"{('no', 'one', 'two')[len(t.vocabulary)]} kinds of ids"
        raise ShapeError(
            "embed reads the ids of tokens", found=found, where=t.site,
            remedy="put it first in a space with 'input: tokens'",
        )  # fmt: skip
    return t.add("IdEmbedding", x, num_embeddings=t.vocabulary[0], embedding_dim=dim)


def _pair_embed(column: int, name: str) -> Callable[..., int]:
    """Koren et al. 2009 (matrix factorisation): a vector for each user and each item."""

    def lower(t: Trace, x: int, *, dim: int) -> int:
        if len(t.vocabulary) != 2 or x != 0:
            raise ShapeError(
                f"{name} reads pairs of ids", found=f"shape {list(t.shape(x))}", where=t.site,
                remedy="put it first in a branch of a space with 'input: pairs'",
            )  # fmt: skip
        return t.add("IdEmbedding", x, num_embeddings=t.vocabulary[column], embedding_dim=dim, column=column)

    return lower


def _total(t: Trace, x: int) -> int:
    _needs(t, x, (0,), "total reads a row of features", "put global_pool or flatten before it")
    return t.add("total", x)


def _positional(t: Trace, x: int, *, kind: str) -> int:
    """Vaswani et al. 2017, section 3.5; an image's channels are shared out between its axes."""
    _needs(t, x, _POSITIONS, "positions are encoded where there are some", "put positional before the pool")
    return t.add("LearnedPosition" if kind == "learned" else "SinusoidalPosition", x, shape=t.shape(x))


def _patches(t: Trace, x: int, *, out: int, size: int) -> int:
    """Dosovitskiy et al. 2021 (ViT), section 3.1."""
    _needs(t, x, (1, 2), "patches are cut from an image or a sequence", "put it first")
    arguments = {"in_channels": t.shape(x)[0], "out_channels": out, "kernel_size": size, "stride": size}
    return t.add(f"Conv{t.rank(x)}d", x, **arguments)


def _class_token(t: Trace, x: int) -> int:
    """Devlin et al. 2019 (BERT), section 3; Dosovitskiy et al. 2021."""
    _needs(t, x, _POSITIONS, "a class token joins positions", "put it before the pool; embed tokens first")
    return t.add("ClassToken", x, dim=t.shape(x)[0])


def _attention(t: Trace, x: int, *, heads: int, head_dim: int | None, dropout: float) -> int:
    """Vaswani et al. 2017, section 3.2.2; a width of heads of its own as in Chen et al. 2021 (AutoFormer)."""
    _needs(t, x, _POSITIONS, "attention reads positions", "put it before the pool; use patches, embed or tokenize")
    dim = t.shape(x)[0]
    if head_dim is None and dim % heads:
        raise ShapeError(
            "the heads of an attention divide its channels", found=f"{heads} heads, {dim} channels", where=t.site,
            remedy="give widths that are multiples, or head_dim",
        )  # fmt: skip
    arguments: dict[str, Any] = {"dim": dim, "heads": heads, "head_dim": dim // heads if head_dim is None else head_dim}
    return t.add("Attention", x, **arguments, **_rate(dropout))


def _mlp(t: Trace, x: int, *, ratio: float, act: str, dropout: float) -> int:
    """Vaswani et al. 2017, section 3.3; swiglu as in Shazeer 2020, equation 6 (its gate has weights of its own)."""
    dim = t.shape(x)[0]
    return t.add("Mlp", x, dim=dim, hidden=max(1, round(dim * ratio)), act=act, **_rate(dropout))


def _rate(dropout: float) -> dict[str, float]:
    return {"dropout": float(dropout)} if dropout > 0 else {}


def _tokenize(t: Trace, x: int, *, dim: int) -> int:
    """Gorishniy et al. 2021 (FT-Transformer), section 3.3; a category is a feature that is 0 or 1."""
    _needs(t, x, (0,), "features of a row are tokenized", "put it first in a space with 'input: table'")
    return t.add("FeatureTokens", x, features=t.shape(x)[0], dim=dim)


def _pooled(kind: str) -> Callable[[Trace, int], int]:
    return lambda t, x: t.add(kind, x) if t.rank(x) else x


POSITION_OPS: Mapping[str, Callable[..., int]] = MappingProxyType(
    {
        "norm": _norm,
        "temporal_conv": _temporal_conv,
        "lstm": _recurrent("lstm"),
        "gru": _recurrent("gru"),
        "embed": _embed,
        "user_embed": _pair_embed(0, "user_embed"),
        "item_embed": _pair_embed(1, "item_embed"),
        "total": _total,
        "positional": _positional,
        "patches": _patches,
        "class_token": _class_token,
        "attention": _attention,
        "mlp": _mlp,
        "tokenize": _tokenize,
        "global_max_pool": _pooled("global_max"),
        "cls_pool": _pooled("first"),
        "last_pool": _pooled("last"),
    }
)
"""The ops of this file; :data:`metanas.architecture.LOWER` holds all."""
