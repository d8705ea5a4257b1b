"""Files that build on others: extends, tabular spaces, modules of the user's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from metanas.architecture import Architecture, CanonicalIds, ShapeError
from metanas.errors import MetanasError
from metanas.network import Supernet, build_network, export_source, user_modules
from metanas.space import LanguageError, load_space, parse_space_text


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_laid_over_the_one_it_extends(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.yaml", "space: mine\nextends: convnet\nlet: {width: {choice: [4, 8]}}\n")
    space, below = load_space(path), load_space("convnet")
    assert (space.name, space.about, space.input) == ("mine", below.about, "image")
    assert [d.name for d in space.decisions] == [d.name for d in below.decisions]
    assert list(space.decisions[space.columns["width"]].values) == [4, 8]
    assert space.size == below.size // 2
    again = parse_space_text(space.text)
    assert (again.name, again.size) == ("mine", space.size)


def test_extends_is_relative_to_the_file_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    write(tmp_path / "base", "a.yaml", "space: a\nblocks: {b: {conv: {out: {choice: [4, 8]}}}}\nnetwork: [b, head]\n")
    write(tmp_path / "base", "b.yaml", "space: b\nextends: a.yaml\nconstraints: ['b.out <= 4']\n")
    path = write(tmp_path, "c.yaml", "space: c\nextends: base/b.yaml\nnetwork: [b, relu, head]\n")
    assert load_space(path).size == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("space: a\nextends: convnte\n", "did you mean 'convnet'?"),
        ("space: a\nextends: a.yaml\n", "cannot extend itself"),
        ("space: a\nextends: [convnet]\n", "extends names a space"),
        ("space: a\nextends: nowhere.yaml\n", "cannot be read"),
    ],
)
def test_bad_extends(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(LanguageError) as caught:
        load_space(write(tmp_path, "a.yaml", text))
    assert words in str(caught.value)
    assert ":2:10: $.extends" in str(caught.value)


def test_a_tabular_space_has_rows_and_no_network() -> None:
    space = parse_space_text("space: t\ntabular: {a: {choice: [x, y]}, b: {int: [1, 3]}}\nconstraints: ['b <= 2']\n")
    assert space.tabular
    assert space.size == 4 == len(space.rows(10))
    ids = CanonicalIds(space)
    assert len({ids.of(row) for row in space.rows(10)}) == 4
    with pytest.raises(LanguageError, match="found both"):
        parse_space_text("space: t\ntabular: {a: {choice: [x, y]}}\nnetwork: head\n")


MODULE = """
import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self, shape, factor=1.0, out=None):
        super().__init__()
        self.project = nn.Conv2d(shape[0], out or shape[0], 1)
        self.factor = factor

    def forward(self, x):
        return self.factor * self.project(x)


class Wrong(nn.Module):
    def forward(self, x):
        return x.sum()
"""


@pytest.fixture
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "blocks_for_test.py", MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "blocks_for_test", raising=False)


def own(module: str, network: str) -> str:
    return f"space: own\nops: {{mine: {{python: 'blocks_for_test:{module}'}}}}\nnetwork: {network}\n"


@pytest.mark.usefixtures("blocks")
def test_a_module_of_the_users_is_measured_built_and_exported() -> None:
    text = own(
        "Scaled", "[{conv: {out: 4}}, {residual: {mine: {factor: {choice: [0.5, 2.0]}}}}, {mine: {out: 6}}, head]"
    )
    space = parse_space_text(text, allow_python=True)
    assert [d.name for d in space.decisions] == ["residual.factor"]
    graph = Architecture.from_values(space, {"residual.factor": 2.0}).layers((1, 8, 8), 3, modules=user_modules)
    network = build_network(graph, seed=0)
    assert graph.params == sum(p.numel() for p in network.parameters())
    x = torch.randn(2, 1, 8, 8)
    names: dict[str, object] = {"__file__": "network.py", "__name__": "network"}
    exec(export_source(graph, title="t", version="0"), names)
    exported = names["Network"]()  # type: ignore[operator]
    exported.load_state_dict(network.state_dict())
    torch.testing.assert_close(exported(x), network(x))


@pytest.mark.usefixtures("blocks")
def test_a_supernet_holds_modules_of_the_users() -> None:
    text = own(
        "Scaled",
        "[{conv: {out: 4}}, {id: op, choice: {own: mine, skip: identity, conv: {conv: {kernel: 1}}}}, {mine: {factor: {choice: [0.5, 2.0]}}}, head]",
    )
    space = parse_space_text(text, allow_python=True)
    supernet = Supernet(space, (1, 8, 8), 3, modules=user_modules).eval()
    x = torch.randn(4, 1, 8, 8)
    for row in space.rows(10):
        torch.testing.assert_close(supernet(x, row), supernet.inherit(row).eval()(x))
    relaxed = torch.full((5,), 0.4).requires_grad_()
    supernet(x, relaxed).sum().backward()
    assert relaxed.grad is not None
    assert (relaxed.grad != 0).all()


def test_modules_need_to_be_allowed() -> None:
    text = own("Scaled", "[{conv: {out: 4}}, mine, head]")
    with pytest.raises(LanguageError, match="--allow-python"):
        parse_space_text(text)
    space = parse_space_text(text, allow_python=True)
    with pytest.raises(ShapeError, match="allowed"):
        Architecture(space, ()).layers((1, 8, 8), 3)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(
    ("module", "network", "words"),
    [
        ("Wrong", "[mine, head]", "returns a tensor"),
        ("Missing", "[mine, head]", "must be importable"),
        ("Scaled", "[{mine: {fcator: 2}}, head]", "unexpected keyword argument 'fcator'"),
        ("Scaled", "[global_pool, mine, head]", "takes samples of shape"),
    ],
)
def test_modules_that_cannot_be_used(module: str, network: str, words: str) -> None:
    space = parse_space_text(own(module, network), allow_python=True)
    with pytest.raises(MetanasError) as caught:
        Architecture(space, tuple(space.sample(1, np.random.default_rng(0))[0].tolist())).layers(
            (1, 8, 8), 3, modules=user_modules
        )
    assert words in str(caught.value)
