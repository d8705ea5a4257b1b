"""The search space: a table of decisions, and what can be done with batches of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.errors import ConstraintError, MetanasError
from metanas.space._constraints import Constraint, EdgeLimit
from metanas.space._count import count_rows
from metanas.space._problems import did_you_mean
from metanas.space._template import Decision, Template, Value, value_under
from metanas.space._yaml import Scalar

Rows = npt.NDArray[np.int64]
"""Architectures, ``(n, n_decisions)``: an index into each decision's values, −1 where it is inactive."""

_MAX_DRAWS = 2_000_000
"""Rows drawn for one that meets the constraints on decisions before giving up."""
_BATCH = 32_768
"""Most rows drawn at once."""
_TARGETS = 256
"""Values for which rows are looked for at once."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """All networks that a space file describes. Made by :func:`load_space`."""

    name: str
    """From the file."""
    about: str
    """One line on what it is."""
    source: str
    """Paper or page that it comes from."""
    input: str
    """Kind of data: ``image`` or ``table``."""
    decisions: tuple[Decision, ...]
    """The table that all else reads; a decision comes after those that its condition names."""
    template: Template = field(repr=False)
    """The network with holes."""
    recipe: Mapping[str, Value] = field(default_factory=dict, repr=False)
    """Training settings that the file gives, as values or decisions."""
    constraints: tuple[Constraint, ...] = ()
    """What an architecture must make true."""
    tabular: bool = False
    """Whether it is decisions alone, whose results come from a table; such a space has no networks to build."""
    limits: tuple[EdgeLimit, ...] = ()
    """Bounds on the edges of cells."""
    text: str = field(default="", repr=False)
    """The file itself."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Training settings of a run file that were added to the file's, as JSON values; see :func:`settings_syntax`."""

    @cached_property
    def columns(self) -> Mapping[str, int]:
        """Column of each decision by name."""
        return {decision.name: column for column, decision in enumerate(self.decisions)}

    @cached_property
    def size(self) -> int | None:
        """Exact number of rows under the constraints on decisions; None when it cannot be counted.

        A real range counts as the points that it is searched on.
        """
        return count_rows(self.decisions, self.constraints, self.limits)

    # --- rows

    def active(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which decisions are active, ``(n, n_decisions)``, read off the values of those before them."""
        mask = np.zeros(rows.shape, dtype=bool)
        for column in range(len(self.decisions)):
            mask[:, column] = self.is_active(rows, column)
        return mask

    def is_active(self, rows: Rows, column: int) -> npt.NDArray[np.bool_]:
        """Whether a decision is active in each row, ``(n,)``; reads the columns before it only."""
        when = self.decisions[column].when
        if not when:
            return np.ones(len(rows), dtype=bool)
        active = np.zeros(len(rows), dtype=bool)
        for clause in when:
            holds = np.ones(len(rows), dtype=bool)
            for parent, allowed in clause:
                # One more entry, for the -1 of an inactive parent.
                table = np.zeros(self.decisions[parent].size + 1, dtype=bool)
                table[list(allowed)] = True
                holds &= table[rows[:, parent]]
            active |= holds
        return active

    def sample(self, n: int, rng: np.random.Generator, *, prior: bool = True) -> Rows:
        """``n`` random rows ``(n, n_decisions)`` that meet the constraints on decisions.

        Each decision is drawn by its prior weights (evenly without them, or with ``prior=False``), in order, among
        its values.

        Raises
        ------
        ConstraintError
            If next to no row meets the constraints on decisions.
        MetanasError
            If ``n`` is negative.

        """
        if n < 0:
            raise MetanasError("a sample is of 0 rows or more", found=n)
        kept: list[Rows] = []
        count = drawn = 0
        wanted = n
        while drawn < _MAX_DRAWS * (1 + count):
            rows = self._draw(wanted, rng, prior)
            drawn += wanted
            rows = rows[self.satisfies(rows)]
            kept.append(rows[: n - count])
            count += len(kept[-1])
            if count >= n:
                return np.concatenate(kept) if len(kept) > 1 else kept[0]
            if not count and self.size == 0:
                break
            wanted = max(n, min(4 * wanted, _BATCH))
        rules = [limit.text for limit in self.limits] + [c.text for c in self.constraints if not c.measures]
        texts = ", ".join(map(repr, rules))
        raise ConstraintError(
            f"some row must meet the constraints {texts}", found=f"{count} of {drawn:,} drawn", remedy="relax them",
            where=f"space {self.name}",
        )  # fmt: skip

    def satisfies(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows meet the constraints that speak of decisions alone, ``(n,)``."""
        keep = np.ones(len(rows), dtype=bool)
        for limit in self.limits:
            keep &= limit.holds(rows)
        for constraint in self.constraints:
            if not constraint.measures:
                keep &= constraint.holds(rows, self.decisions)
        return keep

    def mutate(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Each row with one active decision changed to another value; decisions that this wakes are drawn.

        A row without a decision of two values or more comes back as it was. Constraints are not looked at.
        """
        if not self.decisions:
            return rows.copy()
        sizes = np.array([decision.size for decision in self.decisions])
        changeable = (rows >= 0) & (sizes > 1)
        picks = (rng.random(rows.shape) * changeable).argmax(axis=1)
        lines = np.flatnonzero(changeable.any(axis=1))
        new = rows.copy()
        columns = picks[lines]
        step = 1 + (rng.random(len(lines)) * (sizes[columns] - 1)).astype(np.int64)
        new[lines, columns] = (new[lines, columns] + step) % sizes[columns]
        return self.complete(new, rng)

    def complete(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Rows made whole: inactive decisions become −1, active ones without a value are drawn."""
        new = rows.copy()
        for column, decision in enumerate(self.decisions):
            active = self.is_active(new, column)
            missing = active & (new[:, column] < 0)
            if missing.any():
                new[missing, column] = self._values(decision, int(missing.sum()), rng, prior=True)
            new[~active, column] = -1
        return new

    def neighbours(self, row: npt.NDArray[np.int64], rng: np.random.Generator) -> Rows:
        """All rows one decision away, ``(m, n_decisions)``: every other option of a choice, and of a range the
        values one step and a tenth of the range up and down. Decisions that a change wakes are drawn.
        """
        new = []
        for column in np.flatnonzero(row >= 0):
            decision, value = self.decisions[column], int(row[column])
            if decision.kind == "choice":
                others = set(range(decision.size)) - {value}
            else:
                jump = max(1, decision.size // 10)
                others = {value + d for d in (-jump, -1, 1, jump) if 0 <= value + d < decision.size}
            for other in sorted(others):
                changed = row.copy()
                changed[column] = other
                new.append(changed)
        rows = np.array(new, dtype=np.int64).reshape(len(new), len(self.decisions))
        rows = self.complete(rows, rng)
        return rows[self.satisfies(rows)]

    def rows(self, limit: int, *, only: Mapping[int, Sequence[int]] = MappingProxyType({})) -> Rows:
        """Every row, in lexicographic order of the table, constraints on decisions met.

        ``only`` says which value indices, in order, some columns may have.

        Raises
        ------
        MetanasError
            If there are more than ``limit``, or too many that a constraint on late decisions leaves out.

        """
        due: dict[int, list[Constraint]] = {}
        for constraint in self.constraints:
            if not constraint.measures:
                due.setdefault(max(constraint.decisions.values(), default=0), []).append(constraint)
        rows = np.full((1, len(self.decisions)), -1, dtype=np.int64)
        for column, decision in enumerate(self.decisions):
            values = np.asarray(only.get(column, range(decision.size)), dtype=np.int64)
            active = self.is_active(rows, column)
            if len(rows) + int(active.sum()) * (len(values) - 1) > 4 * limit:
                raise MetanasError(
                    f"this enumerates at most {limit:,} architectures",
                    found=f"space {self.name} has more, or as many on the way there",
                )
            repeats = np.where(active, len(values), 1)
            start = np.repeat(np.cumsum(repeats) - repeats, repeats)
            offset = np.arange(int(repeats.sum())) - start
            active = np.repeat(active, repeats)
            rows = np.repeat(rows, repeats, axis=0)
            rows[:, column] = np.where(active, values[offset], -1)
            for edges in self.limits:
                if column in edges.columns:
                    rows = rows[edges.holds(rows)]
            for constraint in due.get(column, ()):
                rows = rows[constraint.holds(rows, self.decisions)]
        rows = rows[self.satisfies(rows)]
        if len(rows) > limit:
            raise MetanasError(f"this enumerates at most {limit:,} architectures", found=f"{len(rows):,}")
        return rows

    def covering_rows(self, rng: np.random.Generator) -> Rows:
        """Rows in which every value of every choice, and both ends of every range, occur at least once."""
        wanted = {
            (c, v)
            for c, d in enumerate(self.decisions)
            for v in (range(d.size) if d.kind == "choice" else (0, d.size - 1))
        }
        rows: list[Rows] = []
        while wanted:
            # Many at once: to make rows whole takes a step for each decision, whatever their number.
            targets = sorted(wanted)[:_TARGETS]
            wanted -= set(targets)
            covered: set[tuple[int, int]] = set()
            for target, row in zip(targets, self._reaching(targets, rng), strict=True):
                if row is not None and target not in covered:
                    covered.update((c, int(v)) for c, v in enumerate(row))
                    rows.append(row[None])
            wanted -= covered
        return np.concatenate(rows) if rows else self.sample(1, rng)

    def _reaching(
        self, targets: Sequence[tuple[int, int]], rng: np.random.Generator
    ) -> list[npt.NDArray[np.int64] | None]:
        """For each decision and value a random row that has it: the decision's first condition that can be made true is."""
        found: list[npt.NDArray[np.int64] | None] = [None] * len(targets)
        waiting, clause = list(range(len(targets))), 0
        while waiting:
            rows = np.full((len(waiting), len(self.decisions)), -1, dtype=np.int64)
            for row, k in zip(rows, waiting, strict=True):
                when = self.decisions[targets[k][0]].when
                for parent, allowed in when[clause] if when else ():
                    row[parent] = min(allowed)
            rows = self.complete(rows, rng)
            columns, values = np.array([targets[k] for k in waiting]).T
            lines = np.arange(len(rows))
            reached = rows[lines, columns] >= 0
            rows[lines[reached], columns[reached]] = values[reached]
            rows = self.complete(rows, rng)
            for row, k, active in zip(rows, waiting, reached, strict=True):
                found[k] = row if active else None
            clause += 1
            waiting = [k for k in waiting if found[k] is None and clause < len(self.decisions[targets[k][0]].when)]
        return found

    # --- one row

    def to_values(self, row: npt.NDArray[np.int64]) -> dict[str, Scalar]:
        """A value for each active decision, by name."""
        return {d.name: d.values[int(v)] for d, v in zip(self.decisions, row, strict=True) if v >= 0}

    def to_row(self, values: Mapping[str, object]) -> npt.NDArray[np.int64]:
        """The row ``(n_decisions,)`` of these values.

        Raises
        ------
        MetanasError
            If a name or value is not of this space, an active decision has none, or an inactive one has one.

        """
        where = f"space {self.name}"
        for name in values:
            if name not in self.columns:
                raise MetanasError(
                    f"no decision has the name {name!r}", remedy=did_you_mean(name, self.columns), where=where
                )
        row = np.full(len(self.decisions), -1, dtype=np.int64)
        for column, decision in enumerate(self.decisions):
            active = bool(self.is_active(row[None], column)[0])
            if active != (decision.name in values):
                rule = "an active decision has a value" if active else "an inactive decision has no value"
                raise MetanasError(rule, found=decision.name, where=where)
            if not active:
                continue
            value = values[decision.name]
            try:
                if not isinstance(value, (int, float, str, bool)):
                    raise ValueError
                row[column] = decision.index_of(value)
            except ValueError:
                shown = ", ".join(str(v) for v in list(decision.values[:12])) + (", ..." if decision.size > 12 else "")
                raise MetanasError(f"{decision.name} is one of {shown}", found=repr(value), where=where) from None
        return row

    def choices(self, row: npt.NDArray[np.int64]) -> list[Scalar | None]:
        """Value of each decision by column, None where inactive."""
        return [d.values[int(v)] if v >= 0 else None for d, v in zip(self.decisions, row, strict=True)]

    def recipe_of(self, row: npt.NDArray[np.int64]) -> dict[str, Scalar]:
        """Training settings under a row."""
        choices = self.choices(row)
        return {name: value_under(value, choices) for name, value in self.recipe.items()}

    # --- inside

    def _draw(self, n: int, rng: np.random.Generator, prior: bool) -> Rows:
        rows = np.full((n, len(self.decisions)), -1, dtype=np.int64)
        for column, decision in enumerate(self.decisions):
            active = self.is_active(rows, column)
            rows[active, column] = self._values(decision, int(active.sum()), rng, prior)
        return rows

    @staticmethod
    def _values(decision: Decision, n: int, rng: np.random.Generator, prior: bool) -> Rows:
        if not (prior and decision.prior):
            return rng.integers(decision.size, size=n)
        weights = np.asarray(decision.prior) / sum(decision.prior)
        return rng.choice(decision.size, size=n, p=weights)
