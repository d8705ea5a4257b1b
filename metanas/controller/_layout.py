"""The table of decisions as columns: a *relaxed row* holds a share of each value of each decision.

Notation: ``d`` decisions, ``w`` columns, one a value of a decision. A relaxed row ``P`` is ``(w,)``: ``P_jv = a_j y_jv``
with the activity ``a_j`` of decision ``j`` and shares ``y_jv`` that sum to 1 over its values. A row of the space is the
relaxed row of its one-hot values, 0 where a decision is inactive.

``a_j`` is 1 without a condition, else ``1 - prod_c (1 - prod_p s_cp)`` over its clauses ``c``, ``s_cp`` the mass of
``P`` on the values that the clause allows its decision ``p``. That is the probability that ``j`` is active where clauses
exclude each other and no two decisions of a clause depend on each other; a decision that another of the clause implies
is left out of the product. At rows of the space it is exactly 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metanas.space import Decision, Rows, SearchSpace

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LONG = 32
"""A range of more values has a logit for each of :data:`_KNOTS` of them, and the line between two in between."""
_KNOTS = 17


@dataclass(frozen=True, eq=False)
class Layout:
    """Columns of a space's decisions."""

    space: SearchSpace
    """Whose rows they are of."""

    @cached_property
    def sizes(self) -> Integers:
        """Values of each decision, ``(d,)``."""
        return np.array([decision.size for decision in self.space.decisions], dtype=np.int64)

    @cached_property
    def starts(self) -> Integers:
        """First column of each decision, ``(d,)``."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def width(self) -> int:
        """Columns."""
        return int(self.sizes.sum())

    @cached_property
    def owner(self) -> Integers:
        """Decision of each column, ``(w,)``."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def level(self) -> Integers:
        """Value index of each column, ``(w,)``."""
        return np.arange(self.width) - self.starts[self.owner]

    @cached_property
    def lengths(self) -> Floats:
        """Steps between both ends of a range, ``(d,)``; 0 for a choice."""
        return np.array([0 if d.kind == "choice" else max(d.size - 1, 1) for d in self.space.decisions], dtype=float)

    @cached_property
    def long(self) -> tuple[int, ...]:
        """Decisions that are ranges of many values."""
        return tuple(j for j, d in enumerate(self.space.decisions) if d.kind != "choice" and d.size > _LONG)

    @cached_property
    def conditional(self) -> tuple[int, ...]:
        """Decisions that are not always active, in order."""
        return tuple(j for j, decision in enumerate(self.space.decisions) if decision.when)

    @cached_property
    def parents(self) -> npt.NDArray[np.bool_]:
        """Which decisions a condition names, ``(d,)``."""
        named = np.zeros(len(self.sizes), dtype=bool)
        named[[p for decision in self.space.decisions for clause in decision.when for p, _ in clause]] = True
        return named

    @cached_property
    def _clauses(self) -> dict[int, tuple[tuple[tuple[int, npt.NDArray[np.bool_], Integers], ...], ...]]:
        """Of each conditional decision, its clauses: decision, whether each value is allowed (the last entry is for an
        inactive one), and the columns of those that are.
        """
        decisions = self.space.decisions
        found = {}
        for j in self.conditional:
            clauses = []
            for clause in decisions[j].when:
                needed = [(p, allowed) for p, allowed in clause if not _implied(p, allowed, clause, decisions)]
                parts = []
                for p, allowed in needed:
                    table = np.zeros(decisions[p].size + 1, dtype=bool)
                    table[list(allowed)] = True
                    parts.append((p, table, self.starts[p] + np.flatnonzero(table)))
                clauses.append(tuple(parts))
            found[j] = tuple(clauses)
        return found

    # --- rows

    def encode(self, rows: Rows) -> Floats:
        """Rows ``(n, d)`` as relaxed rows ``(n, w)``."""
        encoded = np.zeros((len(rows), self.width + 1))
        # One column more takes what inactive decisions write.
        columns = np.where(rows >= 0, rows + self.starts, self.width)
        np.put_along_axis(encoded, columns, 1.0, axis=1)
        return encoded[:, : self.width]

    def decode(self, encoded: Floats) -> Rows:
        """The rows ``(n, d)`` of their one-hot values ``(n, w)``."""
        values = self.best_values(encoded)
        active = np.add.reduceat(encoded, self.starts, axis=1) if len(self.sizes) else encoded
        return np.where(active > 0, values, -1)

    def best_values(self, scores: Floats) -> Rows:
        """The value of each decision with the greatest score ``(n, w)``, ``(n, d)``; all of them, active or not."""
        if not len(self.sizes):
            return np.empty((len(scores), 0), dtype=np.int64)
        top = np.repeat(np.maximum.reduceat(scores, self.starts, axis=1), self.sizes, axis=1)
        # The first of equal ones: columns that are not the greatest are pushed behind all others.
        place = np.where(scores >= top, self.level, self.width)
        return np.asarray(np.minimum.reduceat(place, self.starts, axis=1))

    def complete(self, rows: Rows, values: Rows) -> Rows:
        """Rows ``(n, d)`` made whole: inactive decisions become −1, active ones without a value take that of ``values``."""
        new = np.where(rows < 0, values, rows)
        for j in self.conditional:
            active = np.zeros(len(new), dtype=bool)
            for clause in self._clauses[j]:
                holds = np.ones(len(new), dtype=bool)
                for p, table, _ in clause:
                    holds &= table[new[:, p]]
                active |= holds
            new[~active, j] = -1
        return new

    # --- relaxed rows

    def relax(self, shares: Floats) -> tuple[Floats, Floats]:
        """Relaxed rows ``(n, w)`` and activities ``(n, d)`` of shares ``(n, w)`` that sum to 1 over each decision."""
        mass = shares.copy()
        activity = np.ones((len(shares), len(self.sizes)))
        for j in self.conditional:
            off = np.ones(len(shares))
            for clause in self._clauses[j]:
                off *= 1 - self._holds(mass, clause)[0]
            activity[:, j] = 1 - off
            mass[:, self._columns(j)] *= activity[:, j, None]
        return mass, activity

    def pull(
        self, shares: Floats, mass: Floats, activity: Floats, by_mass: Floats, by_activity: Floats | None = None
    ) -> Floats:
        """Gradient by shares ``(n, w)`` of what has these gradients by mass ``(n, w)`` and activity ``(n, d)``.

        The chain rule through :meth:`relax`, last decision first.
        """
        by_mass = by_mass.copy()
        for j in reversed(self.conditional):
            columns = self._columns(j)
            slope = (shares[:, columns] * by_mass[:, columns]).sum(axis=1)
            if by_activity is not None:
                slope = slope + by_activity[:, j]
            held = [self._holds(mass, clause) for clause in self._clauses[j]]
            for c, clause in enumerate(self._clauses[j]):
                rest = np.ones(len(mass))
                for other, (holds, _) in enumerate(held):
                    if other != c:
                        rest = rest * (1 - holds)
                for k, (_, _, allowed) in enumerate(clause):
                    others = np.prod([part for i, part in enumerate(held[c][1]) if i != k], axis=0)
                    by_mass[:, allowed] += (slope * rest * others)[:, None]
        return np.asarray(by_mass * activity[:, self.owner])

    def _columns(self, j: int) -> slice:
        return slice(int(self.starts[j]), int(self.starts[j] + self.sizes[j]))

    @staticmethod
    def _holds(
        mass: Floats, clause: tuple[tuple[int, npt.NDArray[np.bool_], Integers], ...]
    ) -> tuple[Floats, list[Floats]]:
        """How far a clause holds ``(n,)``, and each of its parts."""
        parts = [mass[:, allowed].sum(axis=1) for _, _, allowed in clause]
        return np.asarray(np.prod(parts, axis=0)), parts

    # --- logits

    @cached_property
    def _knots(self) -> tuple[Integers, list[tuple[int, slice, Floats]]]:
        """Knot of each column of a short decision (−1 in a long one), and of each long one its knots and hat functions."""
        place = np.full(self.width, -1, dtype=np.int64)
        hats: list[tuple[int, slice, Floats]] = []
        count = 0
        for j, size in enumerate(self.sizes):
            if j in self.long:
                at = np.linspace(0, size - 1, _KNOTS)
                hat = np.array([np.interp(np.arange(size), at, row) for row in np.eye(_KNOTS)])
                hats.append((j, slice(count, count + _KNOTS), hat))
                count += _KNOTS
            else:
                place[self._columns(j)] = count + np.arange(size)
                count += int(size)
        return place, hats

    @property
    def parameters(self) -> int:
        """How many numbers determine the logits: one a column, but for long ranges."""
        return len(self.parameter_owner)

    @cached_property
    def parameter_owner(self) -> Integers:
        """Decision of each parameter, ``(p,)``."""
        counts = [_KNOTS if j in self.long else int(size) for j, size in enumerate(self.sizes)]
        return np.repeat(np.arange(len(self.sizes)), counts)

    def logits(self, parameters: Floats) -> Floats:
        """Logits ``(w,)`` of parameters ``(p,)``: a long range's are linear between its knots."""
        place, hats = self._knots
        logits = np.where(place >= 0, parameters[place], 0.0)
        for j, knots, hat in hats:
            logits[self._columns(j)] = parameters[knots] @ hat
        return logits

    def by_parameters(self, by_logits: Floats) -> Floats:
        """Gradient by parameters ``(p,)`` of what has this gradient by logits ``(w,)``: the chain rule."""
        place, hats = self._knots
        result = np.zeros(self.parameters)
        short = place >= 0
        result[place[short]] = by_logits[short]
        for j, knots, hat in hats:
            result[knots] = hat @ by_logits[self._columns(j)]
        return result

    def parameters_of(self, logits: Floats) -> Floats:
        """Parameters ``(p,)`` whose logits come near to these ``(w,)``: exact, but for long ranges, where knots count."""
        place, hats = self._knots
        result = np.zeros(self.parameters)
        short = place >= 0
        result[place[short]] = logits[short]
        for j, knots, _ in hats:
            at = np.linspace(0, self.sizes[j] - 1, _KNOTS)
            result[knots] = np.interp(at, np.arange(self.sizes[j]), logits[self._columns(j)])
        return result


def _implied(
    p: int, allowed: frozenset[int], clause: tuple[tuple[int, frozenset[int]], ...], decisions: tuple[Decision, ...]
) -> bool:
    """Whether another decision of the clause is active only where ``p`` has one of these values."""
    return any(
        bool(decisions[q].when) and all(any(r == p and a <= allowed for r, a in other) for other in decisions[q].when)
        for q, _ in clause
        if q != p
    )
