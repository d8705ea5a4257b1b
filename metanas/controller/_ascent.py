"""Discrete ascent of a critic: the first-order gain of every change of a decision, from one backward pass.

At a row ``x`` with gradient ``g (w,)`` a row ``y`` gains ``g . (y - x)`` to first order (both as relaxed rows), so one
gradient ranks all changes of one decision, as in HotFlip (Ebrahimi et al. 2018, equation 1) and Gibbs-with-gradients
(Grathwohl et al. 2021, equation 4); gains of different decisions add, so the leading changes together are ranked, too.
The few that promise most are valued exactly, a chain moves to the best where that is better, and starts anew elsewhere
where none is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metanas.controller._critic import DifferentiableCritic
from metanas.controller._layout import Layout
from metanas.controller._policy import Policy
from metanas.space import Rows

Floats = npt.NDArray[np.float64]
Allowed = Callable[[Rows], npt.NDArray[np.bool_]]
"""Which rows ``(n, d)`` may be visited, ``(n,)``."""


_CONSIDERED = 4
"""Times as many moves are looked at as are valued, should some be known already or not allowed."""
_TRIED = 16
"""Rows tried to start anew."""
_ELITE = 10
"""Best rows that chains start anew beside."""


class Archive:
    """Rows that were valued, each once."""

    def __init__(self, columns: int) -> None:
        self._places: dict[bytes, int] = {}
        self._rows: list[npt.NDArray[np.int64]] = []
        self._values: list[float] = []
        self._columns = columns

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def add(self, rows: Rows, values: Floats) -> None:
        """Note values ``(n,)`` of rows ``(n, d)``."""
        for row, value in zip(rows, values, strict=True):
            if row.tobytes() not in self._places:
                self._places[row.tobytes()] = len(self._rows)
                self._rows.append(row)
                self._values.append(float(value))

    @property
    def rows(self) -> Rows:
        """All of them, ``(n, d)``, in order of visit."""
        return np.array(self._rows, dtype=np.int64).reshape(len(self._rows), self._columns)

    @property
    def values(self) -> Floats:
        """Their values, ``(n,)``."""
        return np.array(self._values)

    def best(self, k: int) -> tuple[Rows, Floats]:
        """The ``k`` best, best first."""
        values = self.values
        order = np.argsort(-values, kind="stable")[:k]
        return self.rows[order], values[order]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascent:
    """Chains of improving changes."""

    calls: int = 300
    """Of the critic: rows valued, and twice the gradients."""
    chains: int = 2
    """Climbed side by side."""
    scored: int = 3
    """Moves of a chain that are valued exactly at each gradient."""
    patience: int = 2
    """Times that moves of a chain are valued in vain before it starts anew."""
    reach: float = 1.0
    """Decisions that the gradient is taken away from a row, spread over all of them. At an evaluated row the uncertainty
    is nearly 0 and its slope infinite, so a gradient there ranks changes badly; one on the way to the neighbours is a
    midpoint rule."""
    kicks: int = 3
    """Decisions that are changed at random in a good row to start anew."""
    fresh: float = 0.3
    """Share of new starts that are drawn by the policy."""

    def run(
        self,
        critic: DifferentiableCritic,
        policy: Policy,
        known: Rows,
        starts: Rows,
        allowed: Allowed,
        rng: np.random.Generator,
    ) -> Archive:
        """All that was valued.

        Chains start beside ``known`` rows ``(k, d)`` in turn, then at ``starts`` ``(n, d)``, then at draws of the policy and
        in the surroundings of the best.
        """
        layout = policy.layout
        archive = Archive(len(layout.sizes))
        used = 0

        def visit(rows: Rows) -> Floats:
            nonlocal used
            values = critic.value(rows)
            used += len(rows)
            archive.add(rows, values)
            return values

        # What is known cannot be proposed, but what lies beside it can.
        queue = [(row, True) for row in known] + [(row, False) for row in starts]

        def begin() -> tuple[npt.NDArray[np.int64], float] | None:
            while queue:
                row, is_known = queue.pop(0)
                if is_known:
                    return row, -np.inf
                if len(_distinct(row[None], archive, allowed)):
                    return row, float(visit(row[None])[0])
            start = self._start(policy, archive, allowed, rng)
            return None if start is None else (start, float(visit(start[None])[0]))

        begun = [start for start in (begin() for _ in range(self.chains)) if start is not None]
        if not begun:
            return archive
        at, height = np.array([row for row, _ in begun]), np.array([value for _, value in begun])
        gradient = np.zeros((len(at), layout.width))
        stale = np.ones(len(at), dtype=bool)
        failures = np.zeros(len(at), dtype=np.int64)
        stuck = False
        while used < self.calls and not stuck:
            if stale.any():
                gradient[stale] = critic.value_and_gradient(self._around(layout, at[stale]))[1]
                used += 2 * int(stale.sum())
                stale[:] = False
            found = self._moves(layout, at, gradient, archive, allowed)
            ends = np.cumsum([len(rows) for rows in found])
            values = visit(np.concatenate(found))
            stuck = not len(values)
            for c, (rows, end) in enumerate(zip(found, ends, strict=True)):
                own = values[end - len(rows) : end]
                if len(rows) and own.max() > height[c]:
                    at[c], height[c], stale[c], failures[c] = rows[own.argmax()], own.max(), True, 0
                    continue
                failures[c] += 1
                if len(rows) and failures[c] < self.patience:
                    continue
                if (start := begin()) is not None:
                    (at[c], height[c]), stale[c], failures[c], stuck = start, True, 0, False
        return archive

    def _around(self, layout: Layout, rows: Rows) -> Floats:
        """Where the gradient of rows ``(n, d)`` is taken, ``(n, w)``."""
        active = rows >= 0
        even = active[:, layout.owner] / layout.sizes[layout.owner]
        share = np.minimum(self.reach / np.maximum(active.sum(axis=1), 1), 1.0)[:, None]
        return np.asarray((1 - share) * layout.encode(rows) + share * even)

    def _moves(self, layout: Layout, at: Rows, gradient: Floats, archive: Archive, allowed: Allowed) -> list[Rows]:
        """For each row ``(n, d)`` the new ones that promise most, ``(at most scored, d)``."""
        woken = layout.best_values(gradient)
        current = np.take_along_axis(gradient, layout.starts + np.maximum(at, 0), axis=1)
        gain: Floats = gradient - current[:, layout.owner]
        gain[(at < 0)[:, layout.owner] | (layout.level == at[:, layout.owner])] = -np.inf
        # Of a long range the best value, and those one step and a tenth of it away.
        for j in layout.long:
            part = gain[:, layout.starts[j] : layout.starts[j] + layout.sizes[j]]
            away = np.abs(np.arange(layout.sizes[j]) - at[:, j, None])
            few = (away == 1) | (away == layout.sizes[j] // 10)
            few[np.arange(len(at)), part.argmax(axis=1)] = True
            part[~few] = -np.inf
        # Changes that wake or silence other decisions gain by those, too; what wakes takes its best value.
        lines, columns = np.nonzero(layout.parents[layout.owner] & np.isfinite(gain))
        if len(lines):
            changed = at[lines]
            changed[np.arange(len(lines)), layout.owner[columns]] = layout.level[columns]
            difference = layout.encode(layout.complete(changed, woken[lines])) - layout.encode(at)[lines]
            gain[lines, columns] = np.einsum("nw,nw->n", difference, gradient[lines])
        # The best change of every decision that gains, together; then the best ones alone.
        best = layout.best_values(gain)
        gains = np.greater(np.take_along_axis(gain, layout.starts + best, axis=1), 0.0)
        count = min(_CONSIDERED * self.scored, layout.width)
        order = np.argsort(-gain, axis=1, kind="stable")[:, :count]
        new = np.repeat(at[:, None], 1 + count, axis=1)
        new[:, 0] = np.where(gains, best, at)
        np.put_along_axis(new[:, 1:], layout.owner[order][..., None], layout.level[order][..., None], axis=2)
        possible = np.concatenate(
            [gains.any(axis=1, keepdims=True), np.isfinite(np.take_along_axis(gain, order, axis=1))], axis=1
        )
        lines = np.repeat(np.arange(len(at)), possible.sum(axis=1))
        new = layout.complete(new[possible], woken[lines])
        fresh = _distinct(new, archive, allowed)
        return [new[fresh[lines[fresh] == line][: self.scored]] for line in range(len(at))]

    def _start(
        self, policy: Policy, archive: Archive, allowed: Allowed, rng: np.random.Generator
    ) -> npt.NDArray[np.int64] | None:
        """A row to start anew at: drawn by the policy, or one of the best with some decisions drawn anew."""
        drawn = policy.sample(_TRIED, rng)
        if rng.random() >= self.fresh and len(archive):
            best, _ = archive.best(_ELITE)
            rows = best[rng.integers(len(best), size=_TRIED)]
            chance = rng.random(rows.shape) * (rows >= 0)
            kicked = chance >= np.sort(chance, axis=1)[:, [-min(self.kicks, chance.shape[1])]]
            drawn = policy.layout.complete(np.where(kicked & (drawn >= 0), drawn, rows), drawn)
        fresh = _distinct(drawn, archive, allowed)
        return np.asarray(drawn[fresh[0]]) if len(fresh) else None


def _distinct(rows: Rows, archive: Archive, allowed: Allowed) -> npt.NDArray[np.int64]:
    """Places of those that are new, and allowed; each once, in their order."""
    seen: set[bytes] = set()
    keep = []
    for place, row in enumerate(rows):
        key = row.tobytes()
        if key not in archive and key not in seen:
            seen.add(key)
            keep.append(place)
    fresh = np.array(keep, dtype=np.int64)
    return fresh[allowed(rows[fresh])] if keep else fresh
