"""A predictor: models of spaces, with a name and a card, kept in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from metanas.predictor._carry import akin, carried_over
from metanas.predictor._source import Source
from metanas.predictor._space_model import SpaceModel, encoder_of
from metanas.space import Decision, SearchSpace
from metanas.tables import TaskData


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """What was learned from tasks, which may be of several spaces."""

    name: str
    """As in ``--predictor NAME``."""
    models: tuple[SpaceModel, ...] = field(default=(), repr=False)
    """One a space."""

    _asked: dict[tuple[str, str, tuple[Decision, ...]], SpaceModel | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What was learned for spaces that were asked for."""

    @classmethod
    def fit(cls, name: str, tasks: Iterable[TaskData]) -> Predictor:
        """Learn from tasks; those of one space teach each other."""
        return cls(name=name).updated(tasks)

    def updated(self, tasks: Iterable[TaskData]) -> Predictor:
        """The predictor that knows these tasks, too; one of a name that it knows already takes its place, if it says something."""
        models = list(self.models)
        for group in _by_space(tasks):
            space = group[0].space
            place = next((i for i, model in enumerate(models) if same_space(model.space, space)), None)
            encoder = models[place].encoder if place is not None else encoder_of(space)
            named = {task.name: task for task in group if task.says_something}
            kept = [] if place is None else [s for s in models[place].sources if s.name not in named]
            fresh = [Source.fit(task, encoder(task.rows)) for task in named.values()]
            model = SpaceModel.learn(encoder, [*kept, *fresh])
            models = [*models, model] if place is None else [*models[:place], model, *models[place + 1 :]]
        return replace(self, models=tuple(models))

    def model_for(self, space: SearchSpace) -> SpaceModel | None:
        """The model of a space; None where it knows no network of it, so that it abstains.

        What it knows of other spaces counts as far as their networks are of this one, too, as where a space was edited; such a
        model is learned when it is asked for, which may take seconds.
        """
        key = space.name, space.text, space.decisions
        if key not in self._asked:
            self._asked[key] = self._learned_for(space)
        return self._asked[key]

    def _learned_for(self, space: SearchSpace) -> SpaceModel | None:
        own = next((model for model in self.models if model.sources and same_space(model.space, space)), None)
        known = set() if own is None else {source.name for source in own.sources}
        carried = {
            source.name: (source, task)
            for model in self.models
            if model is not own and akin(model.space, space)
            for source in model.sources
            if source.name not in known and (task := carried_over(source.task(model.space), space)) is not None
        }
        if not carried:
            return own
        encoder = encoder_of(space) if own is None else own.encoder
        more = [
            replace(
                Source.fit(task, encoder(task.rows)),
                repeats=source.repeats,
                elsewhere=len(source.rows),
                # Of which some may have become repeats of others.
                count=int((~np.isnan(task.losses)).sum()),
            )
            for source, task in carried.values()
        ]
        return SpaceModel.learn(encoder, [*(own.sources if own is not None else ()), *more])

    def card(self) -> list[dict[str, Any]]:
        """What a person should know of it, one entry a space, as JSON values."""
        return [_card(model) for model in self.models]


def same_space(a: SearchSpace, b: SearchSpace) -> bool:
    """Whether rows of both mean the same: decisions, conditions and the network with holes. Priors do not matter."""
    return _meaning(a) == _meaning(b) and (a.text == b.text or _shape(a.template) == _shape(b.template))


def difference(known: SearchSpace, other: SearchSpace) -> str:
    """In words, the first thing that keeps rows of two spaces from meaning the same; empty where they do."""
    ours, theirs = ({d.name: d for d in space.decisions} for space in (known, other))
    if gone := [name for name in ours if name not in theirs]:
        return f"the decision {gone[0]} that it knows is gone"
    if new := [name for name in theirs if name not in ours]:
        return f"the decision {new[0]} is new"
    for name, decision in ours.items():
        if _values(decision) != _values(theirs[name]):
            return f"the decision {name} has other values than the ones it knows"
    if _meaning(known) != _meaning(other):
        return "decisions have another order or other conditions"
    return "" if same_space(known, other) else "the network around the decisions is another one"


def _values(decision: Decision) -> tuple[Any, ...]:
    return decision.kind, tuple(decision.values), decision.log


def _meaning(space: SearchSpace) -> list[Decision]:
    return [replace(decision, prior=()) for decision in space.decisions]


def _shape(part: Any) -> Any:
    """A template as nested tuples that can be compared, without names of places and where in a file they stand."""
    if isinstance(part, (str, int, float, bool, frozenset)) or part is None:
        return part
    if isinstance(part, Mapping):
        return tuple(sorted((str(key), _shape(value)) for key, value in part.items()))
    if isinstance(part, Sequence):
        return tuple(_shape(item) for item in part)
    names = [name for name in getattr(part, "__dataclass_fields__", {}) if name not in ("site", "mark", "path")]
    return (type(part).__name__, *(_shape(getattr(part, name)) for name in names))


def _by_space(tasks: Iterable[TaskData]) -> list[list[TaskData]]:
    groups: list[list[TaskData]] = []
    for task in tasks:
        group = next((g for g in groups if same_space(g[0].space, task.space)), None)
        if group is None:
            groups.append([task])
        else:
            group.append(task)
    return groups


def _card(model: SpaceModel) -> dict[str, Any]:
    return {
        "space": model.space.name,
        "decisions": len(model.space.decisions),
        "tasks": [
            {"name": s.name, "results": s.count, "facts": dict(s.facts)}
            | ({"elsewhere": s.elsewhere} if s.elsewhere else {})
            for s in model.sources
        ],
        "prior": {"share": model.share, "range of likeness": model.length, "widened": round(model.widen, 3)},
        "noisy": model.noisy,
        **model.quality,
    }
