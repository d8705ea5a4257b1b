"""Spaces that tests of the controller enumerate, or take apart."""

from collections.abc import Callable

import pytest

from metanas.space import SearchSpace, parse_space_text


@pytest.fixture(scope="session")
def nested() -> SearchSpace:
    """210 rows: recursion, copies, a prior and a short range."""
    return parse_space_text("""
space: nested
language: 1
input: image
blocks:
  motif:
    depth: 2
    choice:
      leaf: {conv_bn: {kernel: {choice: [1, 3, 5], prior: [2, 1, 1]}}}
      pair: [{new: motif}, {new: motif}]
      skip: {residual: {new: motif}}
network:
  - {id: first, new: motif}
  - {id: tail, repeat: {conv_bn: {kernel: {choice: [1, 3]}}}, times: {int: [1, 3]}, share: false}
  - global_pool
  - head
""")


@pytest.fixture(scope="session")
def ranges() -> SearchSpace:
    """Two long ranges and a short one."""
    return parse_space_text("""
space: ranges
language: 1
input: table
tabular:
  kind: {choice: [a, b, c]}
  rate: {float: [0.001, 1], log: true}
  depth: {int: [1, 40]}
  width: {int: [1, 4]}
""")


@pytest.fixture(scope="session")
def slots() -> Callable[[int], SearchSpace]:
    """A space of so many choices of five."""

    def make(count: int) -> SearchSpace:
        decisions = ", ".join(f"x{j}: {{choice: [a, b, c, d, e]}}" for j in range(count))
        return parse_space_text(f"space: slots\nlanguage: 1\ninput: table\ntabular: {{{decisions}}}\n")

    return make
