"""Zero-cost proxies: their values where they are known, and that every space has some."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from metanas.architecture import Architecture
from metanas.data import Dataset, dataset_from_arrays, load_dataset
from metanas.errors import MetanasError
from metanas.evaluator import PROXIES, proxy_scores
from metanas.evaluator._proxy_scores import Subject, _grad_norm, _jacov, _naswot, _snip, _synflow, _zico
from metanas.network import build_network
from metanas.space import load_space, parse_space_text


def drawn(space: str, n: int = 3) -> list[Architecture]:
    loaded = load_space(space)
    return [Architecture(loaded, tuple(row.tolist())) for row in loaded.sample(n, np.random.default_rng(0))]


def data(name: str) -> Dataset:
    return load_dataset(name, base=Path())


def subject(network: str, x: torch.Tensor, outputs: int = 3) -> Subject:
    layers = Architecture(parse_space_text(f"space: s\nnetwork: {network}\n"), ()).layers(tuple(x.shape[1:]), outputs)
    targets = torch.arange(len(x)) % outputs
    return Subject(layers, (x, targets), torch.nn.functional.cross_entropy, 0)


@pytest.mark.parametrize(
    ("space", "name"), [("convnet", "digits"), ("nasbench201", "digits"), ("vit", "digits"), ("mlp", "iris")]
)
def test_every_proxy_has_a_value_and_the_same_one_again(space: str, name: str) -> None:
    architectures = drawn(space, 2)
    one, again = (list(proxy_scores(architectures, data(name), list(PROXIES), seed=3, batch_size=8)) for _ in range(2))
    assert one == again
    assert all(value is not None for scores in one for value in scores.values())
    assert one != list(proxy_scores(architectures, data(name), list(PROXIES), seed=4, batch_size=8))


def test_costs_are_those_of_the_network() -> None:
    (architecture,) = drawn("convnet", 1)
    (scores,) = proxy_scores([architecture], data("digits"), ["params", "flops"])
    layers = architecture.layers((1, 8, 8), 10)
    assert scores == {"params": layers.params, "flops": layers.flops}


def test_synflow_of_a_linear_network_is_the_sum_of_its_weights() -> None:
    made = subject("[bn, head]", torch.randn(4, 5))
    head = build_network(made.layers, seed=0).head_linear
    assert _synflow(made) == pytest.approx(
        math.log(sum(w.detach().abs().sum().item() for w in head.parameters())), rel=1e-6
    )


def test_synflow_counts_each_layer_and_does_not_overflow() -> None:
    """Without biases every layer's weights flow the same sum; 60 layers of 64 units would leave the range of float32."""
    one = subject("[{conv: {out: 64, bias: false}}, relu, global_pool, {linear: {out: 3}}]", torch.randn(2, 1, 4, 4))
    assert math.isfinite(_synflow(one))
    deep = subject(
        "[{repeat: {conv_bn_act: {out: 64}}, times: 60}, head]", torch.randn(2, 1, 4, 4)
    )  # fmt: skip
    assert _synflow(deep) > 88, "the logarithm of the greatest number of 32 bits"


def test_naswot_is_the_logarithm_of_the_determinant_of_agreements() -> None:
    made = subject("[relu, head]", torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0]]))
    assert _naswot(made) == pytest.approx(math.log(3 * 3 - 2 * 2))
    assert _naswot(subject("[relu, head]", torch.ones(2, 3))) == -math.inf, "samples that it cannot tell apart"


def test_jacov_is_greatest_where_gradients_do_not_correlate() -> None:
    linear = _jacov(subject("[head]", torch.randn(4, 6)))
    bent = _jacov(subject("[{dense: {units: 64}}, head]", torch.randn(4, 6)))
    # Of a linear network all gradients are equal: one eigenvalue of 4, three of 0.
    assert linear == pytest.approx(-(math.log(4 + 1e-5) + 1 / (4 + 1e-5) + 3 * (math.log(1e-5) + 1e5)), rel=1e-3)
    assert bent > linear


def test_zico_is_the_mean_over_the_deviation_of_gradients_between_batches() -> None:
    made = subject("[head]", torch.randn(8, 5))
    (weight,) = made.weights
    grads = [g for (g,) in (made.gradients((made.data[0][k : k + 4], made.data[1][k : k + 4])) for k in (0, 4))]
    sizes = torch.stack(grads).double().abs()
    assert weight.shape == (3, 5)
    assert _zico(made) == pytest.approx(float((sizes.mean(0) / sizes.std(0, correction=0)).sum().log()))


def test_snip_and_the_gradient_norm_of_a_linear_network_are_those_of_its_closed_form() -> None:
    made = subject("[head]", torch.randn(6, 5))
    (inputs, targets), head = made.data, made.network.head_linear
    # The gradient of the cross-entropy by the weights is (softmax - one-hot)^T x over the samples.
    off = made.network(inputs).softmax(1) - torch.nn.functional.one_hot(targets, 3)
    gradient = (off.T @ inputs / len(inputs)).detach()
    assert _grad_norm(made) == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert _snip(made) == pytest.approx(float((gradient * head.weight.detach()).abs().sum()), rel=1e-5)


def test_what_cannot_be_told_is_none() -> None:
    x = np.repeat([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]], 20, axis=0).astype(np.float32)
    same = dataset_from_arrays(x, np.arange(40) % 2, name="same")
    space = parse_space_text("space: s\ninput: table\nnetwork: [relu, head]\n")
    (scores,) = proxy_scores([Architecture(space, ())], same, ["naswot", "params"])
    assert scores == {"naswot": None, "params": 10}, "equal samples have a determinant of 0"


def test_an_unknown_proxy_is_refused() -> None:
    with pytest.raises(MetanasError, match="did you mean 'synflow'"):
        list(proxy_scores(drawn("convnet", 1), data("digits"), ["sinflow"]))


Command = Callable[..., tuple[int, str, str]]


def test_the_command_prints_a_table_or_json(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("evaluate", "convnet", "--proxy", "params,naswot", "--data", "digits", "--count", 2)
    assert code == 0
    assert out.splitlines()[0].split() == ["network", "params", "naswot"]
    assert len(out.splitlines()) == 3
    _, drawn_, _ = command("space", "sample", "convnet", "-n", 3, "--seed", 1, "--json")
    (tmp_path / "rows.json").write_text(drawn_)
    arguments = ("--proxy", "all", "--data", "digits", "--batch", 8, "--json")
    code, out, _ = command("evaluate", "convnet", "--rows", tmp_path / "rows.json", *arguments)
    found = json.loads(out)
    assert code == 0
    assert [item["decisions"] for item in found] == [item["decisions"] for item in json.loads(drawn_)]
    assert set(found[0]["proxies"]) == set(PROXIES)
    (tmp_path / "one.json").write_text(json.dumps({"space": "convnet", "decisions": found[1]["decisions"]}))
    _, out, _ = command("evaluate", tmp_path / "one.json", *arguments)
    assert json.loads(out) == [found[1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convnet", "--proxy", "nothing"), "no proxy has the name 'nothing'"),
        (("nasbench_graph", "--proxy", "params"), "a symbol cannot be built"),
        (("convnet", "--proxy", "params", "--rows", "rows.json"), "a JSON list of decisions"),
    ],
)
def test_the_command_says_what_it_cannot_use(
    command: Command, arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.json").write_text('{"decisions": 3}')
    code, _, err = command("evaluate", *arguments, "--data", "digits")
    assert code == 2
    assert message in err
