"""The number of networks of a space that is one cell, used once or many times, by its skeletons.

A decision that only says which of several plain ops stands at one place is left open: the op is a hole. Rows of the
other decisions give skeletons, and the ways of filling a skeleton's holes, up to its symmetries, are counted by
Burnside's lemma. So NAS-Bench-101 takes its 695,860 sets of edges instead of 169 million rows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, permutations, product

import numpy as np
import numpy.typing as npt

from metanas.architecture._canonical import Instances, Multiset, all_renamed, renamed
from metanas.architecture._count_words import OutOfReachError
from metanas.architecture._dissolve import Dissolver, Edge, Filling, Made, Make, label_of
from metanas.architecture._graph import chosen_copies
from metanas.architecture._identity import CanonicalIds
from metanas.architecture._names import Names, ranks_from_input
from metanas.errors import MetanasError
from metanas.space import (
    CellEdge,
    Chain,
    Copies,
    OpSite,
    SearchSpace,
    Switch,
    Template,
    columns_read,
    decisions_in,
    templates_in,
)

_MAX_SYMMETRIES = 50_000
"""Orders of look-alike instances tried for one skeleton."""

Track = Callable[[npt.NDArray[np.int64]], Iterable[npt.NDArray[np.int64]]]
"""Goes through rows, perhaps with a progress bar."""


@dataclass(frozen=True, slots=True)
class _Hole:
    """A decision among plain ops at one place."""

    first: int
    """The value index that stands for all of them."""
    plain: frozenset[int]
    """Their value indices."""
    labels: frozenset[str]
    """The labels of the ops."""
    label: str
    """The label of the hole."""


def count_fillings(space: SearchSpace, ids: CanonicalIds, limit: int, track: Track) -> tuple[int, bool]:
    """Number of different networks, and whether a row may be cut.

    Raises
    ------
    OutOfReachError
        If the space is not of this kind, or has more than ``limit`` skeletons.

    """
    part = _only_part(space, ids)
    holes = _holes(space, part)
    only = {
        column: [v for v in range(space.decisions[column].size) if v == hole.first or v not in hole.plain]
        for column, hole in holes.items()
    }
    try:
        rows = space.rows(limit, only=only)
    except MetanasError as error:
        raise OutOfReachError from error
    skeletons: set[Instances] = set()
    cut = False
    dissolver = _Skeletons(holes)
    for row in track(rows):
        graph = dissolver.graph(part, Filling(row.tolist(), space.choices(row)))
        if graph is None:
            cut = True
        else:
            skeletons.add(graph)
    names = Names()
    different = {names.of(graph): graph for graph in skeletons}
    may_fill = frozenset[str]().union(*(hole.labels for hole in holes.values()))
    if not may_fill.isdisjoint(chain.from_iterable(graph.labels for graph in different.values())):
        raise OutOfReachError  # a filled hole could be what another skeleton holds
    sizes = {hole.label: len(hole.labels) for hole in holes.values()}
    return sum(_fillings(graph, sizes) for graph in different.values()), cut


def _only_part(space: SearchSpace, ids: CanonicalIds) -> Template:
    """The one part that all decisions are of; it stands in series with parts that are the same in every network.

    Then networks are equal when this part is: each is the same number of times as long.
    """
    if space.tabular or space.recipe or space.constraints or ids.whole:
        raise OutOfReachError
    parts: dict[int, Template] = {}
    waiting = [space.template]
    while waiting:
        template = waiting.pop()
        if not columns_read(template):
            continue
        match template:
            case Chain(items=items):
                waiting += items
            case Copies(times=times) if not decisions_in(times):
                waiting += chosen_copies(template, ())
            case _:
                parts[ids.number(template)] = template
    if len(parts) != 1:
        raise OutOfReachError
    return parts.popitem()[1]


def _holes(space: SearchSpace, part: Template) -> dict[int, _Hole]:
    """Decisions that may be left open, by column."""
    uses: dict[int, list[Template]] = defaultdict(list)
    for template in templates_in(part):
        own = columns_read(template) - frozenset[int]().union(*map(columns_read, _inside(template)))
        for column in own | ({template.decision} if isinstance(template, Switch) else set()):
            uses[column].append(template)
    fixed = {column for limit in space.limits for column in limit.columns}
    fixed |= {parent for decision in space.decisions for clause in decision.when for parent, _ in clause}
    holes = {}
    for column, templates in uses.items():
        if column in fixed or len(templates) != 1 or not isinstance(templates[0], Switch):
            continue
        options = templates[0].options
        plain = {
            index: label_of(option, ())
            for index, option in enumerate(options)
            if isinstance(option, OpSite) and option.name not in ("none", "identity") and not columns_read(option)
        }
        labels = frozenset(plain.values())
        if len(labels) > 1:
            holes[column] = _Hole(min(plain), frozenset(plain), labels, "any of " + ", ".join(sorted(labels)))
    # Holes that can be filled in partly the same ways would make different skeletons the same network.
    kinds = {hole.labels for hole in holes.values()}
    if not holes or sum(map(len, kinds)) > len(frozenset[str]().union(*kinds)):
        raise OutOfReachError
    return holes


def _inside(template: Template) -> Iterator[Template]:
    """What stands directly or deeper in a template."""
    return (part for part in templates_in(template) if part is not template)


class _Skeletons(Dissolver):
    """Graphs of rows with their holes open."""

    def __init__(self, holes: Mapping[int, _Hole]) -> None:
        super().__init__()
        self._holes = holes
        self._open: set[int] = set()

    def graph(self, template: Template, filling: Filling) -> Instances | None:
        self._open.clear()
        return super().graph(template, filling)

    def edge(self, edge: CellEdge) -> Edge:
        return Edge(edge.pick, edge.sources, list(map(self.make, edge.modules)))  # a choice may be a hole

    def switch(self, template: Switch) -> Make:
        decision, make = template.decision, super().switch(template)
        hole = self._holes.get(decision)
        if hole is None:
            return make

        def switch_or_hole(made: Made, x: Multiset | None) -> Multiset | None:
            if x is None or made.row[decision] != hole.first:
                return make(made, x)
            if decision in self._open:
                raise OutOfReachError  # two places, filled alike
            self._open.add(decision)
            return made.instance(hole.label, (x,))

        return switch_or_hole


def _fillings(graph: Instances, sizes: Mapping[str, int]) -> int:
    """Ways of filling the holes that are not turned into each other by a symmetry of the graph (Burnside)."""
    total = found = 0
    for symmetry in _symmetries(graph):
        found += 1
        total += math.prod(sizes.get(graph.labels[cycle[0]], 1) for cycle in _cycles(symmetry))
    return total // found


def _symmetries(graph: Instances) -> Iterator[list[int]]:
    """Permutations of the instances that leave the graph as it is."""
    alike: dict[int, list[int]] = defaultdict(list)
    for instance, rank in enumerate(ranks_from_input(graph)):
        alike[rank].append(instance)
    if math.prod(math.factorial(len(group)) for group in alike.values()) > _MAX_SYMMETRIES:
        raise OutOfReachError
    groups = list(alike.values())
    for orders in product(*map(permutations, groups)):
        places = [0] * len(graph.labels)
        for group, order in zip(groups, orders, strict=True):
            for instance, place in zip(group, order, strict=True):
                places[instance] = place
        if renamed(graph.output, places) == tuple(sorted(graph.output)) and all(
            all_renamed(graph.ports[instance], places) == all_renamed(graph.ports[place], range(len(places)))
            for instance, place in enumerate(places)
        ):
            yield places


def _cycles(permutation: Sequence[int]) -> Iterator[list[int]]:
    seen: set[int] = set()
    for start in range(len(permutation)):
        cycle = []
        while start not in seen:
            seen.add(start)
            cycle.append(start)
            start = permutation[start]
        if cycle:
            yield cycle
