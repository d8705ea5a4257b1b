"""What a user is told of networks that cannot be built: place, rule, the shapes found, the decisions, the remedy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metanas._rng import generator
from metanas.architecture._row_shapes import RowShapes
from metanas.architecture._shape_steps import Breach, ShapeSteps
from metanas.architecture._witness import Condition, Witness
from metanas.space import Branches, Cell, Mark, OpSite, Problem, Scalar, SearchSpace, excluding, templates_in

_SHOWN = 5
"""Values of a decision, or decisions, that a condition names."""
_TRIED = 2
"""Other values of a decision that are tried to see whether it matters."""


@dataclass(frozen=True, slots=True)
class ShapeProblem:
    """Something that keeps networks from being built."""

    problem: Problem
    """What is said of it."""
    row: tuple[int, ...]
    """A row whose network it keeps from being built."""


def shape_problem(space: SearchSpace, steps: ShapeSteps, breach: Breach, witness: Witness) -> ShapeProblem:
    """What is wrong with a witness: the text is that of its own shapes."""
    shapes = RowShapes(space, witness.row, steps)
    assert breach in shapes.breaches, "a witness is broken"
    place, error = shapes.errors[breach]
    found = "" if error.found is None else str(error.found)
    if error.where:
        found = f"{found} at {error.where}".strip()
    found += _when(space, witness)
    remedy = error.remedy
    if witness.whole and (text := excluding(witness.condition, space.decisions)):
        remedy = ", or ".join(filter(None, (remedy, f'leave such networks out with the constraint "{text}"')))
    mark, path = (place.mark, place.path) if place is not None else _somewhere(space)
    return ShapeProblem(Problem(mark, path, error.rule, found, remedy), tuple(int(v) for v in witness.row))


def _somewhere(space: SearchSpace) -> tuple[Mark, str]:
    """A place for what has none: the first of the network."""
    for part in templates_in(space.template):
        if isinstance(part, (OpSite, Branches, Cell)):
            return part.mark, "$.network"
    return Mark(f"<{space.name}>", 1, 1), "$.network"


def _when(space: SearchSpace, witness: Witness) -> str:
    """The decisions under which it happens, in words."""
    if not witness.condition:
        return ", in every network" if witness.whole else ""
    parts = []
    for column, indices in witness.condition.items():
        decision = space.decisions[column]
        values = [_text(decision.values[index]) for index in indices]
        if len(values) > _SHOWN:
            values = [*values[:_SHOWN], f"{len(values) - _SHOWN} other values"]
        parts.append(f"{decision.name}={values[0]}" if len(values) == 1 else f"{decision.name} is {_or(values)}")
    if len(parts) > _SHOWN:
        parts = [*parts[:_SHOWN], f"{len(parts) - _SHOWN} more decisions"]
    return f", {'' if witness.whole else 'for example '}when {' and '.join(parts)}"


def _or(values: list[str]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}"


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def needed_by(space: SearchSpace, steps: ShapeSteps, breach: Breach, row: npt.NDArray[np.int64]) -> Condition:
    """The decisions of a row whose change was seen to mend it, with their values; none where that is too much work."""
    rng = generator(0, "needed")
    condition = {}
    for column in np.flatnonzero(row >= 0).tolist():
        if steps.budget.steps < 0:
            return {}
        size = space.decisions[column].size
        others = np.repeat(row[None], min(size - 1, _TRIED), axis=0)
        others[:, column] = (row[column] + 1 + np.arange(len(others))) % size
        others = space.complete(others, rng)
        shapes = [RowShapes(space, other, steps) for other in others]
        if any(breach not in other.breaches and breach.mark not in other.hidden for other in shapes):
            condition[column] = (int(row[column]),)
    return condition
