"""Whether every network of a space can be built for samples of a shape, without going through the networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from metanas._rng import generator
from metanas.architecture._diagram import Budget, Diagram, Diagrams, TooEntangledError
from metanas.architecture._layers import Modules
from metanas.architecture._row_shapes import RowShapes
from metanas.architecture._rules import Shape
from metanas.architecture._shape_problems import ShapeProblem, needed_by, shape_problem
from metanas.architecture._shape_steps import DEFAULT_SAMPLES, Breach, ShapeSteps
from metanas.architecture._space_shapes import Broken, SpaceShapes
from metanas.architecture._witness import Witness, Witnesses
from metanas.space import LanguageError, Problem, SearchSpace, ops_in

MOST_STEPS = 300_000
"""Steps that a check may take with diagrams, of which there may be two; about half a second each."""
MOST_STEPS_OF_A_PLACE = 30_000
"""The same for finding out in which networks a place is hidden by what is wrong before it."""
MOST_STEPS_OF_ROWS = 1_000_000
"""The same for rows."""
MANY_VALUES = 33
"""A range of more values is looked at at so many where all are too much."""
RANDOM_ROWS = 256
"""Rows looked at where even that is too much, beside those in which every option stands once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeCheck:
    """What :func:`check_shapes` found."""

    input_shape: Shape
    """The samples that it was made for."""
    found: tuple[ShapeProblem, ...] = ()
    """What cannot be built."""
    ranges: bool = True
    """Whether all values of ranges were looked at, and not only some of the long ones'."""
    rows: int | None = None
    """How many rows were looked at, where all networks were too much; None where all were."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What cannot be built, by place in the file."""
        return LanguageError(one.problem for one in self.found).problems

    def raise_if_any(self) -> None:
        """Raise :class:`LanguageError` when a network cannot be built."""
        if self.found:
            raise LanguageError(self.problems)

    def __str__(self) -> str:
        what = "every network"
        if self.rows is not None:
            what = f"each of {self.rows} networks tried (all have too many shapes to go through)"
        elif not self.ranges:
            what = f"every network (of ranges of more than {MANY_VALUES} values, those with {MANY_VALUES} of them)"
        return f"{what} can be built for samples of shape {list(self.input_shape)}"


def has_shapes(space: SearchSpace) -> bool:
    """Whether a space's networks can be built at all: it is not of decisions alone, nor of symbols."""
    return not space.tabular and "symbol" not in ops_in(space.template)


def check_shapes(
    space: SearchSpace,
    input_shape: Shape | None = None,
    outputs: int | None = None,
    vocabulary: tuple[int, ...] = (),
    *,
    modules: Modules | None = None,
) -> ShapeCheck:
    """Look for networks of a space that cannot be built, in all combinations of decisions that its constraints leave.

    Without a shape (or, where samples are ids, without their numbers) typical ones of the space's input are taken. ``outputs`` is what the networks must end in; None
    where any row will do. ``modules`` says what modules of the user's make. A space that has no shapes passes.
    """
    typical, ids = DEFAULT_SAMPLES[space.input]
    input_shape, vocabulary = input_shape or typical, vocabulary or ids
    steps = ShapeSteps(input_shape, outputs, vocabulary, modules)
    if not has_shapes(space):
        return ShapeCheck(input_shape=steps.input_shape)
    levels = [range(decision.size) for decision in space.decisions]
    some = [_some(len(all_)) if d.kind != "choice" else all_ for d, all_ in zip(space.decisions, levels, strict=True)]
    for ranges in (True, False):
        steps.budget = Budget(MOST_STEPS)
        try:
            found = tuple(_prove(space, steps, Diagrams(levels if ranges else some, steps.budget)))
            return ShapeCheck(input_shape=steps.input_shape, found=found, ranges=ranges)
        # A diagram is as deep as the decisions that it reads are many.
        except (TooEntangledError, RecursionError):
            continue
    steps.budget = Budget(MOST_STEPS_OF_ROWS)
    found, tried = _try(space, steps)
    return ShapeCheck(input_shape=steps.input_shape, found=found, rows=tried)


def _some(size: int) -> Sequence[int]:
    """Some of so many values: the first, among which are even and odd and the like, and others up to the last."""
    if size <= MANY_VALUES:
        return range(size)
    first = MANY_VALUES // 2
    return sorted({*range(first), *np.linspace(first, size - 1, MANY_VALUES - first).round().astype(int).tolist()})


def _prove(space: SearchSpace, steps: ShapeSteps, diagrams: Diagrams) -> Iterator[ShapeProblem]:
    """All that is wrong under the levels of ``diagrams``, each with a row for which it is."""
    shapes = SpaceShapes(space, steps, diagrams)
    result = shapes.result()
    numbers = {n for leaf in result.leaves if isinstance(leaf.value, Broken) for n in leaf.value.breaches}
    if not numbers:
        return
    steps.budget.steps = MOST_STEPS
    witnesses = Witnesses(space, diagrams, result)
    for breach, number in shapes.breaches.items():
        if number not in numbers:
            continue
        witness = witnesses.of(number, partial(_unseen, space, steps, diagrams, breach, result))
        if witness is not None:
            yield shape_problem(space, steps, breach, witness)


def _unseen(space: SearchSpace, steps: ShapeSteps, diagrams: Diagrams, breach: Breach, result: Diagram) -> Diagram:
    """Rows in which nothing is known of the place of a breach, as another breach comes before it."""
    if breach.mark is None:  # the end is seen where nothing else is wrong
        return diagrams.map(lambda value: isinstance(value, Broken), result)
    left, steps.budget.steps = steps.budget.steps, MOST_STEPS_OF_A_PLACE
    try:
        watched = SpaceShapes(space, steps, diagrams, watched=breach.mark).result()
        return diagrams.map(lambda value: isinstance(value, Broken) and value.unseen, watched)
    except TooEntangledError:
        return diagrams.leaf(False)  # the condition names more decisions than it must
    finally:
        steps.budget.steps = left


def _try(space: SearchSpace, steps: ShapeSteps) -> tuple[tuple[ShapeProblem, ...], int]:
    """What is wrong with rows, and how many were looked at."""
    rng = generator(0, "shapes")
    rows = np.concatenate([space.covering_rows(rng), space.sample(RANDOM_ROWS, rng)])
    found: dict[Breach, ShapeProblem] = {}
    tried = 0
    for row in rows[space.satisfies(rows)]:
        tried += 1
        for breach in RowShapes(space, row, steps).breaches - set(found):
            condition = needed_by(space, steps, breach, row)
            found[breach] = shape_problem(space, steps, breach, Witness(row, condition, False))
        if steps.budget.steps < 0:
            break
    return tuple(found.values()), tried
