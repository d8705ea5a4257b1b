"""Rows of decisions as columns in which numbers keep their order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metanas.encoding._one_hot import OneHot
from metanas.space import Decision, Rows, SearchSpace


@dataclass(frozen=True)
class Ordered:
    """One-hot columns, but steps for numbers: a column for each value but the least, of one sign from there on and of the other below.

    Unlike values of a decision lie a squared distance of 2 apart, as one-hot ones do; of numbers the least and the greatest do, and
    others as far as there are values between them. An inactive decision is 0 in all of its columns, 1 from every value.
    """

    space: SearchSpace
    """Whose rows are encoded."""

    def __call__(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Encode rows ``(n, n_decisions)`` as ``(n, n_columns)``."""
        encoded = self._one_hot(rows)
        parts = []
        for place, (decision, (start, width, long)) in enumerate(
            zip(self.space.decisions, self._one_hot.spans, strict=True)
        ):
            ranks = None if long else ranks_of(decision)
            if ranks is None:
                parts.append(encoded[:, start : start + width])
                continue
            active = rows[:, place, None] >= 0
            reached = ranks[rows[:, place], None] > np.arange(decision.size - 1)
            parts.append(np.where(active, np.where(reached, 0.5, -0.5), 0) * np.sqrt(2 / (decision.size - 1)))
            parts.append(active * np.sqrt(0.5))
        return np.concatenate([np.zeros((len(rows), 0)), *parts], axis=1).astype(np.float32)

    @cached_property
    def _one_hot(self) -> OneHot:
        return OneHot(self.space)


def ranks_of(decision: Decision) -> npt.NDArray[np.int64] | None:
    """Where each value of a decision among three or more numbers stands in their order, from 0; None for any other decision."""
    values = list(decision.values)
    if decision.size < 3 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return None
    return np.argsort(np.argsort(np.array(values, dtype=float)))
