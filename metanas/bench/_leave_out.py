"""Searches on tasks that a predictor does not know, for ``metanas predictor evaluate``."""

from __future__ import annotations

from metanas._rng import generator
from metanas.bench._players import StrategyPlayer
from metanas.bench._target import Judge, Target
from metanas.controller import Meta
from metanas.predictor import SpaceModel
from metanas.tables import ResultTable, TaskData


def search_regrets(model: SpaceModel, task: TaskData, *, seed: int, after: tuple[int, ...]) -> dict[int, float]:
    """Simple regret of the strategy ``meta`` with a model, after so many evaluations each, in the task's unit.

    The search is among the networks whose results are known. Where half of them do not suffice, it ends before.
    """
    table = ResultTable(
        name=task.name,
        space=task.space,
        rows=task.rows,
        metrics={"loss": task.losses},
        metric="loss",
        direction="minimize",
    )
    target, judge = Target(table, seed=seed, values="mean"), Judge(table)
    player = StrategyPlayer(Meta(model=model, facts=task.facts, single=False), task.space)
    found: dict[int, float] = {}
    for number in range(min(max(after, default=0), len(target.candidates()) // 2)):
        proposal = player.propose(target, generator(seed, "proposal", task.name, number))
        if proposal is None:
            break
        player.end(player.begin(proposal.row), target.evaluate(proposal.row))
        if number + 1 in after:
            recommended = player.recommend()
            found[number + 1] = judge.regret(proposal.row if recommended is None else recommended)
    return found
