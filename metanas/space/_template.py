"""A resolved space: a network with holes, each hole a reference into the table of decisions.

``metanas.architecture`` fills the holes with one row and gets a graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from metanas.space._expression import Expression, ExpressionError, evaluate
from metanas.space._problems import Mark
from metanas.space._yaml import Scalar

FLOAT_LEVELS = 1001
"""A real range is searched on this many evenly spaced points (evenly in the logarithm for a log range)."""

Clause = tuple[tuple[int, frozenset[int]], ...]
"""Decisions and the value indices that each may have; all must hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of the table of decisions."""

    name: str
    """Readable and unique, as ``stage1.kernel``."""
    kind: str
    """``choice``, ``int`` or ``float``."""
    values: Sequence[Scalar]
    """All values; a row of the space holds indices into them."""
    log: bool = False
    """Whether a range is even in its logarithm."""
    prior: tuple[float, ...] = ()
    """Weights of the values; empty for equal ones."""
    when: tuple[Clause, ...] = ()
    """The decision is active when one of these clauses holds; empty for always. Clauses name earlier decisions."""
    part: str = "network"
    """``network``, or ``train`` for a decision of the training recipe."""

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.values)

    @property
    def log_prior(self) -> npt.NDArray[np.float64]:
        """Logarithm of each value's weight over an even one, ``(size,)``: logits that draw by the prior.

        A weight of 0 is as good as never drawn, and has a gradient that is a number.
        """
        weights = np.asarray(self.prior or (1.0,) * self.size, dtype=float)
        logits: npt.NDArray[np.float64] = np.log(np.maximum(weights / weights.sum() * self.size, 1e-6))
        return logits

    def index_of(self, value: Scalar) -> int:
        """Index of ``value``; for a real range, of the nearest point.

        Raises
        ------
        ValueError
            If the decision has no such value.

        """
        if self.kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
            grid = np.asarray(self.values, dtype=float)
            if grid[0] * (1 - 1e-9) - 1e-12 <= value <= grid[-1] * (1 + 1e-9) + 1e-12:
                return int(np.abs(np.log(grid) - np.log(value) if self.log else grid - value).argmin())
        for index, known in enumerate(self.values):
            if known == value and isinstance(known, bool) == isinstance(value, bool):
                return index
        raise ValueError(f"{self.name} has no value {value!r}")


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that needs no decision."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Decided:
    """The value of a decision."""

    decision: int


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """Arithmetic on ``let`` values."""

    expression: Expression
    names: Mapping[str, Value]
    """Value of each ``$name`` in the expression."""
    whole: bool
    """Whether the result is rounded to a whole number."""


Value = Fixed | Decided | Computed


def value_under(value: Value, choose: Mapping[int, Scalar] | Sequence[Scalar | None]) -> Scalar:
    """The value when decision ``i`` has the value ``choose[i]``.

    Raises
    ------
    ExpressionError
        If arithmetic has no finite result.

    """
    match value:
        case Fixed(constant):
            return constant
        case Decided(decision):
            chosen = choose[decision]
            assert chosen is not None
            return chosen
        case Computed(expression, names, whole):
            values = {name: value_under(inner, choose) for name, inner in names.items()}
            result: Scalar = evaluate(expression, values.__getitem__)
            if isinstance(result, float) and not math.isfinite(result):
                raise ExpressionError("the result is not finite")
            return round(result) if whole and isinstance(result, float) else result


def decisions_in(value: Value) -> set[int]:
    """The decisions that a value depends on."""
    match value:
        case Decided(decision):
            return {decision}
        case Computed(names=names):
            return set().union(*(decisions_in(inner) for inner in names.values()))
        case _:
            return set()


@dataclass(frozen=True, slots=True, eq=False)
class OpSite:
    """An op, its parameters and the name of its place."""

    name: str
    parameters: Mapping[str, Value]
    site: str
    """Readable place in the network, as ``stage1.2.mbconv``."""
    mark: Mark
    """Where it stands in the file."""
    path: str
    """Where it stands in the document."""


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """One after another."""

    items: tuple[Template, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Switch:
    """One of several: option ``i`` when the decision has value index ``i``."""

    decision: int
    options: tuple[Template, ...]
    site: str = ""
    """Readable place in the network."""
    by_let: bool = False
    """Whether the decision is that of a ``let`` value, and not one of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """The first ``times`` of these, one after another."""

    times: Value
    copies: tuple[Template, ...]
    site: str = ""
    """Readable place in the network."""


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """Branches from one input, merged."""

    branches: tuple[Template, ...]
    merge: str
    """``sum``, ``concat``, ``mean``, ``product``, or ``residual``: a sum that projects its first branch where shapes differ."""
    site: str
    mark: Mark
    """Where it stands in the file."""
    path: str
    """Where it stands in the document."""


