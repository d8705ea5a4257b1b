"""Supernets: what a row means there, relaxed rows, shared weights."""

import numpy as np
import pytest
import torch
from torch import Tensor

from metanas.architecture import ShapeError
from metanas.encoding import OneHot
from metanas.errors import MetanasError
from metanas.network import Network, Supernet, recalibrate
from metanas.space import SearchSpace, builtin_spaces, load_space, ops_in, parse_space_text
from metanas.testing.samples import SAMPLES

SPACES = [
    name
    for name in builtin_spaces()
    if not load_space(name).tabular and "symbol" not in ops_in(load_space(name).template)
]


def samples(space: SearchSpace, n: int = 4) -> Tensor:
    shape, vocabulary = SAMPLES[space.input]
    torch.manual_seed(0)
    if not vocabulary:
        return torch.randn(n, *shape)
    if len(vocabulary) == 1:
        return torch.randint(vocabulary[0], (n, *shape))
    return torch.stack([torch.randint(size, (n,)) for size in vocabulary], 1)


def supernet_of(space: SearchSpace, **options: object) -> Supernet:
    shape, vocabulary = SAMPLES[space.input]
    return Supernet(space, shape, 5, vocabulary, **options).eval()  # type: ignore[arg-type]


def by_batch(network: Network) -> Network:
    """In evaluation mode, but for batch norms, which use the batch as those of a supernet do."""
    network.eval()
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.train()
    return network


def one_hot(space: SearchSpace, row: np.ndarray) -> Tensor:
    return torch.from_numpy(OneHot(space)(row[None])[0]).requires_grad_()


@pytest.mark.parametrize("name", SPACES)
def test_a_row_is_the_network_by_itself_with_the_weights_that_it_inherits(name: str) -> None:
    space = load_space(name)
    supernet, x = supernet_of(space), samples(space)
    for row in space.sample(2, np.random.default_rng(1)):
        try:
            network = supernet.inherit(row)
        except ShapeError:
            continue
        with torch.no_grad():
            alone, shared = by_batch(network)(x), supernet(x, row)
        torch.testing.assert_close(shared, alone, rtol=1e-4, atol=1e-5)
        # The same row as a relaxed one, all of whose weights are 0 or 1.
        torch.testing.assert_close(supernet(x, one_hot(space, row)).detach(), alone, rtol=1e-4, atol=1e-5)


CORNERS = """\
space: corners
input: image
let:
  width: {choice: [4, 6]}
network:
  - conv_bn_act: {out: $width}
  - id: forms
    choice:
      mean: {parallel: [{id: a, choice: [none, conv_bn]}, {id: b, optional: conv_bn}, max_pool], merge: mean}
      concat: [{parallel: [{id: c, choice: [none, conv_bn]}, conv_bn], merge: concat}, {conv_bn: {out: $width}}]
      product: {parallel: [{id: d, choice: [none, sigmoid]}, identity], merge: product}
      residual: {residual: {id: e, choice: {cut: none, wider: {conv_bn: {kernel: {choice: [1, 3, 5]}}}}}}
  - {id: deep, repeat: {relu_conv_bn: {kernel: {choice: [1, 3]}, dilation: {choice: [1, 2]}}}, times: {int: [0, 2]}, share: false}
  - {id: last, choice: {five: {conv_bn: {out: 5}}, seven: {conv_bn: {out: 7}}}}
  - head
"""


def test_every_row_is_the_corner_of_the_relaxed_space() -> None:
    space = parse_space_text(CORNERS)
    supernet = Supernet(space, (2, 6, 6), 3).eval()
    torch.manual_seed(0)
    x = torch.randn(4, 2, 6, 6)
    rows = space.rows(10_000)
    for row in rows[np.random.default_rng(0).permutation(len(rows))[:60]]:
        alone = by_batch(supernet.inherit(row))(x)
        torch.testing.assert_close(supernet(x, row), alone)
        torch.testing.assert_close(supernet(x, one_hot(space, row)), alone)


