"""Canonical ids: equal for two rows exactly when they denote the same computation.

A graph is reduced to op instances. Sums are dissolved: an instance reads a multiset of instances, so a sum of sums
is one multiset. The instances fall into pieces in series, cut wherever all that comes later reads what came before
as (a multiple of) one multiset; a piece is named by a canonical form of its labelled graph (colour refinement, then
individualisation as in McKay & Piperno, *Practical graph isomorphism II*, 2014). Cuts of a chain are the cuts of its
items and the joints between them, so items are named apart and remembered: the five equal cells of a stage cost one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.architecture._graph import INPUT, OpGraph, chosen_copies, expand
from metanas.space import Chain, Copies, SearchSpace, Switch, Template, columns_read

Multiset = tuple[tuple[int, int], ...]
"""Sorted (instance, multiplicity) pairs."""

Pieces = tuple[str, ...]
"""Names of the pieces of a chain, in order; a piece ``*2`` doubles what passes."""

_MAX_LEAVES = 4096
"""Colourings compared for one piece; only large pieces with many look-alikes come near."""


class CanonicalIds:
    """Canonical ids of the rows of one space; remembers the parts that rows share."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._columns: dict[int, npt.NDArray[np.int64]] = {}
        self._pieces: dict[tuple[int, bytes], Pieces | None] = {}
        self._names: dict[Instances, str] = {}
        self._train = np.array([k for k, d in enumerate(space.decisions) if d.part == "train"], dtype=np.int64)

    def of(self, row: npt.NDArray[np.int64]) -> str:
        """The id of a row ``(n_decisions,)``: 16 hexadecimal digits."""
        row = np.ascontiguousarray(row)
        pieces = self._series(self.space.template, row)
        text = "nothing" if pieces is None else "\n".join(_scales_joined(pieces))
        if len(self._train):
            choices = self.space.choices(row)
            text += "\ntrain " + json.dumps([choices[int(k)] for k in self._train])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _series(self, template: Template, row: npt.NDArray[np.int64]) -> Pieces | None:
        """Pieces of a template in series position; None when it cuts the network."""
        columns = self._columns.get(id(template))
        if columns is None:
            columns = self._columns[id(template)] = np.array(sorted(columns_read(template)), dtype=np.int64)
        key = (id(template), row[columns].tobytes())
        if key not in self._pieces:
            self._pieces[key] = self._uncached(template, row)
        return self._pieces[key]

    def _uncached(self, template: Template, row: npt.NDArray[np.int64]) -> Pieces | None:
        parts: Sequence[Template]
        match template:
            case Chain(items=items):
                parts = items
            case Switch():
                parts = (template.options[int(row[template.decision])],)
            case Copies():
                parts = chosen_copies(template, self.space.choices(row))
            case _:
                return self._graph_pieces(expand(template, row, self.space.choices(row)))
        pieces: list[str] = []
        for part in parts:
            inner = self._series(part, row)
            if inner is None:
                return None
            pieces.extend(inner)
        return tuple(pieces)

    def _graph_pieces(self, graph: OpGraph) -> Pieces | None:
        if graph.output is None:
            return None
        names: list[str] = []
        for factor, piece in _pieces_of(_dissolve(graph)):
            if factor > 1:
                names.append(f"*{factor}")
            if piece is not None:
                if piece not in self._names:
                    self._names[piece] = canonical_name(piece)
                names.append(self._names[piece])
        return tuple(names)


@dataclass(frozen=True, slots=True)
class Instances:
    """Op instances 1, 2, … in topological order (0 is the input), sums dissolved."""

    labels: tuple[str, ...]
    """Op and parameters of each; the label of the input is empty."""
    ports: tuple[tuple[Multiset, ...], ...]
    """What each reads: one multiset for an op, one a branch for a merge (in no order)."""
    output: Multiset
    """What the result is."""


def _dissolve(graph: OpGraph) -> Instances:
    labels, ports = [""], [()]
    values: list[Multiset] = [((0, 1),)]
    for node in graph.nodes[1:]:
        if node.op in ("sum", "residual"):
            values.append(_sum([values[i] for i in node.inputs]))
            continue
        given = {k: v for k, v in sorted(node.parameters.items()) if v is not None}
        labels.append(f"{node.op} {json.dumps(given)}" if given else node.op)
        ports.append(tuple(sorted(values[i] for i in node.inputs)))  # type: ignore[arg-type]
        values.append(((len(labels) - 1, 1),))
    assert graph.output is not None
    return Instances(tuple(labels), tuple(ports), values[graph.output])


def _sum(parts: Sequence[Multiset]) -> Multiset:
    total: Counter[int] = Counter()
    for part in parts:
        for source, count in part:
            total[source] += count
    return tuple(sorted(total.items()))


