"""The training settings of a space file: checked for all that may be decided, and as a JSON Schema.

The language itself takes any setting, as it does not know what trains a network; this does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from metanas.errors import MetanasError
from metanas.evaluator._recipe import DOTTED_NAME, RECIPE_OPTIONS, Option, recipe_problems
from metanas.space import (
    LanguageError,
    MapNode,
    Node,
    Problem,
    SearchSpace,
    Value,
    decisions_in,
    read_space,
    value_schema,
    value_under,
)

_MAX_VALUES = 20_000
"""Values of a setting that are looked at; more come of arithmetic alone."""


def check_space_recipe(space: SearchSpace, file: str, *, allow_python: bool = False) -> None:
    """Check the ``train`` section of the space file that ``space`` was loaded from, whatever is decided.

    Raises
    ------
    LanguageError
        With every setting that the recipe does not have, and every value that it does not take.

    """
    section = read_space(file).entries.get("train")
    problems = []
    if isinstance(section, MapNode):
        for key, node in section.entries.items():
            error = _epochs() if key == "epochs" else _problem(space, key, allow_python)
            if error is not None:
                problems.append(_placed(error, key, section, node))
    if problems:
        raise LanguageError(problems)


def _epochs() -> MetanasError:
    return MetanasError(
        "epochs are the fidelity of a run, not part of a space",
        remedy="remove it here, and say 'fidelity: {epochs: ...}' in the run file",
    )


def _problem(space: SearchSpace, key: str, allow_python: bool) -> MetanasError | None:
    """What is wrong with a setting, with the first of its values for which it is."""
    for value in islice(_values(space, space.recipe[key]), _MAX_VALUES):
        for problem in recipe_problems({key: value}, allow_python=allow_python):
            return problem
    return None


def recipe_names_python(space: SearchSpace) -> bool:
    """Whether some setting of a space may name code of the user's."""
    values = (value for key in space.recipe for value in islice(_values(space, space.recipe[key]), _MAX_VALUES))
    return any(isinstance(value, str) and DOTTED_NAME.fullmatch(value) for value in values)


def _values(space: SearchSpace, value: Value) -> Iterator[Any]:
    """All values that a setting may have."""
    columns = sorted(decisions_in(value))
    for chosen in product(*(space.decisions[column].values for column in columns)):
        yield value_under(value, dict(zip(columns, chosen, strict=True)))


def _placed(error: MetanasError, key: str, section: MapNode, node: Node) -> Problem:
    known = any(option.name == key for option in RECIPE_OPTIONS)
    mark = node.mark if known and key != "epochs" else section.key_marks[key]
    found = "" if error.found is None else str(error.found)
    return Problem(mark, f"$.train.{key}", error.rule, found, error.remedy)


def recipe_schema() -> Mapping[str, Mapping[str, Any]]:
    """A JSON Schema for each setting that a space file may give, as :func:`space_schema` takes them."""
    return {option.name: _schema(option) for option in RECIPE_OPTIONS if option.name != "epochs"}


def _schema(option: Option) -> Mapping[str, Any]:
    limits: dict[str, Any] = {}
    if option.low is not None:
        limits["exclusiveMinimum" if option.low_excluded else "minimum"] = option.low
    if option.high is not None:
        limits["exclusiveMaximum"] = option.high
    if option.choices:
        names: dict[str, Any] = {"enum": list(option.choices)}
        limits |= {"anyOf": [names, {"pattern": f"^{DOTTED_NAME.pattern}$"}]} if option.dotted else names
    schema = {**value_schema([option.type], limits), "description": option.about}
    return schema if option.default is None else {**schema, "default": option.default}