@dataclass(frozen=True, slots=True, eq=False)
class CellEdge:
    """What stands between a state of a cell and a later node."""

    sources: tuple[int, ...]
    """The state that it reads: the only one, or the one at the value index of ``pick``."""
    modules: tuple[Template, ...]
    """What stands there for each of ``sources``; with the same decisions, but perhaps another stride."""
    pick: int | None = None
    """Decision that says which of ``sources`` is read."""

    def chosen(self, row: Sequence[int] | npt.NDArray[np.int64]) -> tuple[int, Template]:
        """State and module under a row."""
        index = 0 if self.pick is None else int(row[self.pick])
        return self.sources[index], self.modules[index]


@dataclass(frozen=True, slots=True, eq=False)
class CellNode:
    """A state of a cell: what arrives is merged, then goes through ``op``."""

    name: str
    edges: tuple[CellEdge, ...]
    merge: str
    op: Template | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A graph. States are numbered: the inputs, then the nodes; the last node's is the result.

    With two inputs the first is what the cell before read as its last input (``before``), the second the result of
    the module before (``previous``).
    """

    inputs: tuple[str, ...]
    nodes: tuple[CellNode, ...]
    site: str
    mark: Mark
    """Where it stands in the file."""
    path: str
    """Where it stands in the document."""
    each_input: tuple[Template, ...] = ()
    """What each input goes through first; empty for nothing."""
    hands_on: Template | None = None
    """What this cell's last input goes through before the next cell reads it: a reduction where this cell reduces."""


Template = OpSite | Chain | Switch | Copies | Branches | Cell

IDENTITY = Chain(())


def parts_of_cell(cell: Cell) -> Iterator[Template]:
    """The templates in a cell, each once."""
    parts: list[Template] = [*cell.each_input]
    for node in cell.nodes:
        parts.extend(module for edge in node.edges for module in edge.modules)
        if node.op is not None:
            parts.append(node.op)
    if cell.hands_on is not None:
        parts.append(cell.hands_on)
    yield from {id(part): part for part in parts}.values()


def templates_in(template: Template) -> Iterator[Template]:
    """A template and all in it, each once."""
    seen: set[int] = set()
    waiting: list[Template] = [template]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        match part:
            case Chain(items=items):
                waiting.extend(items)
            case Switch(options=options):
                waiting.extend(options)
            case Copies(copies=copies):
                waiting.extend(copies)
            case Branches(branches=branches):
                waiting.extend(branches)
            case Cell():
                waiting.extend(parts_of_cell(part))


def ops_in(template: Template) -> set[str]:
    """Names of the ops in a template; ``python`` for modules of the user's."""
    return {part.name for part in templates_in(template) if isinstance(part, OpSite)}


def columns_read(template: Template) -> set[int]:
    """The decisions that a template's network depends on."""
    found: set[int] = set()
    for part in templates_in(template):
        match part:
            case OpSite(parameters=parameters):
                found.update(*(decisions_in(value) for value in parameters.values()))
            case Switch(decision=decision):
                found.add(decision)
            case Copies(times=times):
                found |= decisions_in(times)
            case Cell(nodes=nodes):
                found.update(edge.pick for node in nodes for edge in node.edges if edge.pick is not None)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """All that the resolver found in a space file."""

    decisions: tuple[Decision, ...]
    template: Template
    recipe: Mapping[str, Value] = field(default_factory=dict)
    """Training settings by name."""
    limits: tuple[tuple[str, tuple[int, ...], int], ...] = ()
    """Cells with a bound on their edges: place, columns of the edges' decisions, and how many may be there."""
