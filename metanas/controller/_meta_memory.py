"""What the strategy ``meta`` keeps between proposals to save time: nothing that observations do not determine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from metanas._rng import generator
from metanas.controller._strategy import ENUMERABLE, Accept, Candidates, Filter, Observation, Sampler, rank_observations
from metanas.encoding import NetworkEncoder
from metanas.predictor import Encodings, Field, Source, SpaceModel, encoder_of
from metanas.space import Rows, SearchSpace
from metanas.tables import TaskData

_POOL = 1_000
"""Random candidates of a space that cannot be enumerated."""
_PARENTS, _CHILDREN = 5, 16
"""Leaders whose mutations are candidates there, and mutations of each."""
_BEST, _FEW_BEST = 100, 5
"""Best networks of all sources that are candidates there, and of one source at least."""


class Memory:
    """Of one search."""

    def __init__(self) -> None:
        self._model: SpaceModel | None = None
        self._encodings: Encodings | None = None
        self._field: Field | None = None

    def model(
        self, space: SearchSpace, sources: tuple[TaskData, ...], given: SpaceModel | None, *, single: bool | None
    ) -> SpaceModel:
        """The model of a search."""
        if self._model is None:
            self._model = (given or learned_from(sources, encoder_of(space))).of_trainings(single)
        return self._model

    def field(
        self,
        space: SearchSpace,
        model: SpaceModel,
        facts: Mapping[str, float],
        observations: Sequence[Observation],
        accept: Accept,
        rng: np.random.Generator,
    ) -> Field:
        """The candidates of a proposal: all networks where they can be listed, else a pool around the leaders."""
        if isinstance(accept, Candidates):
            rows = accept.candidates()
            if self._field is None or self._field.rows is not rows:
                self._field = self._made(model, facts, rows)
            return self._field
        if space.size is not None and space.size <= ENUMERABLE:
            if self._field is None:
                self._field = self._made(model, facts, space.rows(ENUMERABLE))
            return self._field
        rows = _pool(space, model, observations, accept, rng)
        known = np.array([o.row for o in observations], dtype=np.int64).reshape(-1, len(space.decisions))
        self._field = self._made(model, facts, np.unique(np.concatenate([rows, known]), axis=0))
        return self._field

    def known_field(
        self,
        space: SearchSpace,
        model: SpaceModel,
        facts: Mapping[str, float],
        observations: Sequence[Observation],
        rows: Rows | None = None,
    ) -> Field:
        """A field that holds what was observed, and ``rows``: that of the last proposal where it does."""
        needed = [np.array([o.row for o in observations], dtype=np.int64).reshape(-1, len(space.decisions))]
        needed += [] if rows is None else [rows]
        wanted = np.unique(np.concatenate(needed), axis=0)
        if self._field is not None and all(self._field.find(row) is not None for row in wanted):
            return self._field
        return self._made(model, facts, wanted)

    def _made(self, model: SpaceModel, facts: Mapping[str, float], rows: Rows) -> Field:
        if self._encodings is None or self._encodings.model is not model:
            self._encodings = Encodings(model)
        encoded, scores = self._encodings(rows)
        return Field(model, facts, rows, encoded, scores)


def _pool(
    space: SearchSpace, model: SpaceModel, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
) -> Rows:
    """Random rows, the same ones for all proposals of a search, the sources' best, and mutations of these and of the leaders."""
    sample = accept.sample if isinstance(accept, Sampler) else space.sample
    first = "" if not observations else str(observations[0].row)
    pool: list[Any] = [sample(_POOL, generator(0, "pool", space.name, first))]
    for leader in rank_observations(observations)[:_PARENTS]:
        parents = np.repeat(np.array([leader.row], dtype=np.int64), _CHILDREN, axis=0)
        children = space.mutate(parents, rng)
        pool += [children, space.mutate(children[: _CHILDREN // 2], rng)]
    for source in model.sources:
        best = source.rows[np.argsort(source.losses, kind="stable")[: max(_FEW_BEST, _BEST // len(model.sources))]]
        pool += [best, space.mutate(best, rng)]
    rows = np.unique(np.concatenate(pool), axis=0)
    rows = rows[space.satisfies(rows)]
    return rows[accept.likely(rows)] if isinstance(accept, Filter) and len(rows) else rows


@lru_cache(maxsize=32)
def learned_from(sources: tuple[TaskData, ...], encoder: NetworkEncoder) -> SpaceModel:
    """The model that is learned from these tasks; searches with the same sources (which are compared by identity) learn once."""
    return SpaceModel.learn(encoder, [_source(task, encoder) for task in sources if task.says_something])


@lru_cache(maxsize=64)
def _source(task: TaskData, encoder: NetworkEncoder) -> Source:
    return Source.fit(task, encoder(task.rows))
