"""The strategy ``meta``, on tasks whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from metanas.controller import Accept, Meta, Observation
from metanas.controller._acquisition import expected_gain
from metanas.errors import MetanasError
from metanas.predictor import Opinion, SpaceModel
from metanas.space import Rows, SearchSpace, parse_space_text
from metanas.tables import TaskData

Truth = Callable[[Rows, float], np.ndarray]


def unseen(observations: Sequence[Observation]) -> Accept:
    taken = {o.row for o in observations}
    return lambda row: tuple(row.tolist()) not in taken


def search(strategy: Meta, space: SearchSpace, steps: int, loss: Callable[[Rows], float]) -> list[tuple[int, ...]]:
    observations: list[Observation] = []
    for number in range(steps):
        proposal = strategy.propose(space, observations, unseen(observations), np.random.default_rng([7, number]))
        if proposal is None:
            break
        row = tuple(proposal.row.tolist())
        observations.append(Observation(number=number, row=row, losses=(loss(proposal.row[None]),)))
    return [o.row for o in observations]


def test_meta_starts_ahead_with_sources_and_finds_the_best_without(
    model: SpaceModel, space: SearchSpace, truth: Truth
) -> None:
    def loss(row: Rows) -> float:
        return float(truth(row, 0.2)[0])

    best = truth(space.rows(1000), 0.2).min()
    ahead = search(Meta(model=model), space, 8, loss)
    assert min(truth(np.array([row]), 0.2)[0] for row in ahead) < best + 0.2
    alone = search(Meta(), space, 35, loss)
    assert min(truth(np.array([row]), 0.2)[0] for row in alone) < best + 0.2
    assert search(Meta(), space, 12, loss) == alone[:12]


@pytest.mark.parametrize(("agreement", "turns"), [(0.4, [11, 13, 15, 17, 19]), (0.85, [15])])
def test_the_better_sources_agree_the_fewer_proposals_are_left_to_the_expert_without_them(
    model: SpaceModel, space: SearchSpace, monkeypatch: pytest.MonkeyPatch, agreement: float, turns: list[int]
) -> None:
    agreeing = replace(model, quality={"rank_correlation": {"p": {"0": agreement}}})
    asked: list[int] = []

    def recorded(opinion: Opinion, seen: np.ndarray) -> np.ndarray:
        asked[-1] += 1
        return expected_gain(opinion, seen)

    monkeypatch.setattr("metanas.controller._meta.expected_gain", recorded)
    observations: list[Observation] = []
    for number in range(20):
        asked.append(0)
        proposal = Meta(model=agreeing).propose(space, observations, lambda row: True, np.random.default_rng(number))
        assert proposal is not None
        row = proposal.row
        # It has nothing to do with the sources, so that the expert without them has a say.
        loss = 2.0 * (row[0] == row[2]) + (row[1] == row[3])
        observations.append(Observation(number=number, row=tuple(row.tolist()), losses=(loss,)))
    # Beside the mixture it was asked alone.
    assert [number for number, times in enumerate(asked) if times == 2] == turns


def repeats(strategy: Meta, space: SearchSpace, truth: Truth, noise: float) -> int:
    """Trainings again in a search whose losses are rounded, so that some come to the very same by chance."""
    rng = np.random.default_rng(0)

    def loss(row: Rows) -> float:
        return round(float(truth(row, 0.2)[0] + noise * rng.standard_normal()), 1)

    rows = search(strategy, space, 20, loss)
    assert len(rows) == 20
    return len(rows) - len(set(rows))


def test_leaders_are_trained_again_sooner_where_sources_agree_and_never_where_nothing_differs(
    model: SpaceModel, space: SearchSpace, truth: Truth
) -> None:
    strategies = [
        Meta(model=replace(model, quality={"rank_correlation": {"p": {"0": agreement}}}), single=True)
        for agreement in (0.2, 0.85)
    ]
    little, much = (repeats(strategy, space, truth, 0.3) for strategy in strategies)
    assert little < much < 12
    # Two that came to the very same are enough to know.
    assert repeats(strategies[1], space, truth, 0.0) == 2
    assert repeats(replace(strategies[1], repeats=1), space, truth, 0.3) == 0


def test_one_result_that_comes_again_by_chance_ends_no_repeats(
    model: SpaceModel, space: SearchSpace, truth: Truth
) -> None:
    rows = space.rows(1000)
    # The best ones are seen already, so that the question is which of them is best.
    rows = rows[np.argsort(truth(rows, 0.2), kind="stable")[:10]]
    losses = truth(rows, 0.2) + 0.5 * np.random.default_rng(1).standard_normal(10)
    observations = [
        Observation(number=i, row=tuple(row.tolist()), losses=(float(loss),))
        for i, (row, loss) in enumerate(zip(rows, losses, strict=True))
    ]
    strategy = Meta(model=replace(model, quality={"rank_correlation": {"p": {"0": 0.9}}}), single=True)

    def again(known: list[Observation]) -> bool:
        proposal = strategy.propose(space, known, lambda row: True, np.random.default_rng(0))
        assert proposal is not None
        return proposal.repeat

    assert again(observations)
    same = [replace(observations[i], number=10 + i) for i in range(2)]
    assert again([*observations, same[0]])
    assert not again([*observations, *same])
    assert again([*observations, *same, replace(observations[2], number=12, losses=(9.0,))])


NUMBERS = """
space: numbers
language: 1
input: table
network:
  - {id: body, dense: {units: {choice: [8, 16, 32]}}}
  - {id: act, choice: [relu, gelu]}
  - optional: {dropout: {rate: {float: [0.1, 0.5]}}}
  - head
