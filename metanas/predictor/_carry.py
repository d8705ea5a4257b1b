"""What results of one space tell of another: those of networks that both have.

A space that was edited (an option more or fewer, a range cut, a part made optional) keeps many of its networks. A row goes over by
the names of its decisions, and counts where its canonical id says that it is the same network still. A decision of the training
recipe that is new has the value that the recipe had, where that was given and is one of its; else results are taken to tell
nothing of it: it is drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice, product

import numpy as np
import numpy.typing as npt

from metanas._rng import generator
from metanas.architecture import CanonicalIds
from metanas.space import Decided, Decision, Fixed, Rows, SearchSpace
from metanas.tables import TaskData

_LEAST = 5
"""Results that must be left: fewer rank nothing."""
_SAME = 0.5
"""Share of the rows that go over by name which must be the same network there. Where the network around the decisions is another
one, only those of next to no ops are, and they would speak for all.
"""
_TRIES = 64
"""Combinations of values tried for decisions that are new."""
_PROBED = 32
"""Rows that a combination is tried on, before it is on all."""
_NETWORK = "network"


def akin(known: SearchSpace, space: SearchSpace) -> bool:
    """Whether networks of one may be networks of the other, at a glance: they read the same kind of data, and share a decision."""
    if known.tabular != space.tabular or known.input != space.input:
        return False
    names = {decision.name for decision in known.decisions if decision.part == _NETWORK}
    return any(decision.name in names for decision in space.decisions if decision.part == _NETWORK)


def carried_over(task: TaskData, space: SearchSpace) -> TaskData | None:
    """A task's results of networks that ``space`` has, too, as rows of it; None where fewer than 5 are left, or most
    networks are others there.

    Results of one network that differ by what the space does not know, such as a learning rate, become repeats.
    """
    if not akin(task.space, space):
        return None
    rng = generator(0, "carried over", task.name)
    same_id = _Alike(task.space, space, task.rows)
    base, waiting, whole = _by_name(task.rows, task.space, space)
    for column, index in _trained_with(task.space, space):
        base[:, column] = index
    found = np.full_like(base, -1)
    done = np.zeros(len(base), dtype=bool)
    for values in _fillings(space, _new(task.space, space)):
        left = rng.permutation(np.flatnonzero(waiting & ~done))
        for some in (left[:_PROBED], left[_PROBED:]):
            rows = base[some]
            rows[:, list(values)] = list(values.values())
            rows = space.complete(rows, rng)
            good = space.satisfies(rows)
            good[good] = same_id(rows[good], some[good])
            found[some[good]], done[some[good]] = rows[good], True
            if not good.any():
                break
    alike = whole & _as_some(task.rows[:, _gone(task.space, space)], done & whole)
    same = alike.any() and done[alike].mean() >= _SAME
    return _gathered(task, space, found, np.flatnonzero(done)) if same else None


class _Alike:
    """Whether rows of one space are the networks of known rows of another."""

    def __init__(self, known: SearchSpace, space: SearchSpace, rows: Rows) -> None:
        # Of networks alone, however they are trained.
        self._wanted = np.array(CanonicalIds(replace(known, recipe={})).of_all(rows))
        self._ids = CanonicalIds(replace(space, recipe={}))

    def __call__(self, rows: Rows, places: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Of each row ``(m, n_decisions)``, whether it is the network of the known row at its place, ``(m,)``."""
        return np.asarray(np.array(self._ids.of_all(rows), dtype=self._wanted.dtype) == self._wanted[places])


def _by_name(
    rows: Rows, known: SearchSpace, space: SearchSpace
) -> tuple[Rows, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Rows of ``space`` with the values that are known by name, −1 elsewhere; which of them may be of it; and which of
    these have all their values there.
    """
    moved = np.full((len(rows), len(space.decisions)), -1, dtype=np.int64)
    possible, whole = np.ones((2, len(rows)), dtype=bool)
    for column, decision in enumerate(space.decisions):
        place = known.columns.get(decision.name)
        if place is None:
            continue
        moved[:, column] = _indices(known.decisions[place], decision)[rows[:, place]]
        kept = (moved[:, column] >= 0) | (rows[:, place] < 0)
        whole &= kept
        if decision.part != _NETWORK:
            # Ids do not tell of it.
            possible &= kept
    return moved, possible, possible & whole


def _trained_with(known: SearchSpace, space: SearchSpace) -> Iterator[tuple[int, int]]:
    """Decisions of training that only ``space`` has, as columns, and the index of the value that all were trained with."""
    for key, value in space.recipe.items():
        before = known.recipe.get(key)
        if isinstance(value, Decided) and isinstance(before, Fixed):
            with suppress(ValueError):
                yield value.decision, space.decisions[value.decision].index_of(before.value)


def _indices(known: Decision, decision: Decision) -> npt.NDArray[np.int64]:
    """The index of each known value among a decision's values, and of none, last, ``(size + 1,)``; −1 for what it has not."""
    found = np.full(known.size + 1, -1, dtype=np.int64)
    for index, value in enumerate(known.values):
        try:
            found[index] = decision.index_of(value)
        except ValueError:
            continue
    return found


def _gone(known: SearchSpace, space: SearchSpace) -> list[int]:
    """Columns of decisions on the network that ``space`` does not have."""
    return [c for c, d in enumerate(known.decisions) if d.part == _NETWORK and d.name not in space.columns]


def _as_some(values: Rows, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of the values ``(n, d)`` are those of a chosen one, ``(n,)``."""
    known = {each.tobytes() for each in values[chosen]}
    return np.array([each.tobytes() in known for each in values], dtype=bool)


def _new(known: SearchSpace, space: SearchSpace) -> list[int]:
    """Columns of decisions on the network that only ``space`` has."""
    return [c for c, d in enumerate(space.decisions) if d.part == _NETWORK and d.name not in known.columns]


def _fillings(space: SearchSpace, columns: Sequence[int]) -> Iterator[dict[int, int]]:
    """Values for new decisions: all the first, which is what `optional` leaves out, all the last, then others."""
    sizes = [space.decisions[column].size for column in columns]
    tried = chain(
        [tuple(0 for _ in sizes), tuple(size - 1 for size in sizes)], product(*(range(size) for size in sizes))
    )
    return (
        dict(zip(columns, values, strict=True)) for values in islice(dict.fromkeys(islice(tried, 2 * _TRIES)), _TRIES)
    )


def _gathered(task: TaskData, space: SearchSpace, rows: Rows, places: npt.NDArray[np.intp]) -> TaskData | None:
    """The results at some places, of rows ``(n, n_decisions)``, those of equal rows side by side."""
    distinct, group = np.unique(rows[places], axis=0, return_inverse=True)
    known = [task.losses[places[group == number]].ravel() for number in range(len(distinct))]
    losses = np.full((len(distinct), max(map(len, known))), np.nan)
    for line, values in zip(losses, known, strict=True):
        line[: len(values)] = values
    doubt = None if task.doubt is None else np.bincount(group, task.doubt[places]) / np.bincount(group) ** 2
    found = TaskData(name=task.name, space=space, rows=distinct, losses=losses, facts=task.facts, doubt=doubt)
    return found if np.isfinite(found.mean_losses).sum() >= _LEAST else None
