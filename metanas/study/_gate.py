"""Which architectures may be proposed: those that can be built for the data and meet the constraints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metanas._rng import generator
from metanas.architecture import (
    Architecture,
    CanonicalIds,
    Measures,
    Modules,
    Shape,
    ShapeCheck,
    ShapeError,
    broken_constraint,
    check_shapes,
)
from metanas.controller import Steering
from metanas.errors import ConstraintError, MetanasError
from metanas.evaluator import Recipe
from metanas.space import Rows, SearchSpace, ops_in
from metanas.tables import ResultTable
from metanas.trial import Scalar

Row = npt.NDArray[np.int64]

_RECENT = 256
"""Rows whose measures are remembered: a row is looked at a few times within one proposal."""


class Gate:
    """Checks rows of a space for one data set, and remembers why rows were refused."""

    def __init__(
        self,
        space: SearchSpace,
        input_shape: Shape,
        outputs: int,
        vocabulary: tuple[int, ...] = (),
        *,
        samples: int,
        table: ResultTable | None = None,
    ) -> None:
        self.space = space
        self.table = table
        """Where results are looked up; then nothing is built."""
        self.input_shape = input_shape
        self.vocabulary = vocabulary
        self.outputs = outputs
        self.samples = samples
        """How many there are to train on, which the batch size may depend on."""
        self._modules = _modules(space)
        self._ids = CanonicalIds(space)
        self._refusals: Counter[str] = Counter()
        self._last_shape_error: ShapeError | None = None
        self._least: dict[str, float] = {}
        self._passed = 0
        self._recent: dict[bytes, Measures] = {}

    def check_shapes(self) -> ShapeCheck:
        """Which networks cannot be built for the data, whatever is proposed."""
        return check_shapes(self.space, self.input_shape, self.outputs, self.vocabulary, modules=self._modules)

    @cached_property
    def steering(self) -> Steering:
        """What draws rows that are likely to meet the constraints. The same in every session of a run."""
        return Steering.learn(self.space, self._known_measures, generator(0, "steering"))

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` random rows ``(n, n_decisions)``, steered towards those that meet the constraints on measures."""
        if self.table is not None:
            return self.table.rows[rng.integers(len(self.table), size=n)]
        if not any(constraint.measures for constraint in self.space.constraints):
            return self.space.sample(n, rng)
        return self.steering.sample(n, rng)

    def likely(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows ``(n, n_decisions)`` seem to meet the constraints on measures, ``(n,)``, without building them."""
        if self.table is not None or not any(constraint.measures for constraint in self.space.constraints):
            return np.ones(len(rows), dtype=bool)
        return self.steering.likely(rows)

    def _known_measures(self, row: Row) -> dict[str, float] | None:
        try:
            measures = self.measures(row).to_json()
        except ShapeError:
            return None
        self._note(measures)
        return measures

    def _note(self, measures: Mapping[str, float]) -> None:
        for name, value in measures.items():
            self._least[name] = min(value, self._least.get(name, value))

    def canonical_id(self, row: Row) -> str:
        """The id of the row's network."""
        return self._ids.of(row)

    def refusal(self, row: Row) -> str:
        """Why a row may not be proposed; empty when it may."""
        reason = self._reason(row)
        if reason:
            self._refusals[reason] += 1
        else:
            self._passed += 1
        return reason

    def row_of(self, decisions: Mapping[str, Scalar]) -> Row:
        """The row of an architecture's decisions."""
        return self.space.to_row(decisions)

    def measures(self, row: Row) -> Measures:
        """What its network costs. Raises ShapeError when there is none."""
        key = row.tobytes()
        known = self._recent.pop(key, None)
        self._recent[key] = measures = known or self._measure(row)
        if len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]
        return measures

    def _measure(self, row: Row) -> Measures:
        architecture = Architecture(self.space, tuple(int(v) for v in row))
        layers = architecture.layers(self.input_shape, self.outputs, self.vocabulary, modules=self._modules)
        recipe = _recipe(architecture)
        return Measures.of(layers, batch_size=recipe.batch_for(self.samples), optimizer=recipe.optimizer)

    def _reason(self, row: Row) -> str:
        if not self.space.satisfies(row[None])[0]:
            return next(
                c.text
                for c in self.space.constraints
                if not c.measures and not c.holds(row[None], self.space.decisions)[0]
            )
        if self.table is not None:
            place = int(self.table.index(row[None])[0])
            return "" if place >= 0 and np.isfinite(self.table.mean_losses[place]) else "the table has its result"
        try:
            measures = self.measures(row)
        except ShapeError as error:
            self._last_shape_error = error
            return "no network can be built"
        self._note(measures.to_json())
        broken = broken_constraint(self.space, Architecture(self.space, tuple(int(v) for v in row)), measures)
        return broken.text if broken else ""

    def explain_nothing_left(self) -> MetanasError | None:
        """The error for a search that found nothing to propose; None when all that could be proposed was."""
        if self._passed:
            return None
        tried = sum(self._refusals.values())
        if self._last_shape_error is not None and set(self._refusals) == {"no network can be built"}:
            return self._last_shape_error
        reasons = "; ".join(f"{count} broke {text!r}" for text, count in self._refusals.most_common(3))
        least = ", ".join(f"{name} {value:,.0f}" for name, value in self._least.items())
        return ConstraintError(
            "some network of the space must meet the constraints", found=f"none of {tried:,} tried ({reasons})",
            remedy=f"relax them; the smallest values seen were {least}" if least else "relax them",
            where=f"space {self.space.name}",
        )  # fmt: skip


def _recipe(architecture: Architecture) -> Recipe:
    return Recipe.from_mapping(architecture.recipe, allow_python=True)


def _modules(space: SearchSpace) -> Modules | None:
    """What says how modules of the user's behave, where the space has some; a space that has was allowed to."""
    if "python" not in ops_in(space.template):
        return None
    # Here, because it loads torch, which the coordinator needs for such spaces alone.
    from metanas.network import user_modules

    return user_modules