SMALL = """\
space: small
input: image
blocks:
  cell:
    graph:
      nodes: 3
      every_edge:
        choice: {none: none, skip: identity, conv: {relu_conv_bn: {kernel: 3}}, other: {relu_conv_bn: {kernel: 1}}, pool: {avg_pool: {kernel: 3}}}
      merge: sum
network: [{conv_bn: {out: 4}}, {repeat: cell, times: 2}, bn, relu, global_pool, head]
"""


def test_gradients_of_a_relaxed_row_are_those_of_finite_differences() -> None:
    space = parse_space_text(SMALL)
    supernet = Supernet(space, (1, 5, 5), 2).double().eval()
    torch.manual_seed(0)
    x = torch.randn(3, 1, 5, 5, dtype=torch.float64)
    row = torch.rand(15, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: supernet(x, given), (row,), eps=1e-6, atol=1e-6)


def test_gradients_of_the_weights_are_those_of_a_sum_written_out() -> None:
    space = parse_space_text(
        "space: s\ninput: image\nnetwork: [{id: op, choice: [{relu_conv_bn: {kernel: 3}}, identity, {avg_pool: {kernel: 3}}]}, head]\n"
    )
    supernet = Supernet(space, (4, 5, 5), 2)
    torch.manual_seed(0)
    x, weights = torch.randn(3, 4, 5, 5), torch.tensor([0.5, 0.2, 0.3], requires_grad=True)
    supernet(x, weights).square().sum().backward()
    found = {name: weight.grad.clone() for name, weight in supernet.named_parameters()}
    of_weights = weights.grad.clone()
    supernet.zero_grad()
    convolution, norm_weight, norm_bias, head_weight, head_bias = supernet.parameters()
    relu = torch.relu(x)
    y = torch.nn.functional.conv2d(relu, convolution, padding=1)
    y = torch.nn.functional.batch_norm(y, None, None, norm_weight, norm_bias, training=True)
    again = weights.detach().requires_grad_()
    mixed = again[0] * y + again[1] * x + again[2] * torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    out = torch.nn.functional.linear(mixed.flatten(2).mean(2), head_weight, head_bias)
    out.square().sum().backward()
    # The weights sum to 1, to which a supernet scales them: what differs is a multiple of their sum.
    difference = of_weights - again.grad
    torch.testing.assert_close(difference - difference.mean(), torch.zeros(3), atol=1e-4, rtol=1e-4)
    for name, weight in supernet.named_parameters():
        torch.testing.assert_close(weight.grad, found[name], atol=1e-5, rtol=1e-4)


def test_options_of_weight_0_are_not_computed_and_get_no_gradient() -> None:
    space = parse_space_text(SMALL)
    supernet = Supernet(space, (1, 5, 5), 2)
    row = torch.eye(5)[[2, 1, 2]].flatten().requires_grad_()
    supernet(torch.randn(3, 1, 5, 5), row).sum().backward()
    touched = {name for name, weight in supernet.named_parameters() if weight.grad is not None}
    sizes = {weight.shape[-1] for name, weight in supernet.named_parameters() if name in touched and weight.ndim == 4}
    assert sizes == {3}, "no convolution of size 1"
    assert (row.grad.reshape(3, 5) != 0).sum() == 3


def test_what_candidates_share_is_computed_once() -> None:
    space = load_space("nasbench201")
    supernet = Supernet(space, (3, 8, 8), 10)
    trace, _ = supernet._walk(supernet._even())
    kinds = [layer.kind for layer in trace.layers]
    # In each of 15 cells three states are read, by six edges; the two reductions and the end have ReLUs of their own.
    assert kinds.count("ReLU") == 15 * 3 + 2 + 1
    assert kinds.count("AvgPool2d") == 15 * 3 + 2
    assert kinds.count("BatchNorm2d") == 1 + 15 * 6 * 2 + 2 * 2 + 1


