"""Zero-cost proxies, computed. Notation: B samples in a batch, W a weight tensor, g its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from metanas._rng import derive_seed, generator
from metanas.architecture import Architecture, LayerGraph
from metanas.data import Dataset, fit_preparation, split, to_device
from metanas.evaluator._forward import Data
from metanas.evaluator._losses import Loss, build_loss
from metanas.evaluator._recipe import Recipe
from metanas.network import Attention, Network, build_network, user_modules

_NORMS = ("BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "ChannelNorm")
_ACTIVATIONS = ("ReLU", "ReLU6", "LeakyReLU", "ELU", "GELU", "SiLU", "Hardswish", "Mish", "Tanh", "Sigmoid")
_ZICO_BATCHES = 2
"""As in the paper, section 4.1."""


@dataclass(frozen=True)
class Subject:
    """A network at its initial weights, and the data that it is looked at with."""

    layers: LayerGraph
    """The network."""
    data: Data
    """One batch."""
    loss: Loss
    """Of outputs and targets."""
    seed: int
    """Of the initial weights."""

    @cached_property
    def network(self) -> Network:
        """On the data's device, in training mode but for dropout, which would be noise; nobody may change its weights."""
        network = build_network(self.layers, seed=self.seed).to(self.data[0].device).train()
        for module in network.modules():
            if isinstance(module, nn.Dropout) or hasattr(module, "dropout"):
                module.eval()
        return network

    def gradients(self, data: Data) -> list[Tensor]:
        """Of the loss on ``data``, one for each of :attr:`weights`."""
        inputs, targets = data
        outputs = self.network(inputs)
        loss = self.loss(outputs.reshape_as(targets) if targets.is_floating_point() else outputs, targets)
        return list(torch.autograd.grad(loss, self.weights, materialize_grads=True))

    @cached_property
    def batch_gradients(self) -> list[Tensor]:
        """On the whole batch."""
        return self.gradients(self.data)

    @cached_property
    def weights(self) -> list[nn.Parameter]:
        """Matrices and filters; not biases, norms and the like."""
        return [parameter for parameter in self.network.parameters() if parameter.ndim >= 2]


def score(
    architectures: Sequence[Architecture],
    dataset: Dataset,
    names: Sequence[str],
    seed: int,
    batch_size: int,
    device: str,
    allow_python: bool,
) -> Iterator[dict[str, float | None]]:
    """See :func:`metanas.evaluator.proxy_scores`."""
    splits = split(dataset, seed=seed)
    preparation = fit_preparation(dataset, splits.train)
    inputs, targets = to_device(dataset, splits, preparation, device).train
    picks = generator(seed, "proxies").permutation(len(inputs))[:batch_size]
    rows = torch.from_numpy(np.sort(picks)).to(inputs.device)
    data = inputs[rows], targets[rows]
    for architecture in architectures:
        recipe = Recipe.from_mapping(architecture.recipe, allow_python=allow_python)
        layers = architecture.layers(
            preparation.input_shape, dataset.n_outputs, preparation.vocabulary,
            modules=user_modules if allow_python else None,
        )  # fmt: skip
        # Not smoothed, as in the papers.
        loss = build_loss(recipe.loss, task=dataset.task, allow_python=allow_python)
        subject = Subject(layers, data, loss, derive_seed(seed, "weights"))
        values = {name: _FUNCTIONS[name](subject) for name in names}
        yield {name: value if math.isfinite(value) else None for name, value in values.items()}


