"""All networks of a space in one module, by shared weights.

Every choice of modules is a mixed op, a ``repeat`` a choice of its copies, a parameter of an op a mixture of the op's
results; widths, kernels, heads and the like take slices of the weights of the largest. See ``_super_walk`` for what a
relaxed row means, ``_super_trace`` for what is computed, ``_bank`` for the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from metanas.architecture import Architecture, Layer, LayerGraph, Modules, Shape, ShapeError
from metanas.encoding import OneHot
from metanas.errors import MetanasError
from metanas.network._bank import Bank, Use
from metanas.network._build import Network, build_network
from metanas.network._mix import Chosen
from metanas.network._super_trace import MissingWeightsError, SuperTrace
from metanas.network._super_walk import ConflictError, SuperWalk
from metanas.space import Decision, SearchSpace

Row = Tensor | npt.NDArray[np.int64] | Sequence[int]
"""A row of the space ``(n_decisions,)``, or a relaxed one: float ``(n_columns,)`` as :class:`~metanas.encoding.OneHot` has."""

_MOST_VALUES = 32
_DRAWS = 8
"""Values of each decision that cannot be mixed, and random ones of all, under which layers' weights are looked for."""


class Supernet(nn.Module):
    """The networks of a space for samples of one shape: ``(batch, *input_shape)`` and a row to ``(batch, outputs)``.

    Batch norms use the batch's own statistics, also in evaluation mode: running ones would be those of no network.

    Parameters
    ----------
    space
        Any but a tabular one.
    input_shape, outputs, vocabulary
        As of :meth:`metanas.architecture.Architecture.layers`.
    modules
        Says what modules of the user's make; without it they are refused.
    partial
        Where modules are chosen between, they see the first of so many parts of the channels; the others pass, and all
        are shuffled (Xu et al. 2020, PC-DARTS). Networks cannot inherit from such a supernet.
    seed
        Of the initial weights.

    Raises
    ------
    ShapeError
        If no network of the space can be built so.

    """

    def __init__(
        self,
        space: SearchSpace,
        input_shape: Shape,
        outputs: int,
        vocabulary: tuple[int, ...] = (),
        *,
        modules: Modules | None = None,
        partial: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.space = space
        self.input_shape = tuple(input_shape)
        self.outputs = outputs
        self.vocabulary = tuple(vocabulary)
        self.modules_of_user = modules
        self.partial = partial
        self.encoding = OneHot(space)
        self.hard: frozenset[int] = frozenset()
        """Columns of decisions whose options make different shapes: one of them at a time is computed."""
        uses = self._measured(np.random.default_rng(seed))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.bank = Bank(uses)

    def forward(self, x: Tensor, row: Row) -> Tensor:
        """Outputs ``(batch, outputs)`` under a row.

        Raises
        ------
        ShapeError
            If there is no such network, or none whose weights were foreseen.

        """
        try:
            trace, result = self._walk(row, bank=self.bank, data=x)
        except MissingWeightsError as error:
            raise ShapeError("the supernet has the weights of every network", found=f"none of {error}") from error
        return trace.tensor(result)

    def inherit(self, row: npt.NDArray[np.int64] | Sequence[int]) -> Network:
        """The network of a row by itself, with a copy of the weights that it has here.

        Its batch norms have no running statistics yet: see :func:`recalibrate`.
        """
        if self.partial > 1:
            raise MetanasError("a supernet on parts of the channels has no networks to inherit from it")
        architecture = Architecture(self.space, tuple(int(value) for value in row))
        layers = architecture.layers(
            self.input_shape, self.outputs, self.vocabulary, modules=self.modules_of_user
        )  # fmt: skip
        network = build_network(layers, seed=0)
        with torch.no_grad():
            for layer, key in zip(layers.layers, self._keys(row, layers), strict=True):
                if not key:
                    continue
                module: nn.Module = getattr(network, layer.name)
                use = Use(layer.kind, layer.arguments, layers.layers[layer.inputs[0]].shape)
                shared = self.bank.weights(key, use)
                for name, weight in module.named_parameters():
                    weight.copy_(shared[name])
                if ":" in layer.kind:
                    module.load_state_dict(self.bank.shared[key].state_dict())
        return network

    def memory(self, batch_size: int, row: Row | None = None, *, optimizer_slots: int = 2) -> int:
        """Bytes that a training step takes by count, for a mixture of all, at the greatest widths, where no row is given."""
        trace, result = self._walk(next(self._assignments(np.random.default_rng(0))) if row is None else row)
        values = LayerGraph(tuple(trace.layers), result).memory(batch_size)
        weights = sum(weight.numel() for weight in self.bank.parameters())
        return values + 4 * weights * (2 + optimizer_slots)

    # --- inside

    def _walk(
        self,
        row: Row,
        *,
        bank: Bank | None = None,
        data: Tensor | None = None,
        everything: frozenset[int] = frozenset(),
        share_work: bool = True,
    ) -> tuple[SuperTrace, int]:
        """The layers of a row, computed where there are data, and the last of them."""
        given: dict[str, Any] = {"vocabulary": self.vocabulary} if self.vocabulary else {}
        while True:
            entry = Layer("x", "input", given, (), self.input_shape, 0, 0)
            trace = SuperTrace(
                entry, self.outputs, modules=self.modules_of_user, vocabulary=self.vocabulary, bank=bank, data=data,
                share_work=share_work,
            )  # fmt: skip
            walk = SuperWalk(trace, Chosen(self.space, row, self.hard), everything=everything, partial=self.partial)
            try:
                result = walk.value(self.space.template, 0, ())
            except ConflictError as conflict:
                # One that is hard has one option, so each turn adds some.
                self.hard |= conflict.decisions
                continue
            if result is None:
                raise ShapeError("a path leads from the input to the output", found="no such path")
            if trace.shape(result) != (self.outputs,):
                found = f"shape {list(trace.shape(result))}"
                raise ShapeError(
                    f"the network ends in a row of {self.outputs} outputs", found=found, remedy="end it with head"
                )
            return trace, result

    def _even(self) -> Tensor:
        """A relaxed row with equal weights."""
        return torch.ones(len(self.encoding.names))

    def _measured(self, rng: np.random.Generator) -> dict[str, list[Use]]:
        """The layers that need weights, by key, over all options, and over samples of what cannot be mixed."""
        uses: dict[str, dict[Any, Use]] = {}
        known = None
        while known != self.hard:
            known = self.hard
            uses.clear()
            error: ShapeError | None = None
            for row in self._assignments(rng):
                try:
                    trace, _ = self._walk(row, everything=self.hard)
                except ShapeError as failed:
                    error = failed
                    continue
                for key, found in trace.uses.items():
                    known_uses = uses.setdefault(key, {})
                    known_uses.update((tuple(use.arguments.items()), use) for use in found)
            if not uses and error is not None and known == self.hard:
                raise error
        return {key: list(found.values()) for key, found in uses.items()}

    def _assignments(self, rng: np.random.Generator) -> Iterator[Tensor]:
        """Rows of equal weights, but for decisions that are hard: their greatest values, each value in turn, and random ones."""
        decisions = self.space.decisions
        sizes = [min(decisions[column].size, _MOST_VALUES) for column in self.hard]
        picks: list[Callable[[Decision], int]] = [_greatest]
        picks += [partial(_nth, index) for index in range(max(sizes, default=0))]
        if len(sizes) > 1:
            # Ends, because a layer that joins two widths is the largest where they are furthest apart.
            picks += [lambda decision: _greatest(decision) if rng.integers(2) else 0] * (2 * _DRAWS)
            picks += [lambda decision: int(rng.integers(decision.size))] * _DRAWS
        for pick in picks:
            row = self._even()
            for column, (start, _, long) in enumerate(self.encoding.spans):
                index = pick(decisions[column])
                if long:
                    row[start + 1] = index / (decisions[column].size - 1)
                elif column in self.hard:
                    row[start + index] = 2
            yield row

    def _keys(self, row: npt.NDArray[np.int64] | Sequence[int], layers: LayerGraph) -> list[str]:
        """The key of the weights of each layer of a network by itself."""
        trace, result = self._walk([int(value) for value in row], share_work=False)
        needed = {0, result}
        for index in range(result, 0, -1):
            if index in needed:
                needed.update(trace.layers[index].inputs)
        order = sorted(needed)
        for index, layer in zip(order, layers.layers, strict=True):
            own = trace.layers[index]
            assert (own.kind, dict(own.arguments)) == (layer.kind, dict(layer.arguments)), "both lower alike"
        return [trace.keys[index] for index in order]


def _greatest(decision: Decision) -> int:
    numbers = [value for value in decision.values if isinstance(value, (int, float))]
    return max(range(decision.size), key=lambda k: decision.values[k]) if len(numbers) == decision.size else 0


def _nth(index: int, decision: Decision) -> int:
    return index % decision.size


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give batch norms the running statistics of these inputs, as the mean over batches (Guo et al. 2020, SPOS, 3.4)."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.training, norm.momentum) for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None
    for inputs in batches:
        network(inputs)
    for norm, (training, momentum) in zip(norms, before, strict=True):
        norm.train(training)
        norm.momentum = momentum
