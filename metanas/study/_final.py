"""The final training: the best network on training and validation data, tested once, and kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from metanas.study._folder import ARTEFACTS, RunFolder, write_atomically
from metanas.study._jobs import Jobs
from metanas.study._listener import Listener, Log
from metanas.study._timeline import read_events
from metanas.trial import EpochReport, Job, Result, Status, TrialRecord
from metanas.worker import Ended, Engine, Reported


def train_final(
    best: TrialRecord,
    *,
    sureness: float | None,
    folder: RunFolder,
    jobs: Jobs,
    engine: Engine,
    retries: int,
    listener: Listener,
    log: Log,
    stopped: Callable[[], bool],
    poll: float,
) -> Result | None:
    """Train ``best`` for good, of which the strategy is so sure. What is there already is not done again.

    None when ``stopped`` says so first, which is asked every ``poll`` seconds.
    """
    done = read_final(folder)
    whole = all((folder.best / name).is_file() for name in ARTEFACTS)
    if done is not None and done.job_id == f"final-t{best.number}" and whole:
        return done
    job = jobs.final(best)
    listener.final_started(best, job.epochs)
    result = evaluate_alone(
        job, jobs=jobs, engine=engine, retries=retries, reported=listener.final_reported, stopped=stopped, poll=poll
    )
    if result is None:
        return None
    log.write("final_ended", **result.to_json())
    if result.status is Status.COMPLETE:
        folder.best.mkdir(exist_ok=True)
        choice = Choice(trial=best.number, sureness=sureness)
        write_atomically(folder.best / "choice.json", json.dumps(asdict(choice), indent=2) + "\n")
        write_atomically(folder.best / "result.json", json.dumps(result.to_json(), indent=2) + "\n")
    shutil.rmtree(job.checkpoint, ignore_errors=True)
    listener.final_ended(result)
    return result


def read_final(folder: RunFolder) -> Result | None:
    """The result of a run's final training; None when there is none yet."""
    try:
        return Result.from_json(json.loads((folder.best / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_final_failure(folder: RunFolder) -> Result | None:
    """What came of the last final training, by the log, where it gave no network."""
    last: dict[str, Any] = {}
    for event in read_events(folder.log):
        last = event if event["event"] == "final_ended" else last
    try:
        result = Result.from_json({key: value for key, value in last.items() if key not in ("event", "time")})
    except (ValueError, KeyError, TypeError):
        return None
    return None if result.status is Status.COMPLETE else result


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which trial's network was trained for good."""

    trial: int
    """Its number."""
    sureness: float | None
    """The probability that it is the best of those evaluated, as the strategy sees it; None where it cannot tell."""


def read_choice(folder: RunFolder) -> Choice | None:
    """What was chosen in a run; None when there is no final training yet."""
    try:
        data = json.loads((folder.best / "choice.json").read_text(encoding="utf-8"))
        sureness = data["sureness"]
        return Choice(trial=int(data["trial"]), sureness=None if sureness is None else float(sureness))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def evaluate_alone(
    job: Job,
    *,
    jobs: Jobs,
    engine: Engine,
    retries: int,
    reported: Callable[[EpochReport], None],
    stopped: Callable[[], bool],
    poll: float,
) -> Result | None:
    """Have the job done while nothing else runs, again where its worker dies; None when ``stopped`` says so first."""
    for attempt in range(retries + 1):
        result = _attempt(jobs.again(job, attempt), engine, reported, stopped, poll)
        if result is None or result.status is not Status.LOST:
            break
    return result


def _attempt(
    job: Job, engine: Engine, reported: Callable[[EpochReport], None], stopped: Callable[[], bool], poll: float
) -> Result | None:
    engine.submit(job)
    while not stopped():
        for event in engine.events(poll):
            if isinstance(event, Reported):
                reported(event.report)
            elif isinstance(event, Ended):
                return event.result
    return None