train: {lr: {float: [1e-4, 1e-1], log: true}}
"""


@pytest.mark.parametrize("taught", [False, True])
def test_a_search_does_not_go_through_learning_rates_that_are_nearly_the_same(taught: bool) -> None:
    space = parse_space_text(NUMBERS)
    numbers = [j for j, d in enumerate(space.decisions) if d.kind == "float"]
    rest = [j for j in range(len(space.decisions)) if j not in numbers]

    def loss(rows: Rows) -> np.ndarray:
        return np.abs(rows[:, numbers[-1]] - 700) / 300 + rows[:, rest].sum(axis=1)

    rng = np.random.default_rng(0)
    sources = []
    for name in "pq" if taught else "":
        rows = space.sample(40, rng)
        losses = loss(rows) + 0.05 * rng.standard_normal(40)
        sources.append(TaskData(name=name, space=space, rows=rows, losses=losses[:, None]))
    strategy = Meta(sources=tuple(sources), single=True, repeats=1, start=2)
    observations: list[Observation] = []
    for number in range(16):
        proposal = strategy.propose(space, observations, lambda row: True, np.random.default_rng(number))
        assert proposal is not None
        # Two are under way.
        observations = [
            replace(o, pending=False, losses=(float(loss(np.array([o.row]))[0]),)) if o.number < number - 1 else o
            for o in observations
        ]
        observations.append(Observation(number=number, row=tuple(proposal.row.tolist()), losses=None, pending=True))
    rows = np.array([o.row for o in observations])
    for number in range(2, 16):
        apart = np.abs(rows[:number] - rows[number])
        same = (apart[:, rest] == 0).all(axis=1) & ((rows[:number] < 0) == (rows[number] < 0)).all(axis=1)
        assert not (same & (apart[:, numbers] < 100 / (1 + 15 / 30)).all(axis=1)).any()


def test_where_all_are_alike_the_best_of_them_is_taken() -> None:
    space = parse_space_text("space: one\ninput: table\ntabular: {lr: {float: [0.001, 0.1], log: true}}")
    strategy = Meta(start=1)
    observations = [Observation(number=i, row=(i * 10,), losses=(abs(i - 40.0),)) for i in range(101)]
    proposal = strategy.propose(space, observations, lambda row: True, np.random.default_rng(0))
    assert proposal is not None
    assert (int(proposal.row[0]),) not in {o.row for o in observations}


def test_the_first_random_trials_wait_for_no_encodings(space: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    def encoder_of(space: SearchSpace) -> None:
        raise AssertionError(f"encodings of {space.name} are learned")

    monkeypatch.setattr("metanas.controller._meta_memory.encoder_of", encoder_of)
    assert len(search(Meta(start=3), space, 3, lambda row: 0.0)) == 3
    with pytest.raises(AssertionError, match="encodings of toy"):
        search(Meta(start=3), space, 4, lambda row: 0.0)


def test_in_a_space_too_large_to_list_the_best_of_the_sources_are_candidates() -> None:
    large = parse_space_text(
        "space: large\ninput: table\nlet: {"
        + ", ".join(f"u{k}: {{choice: [4, 8, 12, 16, 24, 32, 48, 64]}}" for k in range(12))
        + "}\nnetwork: ["
        + ", ".join(f"{{dense: {{units: $u{k}}}}}" for k in range(12))
        + ", head]\n"
    )
    # Better ones than a thousand random rows hold.
    rows = large.sample(60, np.random.default_rng(0)) // 2
    sources = tuple(
        TaskData(name=name, space=large, rows=rows, losses=(rows.sum(axis=1) + noise)[:, None].astype(float))
        for name, noise in (("p", 0.0), ("q", 0.1 * np.arange(60)))
    )
    proposal = Meta(sources=sources).propose(large, [], lambda row: True, np.random.default_rng(1))
    assert proposal is not None
    assert (
        proposal.row.sum()
        <= np.sort(rows.sum(axis=1))[3]
        < large.sample(1000, np.random.default_rng(2)).sum(axis=1).min()
    )


def test_meta_searches_a_small_space_to_its_end(model: SpaceModel) -> None:
    small = parse_space_text(
        "space: small\ninput: image\nnetwork: [{conv_bn_act: {out: {choice: [8, 16]}, kernel: {choice: [1, 3, 5]}}}, global_pool, head]\n"
    )
    strategy = Meta(start=2)
    observations: list[Observation] = []
    for number in range(8):
        proposal = strategy.propose(small, observations, unseen(observations), np.random.default_rng(number))
        if proposal is None:
            break
        row = tuple(proposal.row.tolist())
        # Every second one fails.
        observations.append(Observation(number=number, row=row, losses=(float(number),) if number % 2 else None))
    assert len({o.row for o in observations}) == 6
    assert len(observations) == 6


def test_meta_recommends_by_the_posterior(model: SpaceModel, space: SearchSpace, truth: Truth) -> None:
    rows = np.random.default_rng(0).permutation(space.rows(1000))[:30]
    losses = truth(rows, 0.2)
    observations = [
        Observation(number=i, row=tuple(row.tolist()), losses=(float(loss),))
        for i, (row, loss) in enumerate(zip(rows, losses, strict=True))
    ]
    strategy = Meta(model=model)
    recommended = strategy.recommend(space, observations)
    assert recommended is not None
    assert truth(recommended[None], 0.2)[0] <= np.sort(losses)[2]
    assert Meta(model=model).recommend(space, []) is None
    assert Meta(model=model).sureness(space, []) is None
    # Single trainings whose noise hides most differences: the leader is surer once it did well again.
    noise = np.random.default_rng(1).standard_normal(30)
    blurred = [
        Observation(number=i, row=o.row, losses=(float(losses[i] + noise[i]),)) for i, o in enumerate(observations)
    ]
    noisy = Meta(model=model, single=True)
    leader = noisy.recommend(space, blurred)
    assert leader is not None
    best = min(o.losses[0] for o in blurred if o.losses is not None)
    more = [Observation(number=30 + k, row=tuple(leader.tolist()), losses=(best,)) for k in range(3)]
    sure = [noisy.sureness(space, known) or 0.0 for known in (blurred, [*blurred, *more])]
    assert 0 < sure[0] < sure[1] <= 1
    predicted = strategy.predict(space, observations, space.rows(1000), np.random.default_rng(0))
    assert predicted is not None
    assert kendalltau(predicted, truth(space.rows(1000), 0.2))[0] > 0.8


def test_luck_is_thought_likely_where_evaluations_are_single_trainings(model: SpaceModel, truth: Truth) -> None:
    rows = np.random.default_rng(5).permutation(model.space.rows(1000))
    losses = truth(rows, 0.2)
    close = np.argsort(losses)[:10]
    seen = [Observation(number=k, row=tuple(rows[i].tolist()), losses=(float(losses[i]),)) for k, i in enumerate(close)]
    searches = {
        "means": Meta(model=model, single=False),
        # Half of what features do not explain is luck, and among networks so close to each other there is more of it.
        "half": Meta(model=replace(model, repeatable=0.5)),
        "trainings": Meta(model=model, single=True),
    }
    sure = {name: strategy.sureness(model.space, seen) or 0.0 for name, strategy in searches.items()}
    assert sure["means"] > sure["half"] > sure["trainings"]


def test_meta_proposes_different_networks_to_parallel_workers_and_takes_several_objectives(
    space: SearchSpace, truth: Truth
) -> None:
    rows = np.random.default_rng(0).permutation(space.rows(1000))[:12]
    observations = [
        Observation(number=i, row=tuple(r.tolist()), losses=(float(truth(r[None], 0.2)[0]), float(r.sum())))
        for i, r in enumerate(rows)
    ]
    strategy = Meta()
    for number in range(12, 18):
        proposal = strategy.propose(space, observations, unseen(observations), np.random.default_rng(number))
        assert proposal is not None
        observations.append(Observation(number=number, row=tuple(proposal.row.tolist()), losses=None, pending=True))
    assert len({o.row for o in observations}) == 18


def test_settings_are_checked() -> None:
    with pytest.raises(MetanasError):
        Meta(start=0)
