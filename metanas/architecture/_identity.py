"""Canonical ids: equal for two rows exactly when they denote the same computation.

A row is reduced to op instances (``_dissolve``). What is left is named up to isomorphism (``_canonical``). Cuts of a
chain are the cuts of its items and the joints between them, so items are named apart and remembered, once for all that
are equal but for their place: the fifteen equal cells of NAS-Bench-201 cost one. Cells that read two modules before
them have no such cuts; where they follow one another, ``_relay`` names them apart all the same.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metanas.architecture._alike import Alike
from metanas.architecture._dissolve import Dissolver, Filling, Key, RowValues, nothing_read, reader
from metanas.architecture._graph import Choices, chosen_copies
from metanas.architecture._relay import Relay
from metanas.architecture._series import Pieces, Series, remember
from metanas.space import (
    Cell,
    Chain,
    Copies,
    SearchSpace,
    Switch,
    Template,
    columns_read,
    decisions_in,
    templates_in,
    value_under,
)

_UNKNOWN = Series((), 1)
_NO_ROW: list[int] = []
"""For parts that read none."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What is remembered of the parts that are equal but for their place, and no series themselves."""

    template: Template
    """One of them."""
    key: Callable[[list[int]], Key]
    """The values of the decisions that they read."""
    known: dict[Key, Series | None] = field(default_factory=dict)
    """By those values; None where it is cut."""


class _Step(NamedTuple):
    """One of the things that stand in series: one of these."""

    fixed: Series | None = None
    """What no decision changes."""
    part: _Part | None = None
    """A part."""
    times: int = 1
    """So many of the part."""
    branch: Callable[[Filling], _Plan] | None = None
    """What stands there depends on the row."""


_Plan = list[_Step]
"""What stands in series."""


