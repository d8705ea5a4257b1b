"""Sums of candidates by weight, and which candidates a relaxed row weighs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metanas.encoding import OneHot
from metanas.space import Scalar, SearchSpace

Weight = Tensor | None
"""None is 1, without a gradient."""


class Chosen:
    """The options of each decision, with their weights, under a row of the space or a relaxed one.

    A relaxed row ``(n_columns,)`` has a column for each of :attr:`metanas.encoding.OneHot.names`. What is exactly 0 is
    not computed; of a decision in ``hard``, or of a long range, the option of the greatest weight is, and its gradient
    is that of a factor of 1, as in straight-through sampling.
    """

    def __init__(
        self, space: SearchSpace, row: Tensor | np.ndarray[Any, Any] | Sequence[int], hard: frozenset[int]
    ) -> None:
        self._decisions = space.decisions
        self._hard = hard
        self._known: dict[int, list[tuple[int, Weight]]] = {}
        self._row: list[int] | None = None
        if isinstance(row, Tensor) and row.is_floating_point():
            self._relaxed, self._values = row, row.detach().tolist()
            self._spans = OneHot(space).spans
        else:
            self._row = [int(value) for value in row]

    def of(self, column: int) -> list[tuple[int, Weight]]:
        """Value indices of a decision that count, in order, each with its weight; these sum to 1."""
        if self._row is not None:
            return [(self._row[column], None)]
        if column not in self._known:
            self._known[column] = self._weighed(column)
        return self._known[column]

    def value(self, column: int, index: int) -> Scalar:
        """The value of a decision at an index."""
        return self._decisions[column].values[index]

    def _weighed(self, column: int) -> list[tuple[int, Weight]]:
        start, width, long = self._spans[column]
        values = self._values[start : start + width]
        if long:
            last = self._decisions[column].size - 1
            return [(min(last, max(0, round(values[1] * last))), None)]
        present = [k for k, value in enumerate(values) if value > 0] or [0]
        if column in self._hard:
            present = [max(present, key=lambda k: values[k])]
        part = self._relaxed[start : start + width]
        if len(present) == 1:
            weight = part[present[0]]
            return [(present[0], weight / weight.detach() if weight.requires_grad and values[present[0]] > 0 else None)]
        part = part / part.sum()
        return [(k, part[k]) for k in present]


def times(one: Weight, other: Weight) -> Weight:
    """The product of two weights."""
    if one is None:
        return other
    return one if other is None else one * other


class _WeightedSum(torch.autograd.Function):
    """Σ wᵢ yᵢ + Σ zⱼ in one pass, keeping the yᵢ alone for the gradient."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *values: Tensor) -> Tensor:
        count = len(weights)
        total = values[0] * weights[0] if count else values[0].clone()
        for index, value in enumerate(values[1:], 1):
            if index < count:
                total.addcmul_(value, weights[index])
            else:
                total.add_(value)
        ctx.save_for_backward(weights, *values[:count])
        ctx.rest = len(values) - count
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weights, *values = ctx.saved_tensors
        of_weights = None
        if ctx.needs_input_grad[0]:
            of_weights = torch.stack([_dot(gradient, value) for value in values])
        needed = ctx.needs_input_grad[1:]
        of_values = [gradient * w if need else None for w, need in zip(weights, needed, strict=False)]
        return of_weights, *of_values, *([gradient] * ctx.rest)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    if one.ndim == 4:
        one, other = one.permute(0, 2, 3, 1), other.permute(0, 2, 3, 1)
    return torch.dot(one.reshape(-1), other.reshape(-1))


def weighted_sum(values: Sequence[Tensor], weights: Sequence[Weight]) -> Tensor:
    """Σ wᵢ yᵢ."""
    if len(values) == 1 and weights[0] is None:
        return values[0]
    weighed = [(w, y) for w, y in zip(weights, values, strict=True) if w is not None]
    plain = [y for w, y in zip(weights, values, strict=True) if w is None]
    if not weighed:
        total = plain[0] + plain[1]
        for value in plain[2:]:
            total = total + value
        return total
    stacked = torch.stack([w for w, _ in weighed])
    return _WeightedSum.apply(stacked, *(y for _, y in weighed), *plain)  # type: ignore[no-untyped-call, no-any-return]
