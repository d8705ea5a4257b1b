"""The exported file: plain PyTorch that computes what the searched network does, without metanas."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from metanas.architecture import Architecture, LayerGraph
from metanas.network import Network, build_network, export_source
from metanas.space import load_space, parse_space_text

ODD = """
space: odd
blocks: {naïve²: [conv_bn, relu]}
network:
  - {parallel: [{conv: {out: 4, bias: false}}, bn], merge: concat}
  - {parallel: [identity, tanh, identity], merge: mean}
  - {parallel: [naïve², sigmoid], merge: product}
  - residual: [{mbconv: {out: 6, stride: 2, se: true}}, layer_norm]
  - {graph: {nodes: 4, every_edge: relu}}
  - flatten
  - dense: {units: 6, norm: batch, dropout: 0.2}
  - dropout
  - head
"""


@cache
def graphs() -> list[LayerGraph]:
    found = [Architecture(parse_space_text(ODD.replace("naïve²", "_1")), ()).layers((3, 9, 9), 4)]
    samples: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = [
        ("convnet", (1, 8, 8), ()), ("nasbench201", (3, 4, 4), ()), ("mobile", (3, 16, 16), ()), ("mlp", (6,), ()),
        ("mlp", (6,), ()), ("vit", (3, 14, 14), ()), ("temporal", (2, 30), ()), ("recurrent", (2, 30), ()),
        ("text_encoder", (7,), (20,)), ("ft_transformer", (6,), ()), ("tabular_resnet", (6,), ()),
        ("two_tower", (2,), (9, 12)),
    ]  # fmt: skip
    for name, shape, vocabulary in samples:
        space = load_space(name)
        row = space.sample(1, np.random.default_rng(len(found)))[0]
        found.append(Architecture(space, tuple(row.tolist())).layers(shape, 4, vocabulary))
    return found


def batch_of(graph: LayerGraph, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
    if graph.vocabulary:
        return torch.randint(min(graph.vocabulary), (n, *graph.input_shape), generator=generator)
    return 1 + 2 * torch.randn(n, *graph.input_shape, generator=generator)


def trained(graph: LayerGraph) -> Network:
    """After two steps, so that the statistics of batch normalisation are not trivial."""
    network = build_network(graph, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        nn.functional.cross_entropy(network(batch_of(graph, 8, generator)), torch.arange(8) % 4).backward()
        optimizer.step()
    return network.eval()


RUN = """
import importlib.util, sys
from pathlib import Path
sys.modules["metanas"] = None  # installed or not, it cannot be imported here
import torch
for folder in sorted(Path(sys.argv[1]).iterdir()):
    spec = importlib.util.spec_from_file_location(folder.name, folder / "network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load()
    data = torch.load(folder / "data.pt", weights_only=True)
    assert list(network.state_dict()) == data["keys"], folder
    with torch.no_grad():
        torch.testing.assert_close(network(data["x"]), data["y"], atol=1e-5, rtol=0)
    print(folder.name)
"""


def test_the_file_computes_the_same_where_there_is_no_metanas(tmp_path: Path) -> None:
    expected = []
    for number, graph in enumerate(graphs()):
        network = trained(graph)
        folder = tmp_path / f"n{number}"
        folder.mkdir()
        (folder / "network.py").write_text(export_source(graph, title="A test", version="0"), encoding="utf-8")
        save_file(network.state_dict(), folder / "weights.safetensors")
        x = batch_of(graph, 5)
        with torch.no_grad():
            torch.save({"x": x, "y": network(x), "keys": list(network.state_dict())}, folder / "data.pt")
        expected.append(folder.name)
    result = subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == sorted(expected)


PREPARE = """
def prepare(samples):
    return torch.as_tensor(samples, dtype=torch.float32) / 16
"""


def test_the_file_does_what_its_first_lines_say(tmp_path: Path) -> None:
    graph = graphs()[1]
    source = export_source(graph, title="A test", version="0", preparation=PREPARE)
    assert "network.load()(network.prepare(samples))" in (ast.get_docstring(ast.parse(source)) or "")
    (tmp_path / "network.py").write_text(source, encoding="utf-8")
    save_file(build_network(graph, seed=0).state_dict(), tmp_path / "weights.safetensors")
    run = "import sys; sys.path.insert(0, '.'); import network\nprint(network.load()(network.prepare([[[[8] * 8] * 8]])).shape)"
    result = subprocess.run([sys.executable, "-I", "-c", run], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "torch.Size([1, 4])" in result.stdout


@pytest.mark.parametrize("title", ['"""', "a\\", "{x} %s", 'it"s', "x\ny", "ends with '\"", "é ² 网络"])
def test_any_title_makes_a_file_that_parses(title: str) -> None:
    source = export_source(graphs()[0], title=title, version="0")
    tree = ast.parse(source)
    assert {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} == {"Network"}


def test_the_file_imports_only_torch_and_safetensors() -> None:
    tree = ast.parse(export_source(graphs()[1], title="t", version="0"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert modules == {"pathlib", "torch", "safetensors.torch"}


def test_the_file_carries_the_layers_that_torch_lacks() -> None:
    source = export_source(graphs()[9], title="t", version="0")
    classes = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)}
    assert {"Attention", "Mlp", "ChannelNorm", "IdEmbedding"} <= classes
    assert "FeatureTokens" not in classes
    assert "type: ignore" not in source
    assert "of ids" in source


def test_names_of_any_alphabet_give_the_same_state_dict() -> None:
    """Python normalises identifiers that are not ASCII, which would part the two state dicts."""
    graph = Architecture(parse_space_text(ODD.replace("naïve²", "n\N{LATIN SMALL LIGATURE FI}²")), ()).layers(
        (3, 9, 9), 4
    )
    namespace: dict[str, object] = {"__file__": "network.py"}
    exec(export_source(graph, title="t", version="0"), namespace)
    exported = namespace["Network"]()  # type: ignore[operator]
    assert list(exported.state_dict()) == list(Network(graph).state_dict())
