"""Shapes, parameters, multiply-adds and memory, against PyTorch's own."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from metanas.architecture import RULES, Architecture, LayerGraph, Measures, ShapeError
from metanas.network import Network, build_network
from metanas.space import load_space, parse_space_text

SPACES = ("convnet", "mlp", "mobile", "nasbench201")
SHAPES = {"image": (3, 12, 12), "table": (7,)}


def layers_of(network: str, shape: tuple[int, ...] = (3, 16, 16), outputs: int = 5) -> LayerGraph:
    space = parse_space_text(f"space: s\nnetwork: {network}\n")
    return Architecture(space, tuple(space.rows(1)[0].tolist())).layers(shape, outputs)


def sampled(name: str, n: int, seed: int = 0) -> list[LayerGraph]:
    space = load_space(name)
    found = []
    for row in space.sample(n, np.random.default_rng(seed)):
        architecture = Architecture(space, tuple(row.tolist()))
        if architecture.graph.output is not None:
            found.append(architecture.layers(SHAPES[space.input], 5))
    return found


ODD = [
    "[{conv: {out: 6, kernel: 4, stride: 3}}, {max_pool: {kernel: 2}}, {avg_pool: {kernel: 4, stride: 2}}, head]",
    "[{conv: {out: 8, kernel: 5, dilation: 2, groups: 1}}, {depthwise: {dilation: 2}}, {layer_norm: }, {se: {ratio: 3}}, head]",
    "[{residual: {conv_bn: {out: 9, stride: 2}}}, {residual: {sep_conv: {out: 6, stride: 2}}}, flatten, {residual: {dense: {units: 5}}}, head]",
    "[{parallel: [{conv: {out: 4}}, {conv: {out: 2}}], merge: concat}, {parallel: [relu, tanh], merge: product}, {dil_conv: {stride: 2}}, head]",
    "[{mbconv: {out: 8, stride: 2, se: true, expand: 1}}, {mbconv: {se: true, expand: 0.5}}, {res_block: {out: 5, stride: 3}}, {head: {dropout: 0.5}}]",
]


@cache
def every_graph() -> list[LayerGraph]:
    return [*(layers_of(text) for text in ODD), *(graph for name in SPACES for graph in sampled(name, 3))]


def test_every_layer_has_the_shape_and_parameters_that_it_says() -> None:
    for graph in every_graph():
        network = build_network(graph, seed=0)
        seen: dict[str, tuple[int, ...]] = {}
        for name, module in network.named_children():
            module.register_forward_hook(
                lambda _m, _i, out, name=name, seen=seen: seen.update({name: tuple(out.shape[1:])})
            )
        assert network(torch.randn(2, *graph.input_shape)).shape == (2, 5)
        said = {layer.name: layer.shape for layer in graph.layers if layer.name in seen}
        assert seen == said
        assert set(seen) == {name for name, _ in network.named_children()}
        for layer in graph.layers:
            module = getattr(network, layer.name, None)
            if isinstance(module, nn.Module):
                assert layer.params == sum(p.numel() for p in module.parameters())
        assert graph.params == sum(p.numel() for p in network.parameters())


def test_functions_have_the_shape_that_they_say() -> None:
    from metanas.network._build import FUNCTIONS

    for graph in every_graph():
        network = Network(graph).eval()
        values = [torch.randn(2, *graph.input_shape)]
        for layer, (function, inputs, _) in zip(graph.layers[1:], network._steps, strict=True):
            values.append(function(*(values[i] for i in inputs)))
            assert tuple(values[-1].shape[1:]) == layer.shape
            assert layer.kind in FUNCTIONS or isinstance(function, nn.Module)


def test_multiply_adds_are_half_of_what_torch_counts() -> None:
    """PyTorch counts a multiply-add as two operations, and counts convolutions and matrix products alone."""
    for graph in every_graph():
        network = build_network(graph, seed=0).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.randn(1, *graph.input_shape))
        weighted = sum(layer.flops for layer in graph.layers if layer.kind in ("Conv2d", "Linear"))
        assert counter.get_total_flops() == 2 * weighted
        assert graph.flops >= weighted


def saved_bytes(network: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, weights left out, each storage once."""
    weights = {p.untyped_storage().data_ptr() for p in [*network.parameters(), *network.buffers()]}
    kept: dict[int, Any] = {}

    def keep(value: Tensor) -> Tensor:
        kept[value.untyped_storage().data_ptr()] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        output = network(x)
    size = sum(v.untyped_storage().nbytes() for pointer, v in kept.items() if pointer not in weights)
    del output
    return size


