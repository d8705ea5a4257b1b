"""Learning from source tasks, and adapting to a target, on tasks whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from metanas.controller import Meta, Observation
from metanas.controller._acquisition import expected_gain
from metanas.errors import MetanasError
from metanas.predictor import (
    NORMAL_80,
    Encodings,
    Field,
    Opinion,
    Predictor,
    Source,
    SpaceModel,
    deviations,
    encoder_of,
)
from metanas.space import Rows, SearchSpace, parse_space_text
from metanas.tables import TaskData

TEXT = """
space: toy
language: 1
input: image
network:
  - id: a
    choice: {x: {conv_bn_act: {out: 8, kernel: 3}}, y: {conv_bn_act: {out: 8, kernel: 5}}, z: {conv_bn_act: {out: 8, kernel: 1}}}
  - id: b
    choice: {x: {conv_bn_act: {out: 8, kernel: 3}}, y: {conv_bn_act: {out: 8, kernel: 5}}, s: identity}
  - id: c
    choice: {x: {conv_bn_act: {out: 16, kernel: 3}}, y: {conv_bn_act: {out: 16, kernel: 5}}, z: {conv_bn_act: {out: 16, kernel: 1}}}
  - id: d
    choice: {x: {conv_bn_act: {out: 16, kernel: 3}}, y: {max_pool: {kernel: 3}}, s: identity}
  - id: e
    choice: {x: {conv_bn_act: {out: 32, kernel: 3}}, y: {conv_bn_act: {out: 32, kernel: 1}}}
  - global_pool
  - head
