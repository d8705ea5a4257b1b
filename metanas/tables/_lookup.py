"""Rows of a space -> their places in a table, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from metanas.space import Rows


class RowLookup:
    """Finds rows among known ones."""

    def __init__(self, rows: Rows, targets: npt.NDArray[np.int64], sizes: Sequence[int]) -> None:
        # One more value a decision, for the -1 of an inactive one.
        bases = [size + 1 for size in sizes]
        self._targets: npt.NDArray[np.int64] | None = None
        self._places: dict[bytes, int] = {}
        if prod(bases) < 2**62:
            self._weights = np.array([prod(bases[:column]) for column in range(len(bases))], dtype=np.int64)
            codes = self._codes(rows)
            order = np.argsort(codes, kind="stable")
            self._sorted, self._targets = codes[order], targets[order]
        else:
            self._places = {row.tobytes(): int(target) for row, target in zip(rows, targets, strict=True)}

    def find(self, rows: Rows) -> npt.NDArray[np.int64]:
        """The target of each row ``(m, n_decisions)``, ``(m,)``; −1 for an unknown one."""
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        if self._targets is None:
            return np.array([self._places.get(row.tobytes(), -1) for row in rows], dtype=np.int64)
        if not len(self._targets):
            return np.full(len(rows), -1, dtype=np.int64)
        codes = self._codes(rows)
        places = np.minimum(np.searchsorted(self._sorted, codes), len(self._sorted) - 1)
        found: npt.NDArray[np.int64] = np.where(self._sorted[places] == codes, self._targets[places], -1)
        return found

    def _codes(self, rows: Rows) -> npt.NDArray[np.int64]:
        codes: npt.NDArray[np.int64] = (rows + 1) @ self._weights
        return codes
