"""The predictor that comes with metanas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from metanas.errors import MetanasError
from metanas.predictor import SHIPPED, Encodings, Field, model_for, predictor_names, read_card, shipped_folder
from metanas.space import load_space
from metanas.study import parse_run_text, plan
from metanas.tables import TaskData

SPACES = {"nasbench201": 3, "nasbench_graph": 9, "mlp_classification": 8, "mlp_regression": 4}


def test_it_is_small_and_says_what_it_learned_from() -> None:
    folder = shipped_folder() / SHIPPED
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6
    assert SHIPPED in predictor_names()
    card = read_card(folder)["card"]
    assert {entry["space"]: len(entry["tasks"]) for entry in card} == SPACES
    assert all(0.75 <= entry["covered_80"] <= 0.85 for entry in card)


def test_it_ranks_a_data_set_that_it_was_told_to_forget() -> None:
    model = model_for(load_space("mlp_classification"), None, base=Path())
    assert model is not None
    (left_out,) = [source for source in model.sources if source.name.endswith("/phoneme")]
    losses = left_out.losses[:, None]
    rest, again = (
        model.without(TaskData(name=name, space=model.space, rows=left_out.rows, losses=losses))
        for name in (left_out.name, "the same under another name")
    )
    assert [len(each.sources) for each in (rest, again)] == [7, 7]
    rows = left_out.rows[:300]
    opinion = Field(rest, {}, rows, *Encodings(rest)(rows)).opinion([], np.zeros(0))
    assert kendalltau(opinion.mean, -left_out.losses[:300])[0] > 0.7


def test_a_search_starts_from_it_where_the_space_fits(tmp_path: Path) -> None:
    run = {"space": "nasbench201", "data": "digits", "search": {"strategy": "meta"}}

    def model(**search: str) -> object:
        text = json.dumps({**run, "search": {"strategy": "meta", **search}})
        return plan(parse_run_text(text, "run.yaml", base=tmp_path)).model

    assert len(model().sources) == 3  # type: ignore[attr-defined]
    assert model(predictor="none") is None
    assert model(strategy="random") is None
    text = json.dumps({**run, "space": "convnet", "data": "digits"})
    assert plan(parse_run_text(text, "run.yaml", base=tmp_path)).model is None
    with pytest.raises(MetanasError, match="abstains"):
        plan(
            parse_run_text(
                json.dumps({**run, "space": "convnet", "search": {"predictor": SHIPPED}}), "run.yaml", base=tmp_path
            )
        )
