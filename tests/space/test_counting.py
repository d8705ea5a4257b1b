"""``size`` is the number of rows, exactly."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.errors import MetanasError
from metanas.space import SearchSpace, load_space, parse_space_text

LIMIT = 2_000


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_size_is_the_number_of_rows(spaces: st.SearchStrategy[SearchSpace], data: st.DataObject) -> None:
    space = data.draw(spaces)
    assert space.size is not None
    if space.size > LIMIT:
        return
    try:
        rows = space.rows(LIMIT)
    except MetanasError:
        assert space.constraints  # too many before the constraint
        return
    assert len(rows) == space.size
    assert len({row.tobytes() for row in rows}) == len(rows)
    assert (space.active(rows) == (rows >= 0)).all()
    assert space.satisfies(rows).all()


def test_nasbench201() -> None:
    space = load_space("nasbench201")
    assert space.size == len(space.rows(15_625)) == 5**6 == 15_625
    with pytest.raises(MetanasError, match="at most 15,624"):
        space.rows(15_624)


def rows_of(constraint: str) -> int | None:
    text = "space: s\nnetwork: [{id: s, repeat: {conv: {kernel: {choice: [1, 3, 5]}}}, times: {int: [1, 20]}, share: false}, head]\n"
    return parse_space_text(text + f'constraints: ["{constraint}"]\n').size


def test_constraints_are_counted_without_enumerating() -> None:
    assert rows_of("params < 3") == sum(3**n for n in range(1, 21))
    assert rows_of("s.times <= 15") == sum(3**n for n in range(1, 16))
    # Where there is no second copy, the constraint says nothing.
    assert rows_of("s.1.kernel == s.2.kernel") == 3 + sum(3 ** (n - 1) for n in range(2, 21))
    assert rows_of("s.times > 20") == 0


def test_a_constraint_without_decisions() -> None:
    assert rows_of("1 < 2") == sum(3**n for n in range(1, 21))
    assert rows_of("1 > 2") == 0


def test_no_decisions_are_one_row() -> None:
    space = parse_space_text("space: s\nnetwork: [relu, head]\n")
    assert space.size == 1
    assert space.rows(1).shape == (1, 0)


def test_a_real_range_counts_its_points() -> None:
    text = "space: s\nnetwork: [head]\ntrain: {lr: {float: [1e-4, 0.1], log: true}, d: {float: [0, 0.5], step: 0.1}}\n"
    assert parse_space_text(text).size == 1001 * 6


def test_integers_of_any_length() -> None:
    text = "space: s\nnetwork: [{repeat: {conv: {kernel: {choice: [1, 3, 5, 7]}}}, times: 100, share: false}, head]\n"
    assert parse_space_text(text).size == 4**100
    assert math.log10(4**100) > 60
