"""What differs between two spaces, whatever their files look like."""

import pytest

from metanas.space import builtin_spaces, diff_spaces, load_space, parse_space_text

BASE = """
space: a
let: {w: {choice: [8, 16]}}
network: [{id: c, conv: {out: $w, kernel: {choice: [1, 3]}}}, {id: s, optional: se}, head]
train: {lr: 1e-3}
constraints: ['params <= 1e6']
"""


@pytest.mark.parametrize("name", builtin_spaces())
def test_a_space_is_the_same_as_itself(name: str) -> None:
    assert diff_spaces(load_space(name), load_space(name)).same


def test_spelling_is_no_difference() -> None:
    other = BASE.replace("network: [", "blocks: {x: {se: {}}}\nnetwork: [").replace("optional: se", "optional: x")
    found = diff_spaces(parse_space_text(BASE), parse_space_text(other.replace("{x: {se: {}}}", "{x: se}")))
    assert found.removed == found.added == found.changed == found.keys == {}
    assert found.ops == {"s.se": ("se", ""), "x.se": ("", "se")}  # the place has another name


def test_every_kind_of_difference() -> None:
    other = (
        BASE.replace("[8, 16]", "[8, 16, 32]").replace("{id: s, optional: se}", "{id: t, optional: se}").replace("1e-3", "1e-2")
        .replace("params <= 1e6", "params <= 2e6").replace("space: a", "space: b").replace("head]", "{head: {dropout: 0.5}}]")
    )  # fmt: skip
    found = diff_spaces(parse_space_text(BASE), parse_space_text(other))
    assert not found.same
    assert found.keys == {"space": ("a", "b"), "rows": ("8", "12")}
    assert (set(found.removed), set(found.added)) == ({"s"}, {"t"})
    assert found.changed == {"w": ("choice of 8, 16", "choice of 8, 16, 32")}
    assert found.constraints == (("params <= 1e6",), ("params <= 2e6",))
    assert found.recipe == {"lr": ("0.001", "0.01")}
    assert any("dropout 0.5" in new for _, new in found.ops.values())
    back = diff_spaces(parse_space_text(other), parse_space_text(BASE))
    assert (back.removed, back.added) == (found.added, found.removed)
    assert found.to_json()["constraints"] == {"removed": ["params <= 1e6"], "added": ["params <= 2e6"]}


def test_conditions_and_priors_are_compared() -> None:
    text = "space: a\nnetwork: [{id: s, choice: {x: {conv: {kernel: {choice: [1, 3]}}}, y: bn, z: relu}}, head]\n"
    found = diff_spaces(parse_space_text(text), parse_space_text(text.replace("z: relu}", "z: relu}, prior: {x: 2}")))
    assert found.changed == {
        "s": ("choice of x, y, z", "choice of x, y, z, prior 2, 1, 1"),
    }
