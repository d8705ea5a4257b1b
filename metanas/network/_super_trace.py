"""Layers that compute as they are added, with the weights that the networks of a space share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metanas.architecture import RULES, Layer, Modules, Shape, ShapeError, Trace
from metanas.network._bank import BATCH_NORMS, Bank, Use, has_weights, role_of, run_plain
from metanas.network._mix import Weight, weighted_sum

MIXTURE = "mixture"
"""Kind of a weighted sum; no rule, so that a count of memory keeps what it reads and makes."""


class MissingWeightsError(Exception):
    """A layer needs weights that are not in the bank."""


@dataclass(slots=True)
class _Waiting:
    """A batch norm that has not been computed: a mixture scales it by scaling its weights."""

    key: str
    use: Use
    source: int


class SuperTrace(Trace):
    """A trace of shapes that also computes, where it has a bank and data.

    Equal layers on equal inputs are computed once: a ReLU or a pool that several candidates begin with, and what two
    edges of a cell read through the same weights.
    """

    def __init__(
        self,
        entry: Layer,
        outputs: int,
        *,
        modules: Modules | None,
        vocabulary: tuple[int, ...],
        bank: Bank | None = None,
        data: Tensor | None = None,
        share_work: bool = True,
    ) -> None:
        super().__init__([entry], outputs, modules=modules, vocabulary=vocabulary)
        self.bank = bank
        self.data = data
        self.share_work = share_work
        self.keys: list[str] = [""]
        """Key of each layer's weights."""
        self.uses: dict[str, list[Use]] = {}
        """Key -> the layers that use it."""
        self._values: list[Tensor | _Waiting | None] = [data]
        self._done: dict[Any, int] = {}
        self._roles: Counter[str] = Counter()
        self._path = ""

    def at(self, path: str, site: str) -> None:
        """Layers that follow stand at a place, and share their weights with those of other networks there."""
        self._path, self.site = path, site
        self._roles.clear()

    def add(self, kind: str, *inputs: int, **arguments: Any) -> int:
        """See :meth:`Trace.add`."""
        if self.vocabulary and 0 in inputs:
            self._refuse_ids(kind, inputs)
        key = self._key(kind, arguments) if has_weights(kind, arguments) else ""
        name = (key or kind, inputs, tuple(arguments.items()))
        if name in self._done:
            return self._done[name]
        try:
            shape = RULES[kind].shape([self.layers[i].shape for i in inputs], arguments)
        except ShapeError as error:
            raise ShapeError(error.rule, found=error.found, where=self.site) from None
        made = self._append(key, kind, inputs, arguments, shape)
        if self.share_work and kind != "Dropout":
            self._done[name] = made
        return made

    def module(self, x: int, path: str, arguments: Any) -> int:
        """See :meth:`Trace.module`."""
        if self.modules is None:
            raise ShapeError("a module of yours is built where Python code is allowed", found=path, where=self.site)
        shape = self.modules(path, self.shape(x), arguments).shape
        return self._append(self._key(path, arguments), path, (x,), arguments, shape)

    def mixture(self, values: Sequence[int], weights: Sequence[Weight]) -> int:
        """Σ wᵢ yᵢ of values of one shape."""
        shape = self.shape(values[0])
        if any(self.shape(value) != shape for value in values):
            raise ShapeError("what is mixed has one shape", found="several", where=self.site)
        made = self._append("", MIXTURE, tuple(values), {}, shape, compute=False)
        if self.data is not None:
            parts: list[Tensor] = []
            scales: list[Weight] = []
            for value, weight in zip(values, weights, strict=True):
                waiting = self._values[value]
                if isinstance(waiting, _Waiting) and weight is not None:
                    assert self.bank is not None
                    parts.append(self.bank.run(waiting.key, waiting.use, self.tensor(waiting.source), weight))
                    scales.append(None)
                else:
                    parts.append(self.tensor(value))
                    scales.append(weight)
            self._values[made] = weighted_sum(parts, scales)
        return made

    def halves(self, x: int, parts: int) -> tuple[int, int] | None:
        """The first of so many equal parts of the channels, and the rest; None where they cannot be so divided."""
        channels, *positions = self.shape(x)
        if channels % parts or channels == parts or not positions:
            return None
        size = channels // parts
        ends = {"first": (0, size), "rest": (size, channels)}
        made = []
        for name, (begin, end) in ends.items():
            known = self._done.get((name, parts, x))
            if known is None:
                known = self._append("", name, (x,), {}, (end - begin, *positions), compute=False)
                self._done[name, parts, x] = known
                if self.data is not None:
                    self._values[known] = self.tensor(x)[:, begin:end]
            made.append(known)
        return made[0], made[1]

    def shuffled(self, one: int, rest: int, parts: int) -> int:
        """Two parts of the channels as one, in an order that mixes them (Zhang et al. 2018, ShuffleNet, section 3.1)."""
        (small, *positions), (large, *_) = self.shape(one), self.shape(rest)
        made = self._append("", "shuffled", (one, rest), {}, (small + large, *positions), compute=False)
        if self.data is not None:
            whole = torch.cat([self.tensor(one), self.tensor(rest)], 1)
            self._values[made] = whole.reshape(len(whole), parts, small, *positions).transpose(1, 2).flatten(1, 2)
        return made

    def tensor(self, value: int) -> Tensor:
        """A value, computed."""
        found = self._values[value]
        if isinstance(found, _Waiting):
            assert self.bank is not None
            found = self._values[value] = self.bank.run(found.key, found.use, self.tensor(found.source))
        assert found is not None
        return found

    def _key(self, kind: str, arguments: Any) -> str:
        role = role_of(kind, arguments)
        self._roles[role] += 1
        return f"{self._path}-{role}-{self._roles[role]}"

    def _append(
        self, key: str, kind: str, inputs: tuple[int, ...], arguments: Any, shape: Shape, *, compute: bool = True
    ) -> int:
        self.layers.append(Layer("", kind, arguments, inputs, shape, 0, 0, self.site))
        self.keys.append(key)
        use = Use(kind, arguments, self.layers[inputs[0]].shape)
        if key and self.bank is None:
            self.uses.setdefault(key, []).append(use)
        self._values.append(self._computed(key, use, inputs) if compute and self.data is not None else None)
        return len(self.layers) - 1

    def _computed(self, key: str, use: Use, inputs: tuple[int, ...]) -> Tensor | _Waiting:
        if not key:
            training = self.bank is not None and self.bank.training
            return run_plain(use.kind, use.arguments, [self.tensor(i) for i in inputs], training=training)
        if use.kind in BATCH_NORMS:
            return _Waiting(key, use, inputs[0])
        assert self.bank is not None
        try:
            return self.bank.run(key, use, self.tensor(inputs[0]))
        except KeyError:
            raise MissingWeightsError(key) from None