"""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return parse_space_text(TEXT)


def truth(rows: Rows, tilt: float) -> np.ndarray:
    """Losses: what all tasks share, and what differs."""
    shared = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0], [0.5, 2.0, 0.0], [0.0, 1.5, 1.0], [0.0, 1.0, 0.0]])
    other = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 0.5], [0.0, 0.5, 1.5], [1.0, 0.0, 2.0], [1.0, 0.0, 0.0]])
    lines = np.arange(5)
    return (shared[lines, rows] * (1 - tilt) + other[lines, rows] * tilt).sum(axis=1)


def task(space: SearchSpace, name: str, tilt: float, count: int = 80, *, shuffled: bool = False) -> TaskData:
    rng = np.random.default_rng(sum(map(ord, name)))
    rows = rng.permutation(space.rows(1000))[:count]
    losses = truth(rows, tilt) + 0.05 * rng.standard_normal(count)
    return TaskData(
        name=name, space=space, rows=rows, losses=(rng.permutation(losses) if shuffled else losses)[:, None]
    )


@pytest.fixture(scope="module")
def model(space: SearchSpace) -> SpaceModel:
    return SpaceModel.fit(space, [task(space, n, t) for n, t in (("p", 0.0), ("q", 0.1), ("r", 0.3))])


def opinion_tau(model: SpaceModel, tilt: float, count: int) -> float:
    rows = np.random.default_rng(5).permutation(model.space.rows(1000))
    field = Field(model, {}, rows, *Encodings(model)(rows))
    losses = truth(rows, tilt)
    opinion = field.opinion(list(range(count)), losses[:count])
    return float(kendalltau(opinion.mean[count:], -losses[count:])[0])


def test_sources_rank_a_new_task_before_its_first_result_and_results_help(model: SpaceModel) -> None:
    assert model.tells
    assert opinion_tau(model, 0.2, 0) > 0.7
    assert opinion_tau(model, 0.2, 40) > 0.85
    untrained = SpaceModel.untrained(model.space)
    assert opinion_tau(untrained, 0.2, 40) > 0.6
    assert opinion_tau(model, 0.2, 10) > opinion_tau(untrained, 0.2, 10)


def test_results_of_good_networks_alone_do_not_speak_against_the_sources(model: SpaceModel) -> None:
    rows = np.random.default_rng(5).permutation(model.space.rows(1000))
    field = Field(model, {}, rows, *Encodings(model)(rows))
    losses = truth(rows, 0.2)
    first = field.opinion([], losses[:0]).mean
    best = np.argsort(-first)[:12]
    rest = np.setdiff1d(np.arange(len(rows)), best)
    taus = [
        kendalltau(mean[rest], -losses[rest])[0] for mean in (first, field.opinion(best.tolist(), losses[best]).mean)
    ]
    assert taus[1] > taus[0] - 0.03


def test_sources_that_mislead_are_overruled_as_evidence_comes_in(model: SpaceModel) -> None:
    rows = np.random.default_rng(5).permutation(model.space.rows(1000))
    field = Field(model, {}, rows, *Encodings(model)(rows))
    against = -truth(rows, 0.1)
    opinion = field.opinion(list(range(60)), against[:60])
    assert kendalltau(opinion.mean[60:], -against[60:])[0] > 0.6
    # What has nothing to do with the sources is left to the experts that do not know them.
    other = (rows[:, 0] == rows[:, 2]) * 2.0 + (rows[:, 1] == rows[:, 3])
    weights = [field.opinion(list(range(n)), other[:n]).weights[0] for n in (0, 60)]
    assert weights[0] > weights[1]


def test_a_source_is_smoothed_by_decisions_and_by_features(space: SearchSpace) -> None:
    rows = np.random.default_rng(6).permutation(space.rows(1000))[:120]
    encoder = encoder_of(space)
    found, true = [], []
    for seed in range(8):
        noisy = truth(rows, 0.1) + np.random.default_rng(seed).standard_normal(len(rows))
        source = Source.fit(TaskData(name="p", space=space, rows=rows, losses=noisy[:, None]), encoder(rows))
        blocks = encoder(space.rows(1000))
        scores = source(blocks)
        each = [smoother(blocks, source.blocks, source.relevance) for smoother in source.smoothers]
        assert scores == pytest.approx(np.mean(each, axis=0))
        by_decisions, by_features = (
            s((blocks[0], blocks[1] * 0), source.blocks, source.relevance) for s in source.smoothers
        )
        assert (by_decisions == each[0]).all()
        assert (by_features != each[1]).any()
        found.append(truth(space.rows(1000)[np.argsort(-scores)[:5]], 0.1).mean())
        true.append(truth(rows[np.argsort(noisy)[:5]], 0.1).mean())
    # What it puts first of all networks is better than what only looked best of those that it knows.
    assert np.mean(found) < np.mean(true)


def test_proxies_are_smoothed_by_all_features(space: SearchSpace) -> None:
    rows = np.random.default_rng(6).permutation(space.rows(1000))[:60]
    encoder = encoder_of(space)
    model = SpaceModel.of_proxies(encoder, rows, {"proxy": -truth(rows, 0.1), "constant": np.ones(len(rows))})
    (source,) = model.sources
    decisions, structure = encoder(space.rows(1000))
    scores = source((decisions, structure))
    assert kendalltau(scores, -truth(space.rows(1000), 0.1))[0] > 0.7
    assert (source((decisions.copy(), np.zeros_like(structure))) != scores).any()


def test_shuffled_sources_do_no_harm(space: SearchSpace) -> None:
    shuffled = SpaceModel.fit(space, [task(space, n, 0.1, shuffled=True) for n in "pqr"])
    assert not shuffled.tells
    assert opinion_tau(shuffled, 0.2, 20) > opinion_tau(SpaceModel.untrained(space), 0.2, 20) - 0.1
    assert opinion_tau(shuffled, 0.2, 40) > opinion_tau(SpaceModel.untrained(space), 0.2, 40) - 0.1


def test_eighty_percent_intervals_cover_about_that(model: SpaceModel) -> None:
    assert 0.7 <= model.quality["covered_80"] <= 0.9
    shares = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(model.space.rows(1000))
        losses = truth(rows, 0.2) + 0.05 * rng.standard_normal(len(rows))
        opinion = Field(model, {}, rows, *Encodings(model)(rows)).opinion(list(range(20)), losses[:20])
        shares.append(float((deviations(opinion, losses[:20], losses)[20:] <= NORMAL_80).mean()))
    assert 0.65 <= np.mean(shares) <= 0.95


def test_what_is_believed_depends_on_the_observations_alone(model: SpaceModel) -> None:
    rows = model.space.rows(1000)
    losses = truth(rows, 0.2)
    encodings = Encodings(model)
    step_by_step = Field(model, {}, rows, *encodings(rows))
    for n in range(0, 30, 3):
        step_by_step.opinion(list(range(n)), losses[:n], waiting=[50, 60])
    detour = step_by_step.opinion([*range(20), 70], losses[[*range(20), 70]])
    at_once = Field(model, {}, rows, *encodings(rows)).opinion([*range(20), 70], losses[[*range(20), 70]])
    assert np.allclose(detour.mean, at_once.mean, atol=1e-4)
    assert np.allclose(detour.std, at_once.std, atol=1e-3)


def test_an_evaluation_under_way_is_certain_and_changes_no_mean(model: SpaceModel) -> None:
    rows = model.space.rows(1000)
    field = Field(model, {}, rows, *Encodings(model)(rows))
    before = field.opinion([0, 1, 2], truth(rows, 0.2)[:3])
    during = field.opinion([0, 1, 2], truth(rows, 0.2)[:3], waiting=[100])
    assert np.array_equal(before.mean, during.mean)
    assert during.std[100] < before.std[100]


# --- the predictor


def test_a_predictor_learns_another_task_and_abstains_elsewhere(model: SpaceModel, space: SearchSpace) -> None:
    predictor = Predictor(name="toys", models=(model,)).updated([task(space, "s", 0.5), task(space, "p", 0.0)])
    known = predictor.model_for(space)
    assert known is not None
    assert [s.name for s in known.sources] == ["q", "r", "s", "p"]
    assert predictor.model_for(parse_space_text(TEXT.replace("kernel: 5", "kernel: 7"))) is None
    assert predictor.model_for(parse_space_text(TEXT)) is known


# --- the strategy


def search(strategy: Meta, space: SearchSpace, steps: int, tilt: float = 0.2) -> list[tuple[int, ...]]:
    seen: list[tuple[int, ...]] = []
    observations: list[Observation] = []
    for number in range(steps):
        proposal = strategy.propose(
            space, observations, lambda row: tuple(row.tolist()) not in seen, np.random.default_rng([7, number])
        )
        if proposal is None:
            break
        seen.append(tuple(proposal.row.tolist()))
        loss = float(truth(proposal.row[None], tilt)[0])
        observations.append(Observation(number=number, row=seen[-1], losses=(loss,)))
    return seen


def test_meta_starts_ahead_with_sources_and_finds_the_best_without(model: SpaceModel, space: SearchSpace) -> None:
    best = truth(space.rows(1000), 0.2).min()
    ahead = search(Meta(model=model), space, 8)
    assert min(truth(np.array([row]), 0.2)[0] for row in ahead) < best + 0.2
    alone = search(Meta(), space, 35)
    assert min(truth(np.array([row]), 0.2)[0] for row in alone) < best + 0.2
    assert search(Meta(), space, 12) == alone[:12]


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


def repeats(strategy: Meta, space: SearchSpace, count: int, noise: float) -> int:
    """Trainings again in a search whose losses are rounded, so that some come to the very same by chance."""
    observations: list[Observation] = []
    rng = np.random.default_rng(0)
    for number in range(count):
        taken = {o.row for o in observations}
        proposal = strategy.propose(
            space,
            observations,
            lambda row, taken=taken: tuple(row.tolist()) not in taken,
            np.random.default_rng(number),
        )
        assert proposal is not None
        loss = round(float(truth(proposal.row[None], 0.2)[0] + noise * rng.standard_normal()), 1)
        observations.append(Observation(number=number, row=tuple(proposal.row.tolist()), losses=(loss,)))
    return count - len({o.row for o in observations})


def test_leaders_are_trained_again_sooner_where_sources_agree_and_never_where_nothing_differs(
    model: SpaceModel, space: SearchSpace
) -> None:
    strategies = [
        Meta(model=replace(model, quality={"rank_correlation": {"p": {"0": agreement}}}), single=True)
        for agreement in (0.2, 0.85)
    ]
    little, much = (repeats(strategy, space, 20, 0.3) for strategy in strategies)
    assert little < much < 12
    # Two that came to the very same are enough to know.
    assert repeats(strategies[1], space, 20, 0.0) == 2
    assert repeats(replace(strategies[1], repeats=1), space, 20, 0.3) == 0


def test_one_result_that_comes_again_by_chance_ends_no_repeats(model: SpaceModel, space: SearchSpace) -> None:
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
    assert len(search(Meta(start=3), space, 3)) == 3
    with pytest.raises(AssertionError, match="encodings of toy"):
        search(Meta(start=3), space, 4)


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
    seen: list[tuple[int, ...]] = []
    observations: list[Observation] = []
    for number in range(8):
        proposal = strategy.propose(
            small, observations, lambda row: tuple(row.tolist()) not in seen, np.random.default_rng(number)
        )
        if proposal is None:
            break
        seen.append(tuple(proposal.row.tolist()))
        # Every second one fails.
        observations.append(Observation(number=number, row=seen[-1], losses=(float(number),) if number % 2 else None))
    assert len(set(seen)) == 6
    assert len(observations) == 6


def test_meta_recommends_by_the_posterior(model: SpaceModel, space: SearchSpace) -> None:
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


def test_luck_is_thought_likely_where_evaluations_are_single_trainings(model: SpaceModel) -> None:
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


def test_meta_proposes_different_networks_to_parallel_workers_and_takes_several_objectives(space: SearchSpace) -> None:
    rows = np.random.default_rng(0).permutation(space.rows(1000))[:12]
    observations = [
        Observation(number=i, row=tuple(r.tolist()), losses=(float(truth(r[None], 0.2)[0]), float(r.sum())))
        for i, r in enumerate(rows)
    ]
    strategy = Meta()
    for number in range(12, 18):
        taken = {o.row for o in observations}
        proposal = strategy.propose(
            space,
            observations,
            lambda row, taken=taken: tuple(row.tolist()) not in taken,
            np.random.default_rng(number),
        )
        assert proposal is not None
        observations.append(Observation(number=number, row=tuple(proposal.row.tolist()), losses=None, pending=True))
    assert len({o.row for o in observations}) == 18


def test_settings_are_checked() -> None:
    with pytest.raises(MetanasError):
        Meta(start=0)
