"""Rows of decisions as 0/1 columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metanas.space import Rows, SearchSpace

_MAX_LEVELS = 32
"""A range of more values becomes one column of its position."""


@dataclass(frozen=True)
class OneHot:
    """One column for each value of each decision; for a long range two: whether it is active, and where in it.

    An inactive decision is 0 in all of its columns, so that a decision that is off is told from every value of it.
    """

    space: SearchSpace
    """Whose rows are encoded."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each column, as ``stage1.kernel=3``."""
        names: list[str] = []
        for decision in self.space.decisions:
            if _is_long(decision.kind, decision.size):
                names += [f"{decision.name} active", f"{decision.name} position"]
            else:
                names += [f"{decision.name}={value}" for value in decision.values]
        return tuple(names)

    @cached_property
    def spans(self) -> tuple[tuple[int, int, bool], ...]:
        """For each decision its first column, how many it has, and whether it is a long range."""
        longs = [_is_long(d.kind, d.size) for d in self.space.decisions]
        widths = [2 if long else d.size for long, d in zip(longs, self.space.decisions, strict=True)]
        starts = self._starts.tolist()
        return tuple(zip(starts, widths, longs, strict=False))

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        widths = [2 if _is_long(d.kind, d.size) else d.size for d in self.space.decisions]
        return np.concatenate([[0], np.cumsum(widths, dtype=np.int64)])

    def __call__(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Encode rows ``(n, n_decisions)`` as ``(n, n_columns)``, values from 0 to 1."""
        n, width = len(rows), int(self._starts[-1])
        # One column more takes what inactive decisions write.
        encoded = np.zeros((n, width + 1), dtype=np.float32)
        flat = encoded.reshape(-1)
        lines = np.arange(n) * (width + 1)
        for column, decision in enumerate(self.space.decisions):
            start, values = int(self._starts[column]), rows[:, column]
            if _is_long(decision.kind, decision.size):
                active = values >= 0
                encoded[active, start] = 1
                encoded[active, start + 1] = values[active] / (decision.size - 1)
            else:
                flat[lines + np.where(values >= 0, values + start, width)] = 1
        return encoded[:, :width]


def _is_long(kind: str, size: int) -> bool:
    return kind != "choice" and size > _MAX_LEVELS
