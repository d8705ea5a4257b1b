"""Canonical names of pieces: equal for isomorphic ones and no others.

Notation: the **term** of an instance is its label and the terms of what it reads. Where the instances of a piece have
different terms, the terms of its output say all, which is the usual case. Else the piece is written down in an order
of its instances that is the same for isomorphic pieces up to symmetries: colour refinement and individualisation, as
in McKay & Piperno, *Practical graph isomorphism II*, 2014.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import islice
from typing import Any

from metanas.architecture._canonical import Instances, Multiset, all_renamed, renamed
from metanas.architecture._graph import INPUT

_MAX_LEAVES = 4096
"""Orders compared for one piece; only large pieces with many look-alikes that are not alike come near."""

_MAX_TERMS = 200_000
"""Terms and outputs remembered; the memory starts anew when full."""

NAME_BYTES = 16
"""Of a name, so that names one after another need no mark between them."""


class Names:
    """Names pieces; remembers terms, as a number that is the same only here, and a digest that is so everywhere."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._digests: list[bytes] = []
        self._outputs: dict[Multiset, bytes] = {}
        self._forget()

    def of(self, piece: Instances) -> bytes:
        """``NAME_BYTES`` bytes."""
        if len(self._numbers) + len(self._outputs) > _MAX_TERMS:
            self._forget()
        numbers = self._numbers
        terms = [0]
        for label, ports in islice(zip(*piece[:2], strict=True), 1, None):
            # As all_renamed, without calls where an op reads one instance, as most do.
            if len(ports) == 1 and len(ports[0]) == 1:
                source, count = ports[0][0]
                read: tuple[Multiset, ...] = (((terms[source], count),),)
            else:
                read = all_renamed(ports, terms)
            key = label, read
            term = numbers.get(key)
            terms.append(self._new_term(key) if term is None else term)
        if len(set(terms)) < len(terms):
            result = dict(piece.output)
            keys = [(self._digests[term], result.get(v, 0)) for v, term in enumerate(terms)]
            return _digest(_text(piece, _Search(piece).order(keys)))
        output = renamed(piece.output, terms)
        name = self._outputs.get(output)
        if name is None:
            name = self._outputs[output] = _digest(f"terms {self._written(output)}")
        return name

    def _new_term(self, key: tuple[str, tuple[Multiset, ...]]) -> int:
        label, ports = key
        term = self._numbers[key] = len(self._digests)
        self._digests.append(_digest(repr((label, sorted([self._written(port) for port in ports])))))
        return term

    def _written(self, port: Multiset) -> list[tuple[bytes, int]]:
        return sorted([(self._digests[term], count) for term, count in port])

    def _forget(self) -> None:
        self._numbers.clear()
        self._outputs.clear()
        self._digests[:] = [b""]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:NAME_BYTES]


def _text(piece: Instances, place: Sequence[int]) -> str:
    """The piece with its instances renumbered; ``place`` holds the new number of each."""
    body: list[Any] = [None] * len(place)
    for v, new in enumerate(place):
        body[new] = piece.labels[v], all_renamed(piece.ports[v], place)
    return repr((body, renamed(piece.output, place)))


