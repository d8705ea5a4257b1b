"""Both encodings of a space's networks, scaled for kernels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.architecture import CanonicalIds
from metanas.encoding._ordered import Ordered
from metanas.encoding._structure_encoder import StructureEncoder, unlike_most
from metanas.space import Rows, SearchSpace

Array = npt.NDArray[Any]

_SAMPLE = 3_000
"""Rows that a vocabulary and the scales are learned from."""
_REMEMBERED = 16
"""Arrays of rows whose encodings are kept, those used last: all of a table, and the known part of each source."""
_ORBITS = 65_000
"""In spaces of at most so many rows, the rows of one network are known, and its decisions are their mean."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkEncoder:
    """Decisions and structure of networks, each ``(n, d)``, centred, with a mean squared norm of 1.

    What is the same for most networks says little of them, so a column of the structure weighs as much as the share of
    networks that differ from the commonest value.

    Equal networks have equal structure, but for positions of numeric decisions that do not matter. Where a space can be
    enumerated they have equal decisions, too: the mean of the columns of all rows that denote the network. Elsewhere,
    decisions that do not matter are zero.
    """

    structure: StructureEncoder
    """Features by the names of its vocabulary."""
    centres: tuple[Array, Array]
    """What is subtracted from decisions and structure."""
    scales: tuple[Array, Array]
    """What they are then divided by."""
    _orbits: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)
    _known: dict[bytes, tuple[Array, Array]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def learn(cls, space: SearchSpace, rng: np.random.Generator) -> NetworkEncoder:
        """The encoder of a space; the same for the same space and generator."""
        rows = space.sample(_SAMPLE, rng, prior=False)
        structure = StructureEncoder.learn(space, rows)
        blank = cls(structure=structure, centres=(np.zeros(1), np.zeros(1)), scales=(np.ones(1), np.ones(1)))
        decisions, found = blank(rows)
        spread = np.sqrt(max(float(decisions.var(axis=0).sum()), 1e-12))
        shares = unlike_most(found)
        weights = shares / shares.sum()
        return cls(
            structure=structure,
            centres=(decisions.mean(axis=0), found.mean(axis=0)),
            scales=(np.array([spread]), found.std(axis=0) / np.sqrt(weights)),
            _orbits=blank._orbits,
        )

    @property
    def space(self) -> SearchSpace:
        """Whose rows are encoded."""
        return self.structure.space

    def __call__(self, rows: Rows) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Decisions and structure of rows ``(n, n_decisions)``."""
        key = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).digest()
        # Taken out and put in again, so that the one used longest ago comes first.
        self._known[key] = self._known.pop(key) if key in self._known else self._encoded(rows)
        if len(self._known) > _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        return self._known[key]

    def _encoded(self, rows: Rows) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        decisions = self._decisions(rows)
        found = self.structure(rows)
        scaled = [
            ((block - centre) / scale).astype(np.float32)
            for block, centre, scale in zip((decisions, found), self.centres, self.scales, strict=True)
        ]
        return scaled[0], scaled[1]

    def _decisions(self, rows: Rows) -> Array:
        if not self._enumerable:
            return self._ordered(self.structure.live(rows))
        if not self._orbits:
            self._orbits.update(_mean_of_rows(self._ordered, self._ids))
        encoded = np.zeros((len(rows), len(next(iter(self._orbits.values())))), dtype=np.float32)
        for line, name in enumerate(self._ids.of_all(rows)):
            encoded[line] = self._orbits[name]
        return encoded

    @cached_property
    def _ordered(self) -> Ordered:
        return Ordered(self.space)

    @cached_property
    def _ids(self) -> CanonicalIds:
        return CanonicalIds(self.space)

    @cached_property
    def _enumerable(self) -> bool:
        size = None if self.space.tabular else self.space.size
        return size is not None and size <= _ORBITS


def _mean_of_rows(ordered: Ordered, ids: CanonicalIds) -> Mapping[str, Array]:
    """Mean of the columns of all rows of each network, by its id."""
    rows = ordered.space.rows(_ORBITS)
    numbers: dict[str, int] = {}
    of = np.array([numbers.setdefault(name, len(numbers)) for name in ids.of_all(rows)])
    encoded = ordered(rows)
    total = np.zeros((len(numbers), encoded.shape[1]))
    np.add.at(total, of, encoded)
    means = (total / np.bincount(of)[:, None]).astype(np.float32)
    return dict(zip(numbers, means, strict=True))
