"""What a finished search knows, as a task that a predictor can learn from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from metanas.errors import MetanasError
from metanas.predictor import full_losses
from metanas.study._create import study_name
from metanas.study._folder import RunFolder
from metanas.study._objective_keys import first_quality
from metanas.study._session import read_run
from metanas.tables import TaskData
from metanas.trial import Status

_ENOUGH = 5
"""Trials with values that a run must have: fewer rank nothing."""


def task_of_run(path: Path) -> TaskData:
    """The trials of a run folder: one row a network, its repeats side by side, failures as NaN; named for its study, which
    copies of a folder share.

    Losses are of the first objective that is no cost of a network, such as its parameters.

    A training that was stopped early counts with the loss that it would have ended with, as far as the curves of the
    others tell, and the doubt of that.

    Raises
    ------
    MetanasError
        If it is none, or has too few trials.

    """
    folder = RunFolder.open(path)
    run, space, trials = read_run(folder)
    quality = first_quality(run.objectives, run.evaluator)
    if quality is None:
        raise MetanasError(
            "a predictor learns how good networks are, and not what they cost",
            found=f"a search for {' and '.join(name for name, _ in run.objectives)} alone", where=str(path),
            remedy="leave this run out",
        )  # fmt: skip
    sign = -1.0 if run.objectives[quality][1] == "maximize" else 1.0
    records = [
        r for _, r in sorted(trials.records.items())
        if r.status is not None and r.duplicate_of is None and r.status is not Status.CANCELLED
    ]  # fmt: skip
    losses = np.array([math.inf if r.values is None else sign * r.values[quality] for r in records])
    if np.isfinite(losses).sum() < _ENOUGH:
        raise MetanasError(
            f"a predictor learns from runs with {_ENOUGH} results or more", found=f"{int(np.isfinite(losses).sum())}",
            where=str(path),
        )  # fmt: skip
    curves = [{epoch: sign * value for epoch, value in r.curve.items()} for r in records]
    losses, doubts = full_losses(losses, curves, np.array([r.status is Status.PRUNED for r in records]))
    by_network: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        by_network.setdefault(record.canonical_id, []).append(place)
    values = np.full((len(by_network), max(map(len, by_network.values()))), np.nan)
    doubt = np.zeros(len(by_network))
    for line, places in enumerate(by_network.values()):
        values[line, : len(places)] = np.where(np.isfinite(losses[places]), losses[places], np.nan)
        # Of the mean of independent guesses.
        doubt[line] = doubts[places].mean() / len(places)
    name = folder.read_info().get("study", study_name(folder))
    rows = np.array([space.to_row(records[places[0]].decisions) for places in by_network.values()], dtype=np.int64)
    return TaskData(name=name, space=space, rows=rows, losses=values, facts=_facts(folder), doubt=doubt)


def _facts(folder: RunFolder) -> dict[str, float]:
    facts = folder.read_info().get("data", {}).get("facts", {})
    return {str(name): float(value) for name, value in facts.items()}
