"""Decisions of a space that make no difference to its networks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metanas.architecture import CanonicalIds
from metanas.space import OpSite, Rows, SearchSpace, Switch, templates_in

TRIED = 300
"""Networks in which a decision is changed at most: one that matters in a hundredth of them is missed once in twenty times."""
_FEWEST = 30
"""A decision that could be changed in fewer is not judged."""
_OPENED = 150
"""Networks without any ``none``, the first that are tried: there, most decisions have a say."""
_DRAWN = 4_000
"""Random networks, most of which go unused: some are cut, and in some a decision is not active."""
_LEVELS = 6
"""Values of a decision that are tried in one network."""

Row = npt.NDArray[np.int64]


def idle_decisions(space: SearchSpace, rng: np.random.Generator) -> tuple[str, ...]:
    """Decisions about networks of which no change was seen to make another network.

    They are changed in networks that lead from input to output; in others next to nothing matters.
    """
    ids = CanonicalIds(space)
    known = space.sample(_OPENED, rng)
    # Not sampled, which takes long where constraints are hard to meet.
    drawn = space.complete(np.full((_DRAWN, len(space.decisions)), -1), rng)
    rows = np.concatenate([_opened(space, known, rng), space.covering_rows(rng), drawn])
    rows = np.concatenate([rows[space.satisfies(rows)], known])
    cut: dict[int, bool] = {}
    idle = []
    for column, decision in enumerate(space.decisions):
        if decision.size == 1 or decision.part != "network":
            continue
        tried, matters = 0, False
        for index in np.flatnonzero(rows[:, column] >= 0).tolist():
            if index not in cut:
                cut[index] = ids.is_cut(rows[index])
            if cut[index]:
                continue
            tried, matters = tried + 1, _matters(space, ids, rows[index], column, rng)
            if matters or tried == TRIED:
                break
        if tried >= _FEWEST and not matters:
            idle.append(decision.name)
    return tuple(idle)


def _opened(space: SearchSpace, rows: Rows, rng: np.random.Generator) -> Rows:
    """Rows with another option wherever one is ``none``."""
    rows = rows.copy()
    for part in templates_in(space.template):
        if not isinstance(part, Switch):
            continue
        cuts = [isinstance(option, OpSite) and option.name == "none" for option in part.options]
        others = np.flatnonzero(~np.array(cuts))
        closed = (rows[:, part.decision] >= 0) & np.array([*cuts, False])[rows[:, part.decision]]
        if len(others):
            rows[closed, part.decision] = rng.choice(others, size=int(closed.sum()))
    return space.complete(rows, rng)


def _matters(space: SearchSpace, ids: CanonicalIds, row: Row, column: int, rng: np.random.Generator) -> bool:
    size = space.decisions[column].size
    others = np.repeat(row[None], min(size, _LEVELS) - 1, axis=0)
    others[:, column] = (row[column] + np.linspace(1, size - 1, len(others)).round().astype(np.int64)) % size
    name = ids.of(row)
    return any(ids.of(other) != name for other in space.complete(others, rng))
