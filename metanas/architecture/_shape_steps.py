"""What one op, or one merge, makes of shapes: the lowering of that op alone, asked once for each question."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metanas.architecture._diagram import Budget
from metanas.architecture._layers import Layer, Modules, Trace
from metanas.architecture._lower import LOWER, lower_merge
from metanas.architecture._rules import Shape, ShapeError
from metanas.space import Branches, Cell, Mark, OpSite, signature

Place = OpSite | Branches | Cell
"""What a shape may not fit."""

SHAPELESS = frozenset({"act", "bias", "dropout", "expand", "kind", "layers", "norm", "ratio", "se"})
"""Parameters of ops that change no shape and no rule: they are not looked at. A test holds it."""

_STEPS_OF_A_LOWERING = 50
"""Time of a lowering over that of a step with diagrams."""

DEFAULT_SAMPLES: Mapping[str, tuple[Shape, tuple[int, ...]]] = {
    "image": ((3, 224, 224), ()),
    "sequence": ((4, 1024), ()),
    "tokens": ((128,), (10_000,)),
    "table": ((16,), ()),
    "pairs": ((2,), (1_000, 1_000)),
}
"""Input -> shape of a sample and how many ids there are, where no data set says so. Large: what a network may shrink."""


class Known(NamedTuple):
    """What is known of a value."""

    shape: Shape
    """Without the batch."""
    ids: bool
    """Whether it is the data's ids as they are, which embeddings alone may read."""


class Breach(NamedTuple):
    """What may be wrong at a place: equal for all copies of the place and all numbers."""

    mark: Mark | None
    """Where the op or the merge stands; None for the end of the network."""
    rule: str
    """The rule without its numbers."""

    @classmethod
    def of(cls, place: Place | None, error: ShapeError) -> Breach:
        """The breach of a rule at a place."""
        return cls(None if place is None else place.mark, re.sub(r"\d+", "N", error.rule))


class ShapeSteps:
    """Shapes after one step, for samples of one shape."""

    def __init__(
        self, input_shape: Shape, outputs: int | None, vocabulary: tuple[int, ...] = (), modules: Modules | None = None
    ) -> None:
        self.input_shape = tuple(input_shape)
        self.outputs = outputs
        """What the network must end in; None where only that it ends in a row."""
        self.vocabulary = tuple(vocabulary)
        self.modules = modules
        self.start = Known(self.input_shape, bool(vocabulary))
        """What is known of the data."""
        self.budget = Budget(0)
        """What the work is taken from; it may go below 0."""
        self._known: dict[tuple[object, ...], Known | ShapeError] = {}

    def op(self, name: str, parameters: tuple[tuple[str, type, Any], ...], x: Known) -> Known | ShapeError:
        """What an op with these parameters (name, type, value) makes of a value; the error says no places."""
        key = (name, parameters, x)
        found = self._known.get(key)
        self.budget.steps -= 1 if found is not None else _STEPS_OF_A_LOWERING
        if found is None:
            try:
                found = self.lower_op(name, {key: value for key, _, value in parameters}, x)
            except ShapeError as error:
                found = error
            self._known[key] = found
        return found

    def merge(self, kind: str, values: Sequence[Known]) -> Known | ShapeError:
        """What a merge makes of two values or more: a merge of many is one of two again and again."""
        merged = values[0]
        for value in values[1:]:
            key = (kind, merged, value)
            found = self._known.get(key)
            self.budget.steps -= 1 if found is not None else _STEPS_OF_A_LOWERING
            if found is None:
                try:
                    found = self.lower_merge(kind, [merged, value])
                except ShapeError as error:
                    found = error
                self._known[key] = found
            if isinstance(found, ShapeError):
                return found
            merged = found
        return merged

    def lower_op(
        self, name: str, parameters: Mapping[str, Any], x: Known, *, site: str = "", source: str = ""
    ) -> Known:
        """The same, with the names of the place and of what makes the value for the error, which is raised."""
        trace, (value,) = self._trace([x], [source], site)
        defaults = {key: parameter.default for key, parameter in signature(name).parameters.items()}
        result = LOWER[name](trace, value, **{**defaults, **parameters})
        return x if result == value else Known(trace.shape(result), False)

    def lower_merge(
        self, kind: str, values: Sequence[Known], *, site: str = "", sources: Sequence[str] | None = None
    ) -> Known:
        """A merge of two values or more; see :meth:`lower_op`."""
        trace, arriving = self._trace(values, sources or [""] * len(values), site)
        return Known(trace.shape(lower_merge(trace, kind, arriving)), False)

    def end(self, x: Known) -> ShapeError | None:
        """What is wrong with the result of the network."""
        if len(x.shape) == 1 and self.outputs in (None, x.shape[0]):
            return None
        outputs = "outputs" if self.outputs is None else f"{self.outputs} outputs"
        return ShapeError(
            f"the network ends in a row of {outputs}", found=f"shape {list(x.shape)}", remedy="end it with head"
        )

    def _trace(self, values: Sequence[Known], sources: Sequence[str], site: str) -> tuple[Trace, list[int]]:
        layers = [Layer("x", "input", {}, (), self.input_shape, 0, 0)]
        places = []
        for known, source in zip(values, sources, strict=True):
            if known.ids:
                places.append(0)
                continue
            places.append(len(layers))
            layers.append(Layer("y", "input", {}, (), known.shape, 0, 0, source))
        trace = Trace(
            layers, self.outputs or 1, site, modules=self.modules, vocabulary=self.vocabulary, shapes_only=True
        )
        return trace, places
