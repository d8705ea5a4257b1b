"""The shapes of one row's network: goes on where a rule is breached, so that all breaches are known, each with its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metanas.architecture._graph import Walk, parameters_of
from metanas.architecture._rules import ShapeError
from metanas.architecture._shape_steps import SHAPELESS, Breach, Known, Place, ShapeSteps
from metanas.space import Branches, Cell, Mark, OpSite, SearchSpace


@dataclass(frozen=True, slots=True)
class Flow:
    """A value in the network."""

    known: Known
    """Its shape; of what came before the breach, if it is broken."""
    place: Place | None = None
    """What makes it; None for the data."""
    site: str = ""
    """Readable place of that."""
    breaches: frozenset[Breach] = frozenset()
    """What keeps it from being built; empty where nothing does."""

    @property
    def source(self) -> str:
        """Where it comes from, for an error."""
        if self.place is None:
            return ""
        return f"{self.site or 'the network'} (line {self.place.mark.line})"


class RowShapes(Walk[Flow]):
    """Shapes of the network of a row, and the breaches that keep it from being built."""

    def __init__(self, space: SearchSpace, row: npt.NDArray[np.int64], steps: ShapeSteps) -> None:
        super().__init__([int(value) for value in row], space.choices(row))
        self.errors: dict[Breach, tuple[Place | None, ShapeError]] = {}
        """Place and error of each breach, also of those in parts that do not reach the output."""
        self.hidden: set[Mark | None] = set()
        """Places that something arrives at that cannot be built; None for the end."""
        self._steps = steps
        result = self.value(space.template, Flow(steps.start))
        self.breaches = frozenset[Breach]() if result is None else result.breaches
        """What keeps the network from being built."""
        if self.breaches:
            self.hidden.add(None)
        elif result is not None and (error := steps.end(result.known)) is not None:
            self.breaches = frozenset((self._note(result.place, error, Breach.of(None, error)),))

    def op(self, template: OpSite, x: Flow) -> Flow:
        """See :class:`Walk`."""
        if x.breaches:
            self.hidden.add(template.mark)
            return x
        values = parameters_of(template, self.choices)
        parameters = tuple(
            (name, type(value), value)
            for name, value in values.items()
            if template.name == "python" or name not in SHAPELESS
        )
        result = self._steps.op(template.name, parameters, x.known)
        if isinstance(result, Known):
            return Flow(result, template, template.site)
        try:
            self._steps.lower_op(template.name, values, x.known, site=template.site, source=x.source)
        except ShapeError as error:
            result = error
        return Flow(x.known, breaches=frozenset((self._note(template, result),)))

    def merge(self, kind: str, values: Sequence[Flow], place: Branches | Cell, node: str) -> Flow:
        """See :class:`Walk`."""
        breaches = frozenset[Breach]().union(*(value.breaches for value in values))
        if breaches:
            self.hidden.add(place.mark)
            return Flow(values[0].known, breaches=breaches)
        site = ".".join(part for part in (place.site, node) if part)
        known = [value.known for value in values]
        result = self._steps.merge(kind, known)
        if isinstance(result, Known):
            return Flow(result, place, site)
        try:
            self._steps.lower_merge(kind, known, site=site, sources=[value.source for value in values])
        except ShapeError as error:
            result = error
        return Flow(known[0], breaches=frozenset((self._note(place, result),)))

    def _note(self, place: Place | None, error: ShapeError, breach: Breach | None = None) -> Breach:
        breach = breach or Breach.of(place, error)
        self.errors.setdefault(breach, (place, error))
        return breach
