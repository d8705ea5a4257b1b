"""The two tables of ops, signatures and what they compute, name the same ops; each op's example runs."""

import inspect
from pathlib import Path

import pytest
import torch
from torch import nn

from metanas.architecture import LOWER, RULES, Architecture
from metanas.architecture._layers import Trace
from metanas.network import build_network
from metanas.network._build import FUNCTIONS
from metanas.network._modules import MODULES
from metanas.space import ACTIVATIONS, OPS, parse_space_text

INPUTS: dict[str, tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]] = {
    "table": (("dense", "linear", "total", "tokenize"), (12,), ()),
    "sequence": (("temporal_conv", "lstm", "gru"), (4, 16), ()),
    "tokens": (("embed",), (7,), (20,)),
    "pairs": (("user_embed", "item_embed"), (2,), (20, 30)),
}
"""Input -> the ops that read it alone, the shape of a sample, how many ids there are; the others read images."""
DOCS = Path(__file__).parents[2] / "docs/ops.md"
TABULAR = {"symbol"}
"""Ops without a network, for spaces whose results come from a table."""


def test_every_op_is_lowered() -> None:
    assert set(LOWER) <= {*OPS, "python"}
    assert set(OPS) - set(LOWER) <= {"identity", "none"}


def parameters_of(function: object) -> set[str]:
    """Keyword parameters, those passed on as ``**conv`` included."""
    found = {p.name: p.kind for p in inspect.signature(function).parameters.values()}  # type: ignore[arg-type]
    names = {name for name, kind in found.items() if kind is inspect.Parameter.KEYWORD_ONLY}
    if inspect.Parameter.VAR_KEYWORD in found.values():
        names |= parameters_of(LOWER["conv_bn"])
    return names


@pytest.mark.parametrize("name", [name for name in LOWER if name != "python"])
def test_both_tables_name_the_same_parameters(name: str) -> None:
    assert parameters_of(LOWER[name]) == set(OPS[name].parameters)


def test_every_kind_of_layer_can_be_built() -> None:
    for kind in set(RULES) - {"input"}:
        assert kind in FUNCTIONS or issubclass(MODULES.get(kind) or getattr(nn, kind), nn.Module)
    assert set(FUNCTIONS) <= set(RULES)
    assert set(MODULES) <= set(RULES)
    assert not any(hasattr(nn, kind) for kind in {*FUNCTIONS, *MODULES})


def test_every_op_says_what_it_is() -> None:
    for name, op in OPS.items():
        assert op.about
        assert op.example.startswith(name)
        assert all(parameter.about for parameter in op.parameters.values())
        for parameter in op.parameters.values():
            assert parameter.default is None or not parameter.breach(parameter.default)


