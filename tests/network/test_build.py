"""Networks: seeded, computing what the graph says."""

import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metanas.architecture import Architecture, LayerGraph
from metanas.network import Network, build_network
from metanas.space import load_space, parse_space_text


def graph_of(network: str, shape: tuple[int, ...] = (3, 8, 8), outputs: int = 3) -> LayerGraph:
    return Architecture(parse_space_text(f"space: s\nnetwork: {network}\n"), ()).layers(shape, outputs)


def sampled(name: str, shape: tuple[int, ...], seed: int = 0) -> LayerGraph:
    space = load_space(name)
    return Architecture(space, tuple(space.sample(1, np.random.default_rng(seed))[0].tolist())).layers(shape, 10)


def test_the_same_seed_gives_the_same_weights() -> None:
    graph = sampled("convnet", (1, 8, 8))
    one, other, third = (build_network(graph, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert any(not torch.equal(one[key], third[key]) for key in one)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    build_network(sampled("convnet", (1, 8, 8)), seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_names_of_layers_are_readable() -> None:
    names = [name for name, _ in build_network(sampled("nasbench201", (3, 8, 8), seed=1)).named_children()]
    assert names[0] == "conv_bn_conv2d"
    assert names[-1] == "head_linear"
    assert all(name.isidentifier() for name in names)


def by_hand(x: Tensor, network: Network) -> Tensor:
    convolution = next(m for m in network.children() if isinstance(m, nn.Conv2d))
    norm = next(m for m in network.children() if isinstance(m, nn.BatchNorm2d))
    head = next(m for m in network.children() if isinstance(m, nn.Linear))
    a, b = torch.relu(convolution(x)), norm(x)
    y = torch.cat([a, b], 1)
    y = y + y + torch.tanh(y)
    y = (y + torch.sigmoid(y)) / 2
    y = y * torch.relu(y)
    return head(y.mean((2, 3)))


def test_merges_compute_what_they_say() -> None:
    graph = graph_of(
        "[{parallel: [[conv, relu], bn], merge: concat}, {parallel: [identity, identity, tanh]},"
        " {parallel: [identity, sigmoid], merge: mean}, {parallel: [identity, relu], merge: product}, head]"
    )
    network = build_network(graph, seed=0).eval()
    x = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(network(x), by_hand(x, network))


def test_squeeze_excitation_weighs_channels() -> None:
    network = build_network(graph_of("[{se: {ratio: 1}}, head]"), seed=0)
    x = torch.randn(2, 3, 8, 8)
    first, second, head = (m for m in network.children() if isinstance(m, nn.Linear))
    weights = torch.sigmoid(second(torch.relu(first(x.mean((2, 3))))))
    torch.testing.assert_close(network(x), head((x * weights[:, :, None, None]).mean((2, 3))))


@pytest.mark.parametrize(
    ("name", "shape"), [("convnet", (1, 8, 8)), ("nasbench201", (3, 8, 8)), ("mobile", (3, 16, 16)), ("mlp", (5,))]
)
def test_networks_train(name: str, shape: tuple[int, ...]) -> None:
    """Every weight of a layer that the output depends on gets a gradient, and a step lowers the loss."""
    network = build_network(sampled(name, shape, seed=2), seed=0)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, *shape, generator=generator), torch.randint(10, (16,), generator=generator)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x), y)
        loss.backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[1:]) < losses[0]


def test_values_that_nothing_reads_any_more_are_freed() -> None:
    """Inference over a long chain holds a few values, not all."""
    network = build_network(graph_of("[{repeat: relu, times: 50}, head]")).eval()
    alive: list[int] = []
    kept: list[weakref.ref[Tensor]] = []

    def note(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        kept.append(weakref.ref(output))
        alive.append(sum(ref() is not None for ref in kept))

    for module in network.children():
        module.register_forward_hook(note)
    with torch.no_grad():
        network(torch.randn(1, 3, 8, 8))
    assert max(alive) <= 3
