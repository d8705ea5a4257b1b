"""Sequences, texts, ids of tokens, and pairs: read, prepared, and prepared again by the source that a search leaves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metanas.data import (
    Preparation,
    Table,
    Texts,
    augmentation,
    dataset_from_arrays,
    fit_preparation,
    load_dataset,
    preparation_source,
    split,
    to_device,
)
from metanas.errors import DataError

TEXTS = ["The cat sat.", "the dog sat!", "A cat, a dog", "the end", "cat", ""] * 5
LABELS = ["a", "b", "a", "b", "a", "b"] * 5


def through_json(preparation: Preparation) -> Preparation:
    return Preparation.from_json(json.loads(json.dumps(preparation.to_json())))


def source_of(preparation: Preparation) -> Any:
    names: dict[str, Any] = {"torch": torch}
    exec(preparation_source(preparation), names)
    return names["prepare"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        f'{label},"{text}",u{n % 4},{n % 7},{n % 5}' for n, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["label,review,who,what,stars", *rows]), encoding="utf-8")
    return tmp_path


# --- sequences


@pytest.mark.parametrize("shape", [(20, 30), (20, 1, 30), (20, 30, 1)])
def test_layouts_of_one_channel_are_one_data_set(shape: tuple[int, ...]) -> None:
    x = np.arange(600, dtype=np.float32).reshape(shape)
    dataset = dataset_from_arrays(x, [0, 1] * 10, kind="sequence")
    assert (dataset.kind, dataset.task) == ("sequence", "classification")
    assert np.array_equal(np.asarray(dataset.inputs), np.arange(600, dtype=np.float32).reshape(20, 1, 30))


def test_sequences_are_scaled_by_channel() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal([[5.0], [-3.0]], [[2.0], [0.5]], (40, 2, 50))
    dataset = dataset_from_arrays(x.transpose(0, 2, 1), [0, 1] * 20, kind="sequence")
    preparation = through_json(fit_preparation(dataset, np.arange(40)))
    assert preparation.input_shape == (2, 50)
    assert preparation.vocabulary == ()
    prepared = preparation.transform(x)
    np.testing.assert_allclose(prepared.mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(prepared.std((0, 2)), 1, atol=1e-5)
    np.testing.assert_array_equal(preparation.transform(x.transpose(0, 2, 1)), prepared)
    torch.testing.assert_close(
        source_of(preparation)(torch.from_numpy(x)), torch.from_numpy(prepared), atol=1e-4, rtol=0
    )
    assert augmentation("auto", preparation) is None
    with pytest.raises(DataError, match="only images can be augmented"):
        augmentation("shift", preparation)


# --- tokens


def test_texts_become_ids_of_the_words_seen_twice_in_training(folder: Path) -> None:
    dataset = load_dataset({"table": "t.csv", "target": "label", "text": "review"}, base=folder)
    assert isinstance(dataset.inputs, Texts)
    assert (dataset.kind, dataset.n_samples, dataset.classes) == ("tokens", 30, ("a", "b"))
    preparation = through_json(fit_preparation(dataset, np.arange(30)))
    # "cat", "sat" and "the" come most often; equal counts follow the alphabet.
    assert preparation.words[:2] == ("cat", "the")
    assert preparation.vocabulary == (len(preparation.words) + 2,)
    assert preparation.input_shape == (5,)
    ids = preparation.transform(["the CAT sat.", "zebra", "", "a a a a a a a"])
    number = {word: place for place, word in enumerate(preparation.words, 2)}
    a = number["a"]
    expected = [[0, number["the"], number["cat"], number["sat"], number["."]], [0] * 4 + [1], [0] * 5, [a] * 5]
    assert ids.tolist() == expected
    assert source_of(preparation)(["the CAT sat.", "zebra", "", "a a a a a a a"]).tolist() == expected


def test_a_word_of_the_held_out_part_is_unknown(folder: Path) -> None:
    texts = np.array(["one two two"] * 20 + ["three three"] * 10)
    dataset = dataset_from_arrays(texts, LABELS, kind="tokens")
    preparation = fit_preparation(dataset, np.arange(20))
    assert preparation.words == ("two", "one")
    assert preparation.transform(texts[-1:]).tolist() == [[0, 1, 1]]


def test_ids_of_tokens_stay_as_they_are(tmp_path: Path) -> None:
    x = np.arange(60).reshape(20, 3)
    np.savez(tmp_path / "ids.npz", x=x, y=[0, 1] * 10)
    dataset = load_dataset({"arrays": "ids.npz", "kind": "tokens"}, base=tmp_path)
    preparation = through_json(fit_preparation(dataset, np.arange(10)))
    assert preparation.vocabulary == (30,)
    assert preparation.transform(x[9:11]).tolist() == [[27, 28, 29], [0, 0, 0]]
    assert source_of(preparation)(torch.from_numpy(x[9:11])).tolist() == [[27, 28, 29], [0, 0, 0]]
    tensors = to_device(dataset, split(dataset, seed=0), preparation, "cpu")
    assert tensors.train.inputs.dtype == torch.int64


# --- pairs


def test_pairs_get_an_id_for_each_user_and_item_of_the_training_part(folder: Path) -> None:
    dataset = load_dataset({"table": "t.csv", "target": "stars", "user": "who", "item": "what"}, base=folder)
    assert isinstance(dataset.inputs, Table)
    assert (dataset.kind, dataset.task) == ("pairs", "regression")
    preparation = through_json(fit_preparation(dataset, np.arange(3)))
    assert preparation.vocabulary == (4, 4)
    assert preparation.input_shape == (2,)
    assert preparation.transform(dataset.take(np.array([0, 2, 5]))).tolist() == [[1, 1], [3, 3], [2, 0]]
    rows: list[dict[str, object]] = [{"user": "u2", "item": 0}, {"user": None, "item": 9}]
    assert preparation.transform_rows(rows).tolist() == [[3, 1], [0, 0]]
    assert source_of(preparation)([("u2", 0), (None, 9)]).tolist() == [[3, 1], [0, 0]]


def test_pairs_of_arrays_are_those_of_a_table() -> None:
    numbers = dataset_from_arrays(np.array([[3, 10], [1, 20]] * 6), [0, 1] * 6, kind="pairs")
    names = dataset_from_arrays(np.array([["3", "10"], ["1", "20"]] * 6), [0, 1] * 6, kind="pairs")
    assert numbers.fingerprint == names.fingerprint
    assert numbers.task == "classification"


# --- what cannot be read


@pytest.mark.parametrize(
    ("x", "kind", "words"),
    [
        (np.zeros((20, 3, 3, 3)), "sequence", ["sequences (n, L), (n, C, L) or (n, L, C)", "(20, 3, 3, 3)"]),
        (np.full((20, 9), np.nan), "sequence", ["sequences must be finite", "the first is number 1"]),
        (np.array(["a"] * 20), "sequence", ["must be numeric"]),
        (np.zeros((20, 3)) - 1, "tokens", ["ids of tokens must be from 0", "-1"]),
        (np.zeros((20, 3)) + 0.5, "tokens", ["ids must be whole numbers"]),
        (np.zeros(20), "tokens", ["texts (n,), or ids of tokens (n, L)"]),
        (np.zeros((20, 3)), "pairs", ["pairs of a user's id and an item's, (n, 2)", "(20, 3)"]),
        (np.zeros((20, 3)), "sequnce", ["kind must be one of", "did you mean 'sequence'"]),
    ],
)  # fmt: skip
def test_arrays_that_are_no_such_data(x: np.ndarray, kind: str, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        dataset_from_arrays(x, [0, 1] * 10, kind=kind)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"text": "reviw"}, ["must name a column", "did you mean 'review'"]),
        ({"text": "label"}, ["`text` names a column", "name another column than the target"]),
        ({"user": "who"}, ["`user` beside `item`", "found user"]),
        ({"text": "review", "user": "who", "item": "what"}, ["`text` stands alone"]),
        ({"text": 3}, ["`text` names a column", "found 3"]),
    ],
)
def test_columns_with_roles_that_do_not_fit(folder: Path, roles: dict[str, object], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset({"table": "t.csv", "target": "label", **roles}, base=folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_new_samples_that_cannot_be_prepared() -> None:
    texts = fit_preparation(dataset_from_arrays(np.array(TEXTS), LABELS, kind="tokens"), np.arange(30))
    ids = fit_preparation(dataset_from_arrays(np.ones((20, 4), int), [0, 1] * 10, kind="tokens"), np.arange(20))
    with pytest.raises(DataError, match="give a list of texts"):
        texts.transform("the cat")
    with pytest.raises(DataError, match="pad or cut"):
        ids.transform(np.ones((2, 5), int))


def test_fingerprints_follow_the_texts() -> None:
    one, other = (dataset_from_arrays(np.array([*TEXTS[:-1], last]), LABELS, kind="tokens") for last in ("x", "y"))
    assert one.fingerprint != other.fingerprint
