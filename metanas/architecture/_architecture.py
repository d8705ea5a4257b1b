"""One network of a space, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metanas.architecture._graph import OpGraph, expand
from metanas.architecture._identity import CanonicalIds
from metanas.architecture._layers import LayerGraph, Modules
from metanas.architecture._lower import lower
from metanas.architecture._rules import Shape, ShapeError
from metanas.errors import MetanasError
from metanas.space import Constraint, Scalar, SearchSpace


@dataclass(frozen=True)
class Architecture:
    """A row of a space's table of decisions.

    Raises
    ------
    MetanasError
        If the row has not an index of a value, or −1, for each decision.

    """

    space: SearchSpace = field(hash=False)
    """Where it comes from."""
    row: tuple[int, ...]
    """Index of the value of each decision, −1 where it is inactive."""

    def __post_init__(self) -> None:
        sizes = [decision.size for decision in self.space.decisions]
        if len(self.row) != len(sizes) or any(
            not -1 <= index < size for index, size in zip(self.row, sizes, strict=True)
        ):
            raise MetanasError(
                f"an architecture of {self.space.name} has an index of a value, or -1, for each of its {len(sizes)} decisions",
                found=str(self.row)[:80], remedy="make it with Architecture.from_values",
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"Architecture({self.space.name}, {self.row})"

    @classmethod
    def from_values(cls, space: SearchSpace, values: Mapping[str, object]) -> Architecture:
        """The architecture with these values of the active decisions, by name.

        Raises
        ------
        MetanasError
            If they are no row of the space.

        """
        return cls(space, tuple(int(v) for v in space.to_row(values)))

    @classmethod
    def from_json(cls, space: SearchSpace, text: str) -> Architecture:
        """The inverse of :meth:`to_json`."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise MetanasError("an architecture is a JSON object", found=str(error)) from error
        if not isinstance(data, dict) or not isinstance(data.get("decisions"), dict):
            raise MetanasError("an architecture is a JSON object with 'decisions'", found=str(data)[:80])
        return cls.from_values(space, data["decisions"])

    def to_json(self) -> str:
        """Space, canonical id and decisions as JSON text."""
        data = {"space": self.space.name, "canonical_id": self.canonical_id, "decisions": self.values}
        return json.dumps(data, indent=2)

    @property
    def array(self) -> npt.NDArray[np.int64]:
        """The row as an array ``(n_decisions,)``."""
        return np.array(self.row, dtype=np.int64)

    @cached_property
    def values(self) -> dict[str, Scalar]:
        """A value for each active decision."""
        return self.space.to_values(self.array)

    @cached_property
    def recipe(self) -> dict[str, Scalar]:
        """Training settings that the space decides."""
        return self.space.recipe_of(self.array)

    @cached_property
    def graph(self) -> OpGraph:
        """Its ops, cut edges and identities gone."""
        return expand(self.space.template, self.row, self.space.choices(self.array))

    @property
    def modules(self) -> list[str]:
        """Modules of the user's in it, each ``package.module:Class``."""
        return sorted({str(node.parameters["module"]) for node in self.graph.nodes if node.op == "python"})

    @cached_property
    def canonical_id(self) -> str:
        """Equal for architectures that denote the same network and the same training."""
        return CanonicalIds(self.space).of(self.array)

    def layers(
        self,
        input_shape: Shape,
        outputs: int,
        vocabulary: tuple[int, ...] = (),
        *,
        modules: Modules | None = None,
    ) -> LayerGraph:
        """Its layers for samples of ``input_shape`` and ``outputs`` outputs.

        ``vocabulary`` is how many ids there are, where samples are ids: one number for tokens, two for pairs of users
        and items. ``modules`` (:func:`metanas.network.user_modules`) says what modules of the user's make.

        Raises
        ------
        ShapeError
            If no such network can be built.

        """
        if self.space.tabular:
            raise ShapeError("a tabular space has no networks to build", found=f"the space {self.space.name}")
        return lower(self.graph, input_shape, outputs, vocabulary, modules=modules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What constraints may bound."""

    params: int
    """Trainable parameters."""
    flops: int
    """Multiply-adds of one sample, forward."""
    memory: int
    """Peak bytes of a training step."""
    depth: int
    """Layers with weights on the longest path."""

    @classmethod
    def of(cls, layers: LayerGraph, *, batch_size: int, optimizer: str = "adamw") -> Measures:
        """Count them for a batch of ``batch_size`` samples."""
        slots = 1 if optimizer == "sgd" else 2
        return cls(
            params=layers.params, flops=layers.flops, depth=layers.depth,
            memory=layers.memory(batch_size, optimizer_slots=slots),
        )  # fmt: skip

    def to_json(self) -> dict[str, float]:
        """By name."""
        return {"params": self.params, "flops": self.flops, "memory": self.memory, "depth": self.depth}


def broken_constraint(space: SearchSpace, architecture: Architecture, measures: Measures) -> Constraint | None:
    """The first constraint that the architecture does not meet, or None."""
    known = measures.to_json()
    return next((c for c in space.constraints if not c.holds_for(architecture.values, known)), None)
