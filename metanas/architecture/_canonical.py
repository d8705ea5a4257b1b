"""Canonical names of graphs of op instances.

A graph falls into pieces in series, and each piece has a name: a text that is equal for isomorphic pieces and no
others (ranks from the input up; where those tie, colour refinement and individualisation as in McKay & Piperno,
*Practical graph isomorphism II*, 2014).

The cuts between pieces are the places where all that comes later reads what came before as multiples of one multiset.
A cut passes that multiset in lowest terms, and the multiple belongs to the reader; so pieces are determined by the
graph alone, and a graph is its sequence of pieces and the multiple of the last multiset that is its output.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from metanas.architecture._graph import INPUT

Multiset = tuple[tuple[int, int], ...]
"""Sorted (instance, multiplicity) pairs, not empty."""

_MAX_LEAVES = 4096
"""Orders compared for one piece; only large pieces with many look-alikes that are not alike come near."""


_MAX_TERMS = 200_000
"""Terms and outputs remembered; the memory starts anew when full."""


class Instances(NamedTuple):
    """Op instances 1, 2, … in topological order (0 is the input), sums dissolved; each leads to the output."""

    labels: tuple[str, ...]
    """Op and parameters of each; the label of the input is empty."""
    ports: tuple[tuple[Multiset, ...], ...]
    """What each reads: one multiset for an op, one a branch for a merge (in no order, sorted here)."""
    output: Multiset
    """What the result is."""


def summed(parts: Sequence[Multiset]) -> Multiset:
    """The sum of multisets."""
    if len(parts) == 2 and len(parts[0]) == len(parts[1]) == 1:  # the commonest case, by far
        (a, m), (b, n) = parts[0][0], parts[1][0]
        return ((a, m + n),) if a == b else ((a, m), (b, n)) if a < b else ((b, n), (a, m))
    total: dict[int, int] = {}
    for part in parts:
        for source, count in part:
            total[source] = total.get(source, 0) + count
    return tuple(sorted(total.items()))


def scaled(piece: Instances, factor: int) -> tuple[Instances, int]:
    """The piece that reads its input ``factor`` times as often; its output in lowest terms, and their multiple."""

    def times(port: Multiset) -> Multiset:
        return ((INPUT, port[0][1] * factor), *port[1:]) if port[0][0] == INPUT else port

    output, rest = _lowest(times(piece.output))
    ports = tuple(tuple(sorted(map(times, ports))) for ports in piece.ports)
    return Instances(piece.labels, ports, output), rest


def split(graph: Instances) -> tuple[list[Instances], int]:
    """Pieces in series, outputs in lowest terms, and the multiple of the last one's output that is the graph's."""
    pieces: list[Instances] = []
    start = 0
    before: Multiset = ((INPUT, 1),)
    for end, after in _cuts(graph):
        pieces.append(_piece(graph, start, end, before, after))
        start, before = end, after
    return pieces, graph.output[0][1] // before[0][1]


def _cuts(graph: Instances) -> Iterator[tuple[int, Multiset]]:
    """Each cut: the last instance before it, and the multiset that everything later reads."""
    all_ports = [port for ports in graph.ports for port in ports]
    all_ports.append(graph.output)
    last = [0] * len(graph.labels)  # for each instance, the last port that reads it
    for k, port in enumerate(all_ports):
        for source, _ in port:
            last[source] = k
    live, first = [INPUT], 0
    for end in range(1, len(last)):
        first += len(graph.ports[end])
        live = [source for source in live if last[source] >= first]
        live.append(end)
        if len(live) == 1:
            yield end, ((end, 1),)
        elif all(last[source] == last[end] for source in live):
            reads = (tuple([pair for pair in port if pair[0] <= end]) for port in all_ports[first:])
            found = {_lowest(read)[0] for read in reads if read}
            if len(found) == 1:
                yield end, found.pop()


def _lowest(multiset: Multiset) -> tuple[Multiset, int]:
    """The multiset in lowest terms, and its multiple."""
    factor = math.gcd(*(count for _, count in multiset))
    if factor == 1:
        return multiset, 1
    return tuple((source, count // factor) for source, count in multiset), factor


def _piece(graph: Instances, start: int, end: int, before: Multiset, after: Multiset) -> Instances:
    """Instances ``start + 1 … end`` on their own: reads of the multiset before them become reads of the input."""
    if start == 0:
        return Instances(graph.labels[: end + 1], graph.ports[: end + 1], after)
    counts = dict(before)

    def local(port: Multiset) -> Multiset:
        inside = tuple((source - start, count) for source, count in port if source > start)
        source, count = port[0]
        return ((INPUT, count // counts[source]), *inside) if source <= start else inside

    ports = (tuple(sorted(map(local, ports))) for ports in graph.ports[start + 1 : end + 1])
    return Instances(("", *graph.labels[start + 1 : end + 1]), ((), *ports), local(after))


# --- the name of a piece


class Names:
    """Names of pieces; remembers the terms that they share.

    The **term** of an instance is its label and the terms of what it reads. Where the instances of a piece have
    different terms, those of its output say all: the usual case. A term is a number here, and has a digest, which is
    the same in every process.
    """

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._digests: list[str] = []
        self._outputs: dict[Multiset, str] = {}
        self._forget()

    def of(self, piece: Instances) -> str:
        """A text that is equal for isomorphic pieces and no others."""
        if len(self._numbers) + len(self._outputs) > _MAX_TERMS:
            self._forget()
        numbers = self._numbers
        terms = [0]
        for label, ports in zip(piece.labels[1:], piece.ports[1:], strict=True):
            key = (label, all_renamed(ports, terms))
            term = numbers.get(key)
            terms.append(self._new_term(*key) if term is None else term)
        if len(set(terms)) < len(terms):
            digests = [self._digests[term] for term in terms]
            return _digest(_text(piece, _order(piece, _ranked(digests))))
        output = renamed(piece.output, terms)
        name = self._outputs.get(output)
        if name is None:
            name = self._outputs[output] = _digest(f"terms {self._written(output)}")
        return name

    def _new_term(self, label: str, ports: tuple[Multiset, ...]) -> int:
        text = f"{label} {sorted([self._written(port) for port in ports])}"
        term = self._numbers[label, ports] = len(self._digests)
        self._digests.append(_digest(text))
        return term

    def _written(self, port: Multiset) -> list[tuple[str, int]]:
        return sorted([(self._digests[term], count) for term, count in port])

    def _forget(self) -> None:
        self._numbers.clear()
        self._outputs.clear()
        self._digests[:] = [""]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def ranks_from_input(piece: Instances) -> list[int]:
    """A rank for each instance, the same for those that agree in label, uses in the output, and ranks of what they read.

    Longest distance from the input comes first, so that what an instance reads has its rank before.
    """
    depth = [0] * len(piece.labels)
    levels: list[list[int]] = [[INPUT]]
    for v in range(1, len(depth)):
        depth[v] = 1 + max([depth[source] for port in piece.ports[v] for source, _ in port])
        if depth[v] == len(levels):
            levels.append([])
        levels[depth[v]].append(v)
    ranks = [0] * len(depth)
    result = dict(piece.output)
    used = 0
    for level in levels:
        if len(level) == 1:
            ranks[level[0]] = used
            used += 1
            continue
        keys = [(piece.labels[v], result.get(v, 0), all_renamed(piece.ports[v], ranks)) for v in level]
        rank_of = {key: used + k for k, key in enumerate(sorted(set(keys)))}
        for v, key in zip(level, keys, strict=True):
            ranks[v] = rank_of[key]
        used += len(rank_of)
    return ranks


def renamed(port: Multiset, names: Sequence[int]) -> Multiset:
    """The port with the name (a number or a colour) of each source in its place."""
    if len(port) == 1:
        return ((names[port[0][0]], port[0][1]),)
    return tuple(sorted([(names[source], count) for source, count in port]))


def all_renamed(ports: tuple[Multiset, ...], names: Sequence[int]) -> tuple[Multiset, ...]:
    """All ports renamed, in an order that depends on the names alone."""
    if len(ports) == 1:
        return (renamed(ports[0], names),)
    return tuple(sorted([renamed(port, names) for port in ports]))


def _text(piece: Instances, position: Sequence[int]) -> str:
    """The piece with its instances renumbered; ``position`` holds the new number of each."""
    body: list[Any] = [None] * len(position)
    for v, place in enumerate(position):
        body[place] = piece.labels[v], all_renamed(piece.ports[v], position)
    return repr((body, renamed(piece.output, position)))


def _order(piece: Instances, ranks: Sequence[int]) -> Sequence[int]:
    """A place for each instance, which is the same up to a symmetry for isomorphic pieces; follows ``ranks``."""
    search = _Search(piece)
    ranks = search.twins_apart(search.ranks_from_output(ranks))
    return ranks if _all_differ(ranks) else search.least(ranks)[1]


class _Search:
    """The order of least text among those that colour refinement leaves open."""

    def __init__(self, piece: Instances) -> None:
        self.piece = piece
        self.leaves = 0
        self.users: list[list[tuple[int, int, int]]] = [[] for _ in piece.labels]  # of each: user, port, count
        for user, ports in enumerate(piece.ports):
            for k, port in enumerate(ports):
                for source, count in port:
                    self.users[source].append((user, k, count))

    def ranks_from_output(self, ranks: Sequence[int]) -> list[int]:
        """Ranks that tell instances of one rank apart by what reads them, as far as the output."""
        height = [0] * len(ranks)
        levels: list[list[int]] = []
        for v in range(len(ranks) - 1, -1, -1):
            height[v] = max([1 + height[user] for user, _, _ in self.users[v]], default=0)
            if height[v] == len(levels):
                levels.append([])
            levels[height[v]].append(v)
        new = [0] * len(ranks)
        result = dict(self.piece.output)
        used = 0
        for level in levels:
            if len(level) == 1:
                new[level[0]] = used
                used += 1
                continue
            keys = [(ranks[v], result.get(v, 0), self._reads_of(v, new, ranks)) for v in level]
            rank_of = {key: used + k for k, key in enumerate(sorted(set(keys)))}
            for v, key in zip(level, keys, strict=True):
                new[v] = rank_of[key]
            used += len(rank_of)
        return new

    def _reads_of(self, v: int, new: Sequence[int], ranks: Sequence[int]) -> tuple[Any, ...]:
        """Who reads an instance, through which of their ports, and how often."""
        ports = self.piece.ports
        return tuple(
            sorted([(new[u], renamed(ports[u][k], ranks) if len(ports[u]) > 1 else (), n) for u, k, n in self.users[v]])
        )

    def least(self, signature: Sequence[Any]) -> tuple[str, Sequence[int]]:
        """The least text among the orders that refine ``signature``, a value for each instance; and its order."""
        colours = self.twins_apart(self.refined(signature))
        alike = _repeated(colours)
        if not alike:
            return self.leaf(colours)
        found: list[tuple[str, Sequence[int]]] = []
        seen: set[str] = set()
        for v in alike:
            # Equal texts show a symmetry that takes an earlier choice to this one: nothing new below.
            text, _ = self.some_leaf(_apart(colours, v))
            if text not in seen and (not seen or self.leaves < _MAX_LEAVES):
                seen.add(text)
                found.append(self.least(_apart(colours, v)))
        return min(found)

    def some_leaf(self, signature: Sequence[Any]) -> tuple[str, Sequence[int]]:
        """One order that refines ``signature``, and its text."""
        colours = self.twins_apart(self.refined(signature))
        while alike := _repeated(colours):
            colours = self.twins_apart(self.refined(_apart(colours, alike[0])))
        return self.leaf(colours)

    def leaf(self, colours: Sequence[int]) -> tuple[str, Sequence[int]]:
        self.leaves += 1
        return _text(self.piece, colours), colours

    def refined(self, signature: Sequence[Any]) -> list[int]:
        """Colours that agree only where label and surroundings do, to any distance."""
        colours = _ranked(signature)
        while True:
            ports = [[renamed(port, colours) for port in ports] for ports in self.piece.ports]
            around = (tuple(sorted([(colours[u], ports[u][k], c) for u, k, c in users])) for users in self.users)
            new = _ranked([(c, tuple(sorted(p)), a) for c, p, a in zip(colours, ports, around, strict=True)])
            if max(new) == max(colours):
                return new
            colours = new

    def twins_apart(self, colours: Sequence[int]) -> Sequence[int]:
        """The colours, each of instances that can all be swapped for each other split in any order.

        A swap changes nothing, so neither does the order.
        """
        if _all_differ(colours):
            return colours
        classes: dict[int, list[int]] = {}
        for v, colour in enumerate(colours):
            classes.setdefault(colour, []).append(v)
        place = [0] * len(colours)
        used = 0
        for colour in sorted(classes):
            alike = classes[colour]
            apart = len(alike) > 1 and all(self.twins(alike[0], v) for v in alike[1:])
            for k, v in enumerate(alike):
                place[v] = used + (k if apart else 0)
            used += len(alike) if apart else 1
        return place

    def twins(self, a: int, b: int) -> bool:
        """Whether swapping two instances of one colour changes nothing."""
        if self.piece.ports[a] != self.piece.ports[b]:
            return False
        result = dict(self.piece.output)
        if result.get(a) != result.get(b):
            return False
        swap = list(range(len(self.piece.labels)))
        swap[a], swap[b] = b, a
        users = {user for user, _, _ in (*self.users[a], *self.users[b])}
        return all(all_renamed(self.piece.ports[user], swap) == self.piece.ports[user] for user in users)


def _all_differ(ranks: Sequence[int]) -> bool:
    return len(set(ranks)) == len(ranks)


def _ranked(signature: Sequence[Any]) -> list[int]:
    rank_of = {s: k for k, s in enumerate(sorted(set(signature)))}
    return [rank_of[s] for s in signature]


def _repeated(colours: Sequence[int]) -> list[int]:
    """The instances of the smallest class of two or more (the first colour, of several); empty when all differ."""
    sizes = Counter(colours)
    if len(sizes) == len(colours):
        return []
    colour = min((c for c, size in sizes.items() if size > 1), key=lambda c: (sizes[c], c))
    return [v for v, c in enumerate(colours) if c == colour]


def _apart(colours: Sequence[int], chosen: int) -> list[tuple[int, bool]]:
    """The signature in which one instance differs from its class."""
    return [(c, v == chosen) for v, c in enumerate(colours)]
