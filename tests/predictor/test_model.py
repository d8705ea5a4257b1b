"""Learning from source tasks, and adapting to a target, on tasks whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from metanas.predictor import (
    NORMAL_80,
    Encodings,
    Field,
    Predictor,
    Source,
    SpaceModel,
    deviations,
    encoder_of,
    same_space,
)
from metanas.predictor._predictor import difference
from metanas.space import Rows, SearchSpace, parse_space_text
from metanas.tables import TaskData

Truth = Callable[[Rows, float], np.ndarray]


def opinion_tau(truth: Truth, model: SpaceModel, tilt: float, count: int) -> float:
    rows = np.random.default_rng(5).permutation(model.space.rows(1000))
    field = Field(model, {}, rows, *Encodings(model)(rows))
    losses = truth(rows, tilt)
    opinion = field.opinion(list(range(count)), losses[:count])
    return float(kendalltau(opinion.mean[count:], -losses[count:])[0])


def test_sources_rank_a_new_task_before_its_first_result_and_results_help(model: SpaceModel, truth: Truth) -> None:
    assert model.tells
    assert opinion_tau(truth, model, 0.2, 0) > 0.7
    assert opinion_tau(truth, model, 0.2, 40) > 0.85
    untrained = SpaceModel.untrained(model.space)
    assert opinion_tau(truth, untrained, 0.2, 40) > 0.6
    assert opinion_tau(truth, model, 0.2, 10) > opinion_tau(truth, untrained, 0.2, 10)


def test_results_of_good_networks_alone_do_not_speak_against_the_sources(model: SpaceModel, truth: Truth) -> None:
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


def test_sources_that_mislead_are_overruled_as_evidence_comes_in(model: SpaceModel, truth: Truth) -> None:
    rows = np.random.default_rng(5).permutation(model.space.rows(1000))
    field = Field(model, {}, rows, *Encodings(model)(rows))
    against = -truth(rows, 0.1)
    opinion = field.opinion(list(range(60)), against[:60])
    assert kendalltau(opinion.mean[60:], -against[60:])[0] > 0.6
    # What has nothing to do with the sources is left to the experts that do not know them.
    other = (rows[:, 0] == rows[:, 2]) * 2.0 + (rows[:, 1] == rows[:, 3])
    weights = [field.opinion(list(range(n)), other[:n]).weights[0] for n in (0, 60)]
    assert weights[0] > weights[1]


def test_a_source_is_smoothed_by_decisions_and_by_features(space: SearchSpace, truth: Truth) -> None:
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


def test_guesses_of_a_source_count_less_than_its_results(space: SearchSpace, truth: Truth) -> None:
    rows = np.random.default_rng(6).permutation(space.rows(1000))[:120]
    encoder, everything = encoder_of(space), space.rows(1000)
    guessed = np.arange(len(rows)) % 2 == 0
    taus: dict[str, list[float]] = {"known": [], "ignored": []}
    for seed in range(6):
        exact = truth(rows, 0.1)
        losses = np.where(
            guessed, exact + 2 * exact.std() * np.random.default_rng(seed).standard_normal(len(rows)), exact
        )
        for name, doubt in (("known", guessed * 0.9), ("ignored", None)):
            task = TaskData(name="p", space=space, rows=rows, losses=losses[:, None], doubt=doubt)
            scores = Source.fit(task, encoder(rows))(encoder(everything))
            taus[name].append(float(kendalltau(scores, -truth(everything, 0.1))[0]))
    assert np.mean(taus["known"]) > np.mean(taus["ignored"]) + 0.02


def test_proxies_are_smoothed_by_all_features(space: SearchSpace, truth: Truth) -> None:
    rows = np.random.default_rng(6).permutation(space.rows(1000))[:60]
    encoder = encoder_of(space)
    model = SpaceModel.of_proxies(encoder, rows, {"proxy": -truth(rows, 0.1), "constant": np.ones(len(rows))})
    (source,) = model.sources
    decisions, structure = encoder(space.rows(1000))
    scores = source((decisions, structure))
    assert kendalltau(scores, -truth(space.rows(1000), 0.1))[0] > 0.7
    assert (source((decisions.copy(), np.zeros_like(structure))) != scores).any()


def test_shuffled_sources_do_no_harm(space: SearchSpace, truth: Truth, task: Callable[..., TaskData]) -> None:
    shuffled = SpaceModel.fit(space, [task(space, n, 0.1, shuffled=True) for n in "pqr"])
    assert not shuffled.tells
    assert opinion_tau(truth, shuffled, 0.2, 20) > opinion_tau(truth, SpaceModel.untrained(space), 0.2, 20) - 0.1
    assert opinion_tau(truth, shuffled, 0.2, 40) > opinion_tau(truth, SpaceModel.untrained(space), 0.2, 40) - 0.1


def test_eighty_percent_intervals_cover_about_that(model: SpaceModel, truth: Truth) -> None:
    assert 0.7 <= model.quality["covered_80"] <= 0.9
    shares = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(model.space.rows(1000))
        losses = truth(rows, 0.2) + 0.05 * rng.standard_normal(len(rows))
        opinion = Field(model, {}, rows, *Encodings(model)(rows)).opinion(list(range(20)), losses[:20])
        shares.append(float((deviations(opinion, losses[:20], losses)[20:] <= NORMAL_80).mean()))
    assert 0.65 <= np.mean(shares) <= 0.95


def test_what_is_believed_depends_on_the_observations_alone(model: SpaceModel, truth: Truth) -> None:
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


def test_an_evaluation_under_way_is_certain_and_changes_no_mean(model: SpaceModel, truth: Truth) -> None:
    rows = model.space.rows(1000)
    field = Field(model, {}, rows, *Encodings(model)(rows))
    before = field.opinion([0, 1, 2], truth(rows, 0.2)[:3])
    during = field.opinion([0, 1, 2], truth(rows, 0.2)[:3], waiting=[100])
    assert np.array_equal(before.mean, during.mean)
    assert during.std[100] < before.std[100]


def test_a_predictor_learns_another_task_and_abstains_elsewhere(
    model: SpaceModel, space: SearchSpace, task: Callable[..., TaskData], text: str
) -> None:
    predictor = Predictor(name="toys", models=(model,)).updated([task(space, "s", 0.5), task(space, "p", 0.0)])
    known = predictor.model_for(space)
    assert known is not None
    assert [s.name for s in known.sources] == ["q", "r", "s", "p"]
    assert predictor.model_for(parse_space_text(text.replace("kernel: 5", "kernel: 7"))) is None
    assert predictor.model_for(parse_space_text(text)) is known
    silent = replace(task(space, "p", 0.0), losses=np.full((80, 1), np.nan))
    again = predictor.updated([silent]).model_for(space)
    assert again is not None
    assert [s.name for s in again.sources] == ["q", "r", "s", "p"], "what it knew stays where a task says nothing"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("a: {choice: [p, q]}", "a: {choice: [p, q], prior: {p: 3}}"), ""),
        (("a: {choice: [p, q]}", "a: {choice: [p, q, r]}"), "the decision a has other values"),
        (("a: {choice: [p, q]}, ", ""), "the decision a that it knows is gone"),
        (("a: {choice: [p, q]}", "a: {choice: [p, q]}, e: {choice: [p, q]}"), "the decision e is new"),
        (("a: {choice: [p, q]}, b: {choice: [1, 2]}", "b: {choice: [1, 2]}, a: {choice: [p, q]}"), "another order"),
    ],
)
def test_what_makes_a_space_another_one_is_said(change: tuple[str, str], says: str) -> None:
    text = "space: t\nlanguage: 1\ninput: table\ntabular: {a: {choice: [p, q]}, b: {choice: [1, 2]}}\n"
    known, other = parse_space_text(text), parse_space_text(text.replace(*change))
    assert same_space(known, other) == (not says)
    assert says in difference(known, other)
    assert bool(difference(known, other)) == bool(says)


def test_a_space_in_another_place_and_under_another_name_is_the_same(text: str) -> None:
    moved = text.replace("space: toy", "# A comment.\n\nspace: renamed").replace("network:", "network:\n  # Another.")
    assert moved.count("renamed") == 1
    assert same_space(parse_space_text(text, "one.yaml"), parse_space_text(moved, "two.yaml"))


def test_the_network_around_the_decisions_makes_another_space(text: str) -> None:
    assert "the network around" in difference(
        parse_space_text(text), parse_space_text(text.replace("kernel: 5", "kernel: 7"))
    )


def test_a_rank_correlation_of_few_networks_counts_less(
    space: SearchSpace, model: SpaceModel, task: Callable[..., TaskData]
) -> None:
    few = SpaceModel.fit(space, [task(space, "p", 0.0, 9), task(space, "q", 0.1, 15)])
    # Before any result of a task all of its networks are held out.
    assert few.quality["judged_on"] == {"p": 9, "q": 15}
    assert few.judged_on == 12
    assert few.agreement == pytest.approx(few.rank_correlation * 12 / 30)
    assert few.tells == (few.rank_correlation > 0.1)
    assert model.quality["judged_on"] == {"p": 80, "q": 80, "r": 80}
    assert model.agreement == model.rank_correlation > 0.5
    # As one of an earlier version says nothing of how many there were.
    silent = replace(model, quality={"rank_correlation": model.quality["rank_correlation"]})
    assert silent.agreement == model.agreement
