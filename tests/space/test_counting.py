"""``size`` is the number of rows, exactly."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.errors import MetanasError
from metanas.space import (
    SearchSpace,
    diff_spaces,
    load_space,
    parse_space_text,
    size_json,
    size_log10,
    size_text,
)

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


def test_very_long_integers_are_told() -> None:
    text = "space: s\nnetwork: [{repeat: {repeat: {conv: {out: {int: [1, 9000]}}}, times: 200, share: false}, times: 6, share: false}, head]\n"
    space = parse_space_text(text)
    assert space.size == 9000**1200
    assert size_text(space.size) == "about 10^4745"
    digits = size_json(space.size)
    assert isinstance(digits, str)
    assert len(digits) == 4746
    assert size_log10(space.size) == pytest.approx(1200 * math.log10(9000))
    found = diff_spaces(space, parse_space_text(text.replace("times: 6", "times: 1")))
    assert found.keys["rows"] == ("about 10^4745", "about 10^791")


@pytest.mark.parametrize(
    ("size", "text", "value"),
    [
        (None, "too many to count", None), (0, "0", 0), (15_625, "15,625", 15_625),
        (10**30 - 1, ",".join(["999"] * 10), 10**30 - 1), (3 * 10**30, "about 10^30", 3 * 10**30),
        (10**308, "about 10^308", "1" + "0" * 308),
    ],
)  # fmt: skip
def test_sizes_in_words_and_in_json(size: int | None, text: str, value: object) -> None:
    assert size_text(size) == text
    assert size_json(size) == value


def test_a_constraint_on_some_of_many_decisions() -> None:
    body = "{conv: {kernel: {choice: [1, 3]}}}"
    text = f"space: s\nnetwork: [{{id: s, repeat: {body}, times: 200, share: false}}, {{id: t, repeat: {body}, times: 200, share: false}}, head]\n"
    named = [f"{id_}.{copy}.kernel" for id_ in "st" for copy in range(1, 200, 33)]
    assert len(named) == 14
    space = parse_space_text(text + f"constraints: ['{' + '.join(named)} <= 22']\n")
    assert space.size == sum(math.comb(14, threes) for threes in range(5)) * 2 ** (400 - 14)


def test_counting_gives_up_after_some_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metanas.space._count.MAX_VISITED", 50)
    assert rows_of("s.1.kernel + s.2.kernel + s.3.kernel + s.4.kernel + s.20.kernel <= 9") is None
