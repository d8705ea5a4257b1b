"""Rows of a space as structural features of their networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from metanas.architecture import Instances
from metanas.encoding._ordered import ranks_of
from metanas.encoding._scopes import Scopes
from metanas.encoding._structure import features_of
from metanas.space import Rows, SearchSpace

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
ColumnOf = Callable[[str], int | None]
"""The column of a feature; None for one that is left out."""

_RARE = 0.004
"""A feature in which fewer networks than this share differ from the rest is left out: nothing can be learned of it from a few
hundred results."""
_WIDEST = 512
"""Most features kept, those in which most networks differ: a kernel on more is slower and no better."""
_MAX_GRAPHS = 200_000
"""Scopes whose encodings are remembered; the memory starts anew when full."""
_DIGITS = 5
"""Decimals to which values are the same."""


class _Numbers(dict[str, int]):
    """Numbers names as they appear."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self)
        return self[name]


@dataclass(frozen=True)
class StructureEncoder:
    """Features of canonical graphs, and the positions of numeric decisions.

    The columns are a vocabulary that is learned once from rows of the space, so that they mean the same for all that
    is encoded later; what it does not hold is not counted.
    """

    space: SearchSpace
    """Whose rows are encoded. A tabular space has no graphs, and only numeric decisions."""
    names: tuple[str, ...]
    """A name for each column."""
    _scopes: Scopes = field(init=False, repr=False, compare=False)
    _column_of: ColumnOf = field(init=False, repr=False, compare=False)
    _graphs: dict[Instances | None, tuple[Places, Floats]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scopes", Scopes(self.space))
        object.__setattr__(self, "_column_of", {name: column for column, name in enumerate(self.names)}.get)

    @classmethod
    def learn(cls, space: SearchSpace, rows: Rows, kinds: tuple[str, ...] = ()) -> StructureEncoder:
        """The vocabulary of the networks of some rows, best all or thousands: features in which they differ.

        With ``kinds``, those alone whose names begin with one of them, as ``"path "``.

        Of features that tell the same, each being another one times a factor plus a constant, one is kept.
        """
        blank, numbers = cls(space, ()), _Numbers()

        def column_of(name: str) -> int | None:
            return numbers[name] if not kinds or name.startswith(kinds) else None

        object.__setattr__(blank, "_column_of", column_of)
        parts = [*blank._found(rows)]
        lines = np.repeat([line for line, _, _ in parts], [len(places) for _, places, _ in parts]).astype(np.int64)
        places, values = (
            np.concatenate([np.zeros(0, kind), *(part[i] for part in parts)])
            for i, kind in ((1, np.int64), (2, np.float64))
        )
        found = sparse.coo_array((values, (lines, places)), shape=(len(rows), len(numbers))).tocsc()
        # Of the others, 0 is the commonest value by far.
        often = np.flatnonzero(np.diff(found.indptr) >= _RARE * len(rows))
        names, columns = np.array([*numbers], dtype=object)[often], found[:, often].toarray().astype(np.float32)
        shares = unlike_most(columns)
        kept: dict[bytes, int] = {}
        for column in sorted(np.flatnonzero(shares >= _RARE).tolist(), key=lambda c: (-shares[c], names[c])):
            kept.setdefault(_likeness(columns[:, column]), column)
            if len(kept) == _WIDEST:
                break
        chosen = [*kept.values()]
        learned = cls(space, tuple(names[chosen]))
        # What is known of these rows already.
        object.__setattr__(learned, "_scopes", blank._scopes)
        new = np.full(len(numbers), -1)
        new[often[chosen]] = np.arange(len(chosen))
        for graph, (old, known) in blank._graphs.items():
            held = new[old] >= 0
            learned._graphs[graph] = new[old][held], known[held]
        return learned

    def __call__(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Encode rows ``(n, n_decisions)`` as ``(n, n_columns)``: as they are, not standardised."""
        encoded = np.zeros((len(rows), len(self.names)))
        for line, columns, values in self._found(rows):
            encoded[line, columns] += values
        return encoded.astype(np.float32)

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

    def _found(self, rows: Rows) -> Iterator[tuple[int, Places, Floats]]:
        """Of each row and each of its scopes: the row's number, columns that there is something in, and what; to be summed."""
        for line, row in enumerate(rows.tolist()):
            if not self.space.tabular:
                for scope, times in self._scopes.of(row):
                    columns, values = self._encoded(scope.graph)
                    yield line, columns, times * values
            for place, name, positions in self._positions:
                column = self._column_of(name) if row[place] >= 0 else None
                if column is not None:
                    yield line, np.array([column]), positions[[row[place]]]

    def _encoded(self, graph: Instances | None) -> tuple[Places, Floats]:
        """Columns that a scope has something in, and what: summing these is many times quicker than summing by name."""
        if graph not in self._graphs:
            if len(self._graphs) >= _MAX_GRAPHS:
                self._graphs.clear()
            known = {self._column_of(name): value for name, value in features_of(graph).items()}
            known.pop(None, None)
            self._graphs[graph] = np.array([*known], dtype=np.int64), np.array([*known.values()], dtype=np.float64)
        return self._graphs[graph]

    @cached_property
    def _positions(self) -> list[tuple[int, str, Floats]]:
        """Column, name of the feature, and where in its range each value lies, from 1 (0 is inactive) to 2."""
        numeric = []
        for column, decision in enumerate(self.space.decisions):
            ranks = ranks_of(decision)
            if ranks is not None:
                numeric.append((column, f"position {decision.name}", 1 + ranks / (decision.size - 1)))
        return numeric


def unlike_most(columns: npt.NDArray[np.float32]) -> Floats:
    """The share of rows that differ from the commonest value, of each column ``(n, d)``."""
    commonest = [np.unique(column, return_counts=True)[1].max() for column in columns.round(_DIGITS).T]
    return np.asarray(1 - np.array(commonest, dtype=np.float64) / len(columns))


def _likeness(column: npt.NDArray[np.float32]) -> bytes:
    """The same for columns ``(n,)`` of which one is another one times a factor plus a constant."""
    standard = (column - column.mean(dtype=np.float64)) / column.std(dtype=np.float64)
    first = standard[np.argmax(np.abs(standard) > 0.5)]
    # Rounded, what is a trifle less than nothing is -0.0, which 0.0 is added to.
    return bytes((standard * np.sign(first)).round(_DIGITS) + 0.0)
