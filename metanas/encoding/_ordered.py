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
    others as far as there are values between them. A long range has a column of its position in place of steps, so that what lies
    in between is nearer. An inactive decision is 0 in all of its columns, and 1/2 to 1 from every value.
    """

    space: SearchSpace
    """Whose rows are encoded."""

    def __call__(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Encode rows ``(n, n_decisions)`` as ``(n, n_columns)``."""
        encoded = self._one_hot(rows)
        parts: list[npt.NDArray[np.floating]] = [np.zeros((len(rows), 0))]
        for place, ((start, width, long), ranks) in enumerate(zip(self._one_hot.spans, self._ranks, strict=True)):
            columns, active = encoded[:, start : start + width], rows[:, place, None] >= 0
            if long:
                parts += [active * (columns[:, 1:] - 0.5) * np.sqrt(2), active * np.sqrt(0.5)]
            elif ranks is not None:
                reached = ranks[rows[:, place], None] > np.arange(len(ranks) - 1)
                steps = np.where(reached, 0.5, -0.5) * np.sqrt(2 / (len(ranks) - 1))
                parts += [active * steps, active * np.sqrt(0.5)]
            else:
                parts.append(columns)
        return np.concatenate(parts, axis=1).astype(np.float32)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return int(self(np.zeros((0, len(self.space.decisions)), dtype=np.int64)).shape[1])

    @cached_property
    def _one_hot(self) -> OneHot:
        return OneHot(self.space)

    @cached_property
    def _ranks(self) -> list[npt.NDArray[np.int64] | None]:
        return [ranks_of(decision) for decision in self.space.decisions]


def ranks_of(decision: Decision) -> npt.NDArray[np.int64] | None:
    """Where each value of a decision among three or more numbers stands in their order, from 0; None for any other decision.

    Two numbers are as two other values: only their distance counts.
    """
    values = list(decision.values)
    if decision.size < 3 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return None
    return np.argsort(np.argsort(np.array(values, dtype=float)))
