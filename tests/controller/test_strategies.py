"""Strategies: what they propose, that they repeat themselves, and that they beat random where the optimum is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metanas._rng import generator
from metanas.controller import Evolution, LocalSearch, Observation, RandomSearch, Strategy, rank_observations
from metanas.errors import MetanasError
from metanas.space import SearchSpace, parse_space_text

SEPARABLE = "space: separable\nlanguage: 1\ninput: table\nlet:\n" + "".join(
    f"  x{i}: {{choice: [1, 2, 3, 4, 5, 6]}}\n" for i in range(8)
)
SEPARABLE += "network:\n" + "".join(f"  - dense: {{units: $x{i}}}\n" for i in range(8)) + "  - head\n"
SMALL = """\
space: small
language: 1
input: table
network:
  - id: a
    choice:
      wide: {dense: {units: {choice: [2, 4, 8]}}}
      deep: {repeat: {dense: {units: 2}}, times: {int: [1, 4]}}
  - head
"""
STRATEGIES = [RandomSearch(), Evolution(), Evolution(population=4, sample=2), LocalSearch(), LocalSearch(start=1)]


@pytest.fixture(scope="module")
def separable() -> SearchSpace:
    return parse_space_text(SEPARABLE)


def run(
    strategy: Strategy,
    space: SearchSpace,
    loss: Callable[[Any], tuple[float, ...] | None],
    trials: int,
    seed: int,
    delay: int = 0,
) -> list[Observation]:
    """A search in which a result is known ``delay`` proposals after its architecture was proposed."""
    seen: list[tuple[int, ...]] = []
    for number in range(trials):
        observations = [
            Observation(
                number=n, row=row, losses=None if number - n <= delay else loss(row), pending=number - n <= delay
            )
            for n, row in enumerate(seen)
        ]
        known = set(seen)

        def accept(row: Any, known: set[tuple[int, ...]] = known) -> bool:
            return tuple(int(v) for v in row) not in known

        proposal = strategy.propose(space, observations, accept, generator(seed, number))
        if proposal is None:
            break
        seen.append(tuple(int(v) for v in proposal.row))
    return [Observation(number=n, row=row, losses=loss(row)) for n, row in enumerate(seen)]


def separable_loss(row: tuple[int, ...]) -> tuple[float]:
    """Least, 0, at (5, 0, 5, 0, …)."""
    return (float(sum(abs(value - 5 * (i % 2 == 0)) for i, value in enumerate(row))),)


@pytest.mark.parametrize(("strategy", "margin"), [(Evolution(population=15, sample=5), 2.5), (LocalSearch(), 6.0)])
def test_better_than_random_on_a_separable_function(separable: SearchSpace, strategy: Strategy, margin: float) -> None:
    best = {
        kind: [min(o.losses for o in run(kind, separable, separable_loss, 80, seed))[0] for seed in range(12)]
        for kind in (strategy, RandomSearch())
    }
    assert np.mean(best[strategy]) < np.mean(best[RandomSearch()]) - margin


def test_local_search_finds_the_optimum_of_a_separable_function(separable: SearchSpace) -> None:
    found = run(LocalSearch(), separable, separable_loss, 400, 0)
    assert min(o.losses for o in found) == (0.0,)


def test_local_search_leaves_a_local_optimum() -> None:
    space = parse_space_text(SMALL.replace("[2, 4, 8]", "[2, 3, 4, 5, 6, 7, 8, 9]"))
    worst = [tuple(int(v) for v in row) for row in space.rows(100)]

    def trap(row: tuple[int, ...]) -> tuple[float]:
        # The first row is better than all its neighbours, and the last is best of all.
        return (-2.0,) if row == worst[-1] else (-1.0,) if row == worst[0] else (float(worst.index(row)),)

    rows = [o.row for o in run(LocalSearch(start=1), space, trap, 100, 1)]
    assert sorted(rows) == sorted(worst)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@pytest.mark.parametrize("delay", [0, 3])
def test_each_row_is_proposed_once_and_a_small_space_to_its_end(strategy: Strategy, delay: int) -> None:
    space = parse_space_text(SMALL)
    found = run(strategy, space, lambda row: (float(sum(row)),), 50, 0, delay)
    assert sorted(o.row for o in found) == sorted(tuple(int(v) for v in row) for row in space.rows(100))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_failures_and_waiting_trials_stop_no_strategy(strategy: Strategy) -> None:
    space = parse_space_text(SMALL)
    assert len(run(strategy, space, lambda row: None, 50, 0)) == space.size
    nan = run(strategy, space, lambda row: (float("nan"),), 50, 0)
    assert len(nan) == space.size
    assert len(run(strategy, space, lambda row: (1.0,), 50, 0, delay=50)) == space.size


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_the_same_seed_proposes_the_same(separable: SearchSpace, strategy: Strategy) -> None:
    runs = [run(strategy, separable, separable_loss, 40, seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_evolution_mutates_the_best_of_its_youngest(separable: SearchSpace) -> None:
    old = Observation(number=0, row=(0,) * 8, losses=(-100.0,))
    young = [Observation(number=n, row=(n,) * 8, losses=(float(n),)) for n in range(1, 5)]
    evolution = Evolution(population=4, sample=4)
    for seed in range(20):
        proposal = evolution.propose(separable, [old, *young], lambda row: True, generator(seed))
        assert proposal is not None
        assert proposal.origin == "mutation"
        assert sum(int(v) != 1 for v in proposal.row) == 1, "of (1, …, 1), since the best of all is too old"


def test_evolution_starts_at_random_and_counts_what_runs(separable: SearchSpace) -> None:
    def origin(done: int, running: int) -> str:
        seen = [Observation(number=n, row=(n % 6,) * 8, losses=(1.0,)) for n in range(done)]
        seen += [Observation(number=done + n, row=(n % 6,) * 8, losses=None, pending=True) for n in range(running)]
        proposal = Evolution(population=10, sample=3).propose(separable, seen, lambda row: True, generator(0))
        assert proposal is not None
        return proposal.origin

    assert origin(9, 0) == "random"
    assert origin(10, 0) == "mutation"
    assert origin(5, 5) == "mutation"
    assert origin(0, 10) == "random", "nothing to mutate yet"


def test_evolution_leaves_a_neighbourhood_that_is_used_up(separable: SearchSpace) -> None:
    parent = (2,) * 8
    seen = [Observation(number=0, row=parent, losses=(0.0,))]

    def far(row: Any) -> bool:
        return int((row != 2).sum()) >= 2

    for seed in range(10):
        proposal = Evolution(population=1, sample=1).propose(separable, seen, far, generator(seed))
        assert proposal is not None
        assert proposal.origin == "mutation"
        assert 2 <= int((proposal.row != 2).sum()) <= 7


def test_local_search_tries_a_neighbour_of_the_best(separable: SearchSpace) -> None:
    seen = [Observation(number=n, row=(n,) * 8, losses=(abs(n - 3.0),)) for n in range(6)]
    for seed in range(10):
        proposal = LocalSearch(start=5).propose(separable, seen, lambda row: True, generator(seed))
        assert proposal is not None
        assert proposal.origin == "neighbour"
        assert sum(int(v) != 3 for v in proposal.row) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Evolution(population=3, sample=4), "1 <= sample <= population"),
        (lambda: Evolution(population=0, sample=0), "sample 0, population 0"),
        (lambda: LocalSearch(start=0), "one architecture or more"),
    ],
)
def test_settings_out_of_range(make: Callable[[], Strategy], words: str) -> None:
    with pytest.raises(MetanasError, match=words):
        make()


def test_one_objective_ranks_by_it_and_the_first_goes_first() -> None:
    seen = [
        Observation(number=n, row=(n,), losses=loss)
        for n, loss in enumerate([(2.0,), (1.0,), None, (1.0,), (float("inf"),)])
    ]
    assert [o.number for o in rank_observations(seen)] == [1, 3, 0]
    assert rank_observations([]) == []


def test_several_objectives_rank_by_front_and_then_by_loneliness() -> None:
    losses = [(0.0, 10.0), (10.0, 0.0), (5.0, 5.0), (5.2, 4.9), (1.0, 9.0), (6.0, 6.0), (11.0, 11.0)]
    ranked = [
        o.number
        for o in rank_observations([Observation(number=n, row=(n,), losses=loss) for n, loss in enumerate(losses)])
    ]
    assert set(ranked[:2]) == {0, 1}, "the ends of the front"
    assert set(ranked[:5]) == {0, 1, 2, 3, 4}, "what nothing dominates"
    assert ranked[5:] == [5, 6]


def test_two_objectives_approach_the_whole_front(separable: SearchSpace) -> None:
    def loss(row: tuple[int, ...]) -> tuple[float, float]:
        waste = sum(row[1:])
        return (float(row[0] + waste), float(5 - row[0] + waste))

    def volume(strategy: Strategy, seed: int) -> float:
        found = np.array([o.losses for o in run(strategy, separable, loss, 120, seed)])
        return float(np.mean([np.min(found @ np.array([w, 1 - w])) for w in (0.1, 0.5, 0.9)]))

    evolution = [volume(Evolution(population=20, sample=5), seed) for seed in range(8)]
    random = [volume(RandomSearch(), seed) for seed in range(8)]
    assert np.mean(evolution) < np.mean(random) - 2