def test_kernels_and_widths_are_slices() -> None:
    text = (
        "space: s\ninput: image\nnetwork: [{id: c, conv_bn: {out: {choice: [4, 8]}, kernel: {choice: [3, 5]}}}, head]\n"
    )
    supernet = Supernet(parse_space_text(text), (2, 6, 6), 3)
    (shared,) = (weight for weight in supernet.parameters() if weight.ndim == 4)
    assert shared.shape == (8, 2, 5, 5)
    convolution = next(module for module in supernet.inherit([0, 0]).modules() if isinstance(module, torch.nn.Conv2d))
    torch.testing.assert_close(convolution.weight, shared[:4, :, 1:4, 1:4])


def test_a_mixed_kernel_is_a_mixture_of_the_results() -> None:
    text = "space: s\ninput: image\nnetwork: [{id: c, conv: {kernel: {choice: [1, 3]}}}, head]\n"
    supernet = Supernet(parse_space_text(text), (2, 6, 6), 3)
    x = torch.randn(4, 2, 6, 6)
    mixed = supernet(x, torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(mixed, 0.25 * supernet(x, [0]) + 0.75 * supernet(x, [1]))


def test_darts_edges_that_read_the_same_state_share_weights() -> None:
    """Four steps over up to five states: 14 edges of 7 ops in each cell, as in the supernet of the paper."""
    space = load_space("darts")
    supernet = Supernet(space, (3, 32, 32), 10)
    per_cell = 14 * 4
    depthwise = [key for key in supernet.bank.shared if "depthwise" in key]
    # Separable convolutions have two depthwise layers, dilated ones one.
    assert len(depthwise) == 20 * per_cell // 4 * 6


def test_weights_are_as_initialised_under_the_seed() -> None:
    space = load_space("convnet")
    one, same, other = (Supernet(space, (1, 8, 8), 3, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_network_that_inherits_gets_statistics_from_data() -> None:
    space = load_space("convnet")
    supernet = Supernet(space, (1, 8, 8), 3).eval()
    row = space.sample(1, np.random.default_rng(0))[0]
    x = torch.randn(64, 1, 8, 8)
    network = supernet.inherit(row)
    recalibrate(network, [x])
    # Running variances are unbiased, those of a batch are not: hence not equal.
    torch.testing.assert_close(network.eval()(x), supernet(x, row), atol=0.02, rtol=0.02)


def test_a_choice_may_see_part_of_the_channels() -> None:
    text = "space: s\ninput: image\nnetwork: [{id: op, choice: [identity, {conv_bn: {kernel: 3}}]}, head]\n"
    supernet = Supernet(parse_space_text(text), (8, 5, 5), 3, partial=4)
    assert [weight.shape for weight in supernet.parameters() if weight.ndim == 4] == [(2, 2, 3, 3)]
    x = torch.randn(4, 8, 5, 5)
    trace, result = supernet._walk([0], bank=supernet.bank, data=x)
    shuffled = trace.tensor(trace.layers[trace.layers[result].inputs[0]].inputs[0])
    torch.testing.assert_close(shuffled, x[:, [0, 2, 4, 6, 1, 3, 5, 7]])
    with pytest.raises(MetanasError, match="parts of the channels"):
        supernet.inherit([0])


def test_memory_grows_with_the_batch_and_with_what_is_mixed() -> None:
    space = load_space("nasbench201")
    supernet = Supernet(space, (3, 16, 16), 10)
    row = space.sample(1, np.random.default_rng(0))[0]
    assert supernet.memory(32, row) < supernet.memory(32) < supernet.memory(64)


def test_a_network_without_a_path_is_refused() -> None:
    supernet = Supernet(load_space("nasbench201"), (3, 8, 8), 10)
    with pytest.raises(ShapeError, match="a path leads"):
        supernet(torch.zeros(2, 3, 8, 8), [0] * 6)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    Supernet(load_space("mlp"), (5,), 2)
    assert torch.equal(torch.random.get_rng_state(), before)
