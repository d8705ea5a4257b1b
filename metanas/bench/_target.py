"""The target of a search: its table, read through counted evaluations alone."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from metanas._rng import generator
from metanas.space import Rows
from metanas.tables import ResultTable

Row = npt.NDArray[np.int64]


class Target:
    """Evaluates architectures of a table, and accepts for proposal those that were not evaluated yet.

    It is the :data:`~metanas.controller.Accept` of the search, and knows its candidates.
    """

    def __init__(self, table: ResultTable, *, seed: int, values: Literal["mean", "repeat"]) -> None:
        self._table = table
        self._seed = seed
        self._single = values == "repeat"
        self._known = np.flatnonzero(np.isfinite(table.mean_losses))
        # The table's own array where it is whole: models remember what they made of it.
        self._rows = table.rows if len(self._known) == len(table) else table.rows[self._known]
        self._open = np.ones(len(self._known), dtype=bool)
        self._place = np.full(len(table), -1)
        self._place[self._known] = np.arange(len(self._known))
        self._drawn: dict[int, int] = {}
        self.evaluated: list[int] = []
        """Places in the table of what was evaluated, in order."""

    def __call__(self, row: Row) -> bool:
        """Whether the table has the architecture and it was not evaluated."""
        place = self._place_of(row)
        return place >= 0 and bool(self._open[place])

    def candidates(self) -> Rows:
        """All architectures ``(n, n_decisions)``; the same array at each call."""
        return self._rows

    def open(self) -> npt.NDArray[np.bool_]:
        """Which of them were not evaluated yet ``(n,)``."""
        return self._open.copy()

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` random architectures of the table, each equally likely."""
        return self._rows[rng.integers(len(self._rows), size=n)]

    def evaluate(self, row: Row) -> float:
        """The loss of an evaluation: one more is counted.

        A repeat of an architecture draws another of the table's repeats, as long as there are any.
        """
        place = self._place_of(row)
        assert place >= 0, "only what the table has is evaluated"
        self._open[place] = False
        index = int(self._known[place])
        self.evaluated.append(index)
        if not self._single:
            return float(self._table.mean_losses[index])
        # The same for every strategy with this seed, whenever it comes to this architecture.
        repeats = self._table.losses[index]
        order = generator(self._seed, "repeat", self._table.name, index).permutation(
            np.flatnonzero(np.isfinite(repeats))
        )
        count = self._drawn.get(index, 0)
        self._drawn[index] = count + 1
        return float(repeats[order[count % len(order)]])

    def seconds(self, row: Row) -> float:
        """How long an evaluation of an architecture takes: its mean training time; 1 where the table knows no times."""
        return 1.0 if self._table.seconds is None else float(self._table.seconds[self._table.index(row[None])[0]])

    def _place_of(self, row: Row) -> int:
        index = int(self._table.index(row[None])[0])
        return int(self._place[index]) if index >= 0 else -1


class Judge:
    """Knows the whole table, and tells no strategy of it."""

    def __init__(self, table: ResultTable) -> None:
        self._table = table
        self._best = float(np.nanmin(table.mean_losses))

    def regret(self, row: Row) -> float:
        """What the mean of an architecture's repeats loses to the best one's."""
        return float(self._table.mean_losses[self._index(row)]) - self._best

    def test(self, row: Row) -> float | None:
        """Mean test value of an architecture, in its own sign; None where the table has no test metric."""
        if self._table.test is None:
            return None
        return float(np.nanmean(self._table.metrics[self._table.test][self._index(row)]))

    def ranking(self, n: int, rng: np.random.Generator) -> tuple[Rows, npt.NDArray[np.float64]]:
        """Random architectures ``(n, n_decisions)`` and their losses ``(n,)``, to judge a model's ranking by."""
        known = np.flatnonzero(np.isfinite(self._table.mean_losses))
        chosen = rng.choice(known, size=min(n, len(known)), replace=False)
        return self._table.rows[chosen], self._table.mean_losses[chosen]

    def _index(self, row: Row) -> int:
        return int(self._table.index(row[None])[0])
