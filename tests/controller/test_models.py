"""Strategies with a model, on a table of 256 architectures whose best one is known, and two sources like it."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from metanas.bench._players import StrategyPlayer
from metanas.bench._target import Target
from metanas.controller import HammingGP, Observation, RankingWeightedEnsemble, Strategy
from metanas.controller._pool import Pool, expected_improvement, known_losses, normal_losses, remembered
from metanas.controller._rgpe import _misranked
from metanas.controller._transfer import source_scores
from metanas.space import parse_space_text
from metanas.study import make_strategy
from metanas.tables import ResultTable, TaskData

SPACE = parse_space_text(
    "space: t\nlanguage: 1\ninput: table\ntabular: {a: {choice: [0, 1, 2, 3]}, b: {choice: [0, 1, 2, 3]},"
    " c: {choice: [0, 1, 2, 3]}, d: {choice: [0, 1, 2, 3]}}\n"
)
ROWS = SPACE.rows(256)
MODELS = ["gp", "forest", "trees", "bananas"]
TRANSFER = ["source_rank", "source_ridge", "source_gp", "rgpe"]


def _table(name: str, shift: float = 0.0) -> ResultTable:
    effects = np.array([[3.0, 0.5, 1.0, 2.0], [0.0, 2.0, 1.0, 4.0], [1.0, 1.5, 0.0, 1.0], [0.2, 0.0, 0.4, 0.6]])
    effects[2] += shift * np.array([1, -1, 1, -1])
    losses = sum(effects[j][ROWS[:, j]] for j in range(4)) + 0.5 * (ROWS[:, 0] == ROWS[:, 1])
    return ResultTable(
        name=name, space=SPACE, rows=ROWS, metrics={"loss": losses[:, None]}, metric="loss", direction="minimize"
    )


def _sources(k: int | None = 60) -> tuple[TaskData, ...]:
    return tuple(_table(f"s{n}", 0.3 * n).task(k, np.random.default_rng(n)) for n in range(2))


def _search(strategy: Strategy, n: int, seed: int = 0) -> tuple[list[float], StrategyPlayer]:
    target = Target(_table("target"), seed=seed, values="mean")
    player = StrategyPlayer(strategy, SPACE)
    losses = []
    for number in range(n):
        proposal = player.propose(target, np.random.default_rng([seed, number]))
        assert proposal is not None
        assert target(proposal.row)
        losses.append(target.evaluate(proposal.row))
        player.end(player.begin(proposal.row), losses[-1])
    return losses, player


def _optimum() -> float:
    return float(_table("target").mean_losses.min())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_finds_the_optimum_and_ranks(name: str) -> None:
    # Random search comes as near in one of five searches.
    losses, player = _search(make_strategy(name, {}), 30, seed=1)
    assert min(losses) <= _optimum() + 0.2
    predicted = player.predict(ROWS, np.random.default_rng(0))
    assert predicted is not None
    assert np.corrcoef(predicted, _table("target").mean_losses)[0, 1] > 0.6


@pytest.mark.parametrize("name", TRANSFER)
def test_what_sources_say_starts_ahead(name: str) -> None:
    for seed in range(2):
        losses, player = _search(make_strategy(name, {"sources": _sources()}), 12, seed)
        assert min(losses[:3]) <= _optimum() + 1.0
        assert min(losses) <= _optimum() + 0.3
    predicted = player.predict(ROWS, np.random.default_rng(0))
    assert predicted is not None
    assert np.corrcoef(predicted, _table("target").mean_losses)[0, 1] > 0.8


@pytest.mark.parametrize("name", ["source_ridge", "source_gp", "rgpe"])
def test_results_outweigh_sources_that_mislead(name: str) -> None:
    wrong = tuple(replace(source, losses=-source.losses) for source in _sources())
    losses, _ = _search(make_strategy(name, {"sources": wrong}), 50)
    by_rank, _ = _search(make_strategy("source_rank", {"sources": wrong}), 50)
    assert min(losses) <= _optimum() + 0.3 < min(by_rank)


@pytest.mark.parametrize("name", TRANSFER)
def test_without_sources_it_searches_all_the_same(name: str) -> None:
    losses, player = _search(make_strategy(name, {}), 5)
    assert len(losses) == 5
    assert name == "rgpe" or player.predict(ROWS, np.random.default_rng(0)) is None


@pytest.mark.parametrize("name", [*MODELS, *TRANSFER])
def test_it_goes_through_a_small_space_to_the_end_and_proposes_the_same_with_the_same_seed(name: str) -> None:
    settings = {"sources": _sources()} if name in TRANSFER else {"start": 3}
    strategy = make_strategy(name, settings)
    small = parse_space_text(
        "space: t\nlanguage: 1\ninput: table\ntabular: {a: {choice: [0, 1, 2]}, b: {choice: [0, 1]}}\n"
    )
    if name in TRANSFER:
        table = _table("target")
        part = ResultTable(
            name="part", space=SPACE, rows=ROWS[:9], metric="loss", direction="minimize",
            metrics={"loss": table.losses[:9]},
        )  # fmt: skip
        target, player, size = Target(part, seed=0, values="mean"), StrategyPlayer(strategy, SPACE), 9
        for number in range(size):
            proposal = player.propose(target, np.random.default_rng(number))
            assert proposal is not None
            player.end(player.begin(proposal.row), target.evaluate(proposal.row))
        assert player.propose(target, np.random.default_rng(0)) is None
        return
    seen: set[tuple[int, ...]] = set()
    observations: list[Observation] = []
    for number in range(6):
        twice = [
            strategy.propose(small, observations, lambda row: tuple(row) not in seen, np.random.default_rng(number))
            for _ in range(2)
        ]
        assert twice[0] is not None
        assert twice[1] is not None
        assert twice[0].row.tolist() == twice[1].row.tolist()
        row = tuple(int(v) for v in twice[0].row)
        seen.add(row)
        losses = None if number == 4 else (float(sum(row)),)  # one fails
        observations.append(Observation(number=number, row=row, losses=losses))
    assert strategy.propose(small, observations, lambda row: tuple(row) not in seen, np.random.default_rng(9)) is None


def test_what_sources_say_of_rows_does_not_depend_on_the_pool_they_are_of() -> None:
    sources, table = _sources(), _table("target")
    some, pool = table.rows[[3, 200, 17]].copy(), table.rows.copy()
    alone = source_scores(table.space, sources, some.copy())
    np.testing.assert_array_equal(source_scores(table.space, sources, some.copy(), pool), alone)
    # One of them is not of the pool.
    np.testing.assert_array_equal(source_scores(table.space, sources, some, pool[:100].copy()), alone)


def test_workers_at_the_same_time_get_different_architectures() -> None:
    observations = [
        Observation(number=n, row=tuple(int(v) for v in ROWS[17 * n]), losses=(float(n),)) for n in range(12)
    ] + [Observation(number=12, row=tuple(int(v) for v in ROWS[1]), losses=None, pending=True)]
    known = {o.row for o in observations}
    for name in MODELS:
        proposal = make_strategy(name, {}).propose(
            SPACE, observations, lambda row: tuple(row) not in known, np.random.default_rng(0)
        )
        assert proposal is not None
        assert tuple(proposal.row) not in known


# --- the Gaussian process


def _data(n: int = 40) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    chosen = np.random.default_rng(1).permutation(256)[:n]
    return ROWS[chosen], _table("t").mean_losses[chosen]


def test_the_gradient_of_the_likelihood_is_that_of_finite_differences() -> None:
    from metanas.controller._hamming import _loss

    rows, y = _data(15)
    differs = (rows[:, None] != rows[None]).astype(float).transpose(2, 0, 1)
    theta = np.array([-1.0, 0.3, -2.0, 0.5, 0.2, -1.5])
    _, gradient = _loss(theta, differs, y)
    for j in range(6):
        step = np.eye(6)[j] * 1e-5
        slope = (_loss(theta + step, differs, y)[0] - _loss(theta - step, differs, y)[0]) / 2e-5
        assert gradient[j] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_leaving_one_out_is_what_a_process_without_it_predicts() -> None:
    rows, y = _data(20)
    gp = HammingGP.fit(rows, y)
    means, deviations = gp.leave_one_out()
    for i in (0, 7):
        others = np.arange(20) != i
        known, targets = rows[others], y[others]
        variance = np.exp(gp.theta[-2]) + np.exp(gp.theta[-1]) + 1e-6
        first = (targets[:1] - gp.offset) / gp.spread
        one = replace(gp, rows=known[:1], factor=np.array([[np.sqrt(variance)]]), alpha=first / variance)
        without = one.given(known[1:], targets[1:])
        mean, deviation = without.predict(rows[i : i + 1])
        noisy = np.hypot(deviation, gp.spread * np.sqrt(np.exp(gp.theta[-1]) + 1e-6))
        assert means[i] == pytest.approx(mean[0], rel=1e-6)
        assert deviations[i] == pytest.approx(noisy[0], rel=1e-4)


def test_the_process_learns_which_decisions_matter() -> None:
    rows, y = _data(80)
    gp = HammingGP.fit(rows, y)
    assert gp.theta[3] < gp.theta[1]
    mean, deviation = gp.predict(ROWS)
    assert np.corrcoef(mean, _table("t").mean_losses)[0, 1] > 0.95
    assert (deviation > 0).all()


def test_equal_targets_are_no_trouble() -> None:
    rows, _ = _data(5)
    mean, deviation = HammingGP.fit(rows, np.full(5, 3.0)).predict(ROWS)
    assert np.allclose(mean, 3.0)
    assert np.isfinite(deviation).all()


# --- what they share


def test_expected_improvement_is_what_draws_improve_on_average() -> None:
    rng = np.random.default_rng(0)
    mean, deviation = np.array([0.0, 1.0, -0.5]), np.array([1.0, 0.3, 0.01])
    draws = np.maximum(0.2 - (mean + deviation * rng.standard_normal((400_000, 3))), 0).mean(axis=0)
    assert np.allclose(expected_improvement(mean, deviation, 0.2), draws, atol=3e-3)


def test_normal_scores_keep_order_and_ties() -> None:
    scores = normal_losses(np.array([5.0, 1.0, 100.0, 1.0]))
    assert scores[1] == scores[3] < scores[0] < scores[2]
    assert scores.mean() == pytest.approx(0, abs=0.2)


def test_repeats_count_by_their_mean_and_failures_as_the_worst() -> None:
    observations = [
        Observation(number=0, row=(0,), losses=(1.0,)), Observation(number=1, row=(0,), losses=(3.0,)),
        Observation(number=2, row=(1,), losses=None), Observation(number=3, row=(2,), losses=(5.0,)),
        Observation(number=4, row=(3,), losses=None, pending=True),
    ]  # fmt: skip
    rows, losses = known_losses(observations)
    assert dict(zip(rows[:, 0].tolist(), losses.tolist(), strict=True)) == {0: 2.0, 1: 5.0, 2: 5.0}


def test_a_pool_that_is_thinned_keeps_the_neighbours() -> None:
    pool = Pool(ROWS, None).thinned(20, ROWS[:1], np.random.default_rng(0))
    near = (pool.rows != ROWS[0]).sum(axis=1) <= 1
    assert near.sum() == 13
    assert 20 <= len(pool.rows) <= 33


def test_a_memory_is_of_the_very_object_and_keeps_nothing_alive() -> None:
    made: list[int] = []

    def ask(array: npt.NDArray[np.int64]) -> object:
        return remembered("test", (array,), lambda: made.append(len(made)) or len(made))  # type: ignore[func-returns-value]

    one, other = np.arange(3), np.arange(3)
    assert ask(one) == ask(one)
    assert ask(other) != ask(one)
    assert len(made) == 2


def test_pairs_that_a_draw_orders_wrongly() -> None:
    draws = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    assert _misranked(draws, np.array([0.1, 0.2, 0.3])).tolist() == [0, 6]


def test_weights_go_to_what_ranks_like_the_target() -> None:
    good, _ = _sources()
    bad = replace(good, losses=-good.losses)
    strategy = RankingWeightedEnsemble(sources=(good, bad))
    rows, y = _data(15)
    scores = normal_losses(y)
    weights = strategy._weights(rows, scores, HammingGP.fit(rows, scores), np.random.default_rng(0))
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0.3
    assert weights[1] == 0
