"""What models of one search read of architectures: rows ``(n, n_decisions)`` as columns ``(n, k)``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from metanas._rng import generator
from metanas.controller._pool import remembered
from metanas.encoding import OneHot, StructureEncoder
from metanas.space import Rows, SearchSpace

Columns = npt.NDArray[np.float32]

_SAMPLE = 3_000
"""Random rows from which a vocabulary is learned."""
_KEPT = 65_000
"""Rows whose columns are kept, all of a table; the memory starts anew when full. Larger spaces are read by decisions alone
where thousands of networks are drawn for each proposal: to read their graphs takes seconds."""
_READERS = 4
"""Spaces whose vocabularies are kept."""


def one_hot(space: SearchSpace, rows: Rows) -> Columns:
    """Decisions alone; remembered for an array of rows."""
    return remembered("one-hot", (space, rows), lambda: OneHot(space)(rows))


def structural(space: SearchSpace, rows: Rows) -> Columns:
    """Decisions, beside features of the canonical graph in spaces that are not too large: paths, ops by depth and degree, ..."""
    if space.size is None or space.size > _KEPT:
        return one_hot(space, rows)
    return _reader(space, paths=False)(rows)


def path_bits(space: SearchSpace, rows: Rows) -> Columns:
    """Which paths lead from the input to the output (White et al. 2021, *BANANAS*, section 3.1), those that are not very rare.

    What no path tells is beside them: decisions about training, and all decisions of spaces without graphs.
    """
    return _reader(space, paths=True)(rows)


_readers: dict[tuple[int, bool], _Reader] = {}


def _reader(space: SearchSpace, paths: bool) -> _Reader:
    # A reader holds its space, so while it is kept no other space has that id.
    reader = _readers.pop((id(space), paths), None) or _Reader(space, paths)
    while len(_readers) >= _READERS:
        del _readers[next(iter(_readers))]
    # The last used comes last.
    _readers[id(space), paths] = reader
    return reader


class _Reader:
    """Encodes rows, each once: of a table, others are drawn for each proposal."""

    def __init__(self, space: SearchSpace, paths: bool) -> None:
        sample = space.sample(_SAMPLE, generator(0, "features"), prior=False)
        structure = StructureEncoder.learn(space, sample, kinds=("path ", "position ") if paths else ())
        decisions = OneHot(space)
        told = np.zeros(len(decisions.names), dtype=bool)
        bits = np.array([paths and name.startswith("path ") for name in structure.names], dtype=bool)
        for (start, width, _), decision in zip(decisions.spans, space.decisions, strict=True):
            told[start : start + width] = bits.any() and decision.part != "train"
        self._encode: Callable[[Rows], Columns] = partial(_encode, decisions, ~told, structure, bits)
        self._known: dict[bytes, Columns] = {}

    def __call__(self, rows: Rows) -> Columns:
        names = [row.tobytes() for row in np.ascontiguousarray(rows)]
        new = [line for line, name in enumerate(names) if name not in self._known]
        if len(self._known) + len(new) > _KEPT:
            self._known.clear()
            new = [*range(len(rows))]
        if len(new) == len(rows) and len(rows) > _KEPT:
            return self._encode(rows)
        self._known.update(zip([names[line] for line in new], self._encode(rows[new]), strict=True))
        return np.stack([self._known[name] for name in names])


def _encode(
    decisions: OneHot,
    shown: npt.NDArray[np.bool_],
    structure: StructureEncoder,
    bits: npt.NDArray[np.bool_],
    rows: Rows,
) -> Columns:
    found = structure(rows)
    found[:, bits] = found[:, bits] > 0
    return np.concatenate([decisions(rows)[:, shown], found], axis=1)
