"""Sampling, mutation, neighbours, completion: always rows of the space, and reproducible."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.errors import ConstraintError, MetanasError
from metanas.space import Rows, SearchSpace, builtin_spaces, load_space, parse_space_text

BUILTIN = [load_space(name) for name in builtin_spaces()]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_rows(space: SearchSpace, rows: Rows) -> None:
    """Each is a row of the space, and comes back from its values."""
    np.testing.assert_array_equal(rows >= 0, space.active(rows))
    assert all((rows[:, k] < decision.size).all() for k, decision in enumerate(space.decisions))
    for row in rows:
        np.testing.assert_array_equal(space.to_row(space.to_values(row)), row)


@pytest.mark.parametrize("space", BUILTIN, ids=lambda space: space.name)
def test_all_ways_to_get_rows_give_rows(space: SearchSpace) -> None:
    rows = space.sample(60, rng())
    assert rows.shape == (60, len(space.decisions))
    assert rows.dtype == np.int64
    assert_rows(space, rows)
    assert_rows(space, space.sample(20, rng(), prior=False))
    assert_rows(space, space.mutate(rows, rng(1)))
    assert_rows(space, space.neighbours(rows[0], rng(2)))
    np.testing.assert_array_equal(space.complete(rows, rng(3)), rows)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_same_for_random_spaces(spaces: st.SearchStrategy[SearchSpace], data: st.DataObject) -> None:
    space = data.draw(spaces)
    if not space.size:
        return
    try:
        rows = space.sample(8, rng())
    except ConstraintError:
        return
    assert_rows(space, rows)
    assert space.satisfies(rows).all()
    assert_rows(space, space.mutate(rows, rng(1)))
    neighbours = space.neighbours(rows[0], rng(2))
    assert_rows(space, neighbours)
    assert space.satisfies(neighbours).all()


@pytest.mark.parametrize("space", BUILTIN, ids=lambda space: space.name)
def test_a_mutation_changes_one_decision(space: SearchSpace) -> None:
    rows = space.sample(1000, rng())
    mutants = space.mutate(rows, rng(1))
    both = (rows >= 0) & (mutants >= 0)
    assert (((rows != mutants) & both).sum(axis=1) == 1).all()
    # Every decision has its turn, if it is active often enough.
    often = both.sum(axis=0) > 200
    assert often.any()
    assert ((rows != mutants) & both).any(axis=0)[often].all()


def test_a_mutation_draws_evenly_among_the_other_values() -> None:
    space = parse_space_text("space: s\nnetwork: [{conv: {kernel: {choice: [1, 3, 5, 7]}}}, head]\n")
    mutants = space.mutate(np.full((6000, 1), 2), rng())[:, 0]
    np.testing.assert_allclose(np.bincount(mutants, minlength=4), [2000, 2000, 0, 2000], atol=150)


@pytest.mark.parametrize("space", BUILTIN, ids=lambda space: space.name)
def test_neighbours_are_one_decision_away_and_all_there(space: SearchSpace) -> None:
    row = space.sample(1, rng(5))[0]
    neighbours = space.neighbours(row, rng())
    both = (neighbours >= 0) & (row >= 0)
    assert (((neighbours != row) & both).sum(axis=1) == 1).all()
    assert len({n.tobytes() for n in neighbours}) == len(neighbours)
    for column, decision in enumerate(space.decisions):
        if row[column] >= 0 and decision.kind == "choice":
            others = set(neighbours[:, column][neighbours[:, column] >= 0].tolist()) - {int(row[column])}
            assert others == set(range(decision.size)) - {int(row[column])}


@pytest.mark.parametrize(
    ("place", "expected"),
    [(20, {15, 19, 21, 25}), (2, {1, 3, 7}), (0, {1, 5}), (47, {42, 46, 48}), (49, {44, 48})],
)
def test_neighbours_in_a_range_are_a_step_and_a_tenth_of_it_away(place: int, expected: set[int]) -> None:
    space = parse_space_text("space: s\nnetwork: [{dense: {units: {int: [1, 50]}}}, head]\n")
    assert set(space.neighbours(np.array([place]), rng())[:, 0].tolist()) == expected


def test_a_range_of_fewer_than_twenty_values_has_neighbours_one_step_away() -> None:
    space = parse_space_text("space: s\nnetwork: [{dense: {units: {int: [1, 19]}}}, head]\n")
    assert space.neighbours(np.array([9]), rng())[:, 0].tolist() == [8, 10]


def test_completion_draws_what_is_missing_and_clears_what_is_inactive() -> None:
    space = load_space("convnet")
    row = np.zeros((1, len(space.decisions)), dtype=np.int64)
    assert_rows(space, space.complete(row, rng()))
    free = space.complete(np.full((300, len(space.decisions)), -1, dtype=np.int64), rng())
    assert_rows(space, free)
    assert len(np.unique(free, axis=0)) > 200


def test_a_space_without_decisions() -> None:
    space = parse_space_text("space: s\nnetwork: [relu, head]\n")
    rows = space.sample(3, rng())
    assert rows.shape == (3, 0)
    assert space.mutate(rows, rng()).shape == (3, 0)
    assert space.neighbours(rows[0], rng()).shape == (0, 0)
    assert space.to_values(rows[0]) == {}


def test_a_row_without_alternatives_mutates_to_itself() -> None:
    space = parse_space_text("space: s\nnetwork: [{choice: [relu]}, head]\n")
    np.testing.assert_array_equal(space.mutate(np.zeros((2, 1), dtype=np.int64), rng()), np.zeros((2, 1)))


def shares(text: str, prior: bool = True) -> list[float]:
    space = parse_space_text(f"space: s\nnetwork: [{text}, head]\n")
    return [
        float(x)
        for x in np.bincount(space.sample(20_000, rng(), prior=prior)[:, 0], minlength=space.decisions[0].size) / 20_000
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{choice: [relu, bn, gelu], prior: [1, 2, 1]}", [0.25, 0.5, 0.25]),
        ("{choice: [relu, bn, gelu], prior: {bn: 8}}", [0.1, 0.8, 0.1]),
        ("{choice: {a: relu, b: bn}, prior: {a: 0}}", [0, 1]),
        ("{conv: {kernel: {choice: [1, 3], prior: [3, 1]}}}", [0.75, 0.25]),
        ("{choice: [relu, bn, gelu, silu]}", [0.25] * 4),
    ],
)
def test_priors_weigh_the_options(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(shares(text), expected, atol=0.015)
    np.testing.assert_allclose(shares(text, prior=False), [1 / len(expected)] * len(expected), atol=0.015)


def test_a_log_range_is_even_in_its_logarithm() -> None:
    whole = np.array(shares("{conv: {out: {int: [1, 64], log: true}}}"))
    octaves = [whole[a - 1 : b - 1].sum() for a, b in pairwise([1, 2, 4, 8, 16, 32, 64])]
    assert max(octaves) / min(octaves) < 1.75
    space = parse_space_text("space: s\nnetwork: head\ntrain: {lr: {float: [1e-4, 1], log: true}}\n")
    values = np.asarray(space.decisions[0].values)[space.sample(8000, rng())[:, 0]]
    np.testing.assert_allclose(np.histogram(np.log10(values), [-4, -3, -2, -1, 0])[0] / 8000, [0.25] * 4, atol=0.02)


def test_samples_meet_the_constraints_on_decisions() -> None:
    text = (Path(__file__).parents[2] / "search_spaces" / "mobile.yaml").read_text(encoding="utf-8")
    rule = "stage1.times + stage2.times <= 5 and (not stage1.1.se or stage1.1.expand >= 4)"
    space = parse_space_text(f'{text}\nconstraints: ["{rule}", "params <= 1"]\n')
    rows = space.sample(300, rng())
    assert len(rows) == 300
    for row in rows:
        values = space.to_values(row)
        assert values["stage1.times"] + values["stage2.times"] <= 5  # type: ignore[operator]
        assert not values["stage1.1.se"] or values["stage1.1.expand"] >= 4  # type: ignore[operator]


@pytest.mark.parametrize(
    "rule",
    ["se + se2 <= 1", "(n > 1) + (n > 2) <= 1", "-se < 0", "m == 'x'", "m == 3 or n == 2", "1 / n < 0.7", "min(n, 2) == 2",
     "not (se and se2)", "n * 0.5 + se >= 1.5", "m != 3 and a == 'gelu'"],
)  # fmt: skip
def test_a_constraint_says_the_same_of_a_batch_and_of_each_row(rule: str) -> None:
    """Flags count as 0 and 1, texts stay texts beside numbers: also in numpy's arrays."""
    text = """
space: s
let: {n: {int: [1, 3]}, m: {choice: [3, x]}, se: {choice: [true, false]}, se2: {choice: [true, false]}, a: {choice: [relu, gelu]}}
network: head
train: {1: $n, 2: $m, 3: $se, 4: $se2, 5: $a}
"""
    space = parse_space_text(text + f'constraints: ["{rule}"]\n')
    rows = parse_space_text(text).rows(100)
    each = [space.constraints[0].holds_for(space.to_values(row), {}) for row in rows]
    assert space.satisfies(rows).tolist() == each
    assert 0 < sum(each) < len(rows)
    assert space.size == sum(each)


