"""Random rows that are likely to meet constraints on measures, where few rows of a space do.

Parameters, FLOPs and memory are sums over layers of products of what a few decisions do to them. So they, or their logarithms,
are regressed on the one-hot row (kernel ridge regression, with as many decisions together as predict rows best that
were left out), and of many random rows those are kept that are predicted to meet the constraints: they follow the same
distribution as rows drawn and refused one by one, at the price of few measurements. Each round measures rows where the last
one believes them good, so that the model is right there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from metanas.encoding import OneHot
from metanas.space import Constraint, Rows, SearchSpace

Row = npt.NDArray[np.int64]
Measure = Callable[[Row], Mapping[str, float] | None]
"""Measures of a row by name; None for a row that cannot be built."""

_ROUND = 64
"""Rows measured in a round; the first is drawn without steering, and twice as large."""
_ROUNDS = 6
_ENOUGH, _POOR = 0.5, 0.2
"""Shares of a round that meet the constraints: with the first learning ends, below the second predictions are not used."""
_POOL = 20_000
"""Rows drawn at once, to choose from; the work is in numpy, so this costs as much as measuring a few rows."""
_POOLS = 3
_DESCENTS = 24
"""Rounds that look for rows that meet the constraints at all."""
_PATIENCE = 5
"""Such rounds in a row that come no nearer, after which there are none to be found."""
_SEEDS = 24
"""Rows that are enough to be mutated."""
_CHILDREN = 2_000
_OFFERED = 8
"""Times as many mutations as are taken, those that are predicted to come nearest."""
_DEGREES = (1, 2, 3)
"""Decisions whose joint effects a regression may tell."""
_RIDGES = (1e-1, 1e-3, 1e-5)
_CHUNK = 2_000
"""Rows predicted at once: more need more memory."""
_FACTORS = np.concatenate([[0.0], np.geomspace(2e-4, 8, 32)])
"""Logarithms of the factors by which a measure may be off."""


@dataclass(frozen=True)
class Steering:
    """A sampler of rows under constraints on measures. Made by :meth:`learn`."""

    space: SearchSpace
    """Whose rows are drawn."""
    plain_share: float
    """Share of rows drawn without steering that met the constraints, of those measured."""
    share: float
    """The same of the last round that was steered; ``plain_share`` when none was needed."""
    _models: Mapping[str, _Regression] = field(default_factory=dict, repr=False)
    """By measure: what the encoding says of it."""
    _seeds: Rows | None = field(default=None, repr=False)
    """Rows known to meet the constraints, whose mutations are drawn; None while predictions are trusted."""

    @classmethod
    def learn(cls, space: SearchSpace, measure: Measure, rng: np.random.Generator) -> Steering:
        """Learn from rows that are measured: few where plain sampling is good enough, some thousands where no row that
        meets the constraints is found.
        """
        lesson = _Lesson(space, measure)
        plain = lesson.add(space.sample(2 * _ROUND, rng))
        best = cls(space, plain, plain)
        if not lesson.rules:
            return best
        for _ in range(_ROUNDS):
            if best.share >= _ENOUGH:
                break
            steering = replace(best, _models=lesson.fitted())
            share = lesson.add(steering.sample(_ROUND, rng))
            best = max(best, replace(steering, share=share), key=lambda s: s.share)
        if best.share < _POOR:
            best = replace(best, _models=lesson.fitted())
            nearest: list[float] = []
            for _ in range(_DESCENTS):
                rows = best._descended(lesson, rng)
                nearest.append(float(lesson.off.min()))
                stuck = len(nearest) > _PATIENCE and nearest[-1] == nearest[-1 - _PATIENCE] > 0
                if lesson.good.sum() >= _SEEDS or stuck or not len(rows):
                    break
                lesson.add(rows)
                best = replace(best, _models=lesson.fitted())
            if lesson.good.any():
                steering = replace(best, _seeds=lesson.rows[lesson.good])
                share = lesson.add(steering.sample(_ROUND, rng))
                best = max(best, replace(steering, share=share, _seeds=lesson.rows[lesson.good]), key=lambda s: s.share)
        return replace(best, _models=lesson.fitted()) if best._models else best

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` random rows ``(n, n_decisions)`` that meet the constraints on decisions and are likely to meet the others."""
        if not self._models:
            return self.space.sample(n, rng)
        rules, encode = _rules(self.space), OneHot(self.space)
        if self._seeds is not None:
            rows = self._mutations(self._seeds, _OFFERED * n, rng)
            order = np.argsort(_off(self.space, rules, rows, self._predicted(encode(rows))), kind="stable")
            return rng.permutation(rows[order[:n]])
        kept: list[Rows] = []
        near: list[Rows] = []
        for _ in range(_POOLS):
            pool = self.space.sample(_POOL, rng)
            predicted = self._predicted(encode(pool))
            good = _meet(self.space, rules, pool, predicted)
            kept.append(pool[good])
            if sum(map(len, kept)) >= n:
                return np.concatenate(kept)[:n]
            others = {name: values[~good] for name, values in predicted.items()}
            order = np.argsort(_off(self.space, rules, pool[~good], others), kind="stable")
            near.append(pool[~good][order[:n]])
        # Too few are predicted to be good: those that come nearest, too.
        return np.concatenate([*kept, rng.permutation(np.concatenate(near))])[:n]

    def likely(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows ``(n, n_decisions)`` are predicted to meet the constraints on measures, ``(n,)``; all of them where
        most rows do.
        """
        if not self._models:
            return np.ones(len(rows), dtype=bool)
        return _meet(self.space, _rules(self.space), rows, self._predicted(OneHot(self.space)(rows)))

    def _mutations(self, seeds: Rows, n: int, rng: np.random.Generator) -> Rows:
        """Known good rows with one to three decisions changed, where that keeps the constraints on decisions."""
        rows = seeds[rng.integers(len(seeds), size=n)]
        for steps in (n, n // 2, n // 4):
            changed = self.space.mutate(rows[:steps], rng)
            keep = self.space.satisfies(changed)
            rows[:steps][keep] = changed[keep]
        return rng.permutation(rows)

    def _descended(self, lesson: _Lesson, rng: np.random.Generator) -> Rows:
        """New mutations of the rows that came nearest to the constraints, those that are predicted to come nearer."""
        elite = lesson.rows[np.argsort(lesson.off, kind="stable")[: _ROUND // 4]]
        children = [elite[rng.integers(len(elite), size=_CHILDREN)]]
        for _ in range(3):
            children.append(self.space.mutate(children[-1], rng))
        rows = np.unique(np.concatenate(children[1:]), axis=0)
        known = {row.tobytes() for row in lesson.rows}
        new = self.space.satisfies(rows) & np.array([row.tobytes() not in known for row in rows])
        rows = rng.permutation(rows[new])
        if not len(rows):
            return rows
        predicted = self._predicted(OneHot(self.space)(rows))
        return rows[np.argsort(_off(self.space, lesson.rules, rows, predicted), kind="stable")[:_ROUND]]

    def _predicted(self, encoded: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float64]]:
        return {name: model(encoded) for name, model in self._models.items()}


@dataclass(frozen=True, slots=True)
class _Regression:
    """Kernel ridge regression on encoded rows ``x (n, c)`` with ``k(x, y) = (1 + x . y / d)^degree``, d decisions.

    Its leave-one-out residuals are ``alpha_i / C_ii`` with ``C = (K + ridge)^-1`` and ``alpha = C y``.
    """

    rows: npt.NDArray[np.float32]
    """Encoded rows that it was fitted on, ``(n, c)``."""
    degree: int
    scale: float
    """1 / d."""
    logarithm: bool
    """Whether it is the values' logarithms that were regressed."""
    mean: float
    spread: float
    alpha: npt.NDArray[np.float64]

    @classmethod
    def fit(
        cls, rows: npt.NDArray[np.float32], measures: Mapping[str, npt.NDArray[np.float64]], decisions: int
    ) -> dict[str, _Regression]:
        """To each measure, with values ``(n,)`` above 0, with what predicts rows best that are left out."""
        scale = 1 / max(decisions, 1)
        base = 1 + scale * rows.astype(np.float64) @ rows.T.astype(np.float64)
        best = dict.fromkeys(measures, np.inf)
        found: dict[str, _Regression] = {}
        for degree in _DEGREES:
            # The costly part, which is the same for all measures.
            eigenvalues, vectors = np.linalg.eigh(base**degree)
            for ridge in _RIDGES:
                inverse = 1 / (np.maximum(eigenvalues, 0) + ridge)
                weights = np.einsum("ij,j,ij->i", vectors, inverse, vectors)
                for (name, values), logarithm in product(measures.items(), (True, False)):
                    target = np.log(values) if logarithm else values
                    mean, spread = float(target.mean()), float(target.std()) or 1.0
                    alpha = vectors @ (inverse * (vectors.T @ ((target - mean) / spread)))
                    residuals = np.abs(spread * alpha / weights) / (1.0 if logarithm else values)
                    # The median, as the rows that matter are those near the constraints, which most are.
                    if (loss := float(np.median(residuals))) < best[name]:
                        best[name], found[name] = loss, cls(rows, degree, scale, logarithm, mean, spread, alpha)
        return found

    def __call__(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Values of encoded rows ``(m, c)``, ``(m,)``."""
        parts = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        kernels = ((1 + self.scale * (part @ self.rows.T).astype(np.float64)) ** self.degree for part in parts)
        found = self.mean + self.spread * np.concatenate([kernel @ self.alpha for kernel in kernels])
        return np.exp(found) if self.logarithm else np.maximum(found, 1.0)


class _Lesson:
    """Rows that were measured."""

    def __init__(self, space: SearchSpace, measure: Measure) -> None:
        self.space = space
        self.measure = measure
        self.rules = _rules(space)
        self.rows: Rows = np.empty((0, len(space.decisions)), dtype=np.int64)
        self.off: npt.NDArray[np.float64] = np.empty(0)
        """How far each row is from meeting the constraints (:func:`_off`); infinite when it cannot be built."""
        self._known: list[Mapping[str, float] | None] = []

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Which rows meet the constraints, ``(n,)``."""
        return np.asarray(self.off == 0)

    def add(self, rows: Rows) -> float:
        """Measure rows; the share of them that meets the constraints."""
        known = [self.measure(row) for row in rows]
        off = np.full(len(rows), np.inf)
        built = np.array([measures is not None for measures in known], dtype=bool)
        if built.any():
            off[built] = _off(self.space, self.rules, rows[built], self._columns(known))
        self.rows = np.concatenate([self.rows, rows])
        self.off = np.concatenate([self.off, off])
        self._known += known
        return float((off == 0).mean())

    def fitted(self) -> dict[str, _Regression]:
        """What was learned of each measure."""
        built = np.array([measures is not None for measures in self._known], dtype=bool)
        if not built.any():
            return {}
        measures = {name: np.maximum(column, 1.0) for name, column in self._columns(self._known).items()}
        return _Regression.fit(OneHot(self.space)(self.rows[built]), measures, len(self.space.decisions))

    def _columns(self, known: Sequence[Mapping[str, float] | None]) -> dict[str, npt.NDArray[np.float64]]:
        names = sorted({name for rule in self.rules for name in rule.measures})
        return {name: np.array([m[name] for m in known if m is not None], dtype=float) for name in names}


def _rules(space: SearchSpace) -> list[Constraint]:
    return [constraint for constraint in space.constraints if constraint.measures]


def _meet(
    space: SearchSpace, rules: Sequence[Constraint], rows: Rows, measures: Mapping[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.bool_]:
    """Which rows with these measures ``(n,)`` meet the rules, ``(n,)``."""
    keep = np.ones(len(rows), dtype=bool)
    for rule in rules:
        keep &= rule.holds(rows, space.decisions, measures)
    return keep


def _off(
    space: SearchSpace, rules: Sequence[Constraint], rows: Rows, measures: Mapping[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """For each row, the logarithms of the factors by which measures are off, added up over the rules, ``(n,)``."""
    total = np.zeros(len(rows))
    for rule in rules:
        off = np.full(len(rows), _FACTORS[-1] + 1)
        for factor in _FACTORS[::-1]:
            for scale in (np.exp(factor), np.exp(-factor)):
                scaled = {name: measures[name] * scale for name in rule.measures}
                off[rule.holds(rows, space.decisions, scaled)] = factor
        total += off
    return total