class CanonicalIds:
    """Canonical ids of the rows of one space; remembers the parts that rows share."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.whole = _reads_before(space.template)
        """Whether a part's meaning depends on what stands before it, so that parts cannot be named apart."""
        self._alike = Alike()
        self._dissolver = Dissolver()
        self._pieces = Pieces()
        self._parts: dict[int, _Part] = {}  # by number
        self._plans: dict[int, _Plan] = {}  # by template
        self._values = [decision.values for decision in space.decisions]

    def of(self, row: npt.NDArray[np.int64]) -> str:
        """The id of a row ``(n_decisions,)``: 16 hexadecimal digits."""
        if self.space.tabular:
            return _digest(f"table {self.space.to_values(row)}".encode())
        return self._of(row.tolist())

    def of_all(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """The ids of rows ``(n, n_decisions)``, in less time than one by one."""
        if self.space.tabular:
            return [self.of(row) for row in rows]
        with _no_collection():
            return [self._of(indices) for indices in rows.tolist()]

    def _of(self, indices: list[int]) -> str:
        filling = Filling(indices, RowValues(self._values, indices))
        name = self._name(filling)
        if self.space.recipe:
            recipe = {key: value_under(value, filling.choices) for key, value in self.space.recipe.items()}
            name += b" train " + json.dumps(recipe).encode()
        return _digest(name)

    def is_cut(self, row: npt.NDArray[np.int64]) -> bool:
        """Whether no path leads from a row's input to its output; never so where there are decisions alone."""
        if self.space.tabular:
            return False
        indices = row.tolist()
        return self._series(self.space.template, Filling(indices, RowValues(self._values, indices))) is None

    def number(self, template: Template) -> int:
        """A number, the same for templates of the space that are equal but for their place."""
        return self._alike.number(template)

    def series_of_part(self, template: Template, row: list[int], choices: Choices) -> Series | None:
        """The same for a part that is no series itself; reads only those decisions that matter."""
        graph = self._dissolver.graph(template, Filling(row, choices))
        return None if graph is None else self._pieces.of(graph)

    @cached_property
    def _relay(self) -> Relay | None:
        if not self.whole:
            return None
        return Relay.of(self.space.template, self._alike, self._dissolver, self._pieces, self._series)

    @cached_property
    def _whole_plan(self) -> _Plan:
        return self._plan(self.space.template)

    def _name(self, filling: Filling) -> bytes:
        if self._relay is not None:
            name = self._relay.name(filling)
            if name is not None:
                return name
        joined: list[Series] = []
        if not self._run(self._whole_plan, filling, joined):
            return b"nothing"
        for series in joined:
            if series.factor != 1:
                whole = self._pieces.in_series(joined)
                return b"%d %b" % (whole.factor, whole.name)
        return b"1 " + b"".join([series.name for series in joined])

    def _series(self, template: Template, filling: Filling) -> Series | None:
        """A template in series position; None when it cuts the network."""
        joined: list[Series] = []
        return self._pieces.in_series(joined) if self._run(self._plan(template), filling, joined) else None

    def _run(self, plan: _Plan, filling: Filling, joined: list[Series]) -> bool:
        """Append what a plan comes to; whether it is not cut."""
        last: tuple[_Part | None, int] = (None, 0)
        copies: Sequence[Series] = ()
        for fixed, part, times, branch in plan:
            if fixed is not None:
                joined.append(fixed)
            elif part is not None:
                if last != (part, times):  # stages of equal cells have only what is fixed between them
                    key = part.key(filling.row)
                    series = part.known.get(key, _UNKNOWN)
                    if series is _UNKNOWN:
                        series = self.series_of_part(part.template, *filling)
                        remember(part.known, key, series)
                    if series is None:
                        return False
                    last, copies = (part, times), self._pieces.copies(series, times)
                joined += copies
            elif branch is not None and not self._run(branch(filling), filling, joined):
                return False
        return True

    def _plan(self, template: Template) -> _Plan:
        plan = self._plans.get(id(template))
        if plan is None:
            plan = self._plans[id(template)] = self._new_plan(template)
        return plan

    def _new_plan(self, template: Template) -> _Plan:
        if not (self.whole and _reads_before(template)):
            if isinstance(template, Switch):
                return [_Step(branch=lambda filling: self._plan(template.options[filling.row[template.decision]]))]
            if isinstance(template, Chain):
                return self._plan_of(template.items)
            if isinstance(template, Copies):
                return self._plan_of_copies(template)
        number = self._alike.number(template)
        part = self._parts.get(number)
        if part is None:
            part = self._parts[number] = _Part(template, reader(sorted(columns_read(template))))
        return [_Step(part=part)]

    def _plan_of_copies(self, template: Copies) -> _Plan:
        if not decisions_in(template.times):
            return self._plan_of(chosen_copies(template, ()))
        plans: dict[int, _Plan] = {}

        def branch(filling: Filling) -> _Plan:
            copies = chosen_copies(template, filling.choices)
            plan = plans.get(len(copies))
            if plan is None:
                plan = plans[len(copies)] = self._plan_of(copies)
            return plan

        return [_Step(branch=branch)]

    def _plan_of(self, items: Sequence[Template]) -> _Plan:
        """Items one after another; what is fixed is joined, and what is equal counted."""
        plan: _Plan = []
        for step in (step for item in items for step in self._plan(item)):
            last = plan[-1] if plan else _Step()
            if step.part is not None and step.part.key is nothing_read:
                series = self.series_of_part(step.part.template, _NO_ROW, ())
                step = step if series is None else _Step(fixed=self._pieces.in_series([series] * step.times))
            if step.fixed is not None and last.fixed is not None:
                plan[-1] = _Step(fixed=self._pieces.in_series([last.fixed, step.fixed]))
            elif step.part is not None and last.part is step.part:
                plan[-1] = _Step(part=last.part, times=last.times + step.times)
            else:
                plan.append(step)
        return plan


@contextmanager
def _no_collection() -> Iterator[None]:
    """Do without the garbage collector: what is remembered stays and holds no cycles, yet is looked through again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _digest(name: bytes) -> str:
    return hashlib.sha256(name).hexdigest()[:16]


def _reads_before(template: Template) -> bool:
    """Whether a template holds a cell of two inputs, which reads what came before the module that it follows."""
    return any(isinstance(part, Cell) and len(part.inputs) > 1 for part in templates_in(template))
