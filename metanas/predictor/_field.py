"""A model on a fixed set of candidates: what is costly about them is done once, and observations only add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.predictor._belief import Belief, Opinion
from metanas.predictor._parts import Parts
from metanas.predictor._space_model import SpaceModel
from metanas.predictor._warp import normal_scores
from metanas.space import Rows

Array = npt.NDArray[Any]

MOST = 300
"""Observations that the Gaussian processes are conditioned on, and up to a step more: what they cost grows with the square."""
_STEP = 50
"""So many more observations, and those to be used are chosen anew."""


class Encodings:
    """Encodings and sources' scores of rows, remembered by row."""

    def __init__(self, model: SpaceModel) -> None:
        self.model = model
        self._known: dict[bytes, int] = {}
        self._blocks: list[Array] = []
        self._scores: Array = np.zeros((len(model.sources), 0))

    def __call__(self, rows: Rows) -> tuple[list[Array], Array]:
        """Blocks ``(n, d)`` and scores ``(m, n)`` of rows."""
        keys = [row.tobytes() for row in rows]
        new = [i for i, key in enumerate(keys) if key not in self._known]
        if new:
            # Mostly new ones are asked for whole: the next search among the same candidates then finds them in what the encoder
            # and the sources remember.
            whole = 2 * len(new) > len(rows)
            encoded, scores = self.model.on(rows if whole else rows[new])
            at = new if whole else slice(None)
            start = self._scores.shape[1]
            self._known.update({keys[i]: start + k for k, i in enumerate(new)})
            before = self._blocks or [block[:0] for block in encoded]
            self._blocks = [np.concatenate([a, b[at]]) for a, b in zip(before, encoded, strict=True)]
            self._scores = np.concatenate([self._scores, scores[:, at]], axis=1)
        places = [self._known[key] for key in keys]
        return [block[places] for block in self._blocks], self._scores[:, places]


class Field:
    """Candidates, and what is believed of them after results of some."""

    def __init__(
        self, model: SpaceModel, facts: Mapping[str, float], rows: Rows, encoded: Sequence[Array], scores: Array
    ) -> None:
        self.model = model
        self.rows = rows
        """The candidates ``(N, n_decisions)``."""
        self.scores = scores
        """The sources' scores of them, ``(m, N)``."""
        self.parts: Parts = model.parts(encoded, scores, facts)
        self._places = {row.tobytes(): i for i, row in enumerate(rows)}
        self._belief: Belief | None = None
        self._taken: list[tuple[int, float]] = []
        """Candidate and doubt of each observation in the belief."""

    def find(self, row: Array) -> int | None:
        """Which candidate a row is; None for none of them."""
        return self._places.get(np.asarray(row, dtype=np.int64).tobytes())

    def opinion(
        self, places: Sequence[int], losses: Array, *, waiting: Sequence[int] = (), doubt: Array | None = None
    ) -> Opinion:
        """What is believed after losses ``(n,)`` of candidates (infinite for failures), and some under way.

        ``doubt`` ``(n,)`` is the variance of each evaluation beside its noise. Of very many observations the best and a
        sample of the rest are used.
        """
        doubt = np.zeros(len(places)) if doubt is None else doubt
        scores = normal_scores(losses) if len(places) else np.zeros(0)
        used = chosen(scores)
        self._take([(places[i], float(doubt[i])) for i in used])
        assert self._belief is not None
        self._belief.observe(waiting)
        opinion = self._belief.opinion(np.concatenate([scores[used], np.full(len(waiting), np.nan)]))
        for _ in waiting:
            self._belief.forget()
        return opinion

    def _take(self, wanted: list[tuple[int, float]]) -> None:
        """Bring the belief to exactly these observations, in this order, so that it depends on nothing else."""
        if self._belief is None:
            self._belief, self._taken = self.model.belief(self.parts), []
        same = 0
        while same < min(len(wanted), len(self._taken)) and wanted[same] == self._taken[same]:
            same += 1
        while len(self._taken) > same:
            self._taken.pop()
            self._belief.forget()
        new = wanted[same:]
        self._belief.observe([place for place, _ in new], [doubt for _, doubt in new])
        self._taken += new


def chosen(scores: Array) -> list[int]:
    """Which observations ``(n,)`` are used, ascending: all, or of very many the best half and an even sample of the rest."""
    n = len(scores)
    if n <= MOST + _STEP:
        return list(range(n))
    settled = n - n % _STEP
    order = np.argsort(-scores[:settled], kind="stable")
    rest = np.sort(order[MOST // 2 :])
    sample = rest[np.linspace(0, len(rest) - 1, MOST - MOST // 2).astype(int)]
    return sorted({*order[: MOST // 2].tolist(), *sample.tolist()}) + list(range(settled, n))
