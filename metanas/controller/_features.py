"""What models of one search read of architectures: rows ``(n, n_decisions)`` as columns ``(n, k)``."""

from __future__ import annotations

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
"""Readers that are kept; the memory starts anew when full."""


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


_readers: dict[tuple[str, str, bool], _Reader] = {}


def _reader(space: SearchSpace, paths: bool) -> _Reader:
    key = space.name, space.text, paths
    if key not in _readers:
        if len(_readers) >= _READERS:
            _readers.clear()
        _readers[key] = _Reader(space, paths)
    return _readers[key]


class _Reader:
    """Encodes rows, each once: of a table, others are drawn for each proposal."""

    def __init__(self, space: SearchSpace, paths: bool) -> None:
        sample = space.sample(_SAMPLE, generator(0, "features"), prior=False)
        self._structure = StructureEncoder.learn(space, sample, kinds=("path ", "position ") if paths else ())
        self._bits = np.array([paths and name.startswith("path ") for name in self._structure.names], dtype=bool)
        self._decisions = OneHot(space)
        self._shown = np.ones(len(self._decisions.names), dtype=bool)
        if self._bits.any():
            for (start, width, _), decision in zip(self._decisions.spans, space.decisions, strict=True):
                self._shown[start : start + width] = decision.part == "train"
        self._known: dict[bytes, Columns] = {}

    def __call__(self, rows: Rows) -> Columns:
        names = [row.tobytes() for row in np.ascontiguousarray(rows)]
        new = [line for line, name in enumerate(names) if name not in self._known]
        if len(self._known) + len(new) > _KEPT:
            self._known.clear()
            new = [*range(len(rows))]
        self._known.update(zip([names[line] for line in new], self._encoded(rows[new]), strict=True))
        return np.stack([self._known[name] for name in names])

    def _encoded(self, rows: Rows) -> Columns:
        found = self._structure(rows)
        found[:, self._bits] = found[:, self._bits] > 0
        return np.concatenate([self._decisions(rows)[:, self._shown], found], axis=1)