def sample_of(name: str) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Input that an op reads, the shape of a sample, how many ids there are."""
    for kind, (ops, shape, vocabulary) in INPUTS.items():
        if name in ops:
            return kind, shape, vocabulary
    return "image", (4, 16, 16), ()


def batch(shape: tuple[int, ...], vocabulary: tuple[int, ...]) -> torch.Tensor:
    """Two samples."""
    if not vocabulary:
        return torch.randn(2, *shape)
    return torch.randint(min(vocabulary), (2, *shape))


@pytest.mark.parametrize("name", sorted(set(OPS) - TABULAR))
def test_the_example_of_an_op_runs(name: str) -> None:
    kind, shape, vocabulary = sample_of(name)
    example = OPS[name].example
    op = f"{{{example}}}" if ":" in example else example
    network = "[{parallel: [none, relu]}, head]" if name == "none" else f"[{op}, head]"
    space = parse_space_text(f"space: s\ninput: {kind}\nnetwork: {network}\n")
    for row in space.rows(10).tolist():
        graph = Architecture(space, tuple(row)).layers(shape, 3, vocabulary)
        output = build_network(graph, seed=0)(batch(shape, vocabulary))
        assert output.shape == (2, 3)
        assert torch.isfinite(output).all()


@pytest.mark.parametrize("name", OPS)
def test_every_op_has_a_builder_a_shape_rule_a_cost_rule_an_entry_and_an_example(name: str) -> None:
    """Nothing here names an op: one that is added is held to the same."""
    reference = DOCS.read_text(encoding="utf-8")
    of_op, _, of_activations = reference.partition("\n## Activations\n")
    if name in ACTIVATIONS:
        assert f"`{name}`" in of_activations
    else:
        assert f"\n## {name}\n" in of_op
        assert f"Example: `{OPS[name].example}`" in of_op
    if name in TABULAR:
        assert name in LOWER  # which says that it cannot be built
        return
    kind, shape, vocabulary = sample_of(name)
    example = OPS[name].example
    op = f"{{{example}}}" if ":" in example else example
    network = "[{parallel: [none, relu]}, head]" if name == "none" else f"[{op}, head]"
    space = parse_space_text(f"space: s\ninput: {kind}\nnetwork: {network}\n")
    graph = Architecture(space, tuple(space.rows(100)[0].tolist())).layers(shape, 3, vocabulary)
    built = build_network(graph, seed=0)
    values = [batch(shape, vocabulary)]
    for layer, (function, inputs, _) in zip(graph.layers[1:], built._steps, strict=True):
        rule = RULES[layer.kind]
        values.append(function(*[values[i] for i in inputs]))
        assert (
            values[-1].shape[1:] == layer.shape == rule.shape([graph.layers[i].shape for i in inputs], layer.arguments)
        )
        params = sum(p.numel() for p in function.parameters()) if isinstance(function, nn.Module) else 0
        assert params == layer.params == rule.params(layer.arguments)
        assert layer.flops > 0 or not rule.depth(layer.arguments)
        assert rule.keeps in ("", "input", "output", "both")


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.parameters and name not in {"none", *TABULAR}])
def test_every_parameter_changes_the_network(name: str) -> None:
    """Each parameter, moved off its default, gives other layers."""
    kind, shape, vocabulary = sample_of(name)
    required = {key: 6 for key, parameter in OPS[name].parameters.items() if parameter.required}

    def layers(extra: dict[str, object]) -> list[tuple[str, dict[str, object], tuple[int, ...]]]:
        inner = ", ".join(f"{key}: {str(value).lower()}" for key, value in {**required, **extra}.items())
        space = parse_space_text(
            f"space: s\ninput: {kind}\nnetwork: [{{{name}: {{{inner}}}}}, {'' if name == 'head' else 'head'}]\n"
        )
        graph = Architecture(space, ()).layers(shape, 3, vocabulary)
        return [(layer.kind, dict(layer.arguments), layer.shape) for layer in graph.layers]

    other = {
        "out": 8, "kernel": 5, "stride": 3, "dilation": 3, "groups": 2, "bias": False, "act": "gelu", "expand": 2, "se": True,
        "rate": 0.5, "kind": "gelu", "units": 7, "norm": "layer", "dropout": 0.5, "hidden": 5, "layers": 2,
        "bidirectional": True, "causal": False, "size": 2, "dim": 7, "heads": 2, "head_dim": 3, "ratio": 2,
        **({"kind": "learned"} if name == "positional" else {}), **({"act": "swiglu"} if name == "mlp" else {}),
    }  # fmt: skip
    for parameter in OPS[name].parameters:
        assert layers({parameter: other[parameter]}) != layers({}), parameter


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_compute_what_torch_does(name: str) -> None:
    space = parse_space_text(f"space: s\ninput: table\nnetwork: [{name}]\n")
    x = torch.linspace(-4, 4, 12).reshape(2, 6)
    reference = {"hardswish": nn.functional.hardswish, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    expected = reference.get(name) or getattr(nn.functional, name)
    torch.testing.assert_close(build_network(Architecture(space, ()).layers((6,), 6))(x), expected(x))


def test_a_layer_added_by_hand_takes_its_shape_from_the_rules() -> None:
    from metanas.architecture import Layer

    trace = Trace([Layer("x", "input", {}, (), (4, 8, 8), 0, 0)], 3)
    trace.begin("2.Ünder->way")
    assert trace.shape(trace.conv(0, 6, 3, 2)) == (6, 4, 4)
    assert trace.layers[-1].name.isidentifier()
    assert trace.layers[-1].name.isascii()
