"""Graphs of op instances, and their pieces in series.

The cuts between pieces are the places where all that comes later reads what came before as multiples of one multiset.
A cut passes that multiset in lowest terms, and the multiple belongs to the reader; so pieces are determined by the
graph alone, and a graph is its sequence of pieces and the multiple of the last multiset that is its output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from metanas.architecture._graph import INPUT

Multiset = tuple[tuple[int, int], ...]
"""Sorted (instance, multiplicity) pairs, not empty."""


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
    all_ports: list[Multiset] = []
    for ports in graph.ports:
        all_ports += ports
    all_ports.append(graph.output)
    last = [0] * len(graph.labels)  # for each instance, the last port that reads it
    for k, port in enumerate(all_ports):
        for source, _ in port:
            last[source] = k
    live, first = [INPUT], 0
    for end, latest in enumerate(last[1:], 1):
        first += len(graph.ports[end])
        live = [source for source in live if last[source] >= first]
        live.append(end)
        if len(live) == 1:
            yield end, ((end, 1),)
            continue
        for source in live:
            if last[source] != latest:
                break
        else:
            reads = [tuple([pair for pair in port if pair[0] <= end]) for port in all_ports[first:]]
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