@pytest.mark.parametrize("name", SPACES)
def test_memory_is_near_what_autograd_keeps(name: str) -> None:
    batch = 8
    for graph in sampled(name, 3, seed=1):
        network = build_network(graph, seed=0).train()
        real = saved_bytes(network, torch.randn(batch, *graph.input_shape))
        flight = 4 * batch * sum(sorted(math.prod(layer.shape) for layer in graph.layers)[-2:])
        estimate = graph.memory(batch) - 4 * graph.params * 4 - flight
        assert 0.8 * real <= estimate <= 1.3 * real, (estimate / real, graph)


def test_memory_counts_the_optimizer_and_grows_with_the_batch() -> None:
    graph = sampled("convnet", 1)[0]
    adam, sgd = (Measures.of(graph, batch_size=4, optimizer=name).memory for name in ("adamw", "sgd"))
    assert adam - sgd == 4 * graph.params
    assert graph.memory(8) > graph.memory(4) > 16 * graph.params


def test_nasbench201_of_3x3_convolutions() -> None:
    """1.531546 M parameters: the largest network of the benchmark, as its authors count it."""
    space = load_space("nasbench201")
    graph = Architecture.from_values(space, dict.fromkeys(space.columns, "conv3x3")).layers((3, 32, 32), 10)
    assert graph.params == 1_531_546
    assert sum(p.numel() for p in build_network(graph).parameters()) == 1_531_546


def test_depth_is_the_longest_path_of_weighted_layers() -> None:
    assert layers_of("[head]").depth == 1
    assert layers_of("[conv, relu, bn, {parallel: [conv, [conv, conv]]}, head]").depth == 4
    assert layers_of("[{repeat: {residual: conv}, times: 5}, head]").depth == 6


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (
            "[{parallel: [{conv: {out: 4}}, {max_pool: {stride: 2}}]}, head]",
            ["branches of a sum", "[4, 16, 16] from parallel.conv", "[3, 8, 8] from parallel.max_pool", "residual"],
        ),
        (
            "[{parallel: [{conv: {stride: 2}}, relu], merge: concat}, head]",
            ["but for the channels", "[3, 8, 8]", "[3, 16, 16]"],
        ),
        ("[{parallel: [identity, {conv: {out: 4}}]}, head]", ["[3, 16, 16] from the input", "[4, 16, 16] from"]),
        ("[{parallel: [global_pool, relu], merge: concat}, head]", ["[3] from", "[3, 16, 16] from"]),
        ("[{residual: flatten}, head]", ["[3, 16, 16]", "[768]"]),
        ("[{dense: {units: 3}}, head]", ["reads a row of features", "global_pool or flatten", "dense"]),
        ("[global_pool, conv, head]", ["a convolution reads an image", "shape [3]"]),
        ("[flatten, max_pool, head]", ["reads an image"]),
        ("[flatten, se, head]", ["reads an image"]),
        ("[{conv: {out: 8, groups: 2}}, head]", ["groups divide the channels", "3 channels in"]),
        ("[{repeat: {conv: {kernel: 2}}, times: 40}, head]", ["fits its input", "smaller kernel"]),
        ("[relu]", ["ends in a row of 5 outputs", "[3, 16, 16]", "head"]),
        ("[head, relu, {linear: {out: 9}}]", ["ends in a row of 5 outputs", "[9]"]),
        ("[none, head]", ["a path leads from the input to the output"]),
    ],
)
def test_shapes_that_do_not_fit(network: str, words: list[str]) -> None:
    with pytest.raises(ShapeError) as caught:
        layers_of(network)
    message = str(caught.value)
    assert all(word in message for word in words), message


def test_the_error_names_the_place() -> None:
    space = parse_space_text(
        "space: s\nnetwork: [{id: stem, conv: {out: 4}}, {id: join, parallel: [relu, {max_pool: {stride: 2}}]}, head]\n"
    )
    with pytest.raises(ShapeError) as caught:
        Architecture(space, ()).layers((3, 8, 8), 2)
    assert caught.value.where == "join"
    assert "join.relu" in str(caught.value)
    assert "join.max_pool" in str(caught.value)


def test_every_rule_counts_at_least_nothing() -> None:
    assert all(
        layer.flops >= 0 and layer.params >= 0 and min(layer.shape) > 0 for g in every_graph() for layer in g.layers
    )
    used = {layer.kind for graph in every_graph() for layer in graph.layers}
    assert used <= set(RULES)
