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
    assert found.same


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
    assert any("dropout 0.5" in one.after for one in found.network)
    back = diff_spaces(parse_space_text(other), parse_space_text(BASE))
    assert (back.removed, back.added) == (found.added, found.removed)
    assert found.to_json()["constraints"] == {"removed": ["params <= 1e6"], "added": ["params <= 2e6"]}


def test_conditions_and_priors_are_compared() -> None:
    text = "space: a\nnetwork: [{id: s, choice: {x: {conv: {kernel: {choice: [1, 3]}}}, y: bn, z: relu}}, head]\n"
    found = diff_spaces(parse_space_text(text), parse_space_text(text.replace("z: relu}", "z: relu}, prior: {x: 2}")))
    assert found.changed == {
        "s": ("choice of x, y, z", "choice of x, y, z, prior 2, 1, 1"),
    }


def changes(old: str, new: str, network: str) -> list[tuple[str, str, str]]:
    """What a change of text makes of a network."""
    text = f"space: a\nlet: {{w: {{choice: [8, 16]}}}}\nnetwork: {network}\n"
    assert old in text
    found = diff_spaces(parse_space_text(text), parse_space_text(text.replace(old, new)))
    assert not found.same
    assert not found.keys
    return [(one.place, one.before, one.after) for one in found.network]


CELL = "[{graph: {nodes: 3, every_edge: {choice: [none, conv]}, merge: sum, output: concat}}, head]"
TWO = "[{parallel: [conv, [bn, relu]], merge: sum}, head]"


@pytest.mark.parametrize(
    ("old", "new", "network", "expected"),
    [
        ("times: 5", "times: 4", "[{repeat: conv, times: 5}, head]", ("network[0]", "repeat 5 times", "repeat 4 times")),
        ("merge: sum", "merge: mean", TWO, ("network[0]", "parallel, merged by sum", "parallel, merged by mean")),
        ("merge: sum", "merge: mean", CELL, ("network[0].node 1", "sum of 0", "mean of 0")),
        ("output: concat", "output: sum", CELL, ("network[0].node 2", "concat of 0, 1", "sum of 0, 1")),
        ("2 * $w", "3 * $w", '[{conv: {out: "2 * $w"}}, head]', ("network[0]", "conv (out 2 × $w)", "conv (out 3 × $w)")),
        ("[conv_bn, relu]", "[relu, conv_bn]", "[{optional: [conv_bn, relu]}, head]",
         ("network[0].module[0 to 1]", "[conv_bn, relu]", "[relu, conv_bn]")),
        ("[bn, relu]", "[bn, relu, se]", TWO, ("network[0].branch 2[2]", "", "se")),
        ("[bn, relu]", "relu", TWO, ("network[0].branch 2[0]", "bn", "")),
        ("[bn, relu]", "[bn, silu]", TWO, ("network[0].branch 2[1]", "relu", "silu")),
        ("a: conv", "a: se", "[{choice: {a: conv, b: bn}, id: c}, head]", ("network[0].a", "conv", "se")),
    ],
)  # fmt: skip
def test_networks_are_compared_part_by_part(old: str, new: str, network: str, expected: tuple[str, str, str]) -> None:
    assert expected in changes(old, new, network)


def test_a_difference_in_a_block_is_told_once() -> None:
    blocks = "[{repeat: [conv_bn, relu], times: 3}, {repeat: [conv_bn, relu], times: 3}, head]"
    assert changes("conv_bn", "conv", blocks) == [("network[0].copy 1[0]", "conv_bn", "conv")]


def test_brackets_are_no_difference() -> None:
    nested, flat = (
        parse_space_text(f"space: a\nnetwork: {text}\n") for text in ("[[conv, [bn]], [head]]", "[conv, bn, head]")
    )
    assert diff_spaces(nested, flat).same


def test_values_that_are_not_shown_are_compared() -> None:
    values = [*range(1, 21)]
    text = "space: a\nnetwork: [{conv: {out: {choice: VALUES}}}, head]\n"
    other = [99 if value == 5 else value for value in values]
    found = diff_spaces(*(parse_space_text(text.replace("VALUES", str(list_))) for list_ in (values, other)))
    assert list(found.changed) == ["conv.out"]
    assert "99" in found.changed["conv.out"][1]


def test_arithmetic_is_written_out() -> None:
    text = "space: a\nlet: {w: {choice: [8, 16]}, v: 2 * $w}\nnetwork: [{conv: {out: $v + 1}}, head]\n"
    (one,) = diff_spaces(parse_space_text(text), parse_space_text(text.replace("+ 1", "+ 2"))).network
    assert (one.before, one.after) == ("conv (out (2 × $w) + 1)", "conv (out (2 × $w) + 2)")
