"""Names for networks of cells that read the two modules before them (DARTS), cell by cell.

Such a network has no cut between two cells: a cell's result goes to the next cell and to the one after it. Notation: a
**region** is a cell's nodes and the modules up to the next cell (the first region: the modules before all cells); an
**entry** is the op that a cell's input goes through. A network is the sequence of its regions, each with the labels of
its entries; these are named apart, so equal cells are named once.

Two rows of a space have the same such name exactly when their networks are isomorphic, because an isomorphism takes
regions to regions. It takes entries to entries, and cells' last merges to such merges, since nothing else in the space
has their labels (:meth:`Relay.of`). Every cell is there with its last merge: both rows have as many cells, so a row
that has the merges of all of them is isomorphic to none that lacks one. What leads to a cell's last merge, back to
entries, are its nodes, and what leads to what an entry reads is a region (past what a reducing cell hands on, which no
region ends with). Every cell reads the region before it, so the regions have one order, in which an isomorphism keeps
them, and it tells the entry that reads the region before from the one that reads the region before that. Only the two
entries of the first cell may be swapped.

Rows that are not like this are named whole, and so are all rows that are isomorphic to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from metanas.architecture._alike import Alike
from metanas.architecture._canonical import Instances
from metanas.architecture._dissolve import SUMS, Dissolver, Filling, Key, OpLabel, label_of, reader
from metanas.architecture._graph import chosen_copies
from metanas.architecture._series import Pieces, Series, remember
from metanas.space import (
    Branches,
    Cell,
    CellNode,
    Chain,
    Copies,
    OpSite,
    Template,
    columns_read,
    decisions_in,
    signature,
    templates_in,
    value_under,
)

_BEFORE, _PREVIOUS = "<before>", "<previous>"
"""Labels of entries in the graph of a region; no op has such a name."""

SeriesAt = Callable[[Template, Filling], Series | None]
"""The pieces of a template that is not of these cells."""


class _Named(NamedTuple):
    """A cell's nodes under a row."""

    series: Series
    reads: tuple[bool, bool]
    """Whether they read the entry of the module before the previous one, and that of the previous one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """What is remembered of cells whose nodes are alike."""

    graph: Callable[[Sequence[str], Filling], Instances | None]
    """From labels of the entries and a row."""
    merge: str
    """The last one."""
    key: Callable[[list[int]], Key]
    """The values of the decisions that the nodes read."""
    known: dict[tuple[str, str, Key], _Named | None] = field(default_factory=dict)
    """By the labels of the entries and those values; None where there is no last merge."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """A cell and the modules up to the next cell."""

    body: _Body
    entries: tuple[OpLabel, OpLabel]
    """Labels of the ops that its inputs go through."""
    fixed: tuple[str, str] | None
    """These, where no decision changes them."""
    handed_on: str
    """The label of what its first input went through in the cell before; empty for nothing."""
    after: Template | None
    """None for nothing."""
    is_first: bool
    """Whether its inputs are one, so that its entries may be swapped."""
    is_told: bool
    """Whether the name of a later cell says what its nodes are, whichever of its entries is which."""
    times: int = 1
    """So many one after another."""
    heads: dict[tuple[str, str, tuple[bool, bool]], bytes] = field(default_factory=dict)
    """What its name begins with, by the labels of its entries and whether they are read."""

    def is_like(self, other: _Stage) -> bool:
        """Whether the other has the same name in every row."""
        mine, its = ((s.body, s.fixed, s.handed_on, s.after, s.is_first) for s in (self, other))
        return self.fixed is not None and self.after is None and mine == its

    def labels(self, filling: Filling) -> tuple[str, str]:
        """The labels of its entries under a row."""
        return self.fixed or (self.entries[0](filling), self.entries[1](filling))

    def head(self, before: str, previous: str, reads: tuple[bool, bool]) -> bytes:
        """What its name begins with."""
        key = before, previous, reads
        head = self.heads.get(key)
        if head is None:
            read = [label for label, is_read in zip((before, previous), reads, strict=True) if is_read]
            # Where entries may be swapped, they stand with their labels in the graph.
            told = (
                (read if self.is_told else [],) if self.is_first else (read, reads, self.handed_on if reads[0] else "")
            )
            head = self.heads[key] = repr(told).encode()
        return head


class Relay:
    """Names rows of a space of such cells."""

    def __init__(self, stem: Template, stages: Sequence[_Stage], pieces: Pieces, series_at: SeriesAt) -> None:
        self._stem = stem
        self._stages = stages
        self._pieces = pieces
        self._series_at = series_at

    @classmethod
    def of(
        cls, template: Template, alike: Alike, dissolver: Dissolver, pieces: Pieces, series_at: SeriesAt
    ) -> Relay | None:
        """What names the rows of a template; None when they must be named whole."""
        items = _in_series(template)
        places = [k for k, item in enumerate(items) if _reads_two(item)]
        cells = [item for item in items if isinstance(item, Cell) and _reads_two(item)]
        if not cells or not _told_apart(cells, [item for item in items if not _reads_two(item)]):
            return None
        numbers = [alike.number_of_body(cell) for cell in cells]
        bodies: dict[int, _Body] = {}
        stages: list[_Stage] = []
        for k, (cell, start, end) in enumerate(zip(cells, places, [*places[1:], len(items)], strict=True)):
            handed = cells[k - 1].hands_on if k else None
            before, previous = cell.each_input
            fixed = None
            if not columns_read(before) | columns_read(previous):
                fixed = label_of(_op(before), ()), label_of(_op(previous), ())
            stage = _Stage(
                body=bodies.setdefault(
                    numbers[k], _Body(dissolver.body(cell), cell.nodes[-1].merge, reader(_columns(cell)))
                ),
                entries=(OpLabel(_op(before)), OpLabel(_op(previous))),
                fixed=fixed,
                handed_on="" if handed is None else label_of(_op(handed), ()),
                after=Chain(tuple(items[start + 1 : end])) if end > start + 1 else None,
                is_first=k == 0,
                is_told=numbers[k] in numbers[k + 1 :] and alike.number(before) == alike.number(previous),
            )
            if stages and stages[-1].is_like(stage):
                stages[-1] = replace(stage, times=stages[-1].times + 1)
            else:
                stages.append(stage)
        return cls(Chain(tuple(items[: places[0]])), stages, pieces, series_at)

    def name(self, filling: Filling) -> bytes | None:
        """The name of a row; None where it must be named whole."""
        stem = self._series_at(self._stem, filling)
        if stem is None:
            return None
        names = [b"relay %d %b" % (stem.factor, stem.name)]
        for stage in self._stages:
            before, previous = stage.labels(filling)
            as_one = stage.is_first and not stage.is_told
            named = self._named(stage.body, before if as_one else _BEFORE, previous if as_one else _PREVIOUS, filling)
            if named is None or not (named.reads[1] or stage.is_first):
                return None
            series = named.series
            if stage.after is not None:
                after = self._series_at(stage.after, filling)
                if after is None:
                    return None
                series = self._pieces.in_series([series, after])
            name = b"%b %d %b" % (stage.head(before, previous, named.reads), series.factor, series.name)
            names += [name] * stage.times
        return b"\n".join(names)

    def _named(self, body: _Body, before: str, previous: str, filling: Filling) -> _Named | None:
        key = before, previous, body.key(filling.row)
        if key in body.known:
            return body.known[key]
        graph = body.graph((before, previous), filling)
        named = None
        if graph is not None and graph.labels[-1] == body.merge:
            named = _Named(self._pieces.of(graph), (before in graph.labels, previous in graph.labels))
        remember(body.known, key, named)
        return named


def _in_series(template: Template) -> list[Template]:
    """What stands one after another, the same in every row as far as cells of two inputs go."""
    if any(map(_reads_two, templates_in(template))):
        if isinstance(template, Chain):
            return [part for item in template.items for part in _in_series(item)]
        if isinstance(template, Copies) and not decisions_in(template.times):
            return [part for copy in chosen_copies(template, ()) for part in _in_series(copy)]
    return [template]


def _reads_two(template: Template) -> bool:
    return isinstance(template, Cell) and len(template.inputs) == 2


def _told_apart(cells: Sequence[Cell], others: Sequence[Template]) -> bool:
    """Whether entries, what cells hand on and their last merges have labels that nothing else has where it matters."""
    entries = [part for cell in cells for part in cell.each_input]
    handed = [cell.hands_on for cell in cells if cell.hands_on is not None]
    if len(entries) != 2 * len(cells) or not all(map(_has_own_label, entries + handed)):
        return False
    if any(columns_read(part) for part in handed):
        return False
    inside = [part for cell in cells for node in cell.nodes for part in _parts_of_node(node)]
    in_cells, outside = (
        {id(p): p for part in parts for p in templates_in(part)}.values() for parts in (inside, others)
    )
    everywhere = [*in_cells, *outside]
    if any(map(_reads_two, everywhere)):
        return False
    names_of_entries, names_of_handed = _names(entries), _names(handed)
    last = {cell.nodes[-1].merge for cell in cells}
    merges = {node.merge for cell in cells for node in cell.nodes[:-1]}
    merges |= {part.merge for part in everywhere if isinstance(part, Branches)}
    merges |= {node.merge for part in everywhere if isinstance(part, Cell) for node in part.nodes}
    return (
        names_of_entries.isdisjoint(_names(everywhere) | names_of_handed)
        and names_of_handed.isdisjoint(_names(outside))
        and last.isdisjoint(merges | SUMS)
        and all(cell.nodes[-1].op is None for cell in cells)
    )


def _has_own_label(part: Template) -> bool:
    """Whether it is an op in every row, whose label begins with its name (an activation has two names)."""
    if not isinstance(part, OpSite) or part.name in ("none", "act") or not signature(part.name).parameters:
        return False
    if part.name != "identity":
        return True
    stride = part.parameters.get("stride")
    return stride is not None and not decisions_in(stride) and value_under(stride, ()) != 1


def _parts_of_node(node: CellNode) -> Iterator[Template]:
    for edge in node.edges:
        yield from edge.modules
    if node.op is not None:
        yield node.op


def _columns(cell: Cell) -> list[int]:
    """The decisions that a cell's nodes read."""
    picks = {edge.pick for node in cell.nodes for edge in node.edges if edge.pick is not None}
    return sorted(picks.union(*(columns_read(part) for node in cell.nodes for part in _parts_of_node(node))))


def _names(parts: Iterable[Template]) -> set[str]:
    return {part.name for part in parts if isinstance(part, OpSite)}


def _op(part: Template) -> OpSite:
    assert isinstance(part, OpSite)
    return part
