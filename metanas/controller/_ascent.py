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

from metanas.controller._critic import Critic, DifferentiableCritic
from metanas.controller._layout import Layout
from metanas.controller._policy import Policy
from metanas.space import Rows

Floats = npt.NDArray[np.float64]
Allowed = Callable[[Rows], npt.NDArray[np.bool_]]
"""Which rows ``(n, d)`` may be visited, ``(n,)``."""


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

    calls: int = 500
    """Of the critic: rows valued, and twice the gradients."""
    chains: int = 4
    """Climbed side by side."""
    scored: int = 4
    """Moves of a chain that are valued exactly at each gradient."""
    patience: int = 1
    """Times that a chain values more moves from one row before it starts anew."""
    reach: float = 1.5
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
        seeds: Rows,
        allowed: Allowed,
        rng: np.random.Generator,
    ) -> Archive:
        """All that was valued, from starts ``(n, d)`` and draws of the policy."""
        layout, space = policy.layout, policy.layout.space
        archive = Archive(len(layout.sizes))
        used = 0

        def visit(rows: Rows) -> Floats:
            nonlocal used
            values = critic.value(rows)
            used += len(rows)
            archive.add(rows, values)
            return values

        # What is known cannot be proposed, but what lies beside it can.
        drawn = _distinct(policy.sample(4 * self.chains, rng), archive, allowed)[: self.chains]
        at = np.concatenate([seeds, drawn])
        if not len(at):
            return archive
        height = np.concatenate([np.full(len(seeds), -np.inf), visit(drawn)])
        gradient = np.zeros((len(at), layout.width))
        stale = np.ones(len(at), dtype=bool)
        waited = np.zeros(len(at), dtype=np.int64)
        idle = 0
        while used < self.calls and idle < 20:
            if stale.any():
                gradient[stale] = critic.value_and_gradient(self._around(layout, at[stale]))[1]
                used += 2 * int(stale.sum())
                stale[:] = False
            found = [self._moves(layout, at[c], gradient[c], archive, allowed) for c in range(len(at))]
            idle = 0 if any(map(len, found)) else idle + 1
            values = visit(np.concatenate(found))
            ends = np.cumsum([len(f) for f in found])
            for c, (rows, end) in enumerate(zip(found, ends, strict=True)):
                own = values[end - len(rows) : end]
                if len(rows) and own.max() > height[c]:
                    at[c], height[c], stale[c], waited[c] = rows[own.argmax()], own.max(), True, 0
                    continue
                waited[c] += 1
                if waited[c] < self.patience and len(rows):
                    continue
                start = self._start(policy, archive, allowed, rng) if len(archive) else None
                if start is None:
                    continue
                at[c], height[c], stale[c], waited[c] = start, visit(start[None])[0], True, 0
        return archive

    def _around(self, layout: Layout, rows: Rows) -> Floats:
        """Where the gradient of rows ``(n, d)`` is taken, ``(n, w)``."""
        active = rows >= 0
        even = active[:, layout.owner] / layout.sizes[layout.owner]
        share = np.minimum(self.reach / np.maximum(active.sum(axis=1), 1), 1.0)[:, None]
        return (1 - share) * layout.encode(rows) + share * even

    def _moves(
        self, layout: Layout, row: npt.NDArray[np.int64], gradient: Floats, archive: Archive, allowed: Allowed
    ) -> Rows:
        """The new rows that promise most, ``(at most scored, d)``."""
        values = layout.best_values(gradient[None])[0]
        current = gradient[layout.starts + np.maximum(row, 0)]
        gain = gradient - current[layout.owner]
        active = row >= 0
        gain[~active[layout.owner] | (layout.level == row[layout.owner])] = -np.inf
        # Changes that wake or silence other decisions gain by those, too.
        wide = np.flatnonzero(layout.parents[layout.owner] & np.isfinite(gain))
        changed = np.repeat(row[None], len(wide), axis=0)
        changed[np.arange(len(wide)), layout.owner[wide]] = layout.level[wide]
        if len(wide):
            changed = layout.complete(changed, np.broadcast_to(values, changed.shape))
            gain[wide] = (layout.encode(changed) - layout.encode(row[None])) @ gradient
        order = np.argsort(-gain, kind="stable")[: int(np.isfinite(gain).sum())]
        # The best change of each decision, the best of them together.
        leading = order[np.sort(np.unique(layout.owner[order], return_index=True)[1])]
        leading = leading[gain[leading] > 0]
        together = [leading[:n] for n in (len(leading), len(leading) // 2, len(leading) // 4, 4, 3, 2) if 2 <= n <= len(leading)]
        moves = [*together[:1], *([c] for c in order[: 4 * self.scored])]
        new = np.repeat(row[None], len(moves), axis=0)
        for line, columns in enumerate(moves):
            new[line, layout.owner[columns]] = layout.level[columns]
        new = layout.complete(new, np.broadcast_to(values, new.shape))
        return _distinct(new, archive, allowed)[: self.scored]

    def _start(
        self, policy: Policy, archive: Archive, allowed: Allowed, rng: np.random.Generator
    ) -> npt.NDArray[np.int64] | None:
        for _ in range(20):
            if rng.random() < self.fresh:
                rows = policy.sample(4, rng)
            else:
                best, _ = archive.best(10)
                rows = best[rng.integers(len(best), size=4)]
                for _ in range(self.kicks):
                    rows = policy.layout.space.mutate(rows, rng)
            rows = _distinct(rows, archive, allowed)
            if len(rows):
                return rows[0]
        return None


def _distinct(rows: Rows, archive: Archive, allowed: Allowed) -> Rows:
    """Those that are new, and allowed; each once, in their order."""
    seen: set[bytes] = set()
    keep = []
    for place, row in enumerate(rows):
        key = row.tobytes()
        if key not in archive and key not in seen:
            seen.add(key)
            keep.append(place)
    rows = rows[keep]
    return rows[allowed(rows)] if len(rows) else rows
