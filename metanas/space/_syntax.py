"""The parsed form of a space file: one class a form of the language, each with its place.

Nothing is looked up or decided here; see ``_parse`` (nodes -> these) and ``_resolve`` (these -> a template).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from metanas.space._expression import Expression
from metanas.space._problems import Mark
from metanas.space._yaml import Scalar


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Syntax:
    """What every form has. Compared by identity: two spellings of one form are two sites."""

    mark: Mark
    """Where it begins."""
    path: str
    """Where it stands in the document."""
    id: str = ""
    """The user's name for the site; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constant(Syntax):
    """A value that is itself."""

    value: Scalar


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChoiceValue(Syntax):
    """``choice: [16, 24, 32]``."""

    values: tuple[Scalar, ...]
    prior: tuple[float, ...] = ()
    """Weight of each value; empty for equal weights."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeValue(Syntax):
    """``int: [2, 8]`` or ``float: [1e-4, 0.3]``."""

    low: float
    high: float
    real: bool
    step: float | None = None
    log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Formula(Syntax):
    """``$width`` or arithmetic on ``let`` values."""

    expression: Expression
    text: str


ValueSyntax = Constant | ChoiceValue | RangeValue | Formula


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpCall(Syntax):
    """An op with its parameters."""

    name: str
    parameters: dict[str, ValueSyntax] = field(default_factory=dict)
    label: str = ""
    """What the file calls it, where that is not ``name``: a module of the user's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference(Syntax):
    """A name that the file defines, or ``new: name``."""

    name: str
    new: bool = False
    bound: dict[str, ValueSyntax] = field(default_factory=dict)
    """Values that ``let`` names have in this use of the block."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceForm(Syntax):
    """``[a, b, c]``."""

    items: tuple[ModuleSyntax, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChoiceForm(Syntax):
    """``choice`` among modules."""

    options: tuple[tuple[str, ModuleSyntax], ...]
    prior: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchForm(Syntax):
    """``choice`` with ``by``: the option that a ``let`` value names."""

    by: ValueSyntax
    options: tuple[tuple[str, ModuleSyntax], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OptionalForm(Syntax):
    """``optional``: the body, or nothing."""

    body: ModuleSyntax


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepeatForm(Syntax):
    """``repeat``: copies one after another."""

    body: ModuleSyntax
    times: ValueSyntax
    share: bool = True
    first: dict[str, ValueSyntax] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualForm(Syntax):
    """``residual``: x + body(x)."""

    body: ModuleSyntax


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParallelForm(Syntax):
    """``parallel``: branches, merged."""

    branches: tuple[ModuleSyntax, ...]
    merge: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphForm(Syntax):
    """``graph`` with ``nodes``: a cell with modules on its edges, on its nodes, or on both."""

    nodes: tuple[str, ...]
    """Names in topological order; the first is the input, the last the output."""
    ops: tuple[ModuleSyntax | None, ...]
    """What each node does with its merged inputs; None for nothing more."""
    edges: tuple[tuple[int, int, ModuleSyntax], ...]
    """Source, target and module."""
    merge: str
    """What a node does with its inputs."""
    output: str
    """The same for the last node."""
    max_edges: int | None = None
    """Most optional edges that are there at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepsForm(Syntax):
    """``graph`` with ``steps``: each step chooses distinct earlier states and an op on each (DARTS)."""

    inputs: tuple[str, ...]
    """Names of the input states: the last module's result, or ``(before, previous)``."""
    steps: int
    """How many states are made."""
    reads: int
    """How many earlier states a step reads."""
    op: ModuleSyntax
    """What stands between a state and a step."""
    merge: str
    """What a step does with what it reads."""
    output: str
    """What is done with the states of all steps."""
    stride: int = 1
    """Stride of the ops on edges from the inputs."""
    each_input: ModuleSyntax | None = None
    """What each input goes through first."""


ModuleSyntax = (
    OpCall
    | Reference
    | SequenceForm
    | ChoiceForm
    | MatchForm
    | OptionalForm
    | RepeatForm
    | ResidualForm
    | ParallelForm
    | GraphForm
    | StepsForm
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSyntax:
    """A whole space file."""

    name: str
    mark: Mark
    about: str = ""
    source: str = ""
    input: str = "image"
    let: dict[str, ValueSyntax] = field(default_factory=dict)
    named: dict[str, ModuleSyntax] = field(default_factory=dict)
    """``ops`` and ``blocks``, by name."""
    blocks: frozenset[str] = frozenset()
    """Which of ``named`` are blocks."""
    depths: dict[str, int] = field(default_factory=dict)
    """Bound of recursion of the blocks that say one."""
    network: ModuleSyntax | None
    """None for a tabular space."""
    tabular: dict[str, ValueSyntax] = field(default_factory=dict)
    """Decisions alone, of a space whose results come from a table."""
    train: dict[str, ValueSyntax] = field(default_factory=dict)
    constraints: tuple[tuple[str, Mark, str], ...] = ()
    """Text, place and path."""


def parts_of(module: ModuleSyntax) -> tuple[ModuleSyntax, ...]:
    """The modules that a module is made of."""
    match module:
        case SequenceForm(items=items):
            return items
        case ChoiceForm(options=options) | MatchForm(options=options):
            return tuple(option for _, option in options)
        case OptionalForm(body=body) | RepeatForm(body=body) | ResidualForm(body=body):
            return (body,)
        case ParallelForm(branches=branches):
            return branches
        case GraphForm(edges=edges, ops=ops):
            unique = {id(edge): edge for _, _, edge in edges}
            return (*unique.values(), *(op for op in ops if op is not None))
        case StepsForm(op=op):
            return (op,)
        case _:
            return ()
