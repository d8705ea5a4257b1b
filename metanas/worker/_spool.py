"""The spool: a folder in which each result lies, from before it is sent until the study has recorded it.

One JSON file a job. A file is either whole or not there; one that a power cut has emptied counts as not there.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from metanas.trial import EpochReport, Job, Result, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """What a worker said of a job."""

    trial: int
    """Number of the trial."""
    attempt: int
    """Which of its attempts."""
    decisions: Mapping[str, Scalar]
    """The architecture."""
    result: Result
    """Its end."""
    reports: Sequence[EpochReport]
    """The epochs of this attempt, in order."""


def write_spooled(job: Job, result: Result, reports: Sequence[EpochReport]) -> None:
    """Put a job's result into its spool. Raises OSError where that is impossible."""
    body = {
        "trial": job.trial, "attempt": job.attempt, "decisions": dict(job.decisions), "result": result.to_json(),
        "reports": [report.to_json() for report in reports],
    }  # fmt: skip
    path = _path(Path(job.spool), job.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.new")
    try:
        temporary.write_text(json.dumps(body), encoding="ascii")
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def read_spooled(folder: Path, job_id: str) -> Spooled | None:
    """What lies in the spool for a job; None for nothing."""
    return _read(_path(folder, job_id))


def all_spooled(folder: Path) -> list[Spooled]:
    """Everything that lies in the spool."""
    found = (_read(path) for path in sorted(folder.glob("*.json")))
    return [spooled for spooled in found if spooled is not None]


def drop_spooled(folder: Path, job_id: str) -> None:
    """Forget a job's result, which has been recorded."""
    with contextlib.suppress(OSError):
        _path(folder, job_id).unlink()


def _path(folder: Path, job_id: str) -> Path:
    return folder / f"{quote(job_id, safe='')}.json"


def _read(path: Path) -> Spooled | None:
    try:
        body = json.loads(path.read_bytes())
        return Spooled(
            trial=int(body["trial"]), attempt=int(body["attempt"]), decisions=dict(body["decisions"]),
            result=Result.from_json(body["result"]), reports=[EpochReport.from_json(report) for report in body["reports"]],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None
