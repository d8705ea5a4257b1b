"""Graphs of op instances as named pieces in series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from metanas.architecture._canonical import Instances, scaled, split
from metanas.architecture._names import Names

_MAX_REMEMBERED = 100_000
"""Entries of one memory; it starts anew when full."""

K = TypeVar("K")
V = TypeVar("V")


class Piece(NamedTuple):
    """What stands between two cuts."""

    instances: Instances
    name: bytes
    """Of fixed length; equal for isomorphic pieces and no others."""


class Series:
    """Pieces in series, and the multiple of the last one's output that is the result."""

    __slots__ = ("_parts", "factor", "name")

    def __init__(self, parts: Sequence[Piece | Series], factor: int) -> None:
        self._parts = parts
        self.factor = factor
        self.name: bytes = b"".join([part.name for part in parts])
        """The names of the pieces."""

    def pieces(self) -> Iterator[Piece]:
        """The pieces."""
        for part in self._parts:
            if isinstance(part, Series):
                yield from part.pieces()
            else:
                yield part


class Pieces:
    """Cuts graphs, and names their pieces; remembers the graphs."""

    def __init__(self) -> None:
        self._series: dict[Instances, Series] = {}
        self._names = Names()

    def of(self, graph: Instances) -> Series:
        """The pieces of a graph."""
        series = self._series.get(graph)
        if series is None:
            pieces, factor = split(graph)
            series = Series([self._piece(piece) for piece in pieces], factor)
            remember(self._series, graph, series)
        return series

    def in_series(self, parts: Sequence[Series]) -> Series:
        """One after another: each reads the multiple that those before it leave."""
        for part in parts:
            if part.factor != 1:
                return self._scaled(parts)
        return parts[0] if len(parts) == 1 else Series(parts, 1)

    def copies(self, series: Series, times: int) -> Sequence[Series]:
        """So many of one, as one where that can be."""
        copies = [series] * times
        return copies if times == 1 or series.factor != 1 else [Series(copies, 1)]

    def _scaled(self, parts: Sequence[Series]) -> Series:
        pieces: list[Piece] = []
        factor = 1
        for part in parts:
            for piece in part.pieces():
                if factor != 1:
                    instances, factor = scaled(piece.instances, factor)
                    piece = self._piece(instances)
                pieces.append(piece)
            factor *= part.factor
        return Series(pieces, factor)

    def _piece(self, instances: Instances) -> Piece:
        return Piece(instances, self._names.of(instances))


def remember(known: dict[K, V], key: K, value: V) -> None:
    """Put ``value`` into a memory that stays of bounded size."""
    if len(known) >= _MAX_REMEMBERED:
        known.clear()
    known[key] = value
