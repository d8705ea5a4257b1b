"""Commands that help with writing spaces, and those that look at one network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metanas.architecture import Architecture
from metanas.evaluator import recipe_schema
from metanas.space import find_space, load_space, space_schema

Command = Callable[..., tuple[int, str, str]]


def test_schema(command: Command) -> None:
    code, out, _ = command("space", "schema")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(space_schema(recipe_schema())))


def test_lint(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("space: a\nnetwork: [{choice: [bn, identity]}, [relu], head]\n")
    code, out, _ = command("space", "lint", file, "mlp")
    assert code == 0
    first, second, third, last = out.splitlines()
    assert first.startswith(f"{file}:2:11: $.network[0]: a choice between a module and identity is optional")
    assert "$.network[1]: a list in a list is one list" in second
    assert "$.network[1]: a list of one module is that module" in third
    assert last == "mlp: nothing to simplify"
    assert command("space", "lint", file, "--strict")[0] == 1
    assert command("space", "lint", "mlp", "--strict")[0] == 0
    rows = json.loads(command("space", "lint", file, "--json")[1])
    assert (rows[0]["line"], rows[0]["column"], rows[0]["path"]) == (2, 11, "$.network[0]")


def test_diff(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "narrow.yaml"
    file.write_text("space: narrow\nextends: convnet\nlet: {width: {choice: [4, 8]}}\nconstraints: ['params <= 1e4']\n")
    code, out, _ = command("space", "diff", "convnet", file)
    assert code == 0
    assert out.splitlines() == [
        "space: convnet -> narrow", "rows: 14,400 -> 7,200", "decisions:", "  ~ width: choice of 8, 16, 24, 32",
        "           choice of 4, 8", "constraints:", "  + params <= 1e4",
    ]  # fmt: skip
    assert json.loads(command("space", "diff", "convnet", file, "--json")[1])["same"] is False
    file.write_text((find_space("nasbench201")[1]).replace("times: 5", "times: 4"))
    assert command("space", "diff", "nasbench201", file)[1].splitlines() == [
        "network:", "  ~ network[1]: repeat 5 times", "                repeat 4 times",
    ]  # fmt: skip
    (one,) = json.loads(command("space", "diff", "nasbench201", file, "--json")[1])["network"]
    assert one == {"place": "network[1]", "before": "repeat 5 times", "after": "repeat 4 times"}
    assert command("space", "diff", "mlp", "mlp")[1] == "The spaces are the same.\n"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A file that says one network of ``mlp``."""
    space = load_space("mlp")
    path = tmp_path / "one.json"
    path.write_text(Architecture(space, tuple(int(v) for v in space.rows(2000)[7])).to_json())
    return path


def test_architecture_show(command: Command, network: Path) -> None:
    wanted = json.loads(network.read_text())
    code, out, _ = command("architecture", "show", network)
    assert code == 0
    assert out.splitlines()[0] == f"mlp, network {wanted['canonical_id']}"
    assert all(f"  {name} = {value}" in out for name, value in wanted["decisions"].items())
    shown = command("architecture", "show", network, "--data", "iris")[1]
    assert "Linear" in shown
    told = json.loads(command("architecture", "show", network, "--data", "iris", "--json")[1])
    assert f"{told['params']:,} parameters" in shown
    assert {key: told[key] for key in wanted} == wanted


def test_architecture_draw(command: Command, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("architecture", "draw", network)[:2] == (0, "architecture.svg\n")
    assert "<svg" in Path("architecture.svg").read_text()
    assert command("architecture", "draw", network, "--data", "iris", "-o", "a.png")[:2] == (0, "a.png\n")
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")


def test_architecture_of_a_run(toy: Any, command: Command, tmp_path: Path) -> None:
    folder = toy.create(search={"trials": 3})
    toy.session(folder)
    best = json.loads(command("architecture", "show", folder.path, "--json")[1])
    each = [json.loads(command("architecture", "show", folder.path, "--trial", k, "--json")[1]) for k in range(3)]
    assert best in each
    assert len({one["canonical_id"] for one in each}) == 3
    assert command("architecture", "draw", folder.path, "-o", tmp_path / "a.svg")[0] == 0


def test_architecture_with_a_module_of_the_users(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("mine_to_show.py").write_text(
        "from torch import nn\n\nclass Wide(nn.Conv2d):\n    def __init__(self, shape):\n        super().__init__(shape[0], 5, 1)\n"
    )
    Path("own.yaml").write_text("space: own\nops: {wide: {python: 'mine_to_show:Wide'}}\nnetwork: [wide, head]\n")
    Path("one.json").write_text('{"decisions": {}}')
    source = ("one.json", "--space", "own.yaml")
    for order in ("show", "draw"):
        assert command("architecture", order, *source)[0] == 0
        code, out, err = command("architecture", order, *source, "--data", "digits")
        assert (code, out) == (2, "")
        assert "pass --allow-python" in err
    shown = command("architecture", "show", *source, "--data", "digits", "--allow-python")[1]
    assert "5x8x8" in shown
    assert command("architecture", "draw", *source, "--data", "digits", "--allow-python")[0] == 0
    assert "5×8×8" in Path("architecture.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["one.json", "--trial", "1"], "--trial goes with a run folder"),
        (["missing.json"], "missing.json"),
        (["text.json"], "an architecture is a JSON object"),
        (["other.json"], "give it with --space"),
        (["other.json", "--space", "mlp"], "an architecture is a JSON object with 'decisions'"),
        (["one.json", "--space", "convnet"], "convnet"),
        (["."], "must be a run folder"),
    ],
)
def test_architecture_refuses(
    command: Command, network: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(network.parent)
    Path("text.json").write_text("{'a'")
    Path("other.json").write_text('{"space": "mine"}')
    code, out, err = command("architecture", "show", *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_constraints_that_nothing_meets_are_refused(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    file.write_text("space: none\nextends: convnet\nconstraints: ['width <= 8', 'width >= 16']\n")
    for help_ in ("validate", "lint"):
        code, out, err = command("space", help_, file)
        assert (code, out) == (2, "")
        assert (
            err
            == f"error: {file}:3:29: some row must meet 'width <= 8' and 'width >= 16', found none that meets all of them; relax one of them\n"
        )


def test_all_files_are_validated(command: Command, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("space: a\nnetwork: [cnv, head]\n")
    second.write_text("space: a\nnetwork: [conv, had]\n")
    code, out, err = command("space", "validate", first, "mlp", second, tmp_path / "third.yaml")
    assert code == 2
    assert out.startswith("mlp: valid")
    assert [name in err for name in ("first.yaml:2", "second.yaml:2", "third.yaml", "mlp")] == [True, True, True, False]


def test_training_settings_are_validated(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("space: a\nnetwork: [conv, head]\ntrain: {optmizer: adam, batch_size: tomato}\n")
    code, out, err = command("space", "validate", file)
    assert (code, out) == (2, "")
    assert [line.removeprefix(f"error: {file}:").split(": ")[0] for line in err.splitlines()] == ["3:9", "3:37"]
    assert "did you mean 'optimizer'?" in err


def test_a_space_without_a_head_is_told_of_it(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "headless.yaml"
    file.write_text("space: a\ninput: table\nnetwork: [{dense: {units: {choice: [3, 4]}}}]\n")
    code, out, err = command("space", "validate", file)
    assert (code, "valid" in out) == (0, True)
    assert f"{file}: note: no 'head'" in err
    file.write_text(file.read_text().replace("}}]", "}}, head]"))
    assert command("space", "validate", file)[2] == ""
