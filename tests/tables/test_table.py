import numpy as np
import pytest

from metanas.space import parse_space_text
from metanas.tables import ResultTable

SPACE = parse_space_text(
    "space: t\nlanguage: 1\ninput: table\ntabular: {a: {choice: [x, y]}, b: {choice: [1, 2, 3]}}\n"
)


def _table(**changes: object) -> ResultTable:
    rows = np.array([[0, 0], [0, 1], [1, 2]])
    values = np.array([[1.0, 3.0], [5.0, np.nan], [0.0, 0.0]])
    given = {
        "name": "t", "space": SPACE, "rows": rows, "metrics": {"acc": values}, "metric": "acc", "direction": "maximize",
    } | changes  # fmt: skip
    return ResultTable(**given)  # type: ignore[arg-type]


def test_losses_have_less_for_better_and_means_leave_missing_repeats_out() -> None:
    assert _table().mean_losses.tolist() == [-2, -5, 0]
    assert _table(direction="minimize").mean_losses.tolist() == [2, 5, 0]


def test_index_finds_each_row_and_no_other() -> None:
    table = _table()
    assert table.index(table.rows).tolist() == [0, 1, 2]
    assert table.index(np.array([[1, 0], [0, 2]])).tolist() == [-1, -1]
    assert table.index(np.empty((0, 2), dtype=np.int64)).tolist() == []


def test_index_follows_aliases() -> None:
    table = _table(aliases=(np.array([[1, 1]]), np.array([2])))
    assert table.index(np.array([[1, 1], [1, 2], [1, 0]])).tolist() == [2, 2, -1]


def test_index_of_a_space_with_more_codes_than_an_integer_holds() -> None:
    decisions = "".join(f"d{i}: {{choice: [1, 2, 3, 4, 5, 6, 7]}}, " for i in range(30))
    space = parse_space_text(f"space: t\nlanguage: 1\ninput: table\ntabular: {{{decisions}}}\n")
    rows = space.sample(50, np.random.default_rng(0))
    table = _table(space=space, rows=rows, metrics={"acc": np.zeros((50, 1))})
    assert table.index(rows).tolist() == list(range(50))
    assert table.index((rows + 1) % 7).tolist() == [-1] * 50


def test_a_task_knows_k_architectures_and_with_single_one_repeat_of_each() -> None:
    table = _table()
    task = table.task(2, np.random.default_rng(0))
    assert task.rows.shape == (2, 2)
    assert np.allclose(task.mean_losses, table.mean_losses[table.index(task.rows)])
    single = table.task(None, np.random.default_rng(0), single=True)
    assert single.losses.shape == (3, 1)
    assert np.isfinite(single.losses).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_task_is_the_same_for_the_same_seed(seed: int) -> None:
    one, other = (_table().task(2, np.random.default_rng(seed)) for _ in range(2))
    assert one.rows.tolist() == other.rows.tolist()