def _synflow(subject: Subject) -> float:
    """Tanaka et al. 2020, equation 1 and algorithm 1: R = 1ᵀ ∏|W| 1, the score the sum of W ⊙ ∂R/∂W.

    In 64 bits, because products over many layers leave the range of 32; its logarithm, which ranks the same. Norms are
    taken out, as Abdelfattah et al. do: they would undo the scale of the weights; so are queries and keys.
    """
    without_norms = tuple(
        replace(layer, kind="Identity", arguments={}) if layer.kind in _NORMS else layer
        for layer in subject.layers.layers
    )
    network = build_network(replace(subject.layers, layers=without_norms), seed=subject.seed).double().eval()
    network.to(subject.data[0].device)
    weights = list(network.parameters())
    with torch.no_grad():
        for weight in weights:
            weight.abs_()
        for module in network.modules():
            if isinstance(module, Attention):
                # Their products would saturate the softmax; without them every position reads the mean of the values.
                for weight in module.queries_keys_values.parameters():
                    weight[: 2 * len(weight) // 3].zero_()
    inputs = subject.data[0][:1]
    if inputs.is_floating_point():
        inputs = torch.ones_like(inputs, dtype=torch.float64)
    total = network(inputs).sum()
    gradients = torch.autograd.grad(total, weights, materialize_grads=True)
    flow = sum(((w * g).sum() for w, g in zip(weights, gradients, strict=True)), total.new_zeros(()))
    return float(flow.detach().log())


def _naswot(subject: Subject) -> float:
    """Mellor et al. 2021, equation 2: log |K|, K_ij the number of units that are on, or off, for both i and j."""
    count = len(subject.data[0])
    kernel = torch.zeros(count, count, dtype=torch.float64, device=subject.data[0].device)

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Of an MLP at each position it is the first layer that decides what is on.
        values = output if isinstance(module, nn.Linear) else inputs[0]
        on = (values.detach() > 0).flatten(1).double()
        kernel.add_(on @ on.T).add_((1 - on) @ (1 - on).T)

    hooks = []
    for module in subject.network.modules():
        if type(module).__name__ in _ACTIVATIONS:
            hooks.append(module.register_forward_hook(see))
        elif isinstance(inner := getattr(module, "expand", None), nn.Linear):
            hooks.append(inner.register_forward_hook(see))
    with torch.no_grad():
        subject.network(subject.data[0])
    for hook in hooks:
        hook.remove()
    return float(torch.linalg.slogdet(kernel)[1])


def _snip(subject: Subject) -> float:
    """Lee et al. 2019, equation 6, without its normalisation."""
    pairs = zip(subject.weights, subject.batch_gradients, strict=True)
    return float(sum((weight.detach() * gradient).abs().sum().double() for weight, gradient in pairs))


def _grad_norm(subject: Subject) -> float:
    """Abdelfattah et al. 2021, section 3.2."""
    return float(sum(gradient.norm().double() for gradient in subject.batch_gradients))


def _jacov(subject: Subject) -> float:
    """Mellor et al. 2020 (version 1), equations 3 to 6: −Σ [log(σ + k) + 1 / (σ + k)], σ the eigenvalues of the
    correlation between samples of the gradient of the summed outputs by the inputs; k = 1e-5.
    """
    inputs = subject.data[0]
    if inputs.is_floating_point():
        leaves = [inputs.clone().requires_grad_()]
        outputs = subject.network(leaves[0])
    else:
        leaves, hooks = [], []
        for module in subject.network.modules():
            if isinstance(module, nn.Embedding):
                hooks.append(module.register_forward_hook(lambda module, inputs, output: leaves.append(output)))
        outputs = subject.network(inputs)
        for hook in hooks:
            hook.remove()
    found = torch.autograd.grad(outputs.sum(), leaves, materialize_grads=True)
    jacobian = torch.cat([gradient.flatten(1) for gradient in found], 1).double()
    jacobian = jacobian - jacobian.mean(1, keepdim=True)
    norms = jacobian.norm(dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        return float("nan")
    correlation = (jacobian / norms) @ (jacobian / norms).T
    values = torch.linalg.eigvalsh(correlation).clamp_min(0) + 1e-5
    return -float((values.log() + 1 / values).sum())


def _zico(subject: Subject) -> float:
    """Li et al. 2023, equation 16: Σ over layers of log Σ over weights of E|g| / √Var|g|, over batches."""
    inputs, targets = subject.data
    size = len(inputs) // _ZICO_BATCHES
    if size < 2:
        return float("nan")
    batches = [(inputs[k * size : (k + 1) * size], targets[k * size : (k + 1) * size]) for k in range(_ZICO_BATCHES)]
    total = 0.0
    for gradients in zip(*(subject.gradients(batch) for batch in batches), strict=True):
        sizes = torch.stack(gradients).double().abs()
        spread = sizes.std(0, correction=0)
        moving = spread > 0
        if bool(moving.any()):
            total += float((sizes.mean(0)[moving] / spread[moving]).sum().log())
    return total


_FUNCTIONS: Mapping[str, Callable[[Subject], float]] = MappingProxyType(
    {
        "synflow": _synflow,
        "naswot": _naswot,
        "snip": _snip,
        "grad_norm": _grad_norm,
        "jacov": _jacov,
        "zico": _zico,
        "params": lambda subject: float(subject.layers.params),
        "flops": lambda subject: float(subject.layers.flops),
    }
)
"""A function for each of :data:`metanas.evaluator.PROXIES`."""
