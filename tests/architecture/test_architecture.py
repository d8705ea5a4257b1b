"""An architecture as data: values, JSON, graph, constraints."""

import json

import numpy as np
import pytest

from metanas.architecture import Architecture, Measures, ShapeError, broken_constraint
from metanas.errors import MetanasError
from metanas.space import builtin_spaces, load_space, parse_space_text


@pytest.mark.parametrize("name", builtin_spaces())
def test_json_round_trip(name: str) -> None:
    space = load_space(name)
    for row in space.sample(20, np.random.default_rng(0)):
        architecture = Architecture(space, tuple(row.tolist()))
        text = architecture.to_json()
        assert Architecture.from_json(space, text) == architecture
        assert json.loads(text)["canonical_id"] == architecture.canonical_id
        np.testing.assert_array_equal(architecture.array, row)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON object"),
        ("[]", "with 'decisions'"),
        ("{}", "with 'decisions'"),
        ('{"decisions": 3}', "with 'decisions'"),
        ('{"decisions": {}}', "an active decision has a value"),
        ('{"decisions": {"widht": 8}}', "did you mean 'width'"),
        ('{"decisions": {"width": 9}}', "width is one of 8, 16, 24, 32"),
        ('{"decisions": {"width": null}}', "width is one of"),
        ('{"decisions": {"width": [8]}}', "width is one of"),
    ],
)
def test_json_that_is_no_architecture(text: str, words: str) -> None:
    with pytest.raises(MetanasError, match=words):
        Architecture.from_json(load_space("convnet"), text)


def test_the_graph_shows_ops_and_where_they_stand() -> None:
    space = load_space("nasbench201")
    values = dict.fromkeys(space.columns, "none") | {"cell.0->3": "skip"}
    graph = Architecture.from_values(space, values).graph
    ops = [node.op for node in graph.nodes]
    assert ops == ["input", "conv_bn", "res_block", "res_block", "bn", "relu", "global_pool", "head"]
    as_networkx = graph.to_networkx()
    assert as_networkx.number_of_edges() == len(ops) - 1
    assert as_networkx.nodes[2]["parameters"]["out"] == 32
    double = Architecture.from_values(space, values | {"cell.0->1": "skip", "cell.1->3": "skip"}).graph.to_networkx()
    assert double.number_of_edges(1, 2) == 2  # parallel edges are kept


def test_a_disconnected_network_has_no_layers() -> None:
    space = load_space("nasbench201")
    architecture = Architecture.from_values(space, dict.fromkeys(space.columns, "none"))
    assert architecture.graph.output is None
    with pytest.raises(ShapeError, match=r"a path leads from the input to the output.*no such path.*another"):
        architecture.layers((3, 32, 32), 10)


CONSTRAINED = """
space: s
input: table
network: [{id: d, repeat: {dense: {units: 8}}, times: {int: [0, 3]}}, head]
constraints: ["params <= 100", "depth >= 2", "d.times < 3 or flops > 1e9"]
"""


@pytest.mark.parametrize(
    ("times", "broken"), [(0, "depth >= 2"), (1, None), (2, "params <= 100"), (3, "params <= 100")]
)
def test_constraints_on_measures(times: int, broken: str | None) -> None:
    space = parse_space_text(CONSTRAINED)
    architecture = Architecture.from_values(space, {"d.times": times})
    measures = Measures.of(architecture.layers((4,), 2), batch_size=16)
    found = broken_constraint(space, architecture, measures)
    assert (found.text if found else None) == broken


def test_a_constraint_that_divides_by_a_measure_of_zero_is_not_met() -> None:
    space = parse_space_text('space: s\ninput: table\nnetwork: []\nconstraints: ["flops / params < 3"]\n')
    architecture = Architecture(space, ())
    found = broken_constraint(space, architecture, Measures.of(architecture.layers((4,), 4), batch_size=1))
    assert found is not None


@pytest.mark.parametrize("row", [(0, 1), (99,) * 7, (0,) * 8, (-2, *(0,) * 6)])
def test_what_is_no_row_is_refused(row: tuple[int, ...]) -> None:
    with pytest.raises(MetanasError, match="for each of its 7 decisions"):
        Architecture(load_space("mlp"), row)


def test_architectures_are_told_apart_and_shown_by_their_rows() -> None:
    space = load_space("mlp")
    first, second = (
        Architecture(space, tuple(int(v) for v in row)) for row in space.sample(2, np.random.default_rng(0))
    )
    assert len({first, second, Architecture(space, first.row)}) == 2
    assert repr(first) == f"Architecture(mlp, {first.row})"
