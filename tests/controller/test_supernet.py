"""The strategy that goes through a supernet's ranking."""

from dataclasses import replace

import numpy as np
import pytest

from metanas.controller import Observation, Strategy, SupernetRanking
from metanas.errors import MetanasError
from metanas.space import parse_space_text

SPACE = parse_space_text(
    "space: s\ninput: table\nlet: {a: {choice: [1, 2, 3, 4]}, b: {choice: [1, 2, 3]}}\n"
    "network: [{dense: {units: $a}}, {dense: {units: $b}}, head]\n"
)
ROWS = tuple((a, b) for a in range(4) for b in range(3))


def seen(losses: dict[tuple[int, int], float]) -> list[Observation]:
    return [Observation(number=k, row=row, losses=(loss,)) for k, (row, loss) in enumerate(losses.items())]


def propose(strategy: Strategy, observations: list[Observation]) -> tuple[tuple[int, ...], str]:
    known = {each.row for each in observations}
    proposal = strategy.propose(
        SPACE, observations, lambda row: tuple(row.tolist()) not in known, np.random.default_rng(0)
    )
    assert proposal is not None
    return tuple(proposal.row.tolist()), proposal.origin


def test_the_ranking_is_gone_through_from_the_best() -> None:
    strategy = SupernetRanking(ranking=(ROWS, tuple(float(k) for k in range(12))))
    assert propose(strategy, []) == (ROWS[0], "supernet")
    assert propose(strategy, seen({ROWS[0]: 1.0, ROWS[1]: 2.0})) == (ROWS[2], "supernet")


def test_a_ranking_that_disagrees_with_evaluations_is_left() -> None:
    strategy = SupernetRanking(check=4, ranking=(ROWS, tuple(float(k) for k in range(12))))
    agrees = seen({row: float(k) for k, row in enumerate(ROWS[:4])})
    assert strategy.agreement(agrees) == 1
    assert propose(strategy, agrees)[1] == "supernet"
    disagrees = seen({row: -float(k) for k, row in enumerate(ROWS[:4])})
    assert strategy.agreement(disagrees) == -1
    assert propose(strategy, disagrees)[1] != "supernet"
    assert propose(replace(strategy, check=5), disagrees)[1] == "supernet", "too few to tell"


def test_without_a_ranking_and_after_it_the_search_goes_on() -> None:
    assert propose(SupernetRanking(), [])[1] == "random"
    strategy = SupernetRanking(ranking=((ROWS[0],), (0.0,)))
    assert propose(strategy, seen({ROWS[0]: 1.0}))[1] != "supernet"


def test_meta_begins_with_what_the_ranking_promises_and_weighs_it() -> None:
    losses = np.array([abs(a - 3) + abs(b - 1) for a, b in ROWS], dtype=float)
    order = np.argsort(losses)
    strategy = SupernetRanking(ranking=(tuple(ROWS[k] for k in order), tuple(losses[order]))).guided(SPACE)
    observations: list[Observation] = []
    for number in range(10):
        row, _ = propose(strategy, observations)
        # The truth is the other way round.
        observations.append(Observation(number=number, row=row, losses=(-abs(row[0] - 3) - abs(row[1] - 1) + 0.0,)))
    assert observations[0].row == (3, 1)
    assert min(observations, key=lambda o: o.losses[0] if o.losses else 0.0).row in {(0, 0), (0, 2)}
    assert propose(SupernetRanking().guided(SPACE), [])[1] == "random"


def test_settings_are_checked() -> None:
    with pytest.raises(MetanasError, match="did you mean 'gdas'"):
        SupernetRanking(method="gdaz")
    with pytest.raises(MetanasError, match="at least"):
        SupernetRanking(epochs=0)
