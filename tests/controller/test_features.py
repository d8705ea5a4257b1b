"""What models of one search read of architectures."""

import numpy as np

from metanas.controller._features import one_hot, path_bits, structural
from metanas.space import load_space, parse_space_text

CELLS = load_space("nasbench201")
TRAINED = parse_space_text(
    "space: t\nlanguage: 1\ninput: table\n"
    "network: [{dense: {units: {choice: [4, 8]}}}, head]\n"
    "train: {optimizer: {choice: [sgd, adamw]}, lr: {float: [0.001, 0.1], log: true}}\n"
)
TABLE = parse_space_text(
    "space: t\nlanguage: 1\ninput: table\ntabular: {a: {choice: [x, y]}, b: {choice: [x, y, z]}}\n"
)


def test_paths_are_bits_and_the_same_for_equal_networks() -> None:
    rows = CELLS.sample(200, np.random.default_rng(0))
    bits = path_bits(CELLS, rows)
    assert set(np.unique(bits)) == {0.0, 1.0}
    # Edges into a node that leads nowhere: where the last three read nothing, the output is cut, whatever the others are.
    dead = rows[:2].copy()
    none = [d.values.index("none") for d in CELLS.decisions]
    ends = [c for c, d in enumerate(CELLS.decisions) if d.name.endswith(">3")]
    dead[:, ends] = np.array(none)[ends]
    assert (dead[0] != dead[1]).any()
    first, second = path_bits(CELLS, dead)
    assert (first == second).all()
    assert not first.any()


def test_rows_are_read_alike_alone_and_among_others() -> None:
    rows = CELLS.sample(50, np.random.default_rng(1))
    for read in (path_bits, structural):
        together = read(CELLS, rows)
        assert all((read(CELLS, row[None])[0] == line).all() for row, line in zip(rows, together, strict=True))


def test_structure_stands_beside_decisions() -> None:
    rows = CELLS.sample(50, np.random.default_rng(2))
    decisions, both = one_hot(CELLS, rows), structural(CELLS, rows)
    assert (both[:, : decisions.shape[1]] == decisions).all()
    assert both.shape[1] > 2 * decisions.shape[1]


def test_what_no_path_tells_is_read_by_decisions() -> None:
    rows = TRAINED.sample(100, np.random.default_rng(3))
    bits = path_bits(TRAINED, rows)
    assert bits.shape[1] > 0
    for column, decision in enumerate(TRAINED.decisions):
        other = rows[:1].copy()
        other[0, column] = decision.size - 1 - other[0, column]
        assert (path_bits(TRAINED, other)[0] != bits[0]).any(), decision.name


def test_a_table_without_graphs_is_read_by_decisions() -> None:
    rows = TABLE.rows(6)
    assert (path_bits(TABLE, rows) == one_hot(TABLE, rows)).all()
    assert (structural(TABLE, rows) == one_hot(TABLE, rows)).all()


def test_a_space_too_large_to_list_is_read_by_decisions() -> None:
    space = load_space("darts")
    rows = space.sample(5, np.random.default_rng(4))
    assert (structural(space, rows) == one_hot(space, rows)).all()
