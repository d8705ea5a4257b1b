"""The supernet of a search: trained by a worker before the first trial, kept in the run folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace

from metanas.controller import SupernetRanking
from metanas.study._final import evaluate_alone
from metanas.study._folder import RunFolder
from metanas.study._jobs import Jobs
from metanas.study._listener import Listener, Log
from metanas.trial import EpochReport
from metanas.worker import Engine

_RANKING = "ranking.json"


def train_supernet(
    strategy: SupernetRanking,
    *,
    folder: RunFolder,
    jobs: Jobs,
    engine: Engine,
    retries: int,
    listener: Listener,
    log: Log,
    stopped: Callable[[], bool],
    seconds: float | None,
    poll: float,
) -> SupernetRanking | None:
    """The strategy with a ranking, by a supernet that is trained for so many ``seconds`` at most; as it was where none can be
    trained, which the listener hears. None when ``stopped`` says so first.
    """
    if (kept := read_ranking(folder, strategy)) is not None:
        return kept
    job = jobs.supernet(strategy.epochs, seconds)
    listener.supernet_started(strategy.epochs)

    def reported(report: EpochReport) -> None:
        log.write("supernet_reported", epoch=report.epoch)  # so that its time counts, whatever happens to the session
        listener.supernet_reported(report)

    result = evaluate_alone(
        job, jobs=jobs, engine=engine, retries=retries, reported=reported, stopped=stopped, poll=poll
    )
    if result is None:
        return None
    log.write("supernet_ended", **result.to_json())
    listener.supernet_ended(result)
    shutil.rmtree(job.checkpoint, ignore_errors=True)
    return read_ranking(folder, strategy) or strategy


def read_ranking(folder: RunFolder, strategy: SupernetRanking) -> SupernetRanking | None:
    """The strategy with the ranking that the run folder holds; None where there is none, or that of another supernet."""
    try:
        data = json.loads((folder.supernet / _RANKING).read_text(encoding="utf-8"))
        if (data["method"], data["asked"]) != (strategy.method, strategy.candidates):
            return None
        if data["epochs"] != strategy.epochs and not (data.get("early") and data["epochs"] < strategy.epochs):
            return None
        rows = tuple(tuple(int(value) for value in row) for row in data["rows"])
        return replace(strategy, ranking=(rows, tuple(float(loss) for loss in data["losses"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None
