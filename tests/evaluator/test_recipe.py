import subprocess
import sys

import pytest

from metanas.errors import MetanasError
from metanas.evaluator._recipe import RECIPE_OPTIONS, Recipe, recipe_problems


def test_empty_mapping_gives_the_defaults():
    assert Recipe.from_mapping({}) == Recipe()


def test_values_are_taken_over():
    recipe = Recipe.from_mapping(
        {"epochs": 3, "optimizer": "sgd", "lr": 1, "warmup": 0, "loss": "mse", "nesterov": False}
    )
    assert (recipe.epochs, recipe.peak_lr, recipe.warmup, recipe.loss, recipe.nesterov) == (3, 1, 0, "mse", False)


def test_learning_rate_and_decay_follow_the_optimizer_unless_given():
    rates = {name: Recipe.from_mapping({"optimizer": name}) for name in ("adamw", "adam", "sgd")}
    assert rates["sgd"].peak_lr > rates["adamw"].peak_lr
    assert rates["adam"].decay == 0 < rates["sgd"].decay < rates["adamw"].decay
    given = Recipe.from_mapping({"optimizer": "sgd", "lr": 0.3, "weight_decay": 0})
    assert (given.peak_lr, given.decay) == (0.3, 0)


def test_null_stands_for_a_default_that_depends():
    assert Recipe.from_mapping({"lr": None, "grad_clip": None}) == Recipe()
    assert "a whole number" in str(recipe_problems({"epochs": None})[0])


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({"learning_rate": 1}, ["train.learning_rate", "no such key", "use one of epochs"]),
        ({"epoch": 1}, ["train.epoch:", "did you mean 'epochs'?"]),
        ({"epochs": 0}, ["epochs is a whole number of at least 1", "found 0", "default, 12"]),
        ({"epochs": 2.0}, ["a whole number", "found 2.0"]),
        ({"epochs": True}, ["a whole number", "found True"]),
        ({"batch_size": 1}, ["at least 2"]),
        ({"lr": 0}, ["lr is a number above 0", "found 0", "leave it out"]),
        ({"lr": "fast"}, ["a number above 0", "found 'fast'"]),
        ({"lr": float("nan")}, ["a number above 0", "found nan"]),
        ({"momentum": 1}, ["of at least 0 and below 1"]),
        ({"nesterov": 1}, ["true or false"]),
        ({"optimizer": "adamW"}, ["one of adamw, adam, sgd", "did you mean 'adamw'?"]),
        ({"schedule": "step"}, ["cosine, constant, linear"]),
        ({"augment": ["shift"]}, ["found ['shift']", "leave it out for the default, auto"]),
        ({"loss": "cross-entropy"}, ["did you mean 'cross_entropy'?"]),
        ({"loss": "my_package:loss"}, ["train.loss", "only where it is allowed", "--allow-python"]),
    ],
)
def test_each_problem_names_place_rule_and_remedy(values, texts):
    (problem,) = recipe_problems(values)
    for text in texts:
        assert text in str(problem)
    with pytest.raises(MetanasError) as raised:
        Recipe.from_mapping(values)
    assert str(raised.value) == str(problem)


def test_all_problems_at_once_and_where_they_are():
    values = {"epochs": 0, "bath_size": 3, "lr": -1}
    problems = recipe_problems(values, where="run.train")
    assert [problem.where for problem in problems] == ["run.train.epochs", "run.train.bath_size", "run.train.lr"]
    with pytest.raises(MetanasError) as raised:
        Recipe.from_mapping(values, where="run.train")
    assert str(raised.value).splitlines() == [str(problem) for problem in problems]


def test_own_loss_where_python_is_allowed():
    assert Recipe.from_mapping({"loss": "my_package.losses:focal"}, allow_python=True).loss == "my_package.losses:focal"
    assert recipe_problems({"loss": "my_package.losses.focal"}, allow_python=True)


def test_made_directly_is_checked_too():
    with pytest.raises(MetanasError, match="warmup"):
        Recipe(warmup=1.0)


def test_short_trainings_are_augmented_only_when_told_so():
    assert [Recipe().augment_for(epochs) for epochs in (12, 100)] == ["none", "auto"]
    assert Recipe(augment="shift").augment_for(12) == "shift"


def test_options_describe_every_field_and_accept_its_default():
    assert [option.name for option in RECIPE_OPTIONS] == list(Recipe.__dataclass_fields__)
    for option in RECIPE_OPTIONS:
        assert option.about
        assert option.default == getattr(Recipe(), option.name)
        assert option.default is None or option.accepts(option.default)
        assert all(option.accepts(choice) for choice in option.choices)


def test_recipes_and_metrics_are_checked_without_torch():
    code = (
        "import sys, metanas.evaluator._recipe, metanas.evaluator._metrics as m;"
        "assert m.metric_problem('acuracy', task='classification');"
        "print([name for name in ('torch', 'sklearn', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
