"""The shapes that every network of a space has, at once: a template is run on diagrams instead of one row's shapes.

A value is a diagram over the decisions. Its leaves are :class:`Known` shapes, :data:`CUT` where nothing arrives, or
:class:`Broken` where a rule of shapes is breached. An op maps the leaves of what it reads, a choice selects among the
values of its options by its decision, a merge combines. Decisions that change no shape leave no trace, and a decision
that two branches share is the same in both, so there are as many cases as there are different shapes, and not as many
as there are rows. What each form means is as in :class:`metanas.architecture._graph.Walk`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from metanas.architecture._diagram import Diagram, Diagrams, TooEntangledError
from metanas.architecture._rules import ShapeError
from metanas.architecture._shape_steps import SHAPELESS, Breach, Known, Place, ShapeSteps
from metanas.space import (
    Branches,
    Cell,
    CellEdge,
    Chain,
    Copies,
    Fixed,
    Mark,
    OpSite,
    Scalar,
    SearchSpace,
    Switch,
    Template,
    Value,
    decisions_in,
    signature,
    value_under,
)

CUT = None
"""Leaf of a diagram where nothing arrives."""
_MOST_RESULTS = 20_000
"""Results of the arithmetic of one parameter."""
_MOST_BREACHES = 8
"""Breaches that one row tells apart; what else is wrong shows when these are mended."""


_REACHED, _UNSEEN = -2, -1
"""In place of the number of a breach, at a watched place: shapes arrive, or what cannot be built."""


class Broken(NamedTuple):
    """Leaf of a diagram where the network cannot be built."""

    breaches: tuple[int, ...]
    """Numbers of what is wrong."""

    @property
    def unseen(self) -> bool:
        """Whether nothing is known of the watched place, as what arrives there cannot be built."""
        return _UNSEEN in self.breaches and _REACHED not in self.breaches


class SpaceShapes:
    """The result of a space's networks, as a diagram, and what is wrong on the way to it.

    With a place to watch, the result says of each network whether shapes arrive there, and not what becomes of them.
    """

    def __init__(
        self, space: SearchSpace, steps: ShapeSteps, diagrams: Diagrams, *, watched: Mark | None = None
    ) -> None:
        self.space = space
        self.diagrams = diagrams
        self._watched = watched
        self.breaches: dict[Breach, int] = {}
        """What may be wrong, numbered in the order of discovery."""
        self._steps = steps
        self._cut = diagrams.leaf(CUT)
        self._done: dict[tuple[int, Diagram, Diagram], tuple[Diagram, Diagram]] = {}
        self._parameters: dict[tuple[str, int], Diagram] = {}
        self._made: dict[tuple[str, Diagram, Diagram], Diagram] = {}
        """What ops make of diagrams, where nothing is wrong."""

    def result(self) -> Diagram:
        """The shape that each network ends in; broken where it is no row of the outputs.

        Raises
        ------
        TooEntangledError
            If the shapes depend on too many decisions at once.

        """
        always, arrives = self.diagrams.leaf(True), dict[Diagram, Diagram]()
        x, before, alive = self.diagrams.leaf(self._steps.start), self._cut, always
        for part in _in_series(self.space.template):
            x, before = self._value(part, x, before)
            if self._cut in x.leaves and x is not self._cut:
                # A network that is cut here is cut for good: the parts that follow need not tell those cases apart.
                # Equal cells are cut alike: mostly this is known already.
                if x not in arrives:
                    arrives[x] = self.diagrams.map(_is_there, x)
                alive = self.diagrams.combine(operator.and_, alive, arrives[x], unit=always, idempotent=True)
                other = min((leaf for leaf in x.leaves if leaf is not self._cut), key=lambda leaf: repr(leaf.value))
                x = self.diagrams.map(lambda value, other=other: other.value if value is CUT else value, x)  # type: ignore[misc]
        return self.diagrams.combine(_if_alive, self.diagrams.map(self._ended, x), alive)

    def _ended(self, leaf: Hashable) -> Hashable:
        if isinstance(leaf, Known) and (error := self._steps.end(leaf)) is not None:
            return self._broken(None, error)
        return leaf

    def _broken(self, place: Place | None, error: ShapeError) -> Broken:
        return Broken((self.breaches.setdefault(Breach.of(place, error), len(self.breaches)),))

    # --- forms

    def _value(self, template: Template, x: Diagram, before: Diagram) -> tuple[Diagram, Diagram]:
        """What a template makes of ``x``, and what the next cell of two inputs reads first."""
        if x is self._cut:
            return x, before
        key = (id(template), x, before)
        found = self._done.get(key)
        if found is None:
            found = self._done[key] = self._template(template, x, before)
        return found

    def _template(self, template: Template, x: Diagram, before: Diagram) -> tuple[Diagram, Diagram]:
        match template:
            case OpSite():
                return self._op(template, x), before
            case Chain(items=items):
                for item in items:
                    x, before = self._value(item, x, before)
                return x, before
            case Switch(decision=decision, options=options):
                return self._selected(
                    decision, [(options[index], x) for index in self.diagrams.levels[decision]], before
                )
            case Copies():
                return self._copies(template, x, before)
            case Branches(branches=branches, merge=merge):
                arriving = []
                for branch in branches:
                    value, before = self._value(branch, x, before)
                    arriving.append(value)
                return self._merged(merge, arriving, template), before
            case Cell():
                return self._cell(template, x, before)

    def _selected(
        self, decision: int, parts: Sequence[tuple[Template, Diagram]], before: Diagram
    ) -> tuple[Diagram, Diagram]:
        """One of several templates, each on a value of its own, by the level of a decision."""
        results = []
        for level, (template, x) in enumerate(parts):
            here = self.diagrams.restrict(x, decision, level)
            results.append(self._value(template, here, self.diagrams.restrict(before, decision, level)))
        select = self.diagrams.select
        return select(decision, [value for value, _ in results]), select(decision, [after for _, after in results])

    def _copies(self, template: Copies, x: Diagram, before: Diagram) -> tuple[Diagram, Diagram]:
        used = decisions_in(template.times)
        (decision,) = used or {-1}
        values = self.space.decisions[decision].values if used else ()
        levels = self.diagrams.levels[decision] if used else (0,)
        counts = [value_under(template.times, {decision: values[k]} if used else ()) for k in levels]
        states = [(x, before)]
        for copy in template.copies[: max(count for count in counts if isinstance(count, int))]:
            states.append(self._value(copy, *states[-1]))
        chosen = [states[count] for count in counts if isinstance(count, int)]
        if not used:
            return chosen[0]
        select = self.diagrams.select
        return select(decision, [value for value, _ in chosen]), select(decision, [after for _, after in chosen])

    def _cell(self, cell: Cell, x: Diagram, before: Diagram) -> tuple[Diagram, Diagram]:
        states = [x]
        if len(cell.inputs) == 2:
            states = [self.diagrams.combine(_first, x, before), x]
            # Nothing is handed on where nothing arrives.
            handed = x if cell.hands_on is None else self._value(cell.hands_on, x, before)[0]
            before = self.diagrams.combine(_there, handed, before)
        for k, part in enumerate(cell.each_input):
            states[k], before = self._value(part, states[k], before)
        for node in cell.nodes:
            arriving = []
            for edge in node.edges:
                value, before = self._edge(edge, states, before)
                arriving.append(value)
            state = self._merged(node.merge, arriving, cell)
            if node.op is not None:
                state, before = self._value(node.op, state, before)
            states.append(state)
        return states[-1], before

    def _edge(self, edge: CellEdge, states: Sequence[Diagram], before: Diagram) -> tuple[Diagram, Diagram]:
        if edge.pick is None:
            return self._value(edge.modules[0], states[edge.sources[0]], before)
        picked = [(edge.modules[k], states[edge.sources[k]]) for k in self.diagrams.levels[edge.pick]]
        return self._selected(edge.pick, picked, before)

    # --- ops and merges

    def _op(self, template: OpSite, x: Diagram) -> Diagram:
        name = template.name
        if name == "none":
            return self._cut

        if template.mark == self._watched:
            return self.diagrams.map(_watch, x)

        def made(leaf: Hashable, parameters: Hashable) -> Hashable:
            if not isinstance(leaf, Known):
                return leaf
            result = self._steps.op(name, parameters, leaf)  # type: ignore[arg-type]
            return result if isinstance(result, Known) else self._broken(template, result)

        # Spaces have the same few ops in many places.
        key = (name, self._parameters_of(template), x)
        found = self._made.get(key)
        if found is None:
            found = self.diagrams.combine(made, x, key[1])
            if not any(isinstance(leaf.value, Broken) for leaf in found.leaves):  # which names its place
                self._made[key] = found
        return found

    def _parameters_of(self, template: OpSite) -> Diagram:
        """Those that matter to shapes; leaves hold (name, type, value) of each, as 1 equals True."""
        key = (template.name, id(template.parameters))
        found = self._parameters.get(key)
        if found is None:
            fixed, free = dict(_defaults(template.name)), list[str]()
            for name, value in template.parameters.items():
                if template.name != "python" and name in SHAPELESS:
                    continue
                if isinstance(value, Fixed):
                    fixed[name] = (type(value.value), value.value)
                else:
                    fixed.pop(name, None)
                    free.append(name)
            found = self.diagrams.leaf(tuple([(name, *value) for name, value in fixed.items()]))
            for name in free:
                found = self.diagrams.combine(_with(name), found, self._decided(template.parameters[name]))
            self._parameters[key] = found
        return found

    def _decided(self, value: Value) -> Diagram:
        """A value as a function of its decisions; leaves hold (type, value)."""
        columns = sorted(decisions_in(value))
        table, levels = self.space.decisions, self.diagrams.levels
        if math.prod(len(levels[column]) for column in columns) > _MOST_RESULTS:
            raise TooEntangledError

        def under(chosen: Mapping[int, Scalar], rest: Sequence[int]) -> Diagram:
            if not rest:
                result = value_under(value, chosen)
                return self.diagrams.leaf((type(result), result))
            column, values = rest[0], table[rest[0]].values
            inner = (under({**chosen, column: values[index]}, rest[1:]) for index in levels[column])
            return self.diagrams.node(column, tuple(inner))

        return under({}, columns)

    def _merged(self, kind: str, values: Sequence[Diagram], place: Branches | Cell) -> Diagram:
        merged, watched = self._cut, place.mark == self._watched

        def both(first: Hashable, second: Hashable) -> Hashable:
            if first is CUT or second is CUT:
                return second if first is CUT else first
            if watched:
                return _joined(_watch(first), _watch(second))
            if isinstance(first, Broken) or isinstance(second, Broken):
                return _joined(first, second)
            result = self._steps.merge(kind, [first, second])  # type: ignore[list-item]
            return result if isinstance(result, Known) else self._broken(place, result)

        # A value merged with itself keeps its shape; ids may not be merged.
        same = kind != "concat" and not self._steps.vocabulary and not watched
        for value in values:
            merged = self.diagrams.combine(both, merged, value, unit=self._cut, idempotent=same)
        return merged


@cache
def _defaults(name: str) -> Mapping[str, tuple[type, Scalar | None]]:
    """Type and value of the parameters of an op that matter to shapes, where the file says nothing."""
    known = signature(name).parameters.items()
    return {key: (type(p.default), p.default) for key, p in known if name == "python" or key not in SHAPELESS}


def _in_series(template: Template) -> Iterator[Template]:
    """The parts of a template that stand one after another in every network."""
    match template:
        case Chain(items=items):
            for item in items:
                yield from _in_series(item)
        case Copies(times=Fixed(int(times)), copies=copies):
            for copy in copies[:times]:
                yield from _in_series(copy)
        case _:
            yield template


def _watch(x: Hashable) -> Hashable:
    """What becomes of a value at the watched place."""
    if isinstance(x, Broken):
        return _joined(x, Broken((_UNSEEN,)))
    return x if x is CUT else Broken((_REACHED,))


def _joined(*values: Hashable) -> Broken:
    """All that is wrong with several values."""
    numbers = {n for value in values if isinstance(value, Broken) for n in value.breaches}
    return Broken(tuple(sorted(numbers)[:_MOST_BREACHES]))


def _is_there(x: Hashable) -> Hashable:
    return x is not CUT


def _if_alive(x: Hashable, alive: Hashable) -> Hashable:
    return x if alive else CUT


def _first(x: Hashable, before: Hashable) -> Hashable:
    """What a cell reads first: what the cell before read, if there was one."""
    return CUT if x is CUT else x if before is CUT else before


def _there(one: Hashable, other: Hashable) -> Hashable:
    """The first that is there."""
    return other if one is CUT else one


def _with(name: str) -> Callable[..., Hashable]:
    """Adds a parameter to those known."""

    def add(known: Any, result: Any) -> Hashable:
        return (*known, (name, *result))

    return add
