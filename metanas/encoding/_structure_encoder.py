"""Rows of a space as structural features of their networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metanas.architecture import Instances
from metanas.encoding._scopes import Scopes
from metanas.encoding._structure import Features, features_of
from metanas.space import Rows, SearchSpace

RARE = 0.004
"""A feature of fewer networks than this share is left out: nothing can be learned of it from a few hundred results."""
WIDEST = 256
"""Most counts kept, and most details, the most frequent first: a kernel on more is slower and no better."""
_MAX_GRAPHS = 200_000
"""Scopes whose encodings are remembered; the memory starts anew when full."""


@dataclass(frozen=True)
class StructureEncoder:
    """Counts of ops, paths, depths and degrees in canonical graphs, the positions of numeric decisions, and details of graphs.

    The columns are a vocabulary that is learned once from rows of the space, so that they mean the same for all that
    is encoded later; what it does not hold is not counted.
    """

    space: SearchSpace
    """Whose rows are encoded. A tabular space has no graphs, and only numeric decisions."""
    counts: tuple[str, ...]
    """A name for each of the first columns: counts and positions."""
    details: tuple[str, ...] = ()
    """Likewise for the others."""
    _scopes: Scopes = field(init=False, repr=False, compare=False)
    _graphs: dict[Instances | None, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scopes", Scopes(self.space))

    @classmethod
    def learn(cls, space: SearchSpace, rows: Rows) -> StructureEncoder:
        """The vocabulary of the networks of some rows, best all or thousands: features that some have and not all alike."""
        blank = cls(space, ())
        counts, details = _Vocabulary(), _Vocabulary()
        for counted, looked_at in blank._found(rows):
            counts.add(counted)
            details.add(looked_at)
        learned = cls(space, counts.kept(), details.kept())
        # What is known of these rows already.
        object.__setattr__(learned, "_scopes", blank._scopes)
        return learned

    def __call__(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Encode rows ``(n, n_decisions)`` as ``(n, n_columns)``: as they are, not standardised."""
        encoded = np.zeros((len(rows), len(self.names)))
        for line, row in enumerate(rows.tolist()):
            if not self.space.tabular:
                for scope, times in self._scopes.of(row):
                    columns, values = self._encoded(scope.graph)
                    encoded[line, columns] += times * values
            for place, name, positions in self._positions:
                if row[place] >= 0 and name in self._columns:
                    encoded[line, self._columns[name]] = positions[row[place]]
        return encoded.astype(np.float32)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each column."""
        return self.counts + self.details

    def live(self, rows: Rows) -> Rows:
        """Rows with −1 for every decision that does not matter to the network, as on an edge that leads nowhere."""
        if self.space.tabular:
            return rows
        kept = np.full_like(rows, -1)
        train = [c for c, decision in enumerate(self.space.decisions) if decision.part == "train"]
        for line, row in enumerate(rows.tolist()):
            columns = sorted({c for scope, _ in self._scopes.of(row) for c in scope.live} | {*train})
            kept[line, columns] = rows[line, columns]
        return kept

    def _encoded(self, graph: Instances | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Columns that a scope has something in, and what: summing these is many times quicker than summing by name."""
        if graph not in self._graphs:
            if len(self._graphs) >= _MAX_GRAPHS:
                self._graphs.clear()
            known = {
                self._columns[name]: value
                for features in features_of(graph)
                for name, value in features.items()
                if name in self._columns
            }
            self._graphs[graph] = np.array([*known], dtype=np.int64), np.array([*known.values()], dtype=np.float64)
        return self._graphs[graph]

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    @cached_property
    def _positions(self) -> list[tuple[int, str, npt.NDArray[np.float64]]]:
        """Column, name of the feature, and where in its range each value lies, from 1 (0 is inactive) to 2."""
        numeric = []
        for column, decision in enumerate(self.space.decisions):
            values = list(decision.values)
            if decision.size < 3 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
                continue
            ranks = np.argsort(np.argsort(np.array(values, dtype=float))) / (decision.size - 1)
            numeric.append((column, f"position {decision.name}", 1 + ranks))
        return numeric

    def _found(self, rows: Rows) -> Iterator[tuple[Features, Features]]:
        """Counts and details of each row."""
        for row in rows.tolist():
            found: tuple[Features, Features] = {}, {}
            if not self.space.tabular:
                for scope, times in self._scopes.of(row):
                    for total, features in zip(found, features_of(scope.graph), strict=True):
                        for name, value in features.items():
                            total[name] = total.get(name, 0.0) + times * value
            for column, name, positions in self._positions:
                if row[column] >= 0:
                    found[0][name] = float(positions[row[column]])
            yield found


class _Vocabulary:
    """Which features vary, and how many rows have each."""

    def __init__(self) -> None:
        self._rows = 0
        self._having: Counter[str] = Counter()
        self._first: dict[str, float] = {}
        self._varying: set[str] = set()

    def add(self, found: Features) -> None:
        """One row more."""
        self._rows += 1
        for name, value in found.items():
            self._having[name] += 1
            if self._first.setdefault(name, value) != value:
                self._varying.add(name)

    def kept(self) -> tuple[str, ...]:
        """Those of enough rows that are not alike in all, the most frequent first."""
        kept = [
            name
            for name, count in self._having.items()
            if (name in self._varying or count < self._rows) and count >= RARE * self._rows
        ]
        kept.sort(key=lambda name: (-self._having[name], name))
        return tuple(kept[:WIDEST])
