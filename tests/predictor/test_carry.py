"""Results of one space that count in another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metanas.architecture import CanonicalIds
from metanas.predictor import Predictor, load_model, load_predictor, save_predictor
from metanas.predictor._carry import akin, carried_over
from metanas.space import SearchSpace, parse_space_text
from metanas.tables import TaskData

TRAIN = "train:\n  lr: {float: [1e-4, 1e-1], log: true}\n"


def ids(space: SearchSpace, rows: np.ndarray) -> list[str]:
    """Of the networks alone."""
    return CanonicalIds(replace(space, recipe={})).of_all(rows)


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        # An option more, also between others; and an option less.
        ("s: identity}\n  - id: c", "t: {avg_pool: {kernel: 3}}, s: identity}\n  - id: c", 80),
        ("choice: {x: {conv_bn_act: {out: 8, kernel: 3}}, y", "choice: {w: {conv_bn_act: {out: 8, kernel: 7}}, x: {conv_bn_act: {out: 8, kernel: 3}}, y", 80),
        (", z: {conv_bn_act: {out: 16, kernel: 1}}", "", None),
        # A part that may be left out, and a part that may be repeated.
        ("  - global_pool", "  - {id: attention, optional: se}\n  - global_pool", 80),
        ("  - global_pool", "  - {id: more, repeat: {conv_bn_act: {out: 32}}, times: {int: [0, 2]}}\n  - global_pool", 80),
        # A decision of training more.
        ("  - head\n", f"  - head\n{TRAIN}", 80),
        # A part without a choice any more.
        ("id: e\n    choice: {x: {conv_bn_act: {out: 32, kernel: 3}}, y: {conv_bn_act: {out: 32, kernel: 1}}}", "conv_bn_act: {out: 32, kernel: 3}", None),
    ],
)  # fmt: skip
def test_results_count_where_the_network_is_the_same(
    space: SearchSpace, task: Callable[..., TaskData], text: str, old: str, new: str, kept: int | None
) -> None:
    known = task(space, "p", 0.0)
    edited = parse_space_text(text.replace(old, new))
    carried = carried_over(known, edited)
    assert carried is not None
    assert carried.space is edited
    by_id = dict(zip(ids(space, known.rows), known.mean_losses, strict=True))
    found = ids(edited, carried.rows)
    assert len({*found}) == len(found)
    assert [by_id[each] for each in found] == pytest.approx(carried.mean_losses.tolist())
    assert edited.satisfies(carried.rows).all()
    assert ((carried.rows >= 0) == edited.active(carried.rows)).all()
    in_both = {*by_id} & {*ids(edited, edited.rows(20_000))} if not edited.recipe else {*by_id}
    assert len(found) == (len(in_both) if kept is None else kept)
    assert 20 < len(found) <= 80


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("input: image", "input: sequence"),
        # Another network around the decisions.
        ("  - global_pool", "  - conv_bn\n  - global_pool"),
        ("out: 16", "out: 24"),
        # Other names.
        ("id: ", "id: my_"),
    ],
)
def test_no_results_count_where_networks_are_others(
    space: SearchSpace, task: Callable[..., TaskData], text: str, old: str, new: str
) -> None:
    edited = text.replace(old, new)
    if "sequence" in edited:
        edited = "space: s\nlanguage: 1\ninput: sequence\nnetwork: [{id: a, choice: {x: lstm, y: gru}}, head]\n"
        assert not akin(space, parse_space_text(edited))
    assert carried_over(task(space, "p", 0.0), parse_space_text(edited)) is None


def test_constraints_on_decisions_leave_results_out(
    space: SearchSpace, task: Callable[..., TaskData], text: str
) -> None:
    edited = parse_space_text(f"{text}constraints: ['a != \"z\"']\n")
    carried = carried_over(task(space, "p", 0.0), edited)
    assert carried is not None
    assert {value["a"] for value in map(edited.to_values, carried.rows)} == {"x", "y"}


def test_what_a_decision_of_training_that_is_gone_told_apart_becomes_repeats(space: SearchSpace, text: str) -> None:
    trained = parse_space_text(text + TRAIN)
    rows = trained.sample(60, np.random.default_rng(0))
    rows[1::2, : len(space.decisions)] = rows[::2, : len(space.decisions)]
    losses = np.arange(60.0)[:, None]
    doubt = np.full(60, 0.5)
    carried = carried_over(TaskData(name="t", space=trained, rows=rows, losses=losses, doubt=doubt), space)
    assert carried is not None
    places = np.arange(60) // 2
    by_row: dict[bytes, list[float]] = {}
    for place, loss in enumerate(losses[:, 0]):
        by_row.setdefault(rows[2 * places[place], : len(space.decisions)].tobytes(), []).append(loss)
    assert len(carried.rows) == len(by_row)
    assert carried.doubt is not None
    for row, mean, doubted in zip(carried.rows, carried.mean_losses, carried.doubt, strict=True):
        same = by_row[row.tobytes()]
        assert mean == pytest.approx(np.mean(same))
        assert doubted == pytest.approx(0.5 / len(same))


def test_values_of_training_that_the_space_does_not_have_leave_results_out(text: str) -> None:
    trained = parse_space_text(text + TRAIN)
    narrow = parse_space_text(text + TRAIN.replace("1e-1", "1e-2"))
    rows = trained.sample(80, np.random.default_rng(0))
    task = TaskData(name="t", space=trained, rows=rows, losses=np.arange(80.0)[:, None])
    carried = carried_over(task, narrow)
    assert carried is not None
    rates = [float(trained.recipe_of(row)["lr"]) for row in rows]
    assert len(carried.rows) == sum(rate < 1.01e-2 for rate in rates)


def test_the_doubt_of_guesses_goes_over_through_a_predictors_folder(
    space: SearchSpace, task: Callable[..., TaskData], text: str, tmp_path: Path
) -> None:
    doubt = np.where(np.arange(80) < 30, 0.4, 0.0)
    save_predictor(Predictor.fit("p", [replace(task(space, "p", 0.0), doubt=doubt)]), tmp_path / "p")
    more = parse_space_text(text.replace("  - global_pool", "  - {id: attention, optional: se}\n  - global_pool"))
    model = load_model(tmp_path / "p", more)
    assert model is not None
    (source,) = model.sources
    assert source.doubt is not None
    assert sorted(source.doubt) == pytest.approx(sorted(doubt))
    (sure,) = Predictor.fit("q", [task(space, "p", 0.0)]).models[0].sources
    assert sure.doubt is None


@pytest.mark.parametrize(("given", "found"), [("lr: 0.01", {"0.01"}), ("lr: 0.5", None), ("batch_size: 64", None)])
def test_what_was_trained_with_one_value_counts_there(
    task: Callable[..., TaskData], text: str, given: str, found: set[str] | None
) -> None:
    before, after = parse_space_text(f"{text}train: {{{given}}}\n"), parse_space_text(text + TRAIN)
    carried = carried_over(task(before, "p", 0.0), after)
    assert carried is not None
    assert len(carried.rows) == 80
    rates = {f"{float(after.recipe_of(row)['lr']):.2g}" for row in carried.rows}
    # Of a value that the decision does not have, or that was not given, results tell nothing.
    assert rates == found if found else len(rates) > 20


def test_results_that_become_repeats_count_as_results(space: SearchSpace, text: str) -> None:
    trained = parse_space_text(text + TRAIN)
    rows = trained.sample(40, np.random.default_rng(0))
    rows[20:, : len(space.decisions)] = rows[:20, : len(space.decisions)]
    predictor = Predictor.fit("t", [TaskData(name="t", space=trained, rows=rows, losses=np.arange(40.0)[:, None])])
    model = predictor.model_for(space)
    assert model is not None
    (source,) = model.sources
    assert (source.count, source.elsewhere) == (40, 40)
    assert len(source.rows) <= 20


def test_a_predictor_joins_versions_of_a_space(
    space: SearchSpace, task: Callable[..., TaskData], text: str, tmp_path: Path
) -> None:
    more = parse_space_text(
        text.replace("s: identity}\n  - id: c", "s: identity, t: {avg_pool: {kernel: 3}}}\n  - id: c")
    )
    newer = carried_over(task(space, "r", 0.3, 60), more)
    assert newer is not None
    predictor = Predictor.fit("both", [task(space, "p", 0.0), task(space, "q", 0.1), newer])
    assert [[s.name for s in model.sources] for model in predictor.models] == [["p", "q"], ["r"]]
    model = predictor.model_for(more)
    assert model is not None
    assert [(s.name, s.count, s.elsewhere) for s in model.sources] == [("r", 60, 0), ("p", 80, 80), ("q", 80, 80)]
    assert model.judged
    assert model.agreement > 0.5
    older = predictor.model_for(space)
    assert older is not None
    assert [(s.name, s.elsewhere) for s in older.sources] == [("p", 0), ("q", 0), ("r", 60)]

    save_predictor(predictor, tmp_path / "both")
    opened = load_model(tmp_path / "both", more)
    assert opened is not None
    assert [(s.name, s.elsewhere) for s in opened.sources] == [("r", 0), ("p", 80), ("q", 80)]
    save_predictor(Predictor(name="kept", models=(opened,)), tmp_path / "kept")
    (kept,) = load_predictor(tmp_path / "kept").models
    assert [(s.name, s.elsewhere) for s in kept.sources] == [("r", 0), ("p", 80), ("q", 80)]
    rows = more.rows(1000)
    assert np.allclose(kept.scores(kept.encoder(rows)), opened.scores(opened.encoder(rows)), atol=1e-4)
    assert load_model(tmp_path / "both", parse_space_text(text.replace("out: 16", "out: 24"))) is None
