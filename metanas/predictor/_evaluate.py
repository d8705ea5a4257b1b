"""How well a predictor does on tasks that it does not know: each of some tasks left out in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from metanas._rng import generator
from metanas.predictor._field import Encodings, Field
from metanas.predictor._judge import deviations, rank_correlation
from metanas.predictor._places import abstention
from metanas.predictor._predictor import Predictor, same_space
from metanas.predictor._source import Source
from metanas.predictor._space_model import SpaceModel, encoder_of
from metanas.tables import TaskData

Array = npt.NDArray[Any]

RESULTS = (0, 10, 20, 50, 100)
"""Results of the left-out task that are known."""
LEVELS = (0.5, 0.8, 0.95)
"""Intervals whose coverage is counted."""
_JUDGED = 1_000
"""Networks of the left-out task that are judged, none of which is known."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Of one left-out task, in one draw."""

    task: str
    """Name of the task."""
    seed: int
    """Of the draw."""
    results: int
    """Results of the task that were known."""
    tau: float
    """Kendall's rank correlation on networks that were not."""
    plain_tau: float
    """The same of the model without sources."""
    covered: Mapping[str, float]
    """Share of those networks whose loss lies in the 50, 80 and 95 % interval; empty with fewer than 5 results."""
    regret: float | None = None
    """Simple regret of a search after so many evaluations, in the task's unit; None where none was made."""
    plain_regret: float | None = None
    """The same of a search without sources."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def left_out(known: Sequence[TaskData], targets: Sequence[TaskData]) -> Iterator[tuple[TaskData, SpaceModel]]:
    """Each target with a model of what is ``known`` of the other tasks of its space.

    ``known`` are the sources' results, ``targets`` all results of the same tasks; a target is matched by its name, and
    never a source of its own.
    """
    sources = {task.name: Source.fit(task, encoder_of(task.space)(task.rows)) for task in known if task.says_something}
    for target in targets:
        others = [
            sources[task.name]
            for task in known
            if task.name in sources and task.name != target.name and same_space(task.space, target.space)
        ]
        yield target, SpaceModel.learn(encoder_of(target.space), others)


def knowing_others(predictor: Predictor, targets: Sequence[TaskData]) -> Iterator[tuple[TaskData, SpaceModel]]:
    """Each target with what a predictor knows of the other tasks of its space.

    A task of the target's name, or with its very results, is left out, though not from the scales that all tasks taught.

    Raises
    ------
    MetanasError
        If the predictor knows no task of a target's space.

    """
    for target in targets:
        model = predictor.model_for(target.space)
        if model is None:
            raise abstention(predictor, target.space, of=f"{target.name} of ")
        yield target, model.without(target)


def judge(model: SpaceModel, target: TaskData, *, seed: int) -> Iterator[Judgement]:
    """How a model ranks and covers networks of a task that it does not know, after some of the task's results."""
    losses = target.mean_losses
    rng = generator(seed, "judged", target.name)
    places = rng.permutation(np.flatnonzero(np.isfinite(losses)))[: _JUDGED + max(RESULTS)]
    rows, losses = target.rows[places], losses[places]
    held = min(max(RESULTS), len(rows) // 2)
    fields = [
        Field(each, target.facts, rows, *Encodings(each)(rows))
        for each in (model, SpaceModel.untrained(model.space, model.encoder))
    ]
    for n in RESULTS:
        if n > held:
            continue
        opinion, plain = (field.opinion(list(range(n)), losses[:n]) for field in fields)
        covered: dict[str, float] = {}
        if n >= 5:
            unseen = replace(opinion, mean=opinion.mean[held:], std=opinion.std[held:])
            off = deviations(unseen, losses[:n], losses[held:])
            covered = {f"{level:g}": float((off <= ndtri(0.5 + level / 2)).mean()) for level in LEVELS}
        yield Judgement(
            task=target.name, seed=seed, results=n, tau=rank_correlation(opinion.mean[held:], losses[held:]),
            plain_tau=rank_correlation(plain.mean[held:], losses[held:]) if n else 0.0, covered=covered,
        )  # fmt: skip