class _Search:
    """The order of least text among those that colour refinement leaves open.

    A **colour** is the number of instances of lesser colours, so a class that is split keeps others as they are.
    """

    def __init__(self, piece: Instances) -> None:
        self.piece = piece
        self.result = dict(piece.output)
        self.leaves = 0
        self.users: list[list[tuple[int, int, int]]] = [[] for _ in piece.labels]  # of each: user, port, count
        for user, ports in enumerate(piece.ports):
            for k, port in enumerate(ports):
                for source, count in port:
                    self.users[source].append((user, k, count))

    def order(self, signature: Sequence[Any]) -> list[int]:
        """A place for each instance, in an order that follows ``signature``, a value for each.

        The same up to a symmetry for isomorphic pieces, if the signature is.
        """
        colours = self.refined(_places(signature))
        return colours if _all_differ(colours) else self.least(colours)[1]

    def least(self, colours: list[int]) -> tuple[str, list[int]]:
        """The least text among the orders that refine refined colours, and its order."""
        alike = _smallest(colours)
        if not alike:
            return self.leaf(colours)
        found: list[tuple[str, list[int]]] = []
        seen: set[str] = set()
        for v in alike:
            # Equal texts show a symmetry that takes an earlier choice to this one: nothing new below.
            text, _ = self.some_leaf(self.apart(colours, v, alike))
            if text not in seen and (not seen or self.leaves < _MAX_LEAVES):
                seen.add(text)
                found.append(self.least(self.apart(colours, v, alike)))
        return min(found)

    def some_leaf(self, colours: list[int]) -> tuple[str, list[int]]:
        """One order that refines refined colours, and its text."""
        while alike := _smallest(colours):
            colours = self.apart(colours, alike[0], alike)
        return self.leaf(colours)

    def leaf(self, colours: list[int]) -> tuple[str, list[int]]:
        self.leaves += 1
        return _text(self.piece, colours), colours

    def apart(self, colours: list[int], chosen: int, alike: Sequence[int]) -> list[int]:
        """The colours refined once an instance differs from its class."""
        new = list(colours)
        for v in alike:
            new[v] += v != chosen
        return self.refined(new)

    def refined(self, colours: list[int]) -> list[int]:
        """Colours that agree only where the surroundings do, to any distance.

        Instances that can all be swapped for each other are told apart in any order: a swap changes nothing.
        """
        waiting = _classes(colours)
        settled = False
        while not settled:
            settled = True
            classes, waiting = waiting, []
            for alike in classes:
                parts = self._split(alike, colours)
                settled &= len(parts) == 1
                waiting += [part for part in parts if len(part) > 1]
        for alike in waiting:
            if all(self.twins(alike[0], v) for v in alike[1:]):
                for k, v in enumerate(alike):
                    colours[v] += k
        return colours

    def _split(self, alike: list[int], colours: list[int]) -> list[list[int]]:
        """Tell instances of one colour apart by what they read, and what reads them."""
        ports = self.piece.ports
        by_key: dict[Any, list[int]] = {}
        for v in alike:
            users = [
                (colours[u], renamed(ports[u][k], colours) if len(ports[u]) > 1 else (), n) for u, k, n in self.users[v]
            ]
            users.sort()
            by_key.setdefault((all_renamed(ports[v], colours), tuple(users)), []).append(v)
        if len(by_key) == 1:
            return [alike]
        parts = [by_key[key] for key in sorted(by_key)]
        place = colours[alike[0]]
        for part in parts:
            for v in part:
                colours[v] = place
            place += len(part)
        return parts

    def twins(self, a: int, b: int) -> bool:
        """Whether swapping two instances changes nothing."""
        ports = self.piece.ports
        if (
            ports[a] != ports[b]
            or self.result.get(a) != self.result.get(b)
            or self.piece.labels[a] != self.piece.labels[b]
        ):
            return False
        swap = list(range(len(ports)))
        swap[a], swap[b] = b, a
        users = {user for user, _, _ in (*self.users[a], *self.users[b])}
        return all(all_renamed(ports[user], swap) == ports[user] for user in users)


def _places(signature: Sequence[Any]) -> list[int]:
    """For each value, how many are less."""
    place: dict[Any, int] = {}
    for k, value in enumerate(sorted(signature)):
        place.setdefault(value, k)
    return [place[value] for value in signature]


def _all_differ(colours: Sequence[int]) -> bool:
    return len(set(colours)) == len(colours)


def _classes(colours: Sequence[int]) -> list[list[int]]:
    """Instances of equal colour, where there are several; in the order of colours."""
    classes: dict[int, list[int]] = {}
    for v, colour in enumerate(colours):
        classes.setdefault(colour, []).append(v)
    return [classes[colour] for colour in sorted(classes) if len(classes[colour]) > 1]


def _smallest(colours: Sequence[int]) -> list[int]:
    """The smallest class of several (the first colour, of several such); empty when all differ."""
    return min(_classes(colours), key=len, default=[])


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
