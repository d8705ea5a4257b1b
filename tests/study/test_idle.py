"""Decisions without a say are found, and no others are named."""

import pytest

from metanas._rng import generator
from metanas.space import load_space, parse_space_text
from metanas.study._idle import idle_decisions


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["nasbench201", "nasbench101", "nasbench_graph", "hierarchical", "darts", "two_tower"])
def test_in_the_shipped_spaces_every_decision_matters(name: str, seed: int) -> None:
    assert idle_decisions(load_space(name), generator(seed, "idle")) == ()


def test_where_most_networks_are_cut() -> None:
    # Of six edges in a row, each of which is none in two of three ways, one network in 729 is whole.
    edge = "{choice: {a: none, b: [none], c: {conv: {kernel: {choice: [1, 3]}}}}}"
    edges = ", ".join(f"'{k}->{k + 1}': {edge}" for k in range(6))
    space = parse_space_text(f"space: a\nnetwork: [{{graph: {{nodes: 7, edges: {{{edges}}}}}}}, head]\n")
    assert idle_decisions(space, generator(0, "idle")) == ()


def test_decisions_without_a_say_are_named() -> None:
    text = """
space: a
network:
  - {id: idle, choice: {a: identity, b: {repeat: identity, times: 2}}}
  - {id: deep, choice: {a: {conv: {kernel: {choice: [1, 3]}}}, b: {id: quiet, choice: {a: identity, b: [identity]}}}}
  - head
constraints: ["deep == 'b' or idle == 'a'"]
"""
    assert idle_decisions(parse_space_text(text), generator(0, "idle")) == ("idle", "deep.quiet")