def test_a_constraint_on_what_is_not_there_holds() -> None:
    text = "space: s\nnetwork: [{id: c, choice: {a: {conv: {kernel: {choice: [1, 3]}}}, b: relu}}, head]\n"
    space = parse_space_text(text + 'constraints: ["c.a.kernel == 1"]\n')
    assert [space.to_values(row) for row in space.rows(9)] == [{"c": "a", "c.a.kernel": 1}, {"c": "b"}]


def test_a_constraint_that_no_row_meets_is_told() -> None:
    space = parse_space_text(
        'space: s\nnetwork: [{id: s, repeat: relu, times: {int: [1, 3]}}, head]\nconstraints: ["s.times > 3"]\n'
    )
    with pytest.raises(ConstraintError, match=r"s\.times > 3"):
        space.sample(2, rng())
    assert space.size == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"body": "plane"}, "body is one of plain, residual"),
        ({"boddy": "plain"}, "did you mean 'body'"),
        ({}, "an active decision has a value"),
        ({"width": 17}, "width is one of 16, 32"),
        ({"body": None}, "body is one of"),
        ({"body": ["plain"]}, "body is one of"),
    ],
)
def test_values_that_are_no_row(values: dict[str, object], words: str) -> None:
    space = load_space("mlp")
    full = dict(space.to_values(space.sample(1, rng())[0]))
    with pytest.raises(MetanasError, match=words):
        space.to_row({**full, **values} if values else values)


