"""Layers that are no class of ``torch.nn``. An exported file carries the source of those that it uses, so each stands
alone and reads no name of this module but ``torch``, ``nn`` and :data:`math`.

Values are channels first: ``(batch, D, *positions)``; B is the batch, L the number of positions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import nn


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels, at each position apart."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class CausalConv1d(nn.Conv1d):
    """A convolution that reads no later step: (B, C, L) to (B, out, L)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.pad(x, (self.dilation[0] * (self.kernel_size[0] - 1), 0)))


class Recurrent(nn.Module):
    """An LSTM or a GRU over the steps: (B, C, L) to (B, hidden, L), twice as many channels in both directions."""

    def __init__(
        self, cell: str, input_size: int, hidden_size: int, num_layers: int = 1, bidirectional: bool = False
    ) -> None:
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.cell = kind(input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x.transpose(1, 2))[0].transpose(1, 2)  # type: ignore[no-any-return]


class IdEmbedding(nn.Embedding):
    """A learned vector for each id: (B, L) to (B, D, L), or one column of them to (B, D)."""

    def __init__(self, num_embeddings: int, embedding_dim: int, column: int | None = None) -> None:
        super().__init__(num_embeddings, embedding_dim)
        self.column = column
        # As BERT's: wider vectors learned more slowly on texts and on pairs alike.
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if self.column is not None:
            return super().forward(ids[:, self.column])
        return super().forward(ids).transpose(1, 2)


class FeatureTokens(nn.Module):
    """A vector for each feature of a row, scaled by its value: (B, F) to (B, D, F)."""

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, features).uniform_(-(dim**-0.5), dim**-0.5))
        self.bias = nn.Parameter(torch.empty(dim, features).uniform_(-(dim**-0.5), dim**-0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, None] * self.weight + self.bias


class ClassToken(nn.Module):
    """A learned vector before all positions: (B, D, ...) to (B, D, 1 + L)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(dim, 1).normal_(std=0.02))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2)], 2)


class LearnedPosition(nn.Module):
    """A learned vector for each position, added."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape).normal_(std=0.02))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight


class SinusoidalPosition(nn.Module):
    """Sines and cosines of each position, added; every axis has its share of the channels."""

    table: torch.Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, *sizes = shape
        parts = []
        for axis, size in enumerate(sizes):
            share = channels * (axis + 1) // len(sizes) - channels * axis // len(sizes)
            number = torch.arange(share)
            rate = torch.exp(-math.log(10_000) * (number // 2 * 2) / max(share, 1))
            angle = rate[:, None] * torch.arange(size) + math.pi / 2 * (number % 2)[:, None]
            view = [1] * len(sizes)
            view[axis] = size
            parts.append(angle.sin().reshape(share, *view).expand(share, *sizes))
        self.register_buffer("table", torch.cat(parts), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.table


class Attention(nn.Module):
    """Every position reads every position: (B, D, ...) to the same shape."""

    def __init__(self, dim: int, heads: int, head_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.queries_keys_values = nn.Linear(dim, 3 * heads * head_dim)
        self.project = nn.Linear(heads * head_dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        merged = self.queries_keys_values(x.flatten(2).transpose(1, 2))
        queries, keys, values = merged.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        rate = self.dropout if self.training else 0.0
        read = nn.functional.scaled_dot_product_attention(queries, keys, values, dropout_p=rate)
        return self.project(read.transpose(1, 2).flatten(2)).transpose(1, 2).reshape(x.shape)  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two fully connected layers at each position apart: (B, D, ...) to the same shape."""

    def __init__(self, dim: int, hidden: int, act: str = "gelu", dropout: float = 0.0) -> None:
        super().__init__()
        self.act, self.dropout = act, dropout
        self.expand = nn.Linear(dim, 2 * hidden if act == "swiglu" else hidden)
        self.project = nn.Linear(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.expand(x.movedim(1, -1))
        if self.act == "swiglu":
            hidden, gate = hidden.chunk(2, -1)
            hidden = hidden * nn.functional.silu(gate)
        else:
            hidden = getattr(nn.functional, self.act)(hidden)
        hidden = nn.functional.dropout(hidden, self.dropout, self.training)
        return self.project(hidden).movedim(-1, 1)  # type: ignore[no-any-return]


MODULES: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            ChannelNorm, CausalConv1d, Recurrent, IdEmbedding, FeatureTokens, ClassToken, LearnedPosition,
            SinusoidalPosition, Attention, Mlp,
        )
    }
)  # fmt: skip
"""By name, as :data:`metanas.architecture.RULES` knows them."""
