"""The training settings of a space file are checked with their places, and as a schema."""

from pathlib import Path

import jsonschema
import pytest

from metanas.evaluator import check_space_recipe, recipe_schema
from metanas.space import LanguageError, builtin_spaces, load_space, parse_yaml, plain, space_schema

TEXT = "space: a\nlet: {w: {choice: [1, 2]}}\nnetwork: [conv, head]\ntrain:\n  "


def problems(folder: Path, train: str) -> list[str]:
    file = folder / "space.yaml"
    file.write_text(TEXT + train)
    try:
        check_space_recipe(load_space(file), str(file))
    except LanguageError as error:
        return [str(problem).removeprefix(f"{file}:") for problem in error.problems]
    return []


def schema_takes(train: str) -> bool:
    return jsonschema.Draft202012Validator(space_schema(recipe_schema())).is_valid(plain(parse_yaml(TEXT + train, "f")))


def test_all_mistakes_are_named_with_their_places(tmp_path: Path) -> None:
    found = problems(tmp_path, "optmizer: adam\n  lr: -1\n  epochs: 3\n  batch_size: tomato\n")
    assert [text.split(",")[0].split(";")[0] for text in found] == [
        "5:3: $.train.optmizer: the recipe has no such key",
        "6:7: $.train.lr: lr is a number above 0",
        "7:3: $.train.epochs: epochs are the fidelity of a run",
        "8:15: $.train.batch_size: batch_size is a whole number of at least 2",
    ]
    assert "did you mean 'optimizer'?" in found[0]


@pytest.mark.parametrize(
    ("train", "named"),
    [
        ("optimizer: {choice: [adamw, sdg]}", "found 'sdg'; did you mean 'sgd'?"),
        ("momentum: {float: [0.5, 1.0]}", "found 1.0"),
        ("batch_size: {int: [1, 64]}", "found 1;"),
        ("lr: $w - 1", "found 0"),
        ("nesterov: 1", "nesterov is true or false"),
        ("loss: my_module:loss", "--allow-python"),
    ],
)
def test_every_value_that_may_be_decided_is_checked(tmp_path: Path, train: str, named: str) -> None:
    (text,) = problems(tmp_path, train)
    assert named in text


@pytest.mark.parametrize(
    "train",
    ["lr: {float: [1.0e-4, 0.1], log: true}", "lr: 1e-3\n  optimizer: {choice: [sgd, adamw]}", "weight_decay: $w / 10"],
)
def test_what_the_recipe_takes_passes(tmp_path: Path, train: str) -> None:
    assert problems(tmp_path, train) == []
    assert schema_takes(train)


@pytest.mark.parametrize(
    "train",
    ["optmizer: adam", "lr: -1", "batch_size: tomato", "epochs: 3", "momentum: 1", "optimizer: {choice: [sdg]}"],
)
def test_the_schema_marks_mistakes(train: str) -> None:
    assert not schema_takes(train)
    assert schema_takes("loss: my_module:loss")


def test_a_mistake_is_named_in_the_file_that_is_extended(tmp_path: Path) -> None:
    below, file = tmp_path / "below.yaml", tmp_path / "space.yaml"
    below.write_text(TEXT + "lr: -1\n  warmup: 0.2\n")
    file.write_text("space: b\nextends: below.yaml\ntrain: {warmup: 2}\n")
    with pytest.raises(LanguageError) as caught:
        check_space_recipe(load_space(file), str(file))
    assert [problem.mark.file for problem in caught.value.problems] == [str(below), str(file)]


@pytest.mark.parametrize("name", builtin_spaces())
def test_shipped_spaces_pass(name: str) -> None:
    check_space_recipe(load_space(name), name)
