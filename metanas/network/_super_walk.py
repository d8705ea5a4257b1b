"""A template under a row that may weigh several options at once: what it means as layers.

A value is a place in a trace; what a template makes is a list of terms, values with weights whose sum it is, so that
choices in a sum become one sum. A term that is not there for certain (an edge that may be cut) has a presence below 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from math import prod

from metanas.architecture import LOWER, ShapeError, lower_merge, parameters_of
from metanas.network._mix import Chosen, Weight, times
from metanas.network._super_trace import SuperTrace
from metanas.space import (
    Branches,
    Cell,
    CellEdge,
    Chain,
    Copies,
    OpSite,
    Scalar,
    Switch,
    Template,
    decisions_in,
    value_under,
)

Path = tuple[int, ...]

_SHAPING = ("out", "units", "dim", "stride", "size", "hidden", "bidirectional")
"""Parameters of ops that change the shape of what they make."""
_MOST_COMBINATIONS = 64
"""Of the parameters of an op, that are mixed."""


class ConflictError(Exception):
    """Options of these decisions cannot be mixed: what they make has different shapes."""

    def __init__(self, decisions: frozenset[int]) -> None:
        super().__init__(decisions)
        self.decisions = decisions


@dataclass(slots=True)
class Terms:
    """A weighted sum."""

    items: list[tuple[Weight, int]] = field(default_factory=list)
    """Weights and values; empty where nothing arrives."""
    presence: Weight = None
    """Weight with which anything is there; None for certain."""
    deciders: frozenset[int] = frozenset()
    """Decisions that the presence depends on."""


class SuperWalk:
    """Walks a template, adding layers to a trace."""

    def __init__(
        self, trace: SuperTrace, chosen: Chosen, *, everything: frozenset[int] = frozenset(), partial: int = 1
    ) -> None:
        self.trace = trace
        self._partial = partial
        self.chosen = chosen
        self._everything = everything
        """Decisions whose other options are looked at too, for the weights that they need."""
        self._before: int | None = None

    def value(self, template: Template, x: int | None, path: Path) -> int | None:
        """What a template makes of ``x``, as one value."""
        return self._one(self.terms(template, x, path))

    def terms(self, template: Template, x: int | None, path: Path) -> Terms:
        """The same as a sum that is yet to be made."""
        if x is None:
            return Terms()
        if isinstance(template, Switch):
            return self._switch(template, x, path)
        if isinstance(template, OpSite):
            return self._op(template, x, path)
        if isinstance(template, Chain):
            return self._chain(template.items, x, path)
        if isinstance(template, Copies):
            return self._copies(template, x, path)
        if isinstance(template, Branches):
            groups = [self.terms(branch, x, (*path, index)) for index, branch in enumerate(template.branches)]
            return self._merged(template.merge, groups, (*path, len(groups)), template.site)
        return self._cell(template, x, path)

    def _switch(self, template: Switch, x: int, path: Path) -> Terms:
        if self._partial > 1 and (parts := self.trace.halves(x, self._partial)):
            part, rest = parts
            terms = self._choice(template, part, path)
            one = self._one(terms)
            if one is not None and self.trace.shape(one) == self.trace.shape(part):
                return Terms([(None, self.trace.shuffled(one, rest, self._partial))], terms.presence, terms.deciders)
        return self._choice(template, x, path)

    def _choice(self, template: Switch, x: int, path: Path) -> Terms:
        decision, options = template.decision, template.options
        makers = [(w, partial(self.terms, options[k], x, (*path, k))) for k, w in self.chosen.of(decision)]
        self._look_at({decision}, (partial(self.terms, o, x, (*path, k)) for k, o in enumerate(options)))
        return self._either(makers, frozenset({decision}))

    def _one(self, terms: Terms) -> int | None:
        """The sum, made."""
        if not terms.items:
            return None
        if len(terms.items) == 1 and terms.items[0][0] is None:
            return terms.items[0][1]
        summed: dict[int, Weight] = {}
        rest: list[int] = []
        for weight, value in terms.items:
            if weight is None:
                rest.append(value)
            else:
                known = summed.get(value)
                summed[value] = weight if known is None else known + weight
        return self.trace.mixture([*summed, *rest], [*summed.values(), *[None] * len(rest)])

    # --- choices

    def _either(self, makers: Sequence[tuple[Weight, Callable[[], Terms]]], deciders: frozenset[int]) -> Terms:
        """One of several, by weight. What cannot be built is left out where something else can."""
        options: list[tuple[Weight, Terms]] = []
        for index, (weight, make) in enumerate(makers):
            try:
                options.append((weight, make()))
            except ShapeError:
                if index == len(makers) - 1 and not options:
                    raise
        if len(options) == 1 and options[0][0] is None:
            return options[0][1]
        items = [(times(weight, inner), value) for weight, terms in options for inner, value in terms.items]
        if len({self.trace.shape(value) for _, value in items}) > 1:
            raise ConflictError(deciders)
        deciders = deciders.union(*(terms.deciders for _, terms in options))
        if len(options) == 1:
            return Terms(items, options[0][1].presence, options[0][1].deciders)
        if all(terms.items and terms.presence is None for _, terms in options):
            return Terms(items)
        return Terms(items, _total([times(w, terms.presence) for w, terms in options if terms.items]), deciders)

    def _look_at(self, decisions: set[int], makers: Iterable[Callable[[], Terms]]) -> None:
        """Have options that the row does not take note the weights that they need."""
        if not decisions & self._everything:
            return
        for make in makers:
            before = self._before
            with suppress(ShapeError):
                make()
            self._before = before

    def _combinations(self, columns: Sequence[int]) -> list[tuple[Weight, dict[int, Scalar]]]:
        """Values of decisions by column, in all combinations that count, with the weight of each."""
        options = [self.chosen.of(column) for column in columns]
        if prod(map(len, options)) > _MOST_COMBINATIONS:
            raise ConflictError(frozenset({max(columns, key=lambda column: len(self.chosen.of(column)))}))
        found = []
        for picks in product(*options):
            weight: Weight = None
            for _, each in picks:
                weight = times(weight, each)
            values = {c: self.chosen.value(c, index) for c, (index, _) in zip(columns, picks, strict=True)}
            found.append((weight, values))
        return found

    def _op(self, template: OpSite, x: int, path: Path) -> Terms:
        if template.name == "none":
            return Terms()
        read = {name: decisions_in(value) for name, value in template.parameters.items()}
        columns = frozenset().union(*read.values())
        if not columns:
            return self._lowered(template, x, path, {})
        makers = [
            (weight, partial(self._lowered, template, x, path, values))
            for weight, values in self._combinations(sorted(columns))
        ]
        shaping = frozenset().union(*(found for name, found in read.items() if name in _SHAPING))
        return self._either(makers, shaping & self._soft(columns) or columns)

    def _soft(self, columns: frozenset[int]) -> frozenset[int]:
        return frozenset(column for column in columns if len(self.chosen.of(column)) > 1)

    def _lowered(self, template: OpSite, x: int, path: Path, values: Mapping[int, Scalar]) -> Terms:
        parameters = parameters_of(template, values)
        if template.name == "identity" and parameters["stride"] == 1:
            return Terms([(None, x)])
        self.trace.at("_".join(map(str, path)), template.site)
        return Terms([(None, LOWER[template.name](self.trace, x, **parameters))])

    def _chain(self, items: Sequence[Template], x: int, path: Path) -> Terms:
        y: int | None = x
        for index, item in enumerate(items[:-1]):
            y = self.value(item, y, (*path, index))
        return self.terms(items[-1], y, (*path, len(items) - 1)) if items else Terms([(None, x)])

    def _copies(self, template: Copies, x: int, path: Path) -> Terms:
        columns = frozenset(decisions_in(template.times))
        wanted: dict[int, list[Weight]] = {}
        for weight, values in self._combinations(sorted(columns)):
            times_ = value_under(template.times, values)
            assert isinstance(times_, int)
            wanted.setdefault(times_, []).append(weight)
        made: list[int | None] = [x]
        options: list[tuple[Weight, Callable[[], Terms]]] = []
        most = len(template.copies) if columns & self._everything else max(wanted)
        for count in range(most + 1):
            if count:
                made.append(self.value(template.copies[count - 1], made[-1], (*path, count - 1)))
            if count in wanted:
                weights = wanted[count]
                weight = weights[0] if len(weights) == 1 else _total(weights)
                options.append((weight, partial(_single, made[-1])))
        return self._either(options, columns)

    # --- merges

    def _merged(self, kind: str, groups: Sequence[Terms], path: Path, site: str) -> Terms:
        present = [group for group in groups if group.items]
        if len(present) < 2:
            # A residual without its body, or without its input, is no residual.
            return present[0] if present else Terms()
        whole = all(len(group.items) == 1 and group.items[0][0] is None for group in present)
        shapes = {self.trace.shape(group.items[0][1]) for group in present}
        if whole or kind in ("concat", "product") or len(shapes) > 1:
            return self._made_apart(kind, present, path, site)
        if kind == "mean":
            return self._mean(present)
        return Terms([item for group in present for item in group.items], *_any_of(present))

    def _made_apart(self, kind: str, groups: Sequence[Terms], path: Path, site: str) -> Terms:
        uncertain = frozenset().union(*(group.deciders for group in groups if group.presence is not None))
        if uncertain:
            raise ConflictError(uncertain)
        values = [value for group in groups if (value := self._one(group)) is not None]
        self.trace.at("_".join(map(str, path)), site)
        return Terms([(None, lower_merge(self.trace, kind, values))])

    def _mean(self, groups: Sequence[Terms]) -> Terms:
        """Over those that are there, each counted by its presence."""
        sure = sum(group.presence is None for group in groups)
        unsure = [group.presence for group in groups if group.presence is not None]
        first = next(weight for group in groups for weight, _ in group.items if weight is not None)
        count = _total([first.new_tensor(float(sure)), *unsure])
        assert count is not None
        share = 1 / count
        return Terms([(times(weight, share), v) for group in groups for weight, v in group.items], *_any_of(groups))

    # --- cells

    def _cell(self, cell: Cell, x: int, path: Path) -> Terms:
        states: list[int | None] = [x]
        if len(cell.inputs) == 2:
            states = [x if self._before is None else self._before, x]
            self._before = x if cell.hands_on is None else self.value(cell.hands_on, x, (*path, 0))
        if cell.each_input:
            parts = enumerate(zip(cell.each_input, states, strict=True))
            states = [self.value(part, state, (*path, 1, index)) for index, (part, state) in parts]
        for number, node in enumerate(cell.nodes):
            here = (*path, 2 + number)
            groups = [self._edge(edge, states, (*here, index), here) for index, edge in enumerate(node.edges)]
            site = f"{cell.site}.{node.name}" if cell.site else f"node_{node.name}"
            state = self._merged(node.merge, groups, (*here, len(groups)), site)
            if number == len(cell.nodes) - 1 and node.op is None:
                return state
            one = self._one(state)
            states.append(one if node.op is None else self.value(node.op, one, (*here, len(groups) + 1)))
        return _single(states[-1])

    def _edge(self, edge: CellEdge, states: Sequence[int | None], path: Path, node: Path) -> Terms:
        if edge.pick is None:
            return self.terms(edge.modules[0], states[edge.sources[0]], path)
        # Two edges of a node never read the same state, so what reads a state there has its weights whichever edge it is.
        ways = [
            partial(self.terms, module, states[source], (*node, 0, source))
            for source, module in zip(edge.sources, edge.modules, strict=True)
        ]
        self._look_at({edge.pick}, ways)
        same: dict[tuple[int, int], tuple[list[Weight], Callable[[], Terms]]] = {}
        for index, weight in self.chosen.of(edge.pick):
            name = edge.sources[index], id(edge.modules[index])
            same.setdefault(name, ([], ways[index]))[0].append(weight)
        makers = [(weights[0] if len(weights) == 1 else _total(weights), way) for weights, way in same.values()]
        return self._either(makers, frozenset({edge.pick}))


def _single(value: int | None) -> Terms:
    return Terms([] if value is None else [(None, value)])


def _total(weights: Sequence[Weight]) -> Weight:
    total: Weight = None
    for weight in weights:
        assert weight is not None
        total = weight if total is None else total + weight
    return total


def _any_of(groups: Sequence[Terms]) -> tuple[Weight, frozenset[int]]:
    """Presence of a sum: 1 − ∏ (1 − presence)."""
    if any(group.presence is None for group in groups):
        return None, frozenset()
    absent: Weight = None
    for group in groups:
        assert group.presence is not None
        absent = times(absent, 1 - group.presence)
    assert absent is not None
    return 1 - absent, frozenset().union(*(group.deciders for group in groups))
