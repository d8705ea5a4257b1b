"""Suggestions for valid files, each with its place."""

from pathlib import Path

import pytest

from metanas.errors import MetanasError
from metanas.space import LanguageError, builtin_spaces, lint_space, load_space


def lint(folder: Path, text: str) -> list[str]:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    load_space(path)  # only a valid file is worth a suggestion
    return [str(problem).removeprefix(f"{path}:") for problem in lint_space(str(path))]


@pytest.mark.parametrize("name", builtin_spaces())
def test_shipped_spaces_need_no_suggestion(name: str) -> None:
    assert lint_space(name) == []


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("[[relu], head]", "a list of one module is that module"),
        ("[[relu, bn], head]", "a list in a list is one list"),
        ("[{relu: {}}, head]", "write relu"),
        ("[{repeat: bn, times: 1}, head]", "repeat once is the module itself"),
        ("[{repeat: bn, times: 2, share: true}, head]", "copies share their decisions unless told otherwise"),
        ("[{choice: [bn]}, head]", "a choice of one option is that option"),
        ("[{choice: {a: bn, b: bn, c: relu}}, head]", "two options of a choice are the same"),
        ("[{choice: [bn, identity]}, head]", "write 'optional: module'"),
        ("[{choice: [bn, relu, none]}, head]", "none cuts off the whole network here"),
        ("[{optional: {optional: bn}}, head]", "optional of optional is optional"),
        ("[{conv: {out: {choice: [8]}}}, head]", "a choice of one value is that value"),
        ("[{conv: {out: {choice: [8, 16], prior: [1, 1]}}}, head]", "equal weights are the default"),
        ("[{graph: {nodes: 3, every_edge: {optional: bn}, max_edges: 3}}, head]", "the cell has no more edges than that"),
    ],
)  # fmt: skip
def test_suggests(network: str, words: str, tmp_path: Path) -> None:
    (found,) = [line for line in lint(tmp_path, f"space: a\nnetwork: {network}\n") if words in line]
    assert found.startswith("2:")
    assert "$.network" in found


def test_names_that_nothing_uses(tmp_path: Path) -> None:
    text = (
        "space: a\nlet: {w: 8, width: 16}\nops: {mine: bn, other: relu}\n"
        "blocks: {b: other}\nnetwork: [{conv: {out: $width}}, b, head]\n"
    )
    assert [line.partition(": nothing")[0] for line in lint(tmp_path, text)] == ["2:7: $.let", "3:7: $.ops"]
    # What a file lays over another may be used there.
    assert lint(tmp_path, "space: a\nextends: convnet\nlet: {width: {choice: [4, 8]}}\n") == []


def test_constraints_that_say_nothing(tmp_path: Path) -> None:
    text = "space: a\nnetwork: [{id: c, conv: {out: {choice: [4, 8]}}}, head]\nconstraints: ['c.out <= 8', 'c.out <= 4', 'c.out <= 4']\n"
    first, second = lint(tmp_path, text)
    assert "$.constraints[0]: every architecture meets this constraint" in first
    assert "$.constraints[2]: a constraint stands once" in second


def test_mistakes_come_first(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("space: a\nnetwork: [[rleu], head]\n", encoding="utf-8")
    with pytest.raises(LanguageError, match="relu"):
        lint_space(str(path))
    with pytest.raises(MetanasError):
        lint_space("nasbench102")