def _pieces_of(graph: Instances) -> Iterator[tuple[int, Instances | None]]:
    """Pieces in series, each with the factor that its input is multiplied by first; last, the result's own factor."""
    start, interface = 0, ((INPUT, 1),)
    for end in range(1, len(graph.labels)):
        after = _cut_after(graph, end)
        if after is not None:
            yield _piece(graph, start, end, interface, after)
            start, interface = end, after
    factor = graph.output[0][1] // interface[0][1]
    if factor > 1:
        yield factor, None


def _cut_after(graph: Instances, end: int) -> Multiset | None:
    """The one multiset, in lowest terms, that everything after ``end`` reads multiples of."""
    interface: Multiset | None = None
    for port in (*(port for ports in graph.ports[end + 1 :] for port in ports), graph.output):
        before = tuple(pair for pair in port if pair[0] <= end)
        if not before:
            continue
        factor = math.gcd(*(count for _, count in before))
        lowest = tuple((source, count // factor) for source, count in before) if factor > 1 else before
        if interface is None:
            interface = lowest
        elif interface != lowest:
            return None
    return interface


def _piece(graph: Instances, start: int, end: int, before: Multiset, after: Multiset) -> tuple[int, Instances]:
    """Instances ``start + 1 … end`` on their own: reads of the interface before them become reads of the input."""
    counts = dict(before)

    def local(port: Multiset) -> Multiset:
        inside = [(source - start, count) for source, count in port if source > start]
        outside = [count // counts[source] for source, count in port if source <= start]
        return ((INPUT, outside[0]), *inside) if outside else tuple(inside)

    ports = [tuple(local(port) for port in ports) for ports in graph.ports[start + 1 : end + 1]]
    output = local(after)
    factor = math.gcd(*(port[0][1] for port in (*(p for ports_ in ports for p in ports_), output) if port[0][0] == INPUT))

    def divided(port: Multiset) -> Multiset:
        return ((INPUT, port[0][1] // factor), *port[1:]) if port[0][0] == INPUT else port

    divided_ports = (tuple(sorted(divided(port) for port in ports_)) for ports_ in ports)
    return factor, Instances(("", *graph.labels[start + 1 : end + 1]), ((), *divided_ports), divided(output))


def _scales_joined(pieces: Sequence[str]) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        if piece[0] == "*" and joined and joined[-1][0] == "*":
            joined[-1] = f"*{int(joined[-1][1:]) * int(piece[1:])}"
        else:
            joined.append(piece)
    return joined


# --- canonical form of a piece


def canonical_name(piece: Instances) -> str:
    """A text that is equal for isomorphic pieces and no others."""
    n = len(piece.labels)
    if n == 2:
        return _text(piece, [0, 1])
    users: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    for user, ports in enumerate(piece.ports):
        for port in ports:
            for source, count in port:
                users[source].append((user, count))
    result = dict(piece.output)
    ranks = {label: k for k, label in enumerate(sorted(set(piece.labels)))}
    first = [(ranks[piece.labels[v]], result.get(v, 0)) for v in range(n)]
    leaves = [0]

    def refine(signature: Sequence[Any]) -> list[int]:
        colours = _ranked(signature)
        while True:
            new = _ranked(
                [
                    (
                        colours[v],
                        tuple(sorted(tuple(sorted((colours[s], c) for s, c in port)) for port in piece.ports[v])),
                        tuple(sorted((colours[u], c) for u, c in users[v])),
                    )
                    for v in range(n)
                ]
            )
            if max(new) == max(colours):
                return new
            colours = new

    def search(signature: Sequence[Any]) -> str:
        colours = refine(signature)
        sizes = Counter(colours)
        repeated = [colour for colour, size in sizes.items() if size > 1]
        if not repeated:
            leaves[0] += 1
            return _text(piece, colours)
        colour = min(repeated, key=lambda c: (sizes[c], c))
        members = [v for v in range(n) if colours[v] == colour]
        if leaves[0] >= _MAX_LEAVES or all(_twins(piece, users, members[0], v) for v in members[1:]):
            members = members[:1]
        return min(search([(c, int(v == chosen)) for v, c in enumerate(colours)]) for chosen in members)

    return search(first)


def _twins(piece: Instances, users: list[list[tuple[int, int]]], a: int, b: int) -> bool:
    """Whether swapping two instances changes nothing."""
    return piece.ports[a] == piece.ports[b] and sorted(users[a]) == sorted(users[b])


def _ranked(signature: Sequence[Any]) -> list[int]:
    ranks = {s: k for k, s in enumerate(sorted(set(signature)))}
    return [ranks[s] for s in signature]


def _text(piece: Instances, position: Sequence[int]) -> str:
    """The piece with its instances renumbered; ``position`` holds the new number of each."""

    def renamed(port: Multiset) -> list[list[int]]:
        return sorted([position[source], count] for source, count in port)

    order = sorted(range(len(position)), key=position.__getitem__)
    body = [[piece.labels[v], sorted(renamed(port) for port in piece.ports[v])] for v in order]
    return json.dumps([body, renamed(piece.output)], separators=(",", ":"))
