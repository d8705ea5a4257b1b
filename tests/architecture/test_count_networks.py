"""Counts of networks against enumeration, against the literature, and estimates against the truth."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from metanas.architecture import CanonicalIds, count_networks, estimate_networks
from metanas.architecture._count_cells import count_fillings
from metanas.architecture._count_words import OutOfReachError, count_words
from metanas.space import SearchSpace, load_space, parse_space_text


def space_of(network: object, **keys: object) -> SearchSpace:
    return parse_space_text(json.dumps({"space": "s", "language": 1, "input": "image", "network": network, **keys}))


def enumerated(space: SearchSpace) -> tuple[int, bool]:
    """Different networks that are not cut, and whether some row is."""
    ids = CanonicalIds(space)
    rows = space.rows(100_000)
    cut = [ids.is_cut(row) for row in rows]
    return len({ids.of(row) for row, c in zip(rows, cut, strict=True) if not c}), any(cut)


def series_module(rng: random.Random, depth: int) -> object:
    """Parts in series whose words often agree: options of several lengths, copies, shared decisions."""
    leaves = ["relu", "tanh", "identity", ["relu", "tanh"], {"avg_pool": {"kernel": {"choice": [1, 3]}}}]
    if depth == 0:
        return rng.choice(leaves)

    def inner() -> object:
        return series_module(rng, depth - 1)

    match rng.randrange(5):
        case 0:
            return [inner() for _ in range(rng.randint(1, 3))]
        case 1:
            return {"choice": {"abc"[k]: inner() for k in range(rng.randint(2, 3))}}
        case 2:
            return {"optional": inner()}
        case 3:
            return {"repeat": inner(), "times": {"int": [1, 3]}, "share": rng.random() < 0.5}
        case _:
            return {"avg_pool": {"kernel": rng.choice(["$k", 3])}}


@pytest.mark.parametrize("seed", range(60))
def test_words_are_counted_as_by_enumeration(seed: int) -> None:
    rng = random.Random(seed)
    network = [series_module(rng, rng.randint(1, 3)) for _ in range(rng.randint(1, 3))]
    while True:
        space = space_of([*network, {"optional": {"avg_pool": {"kernel": "$k"}}}], let={"k": {"choice": [1, 3, 5]}})
        if space.size is not None and space.size <= 10_000:
            break
        network.pop()
    assert count_words(space, CanonicalIds(space)) == enumerated(space)


@pytest.mark.parametrize("seed", range(40))
def test_fillings_are_counted_as_by_enumeration(seed: int) -> None:
    rng = random.Random(seed)
    plain = ["relu", "tanh", "sigmoid", "gelu"][: rng.randint(2, 4)]
    op = {"choice": [*plain, *rng.sample(["identity", "none"], rng.randint(0, 2))]}
    if rng.random() < 0.5:
        cell: dict[str, object] = {"nodes": dict.fromkeys("abc"[: rng.randint(1, 3)], op), "every_edge": "optional"}
        cell["output"] = rng.choice(["concat", "sum"])
        if rng.random() < 0.5:
            cell["max_edges"] = rng.randint(2, 5)
    else:
        cell = {"nodes": rng.randint(3, 4), "every_edge": op, "merge": rng.choice(["sum", "mean", "concat"])}
    space = space_of([{"repeat": {"graph": cell}, "times": rng.randint(1, 3)}, "bn"])
    if space.size is None or space.size > 20_000:
        cell["max_edges"] = 2
        space = space_of([{"graph": cell}, "bn"])
    assert count_fillings(space, CanonicalIds(space), 100_000, iter) == enumerated(space)


def test_holes_that_overlap_are_not_counted_by_filling() -> None:
    nodes = {"a": {"choice": ["relu", "tanh"]}, "b": {"choice": ["tanh", "gelu"]}}
    space = space_of([{"graph": {"nodes": nodes, "every_edge": "optional"}}])
    with pytest.raises(OutOfReachError):
        count_fillings(space, CanonicalIds(space), 100_000, iter)
    count = count_networks(space, np.random.default_rng(0))
    assert count is not None
    assert count.exact == enumerated(space)[0]


def test_nasbench101_has_the_networks_of_its_paper() -> None:
    space = load_space("nasbench101")
    count = count_networks(space, np.random.default_rng(0))
    assert space.size == 169_093_980
    assert count is not None
    assert count.exact == 423_624


@pytest.mark.parametrize(
    ("name", "networks"),
    [("nasbench201", 5_425), ("once_for_all", 21_758_655_492_572_485_851), ("text_encoder", 1_946_643_566_868)],
)
def test_networks_of_large_spaces_are_counted_exactly(name: str, networks: int) -> None:
    count = count_networks(load_space(name), np.random.default_rng(0))
    assert count is not None
    assert count.exact == networks


@pytest.mark.parametrize(("name", "networks"), [("nasbench201", 5_425), ("nasbench_macro", 3_969), ("mlp", 1_440)])
def test_intervals_of_estimates_hold_the_truth(name: str, networks: int) -> None:
    space = load_space(name)
    counts = [estimate_networks(space, np.random.default_rng(seed)) for seed in range(3)]
    for count in counts:
        assert count is not None
        assert count.exact is None
        low, high = count.interval
        assert low <= networks <= high
        assert low <= count.estimate <= high
        assert space.size is not None
        assert high <= space.size


def test_a_cut_network_counts_once_where_none_cuts_it() -> None:
    by_none = space_of([{"graph": {"nodes": 2, "every_edge": {"choice": ["none", "relu"]}}}])
    by_edge = space_of([{"graph": {"nodes": ["in", "out"], "every_edge": "optional"}}, "relu"])
    for space, networks in ((by_none, 2), (by_edge, 1)):
        count = count_networks(space, np.random.default_rng(0))
        assert count is not None
        assert count.exact == networks


def test_more_rows_than_a_float_holds_are_not_estimated() -> None:
    body = "{repeat: {conv: {out: {int: [1, 9000]}}}, times: 100, share: false}"
    space = parse_space_text(f"space: a\nnetwork: [{body}, head]\n")
    assert estimate_networks(space, np.random.default_rng(0)) is None


def few_of_many(*constraints: str) -> SearchSpace:
    body = "{conv: {kernel: {choice: [1, 3, 5]}}}"
    text = f"space: s\nnetwork: [{{id: s, repeat: {body}, times: 16, share: false}}, head]\n"
    return parse_space_text(text + f"constraints: {list(constraints)}\n")


def test_few_rows_that_constraints_leave_of_many_are_enumerated() -> None:
    space = few_of_many(*(f"s.{copy}.kernel == 1" for copy in range(1, 13)))
    assert space.size == 81
    count = count_networks(space, np.random.default_rng(0), enumerable=81)
    assert count is not None
    assert count.exact == 81


def test_what_cannot_be_enumerated_is_estimated() -> None:
    space = few_of_many("s.13.kernel * s.14.kernel * s.15.kernel * s.16.kernel >= 375", "s.1.kernel + s.12.kernel == 2")
    assert space.size == 5 * 3**10
    # So many rows are within this limit, but not what is on the way to the constraint.
    count = count_networks(space, np.random.default_rng(0), enumerable=space.size)
    assert count is not None
    assert count.exact is None
    assert 0 < count.interval[0] <= count.estimate <= count.interval[1] <= space.size
