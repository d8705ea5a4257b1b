"""Predictors as folders: what is kept, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metanas.errors import MetanasError
from metanas.predictor import Predictor, SpaceModel, load_predictor, read_card, save_predictor
from metanas.space import parse_space_text, settings_syntax
from metanas.tables import TaskData

TEXT = """
space: toy
input: image
network:
  - {conv_bn_act: {out: {choice: [8, 16, 24]}, kernel: {choice: [1, 3, 5]}}}
  - {id: middle, choice: {conv: {conv_bn_act: {out: 16, kernel: 3}}, pool: {max_pool: {kernel: 3}}, skip: identity}}
  - {conv_bn_act: {out: 32, kernel: {choice: [1, 3]}}}
  - global_pool
  - head
"""


@pytest.fixture(scope="module")
def model() -> SpaceModel:
    """Of three tasks that are alike."""
    space = parse_space_text(TEXT)
    rows = space.rows(1000)
    noise = 0.1 * np.random.default_rng(0).standard_normal((3, len(rows)))
    losses = rows @ np.arange(1.0, 1 + rows.shape[1]) + noise
    return SpaceModel.fit(
        space,
        [TaskData(name=n, space=space, rows=rows, losses=each[:, None]) for n, each in zip("pqr", losses, strict=True)],
    )


def test_a_predictor_survives_its_folder(model: SpaceModel, tmp_path: Path) -> None:
    predictor = Predictor(name="toys", models=(model,))
    save_predictor(predictor, tmp_path / "toys")
    save_predictor(predictor, tmp_path / "toys")  # in place of the other
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toys"]
    again = load_predictor(tmp_path / "toys")
    assert again.card() == predictor.card()
    rows = model.space.rows(1000)
    read = again.model_for(model.space)
    assert read is not None
    assert np.allclose(read.on(rows)[1], model.on(rows)[1], atol=1e-5)
    assert read.encoder.structure.names == model.encoder.structure.names


def test_decisions_that_a_run_file_adds_are_kept(tmp_path: Path) -> None:
    added = {
        "lr": {"float": [0.001, 0.1], "log": True, "id": "rate"}, "batch_size": {"choice": [16, 32], "prior": [1, 3]},
        "momentum": {"float": [0.5, 0.9], "step": 0.1}, "warmup": 0.1, "weight_decay": {"choice": [0, 0.01]},
    }  # fmt: skip
    space, plain = parse_space_text(TEXT, train=settings_syntax(added)), parse_space_text(TEXT)
    assert len(space.decisions) == len(plain.decisions) + 4
    models = []
    for each in (plain, space):
        rows = each.sample(40, np.random.default_rng(0))
        task = TaskData(name="p", space=each, rows=rows, losses=rows.sum(axis=1, keepdims=True).astype(float))
        models.append(SpaceModel.fit(each, [task]))
    save_predictor(Predictor(name="both", models=tuple(models)), tmp_path / "both")
    read = load_predictor(tmp_path / "both")
    for model in models:
        again = read.model_for(model.space)
        assert again is not None
        assert again.space.decisions == model.space.decisions
        rows = model.space.sample(50, np.random.default_rng(1))
        assert np.allclose(again.on(rows)[1], model.on(rows)[1], atol=1e-5)


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """What a predictor's file says of its first space."""
    card = json.loads((folder / "predictor.json").read_text())
    change(card["spaces"][0])
    (folder / "predictor.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "predictor.json").write_text("{}"),
        lambda folder: (folder / "predictor.json").write_text("[" * 100_000),
        lambda folder: (folder / "predictor.json").write_text('{"format": 99, "metanas": "9"}'),
        lambda folder: (folder / "predictor.json").write_text('{"format": 1, "metanas": "0.1"}'),
        lambda folder: edit(
            folder, lambda space: space.update(features=space["features"][:1] * len(space["features"]))
        ),
        lambda folder: edit(folder, lambda space: space.update(features="f" * len(space["features"]))),
        lambda folder: edit(folder, lambda space: space["sources"][0].update(by_features=[])),
        lambda folder: edit(folder, lambda space: space["sources"][0].update(by_features=[True])),
        lambda folder: edit(folder, lambda space: space["sources"][0].update(by_features=["no", "yes"])),
        lambda folder: (folder / "arrays.safetensors").write_bytes(b"\x80\x04cposix\nsystem\n."),
        lambda folder: (folder / "arrays.safetensors").unlink(),
    ],
)
def test_damaged_folders_are_refused(model: SpaceModel, tmp_path: Path, damage: object) -> None:
    save_predictor(Predictor(name="toys", models=(model,)), tmp_path / "toys")
    damage(tmp_path / "toys")  # type: ignore[operator]
    with pytest.raises(MetanasError):
        load_predictor(tmp_path / "toys")


@pytest.mark.parametrize("read", [read_card, load_predictor])
def test_arrays_that_are_cut_short_are_seen_with_the_card(
    model: SpaceModel, tmp_path: Path, read: Callable[[Path], object]
) -> None:
    save_predictor(Predictor(name="toys", models=(model,)), tmp_path / "toys")
    arrays = tmp_path / "toys" / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-10])
    with pytest.raises(MetanasError, match="whole"):
        read(tmp_path / "toys")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("0.sources.0.relevance", lambda a: -a - 1),
        ("0.sources.0.relevance", lambda a: a[:5]),
        ("0.sources.0.rows", lambda a: a + 100),
        ("0.sources.0.rows", lambda a: a[:0]),
        ("0.sources.0.weights", lambda a: a * np.nan),
        ("0.transfer", lambda a: a[:3]),
        ("0.sources.0.weights", lambda a: a.astype(np.float64) + 1e300),
        ("0.sources.0.theta", lambda a: a + 1e3),
        ("0.plain", lambda a: a - 1e3),
        ("0.correlation", lambda a: a * 0 - 5),
        ("0.centres", lambda a: a * 0),
        ("0.centre.decisions", lambda a: a[:1]),
        ("0.centre.structure", lambda a: a.astype(np.float64) + 1e300),
        ("0.scale.structure", lambda a: a * 0),
        ("0.scale.structure", lambda a: a.astype(np.float64) * 1e-300),
        ("0.sources.0.doubt", lambda a: a - 1),
        ("0.sources.0.doubt", lambda a: a[:3]),
        ("0.sources.0.doubt", lambda a: a / 0),
    ],
)
def test_hostile_arrays_are_refused(model: SpaceModel, tmp_path: Path, name: str, change: object) -> None:
    from safetensors.numpy import load_file, save_file

    doubtful = replace(model, sources=tuple(replace(s, doubt=np.full(len(s.losses), 0.1)) for s in model.sources))
    save_predictor(Predictor(name="toys", models=(doubtful,)), tmp_path / "toys")
    assert load_predictor(tmp_path / "toys").models[0].sources[0].doubt is not None
    arrays = load_file(tmp_path / "toys" / "arrays.safetensors")
    with np.errstate(divide="ignore"):
        arrays[name] = change(arrays[name])  # type: ignore[operator]
    save_file(arrays, tmp_path / "toys" / "arrays.safetensors")
    with pytest.raises(MetanasError, match="belong together"):
        load_predictor(tmp_path / "toys")
