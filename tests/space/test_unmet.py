"""Constraints that no row meets are named."""

import pytest

from metanas.errors import ConstraintError
from metanas.space import check_some_row, parse_space_text

TEXT = "space: s\nnetwork: [{id: c, conv: {kernel: {choice: [1, 3, 5]}, out: {choice: [8, 16]}}}, head]\nconstraints: "
CELL = (
    "space: s\nnetwork: [{id: g, graph: {nodes: 3, every_edge: {optional: conv}, max_edges: 1}}, head]\nconstraints: "
)


@pytest.mark.parametrize(
    ("constraints", "named"),
    [
        (["c.kernel == 7"], "'c.kernel == 7', found none; relax it"),
        (["c.out == 8", "c.kernel >= 3", "params <= 1", "c.kernel <= 1"], "'c.kernel >= 3' and 'c.kernel <= 1', found"),
        (["1 > 2", "c.kernel == 1"], "'1 > 2', found none"),
    ],
)
def test_the_constraints_that_contradict_each_other_are_named(constraints: list[str], named: str) -> None:
    with pytest.raises(ConstraintError, match="some row must meet") as caught:
        check_some_row(parse_space_text(TEXT + str(constraints)))
    assert named in str(caught.value)
    assert caught.value.where.startswith("<text>:3:")


def test_a_bound_on_edges_is_named_where_it_matters() -> None:
    names = [d.name for d in parse_space_text(CELL + "[]").decisions]
    with pytest.raises(ConstraintError, match="has at most 1 edges"):
        check_some_row(parse_space_text(CELL + str([names[0], names[1]])))
    with pytest.raises(ConstraintError) as caught:
        check_some_row(parse_space_text(CELL + str([names[0], f"not {names[0]}"])))
    assert "edges" not in str(caught.value)


@pytest.mark.parametrize("constraints", ["[]", "['params <= 1']", "['c.kernel == 3', 'c.out == 8']"])
def test_what_some_row_meets_passes(constraints: str) -> None:
    check_some_row(parse_space_text(TEXT + constraints))