def test_an_inactive_decision_takes_no_value() -> None:
    space = load_space("mlp")
    row = next(r for r in space.sample(50, rng()) if "body.plain.times" in space.to_values(r))
    other = next(name for name in space.columns if name.startswith("body.residual"))
    with pytest.raises(MetanasError, match="an inactive decision has no value"):
        space.to_row({**space.to_values(row), other: 1})


def test_flags_and_numbers_are_told_apart() -> None:
    space = parse_space_text(
        "space: s\nnetwork: [{mbconv: {se: {choice: [true, false]}, expand: {choice: [1, 2]}}}, head]\n"
    )
    assert space.to_row({"mbconv.se": True, "mbconv.expand": 1}).tolist() == [0, 0]
    for bad in ({"mbconv.se": 1, "mbconv.expand": 1}, {"mbconv.se": True, "mbconv.expand": True}):
        with pytest.raises(MetanasError, match="is one of"):
            space.to_row(bad)


def test_a_real_value_takes_the_nearest_point() -> None:
    space = parse_space_text("space: s\nnetwork: head\ntrain: {lr: {float: [1e-4, 1e-1], log: true}}\n")
    row = space.to_row({"train.lr": 0.0123456})
    assert space.to_values(row)["train.lr"] == pytest.approx(0.0123456, rel=0.004)
    for outside in (0.2, 1e-5, 0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(MetanasError, match=r"train\.lr is one of"):
            space.to_row({"train.lr": outside})


def test_the_same_seed_gives_the_same_rows_in_another_process() -> None:
    script = (
        "import numpy as np; from metanas.space import load_space\n"
        "for name in ('convnet', 'mobile'):\n"
        "    space, rng = load_space(name), np.random.default_rng(7)\n"
        "    rows = space.sample(20, rng); print(rows.tolist()); rows = space.mutate(rows, rng); print(rows.tolist())\n"
        "    print(space.neighbours(rows[0], rng).tolist(), list(space.columns))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])},
        ).stdout
        for hash_seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


@pytest.mark.parametrize("name", ["darts", "mobile", "nasbench101", "hierarchical", "mlp", "once_for_all"])
def test_covering_rows_hold_every_option_once(name: str) -> None:
    space = load_space(name)
    rows = space.covering_rows(np.random.default_rng(0))
    assert (space.active(rows) == (rows >= 0)).all()
    for column, decision in enumerate(space.decisions):
        wanted = set(range(decision.size)) if decision.kind == "choice" else {0, decision.size - 1}
        assert wanted <= set(rows[:, column].tolist())


def test_covering_rows_hold_both_ends_of_a_range_that_no_draw_would_hit() -> None:
    space = parse_space_text("space: s\nnetwork: [{dense: {units: {int: [1, 10000]}}}, head]\n")
    assert sorted(space.covering_rows(rng())[:, 0].tolist()) == [0, 9_999]


def test_constraints_are_met_on_the_way_to_all_rows() -> None:
    text = "space: s\nnetwork: [{id: s, repeat: {conv: {kernel: {choice: [1, 3, 5]}}}, times: {int: [1, 20]}, share: false}, head]\n"
    space = parse_space_text(text + "constraints: ['s.times <= 5']\n")
    rows = space.rows(400)  # 3^20 without the constraint
    assert len(rows) == space.size == 363
    assert space.satisfies(rows).all()


def test_no_fewer_than_no_rows_are_sampled() -> None:
    space = load_space("mlp")
    assert space.sample(0, rng()).shape == (0, len(space.decisions))
    with pytest.raises(MetanasError, match="a sample is of 0 rows or more, found -1"):
        space.sample(-1, rng())
