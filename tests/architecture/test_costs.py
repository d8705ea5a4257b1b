"""Shapes, parameters, multiply-adds and memory, against PyTorch's own."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from metanas.architecture import RULES, Architecture, Layer, LayerGraph, Measures, ShapeError
from metanas.network import Network, build_network
from metanas.space import load_space, parse_space_text
from metanas.testing import samples

SPACES = (
    "convnet", "mlp", "mobile", "nasbench201", "vit", "text_encoder", "temporal", "recurrent", "tabular_resnet",
    "ft_transformer", "two_tower",
)  # fmt: skip
SAMPLES = {**samples.SAMPLES, "image": ((3, 12, 12), ())}


def layers_of(network: str, kind: str = "image") -> LayerGraph:
    space = parse_space_text(f"space: s\ninput: {kind}\nnetwork: {network}\n")
    shape, vocabulary = SAMPLES[kind] if kind != "image" else ((3, 16, 16), ())
    return Architecture(space, tuple(space.rows(1)[0].tolist())).layers(shape, 5, vocabulary)


def batch_of(graph: LayerGraph, n: int) -> Tensor:
    if graph.vocabulary:
        return torch.randint(min(graph.vocabulary), (n, *graph.input_shape))
    return torch.randn(n, *graph.input_shape)


def sampled(name: str, n: int, seed: int = 0) -> list[LayerGraph]:
    space = load_space(name)
    found = []
    for row in space.sample(n, np.random.default_rng(seed)):
        architecture = Architecture(space, tuple(row.tolist()))
        if architecture.graph.output is not None:
            shape, vocabulary = SAMPLES[space.input]
            found.append(architecture.layers(shape, 5, vocabulary))
    return found


ODD = [
    "[{conv: {out: 6, kernel: 4, stride: 3}}, {max_pool: {kernel: 2}}, {avg_pool: {kernel: 4, stride: 2}}, head]",
    "[{conv: {out: 8, kernel: 5, dilation: 2, groups: 1}}, {depthwise: {dilation: 2}}, {layer_norm: }, {se: {ratio: 3}}, head]",
    "[{residual: {conv_bn: {out: 9, stride: 2}}}, {residual: {sep_conv: {out: 6, stride: 2}}}, flatten, {residual: {dense: {units: 5}}}, head]",
    "[{parallel: [{conv: {out: 4}}, {conv: {out: 2}}], merge: concat}, {parallel: [relu, tanh], merge: product}, {dil_conv: {stride: 2}}, head]",
    "[{mbconv: {out: 8, stride: 2, se: true, expand: 1}}, {mbconv: {se: true, expand: 0.5}}, {res_block: {out: 5, stride: 3}}, {head: {dropout: 0.5}}]",
]


ODD_POSITIONS = [
    ("sequence", "[{conv: {out: 6, kernel: 5, stride: 2}}, {max_pool: {stride: 2}}, {avg_pool: {}}, {se: {}}, {res_block: {out: 4, stride: 2}}, head]"),
    ("sequence", "[{temporal_conv: {out: 6, causal: false}}, {temporal_conv: {dilation: 2, dropout: 0.5}}, {layer_norm: }, global_max_pool, head]"),
    ("sequence", "[{lstm: {layers: 2, hidden: 5}}, {gru: {bidirectional: true}}, {residual: {lstm: {hidden: 3}}}, last_pool, head]"),
    ("sequence", "[{patches: {out: 8, size: 3}}, class_token, positional, {attention: {heads: 2, head_dim: 3, dropout: 0.5}}, cls_pool, head]"),
    ("image", "[{patches: {out: 8, size: 4}}, {positional: {kind: learned}}, {mlp: {act: swiglu, dropout: 0.5}}, {attention: {heads: 2}}, norm, head]"),
    ("image", "[{patches: {out: 6, size: 4}}, positional, {mlp: {act: relu}}, flatten, norm, {mlp: {ratio: 0.5, act: tanh}}, head]"),
    ("table", "[{tokenize: {dim: 4}}, {mlp: {act: sigmoid}}, {mlp: {act: silu}}, head]"),
    ("pairs", "[{parallel: [{user_embed: {dim: 4}}, {item_embed: {dim: 4}}], merge: dot}, head]"),
]  # fmt: skip


@cache
def every_graph() -> list[LayerGraph]:
    return [
        *(layers_of(text) for text in ODD),
        *(layers_of(text, kind) for kind, text in ODD_POSITIONS),
        *(graph for name in SPACES for graph in sampled(name, 3)),
    ]


def test_every_layer_has_the_shape_and_parameters_that_it_says() -> None:
    for graph in every_graph():
        network = build_network(graph, seed=0)
        seen: dict[str, tuple[int, ...]] = {}
        for name, module in network.named_children():
            module.register_forward_hook(
                lambda _m, _i, out, name=name, seen=seen: seen.update({name: tuple(out.shape[1:])})
            )
        assert network(batch_of(graph, 2)).shape == (2, 5)
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
        values = [batch_of(graph, 2)]
        for layer, (function, inputs, _) in zip(graph.layers[1:], network._steps, strict=True):
            values.append(function(*(values[i] for i in inputs)))
            assert tuple(values[-1].shape[1:]) == layer.shape
            assert layer.kind in FUNCTIONS or isinstance(function, nn.Module)


COUNTED = {"Conv1d", "Conv2d", "Linear", "CausalConv1d", "Attention", "Mlp", "Recurrent"}
"""Layers whose matrix products PyTorch's counter sees."""


def is_counted(layer: Layer) -> bool:
    """An LSTM is one opaque operation on CPUs."""
    return layer.kind in COUNTED and layer.arguments.get("cell") != "lstm"


def test_multiply_adds_are_half_of_what_torch_counts() -> None:
    """PyTorch counts a multiply-add as two operations, and counts convolutions and matrix products alone."""
    for graph in every_graph():
        network = build_network(graph, seed=0).eval()
        # The fused attention of CPUs is one opaque operation too.
        with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            network(batch_of(graph, 1))
        weighted = sum(layer.flops for layer in graph.layers if is_counted(layer))
        assert counter.get_total_flops() == 2 * weighted
        assert graph.flops >= weighted


def test_an_lstm_has_four_gates_where_a_gru_has_three() -> None:
    lstm, gru = (layers_of(f"[{{{cell}: {{hidden: 6}}}}, head]", "sequence").layers[1] for cell in ("lstm", "gru"))
    assert 3 * lstm.flops == 4 * gru.flops == 4 * 3 * 6 * (2 + 6) * 40
    assert 3 * lstm.params == 4 * gru.params


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
        real = saved_bytes(network, batch_of(graph, batch))
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
