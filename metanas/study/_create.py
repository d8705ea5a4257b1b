"""Making a run folder: the run file as resolved, the space, and what is to be known of machine and data."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from metanas._files import check_name
from metanas.data import absolute_data
from metanas.errors import file_errors
from metanas.study._folder import RunFolder, environment
from metanas.study._identity import check_identity
from metanas.study._kept_predictor import keep_predictor, predictor_kept
from metanas.study._plan import Plan
from metanas.study._run_file import RunFile
from metanas.study._storage import check_named, open_storage
from metanas.study._trials import open_study
from metanas.study._url import without_password


def create_run(planned: Plan, parent: Path, *, study: str | None = None) -> RunFolder:
    """A run folder that holds all that a resume needs. ``study`` names one of a shared storage that is to be gone on
    with; otherwise there will be a new one. Raises StudyError where there is no such study, or it is of another search.
    """
    run = planned.run
    if study is not None and run.storage is not None:
        _check_study(planned, run.storage, study)
    text = yaml.safe_dump(resolved(planned), sort_keys=False, allow_unicode=True)
    folder = RunFolder.create(parent, run.name)
    with file_errors(folder.path), _whole(folder.path):
        folder.space_file.write_text(planned.space.text, encoding="utf-8")
        keep_predictor(planned, folder)
        folder.run_file.write_text(text, encoding="utf-8")
        folder.write_info(
            environment()
            | {
                "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "seed": run.seed,
                "run_file": run.file,
                "space": run.space,
                "study": study or _new_study(folder, run),
                "needs_python": planned.needs_python,
                "data": planned.data_info,
            }
        )
    return folder


@contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """Leave nothing of a folder that could not be made: nobody could go on with it."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_study(planned: Plan, url: str, name: str) -> None:
    """Before there is a folder, which could not be gone on with."""
    storage = open_storage(Path(), url)
    check_named(storage, name, url)
    check_identity(storage, open_study(storage, name, planned.objectives, read_only=True), planned, note=False)


def study_name(folder: RunFolder) -> str:
    """Name of the study in its storage: the run folder's."""
    return folder.path.resolve().name


def _new_study(folder: RunFolder, run: RunFile) -> str:
    # In a shared storage a folder of another machine may have the same name.
    return study_name(folder) + (f"-{secrets.token_hex(3)}" if run.storage else "")


def resolved(planned: Plan) -> dict[str, Any]:
    """The run file with every default filled in, and every path absolute of what is not in the run folder. No password is written."""
    run = planned.run
    objective: dict[str, list[str]] = {}
    for name, direction in planned.objectives:
        objective.setdefault(direction, []).append(name)
    search = {
        "strategy": {run.strategy: dict(run.strategy_options)} if run.strategy_options else run.strategy,
        "predictor": predictor_kept(planned),
        "trials": run.trials, "time": run.time, "gpu_hours": run.gpu_hours, "target": run.target, "seed": run.seed, "retries": run.retries,
        "max_memory": run.max_memory,
    }  # fmt: skip
    rungs = list(run.rungs)
    return {
        "name": run.name,
        "space": "space.yaml",
        **({"data": absolute_data(run.data, run.base)} if planned.dataset is not None else {}),
        "objective": objective,
        "constraints": [text for text, _, _ in run.constraints],
        "search": {key: value for key, value in search.items() if value is not None},
        "fidelity": {
            "epochs": rungs if len(rungs) > 1 else rungs[0],
            "stop": {run.stop: dict(run.stop_options)} if run.stop_options else run.stop,
        },
        "train": run.train,
        "workers": run.workers if run.engine == "local" else _engine(run),
        "storage": "default" if run.storage is None else without_password(run.storage),
        "evaluator": _evaluator(run),
    }


def _evaluator(run: RunFile) -> str | dict[str, Any]:
    if not isinstance(run.evaluator, dict) or "file" not in run.evaluator.get("table", {}):
        return run.evaluator
    table = run.evaluator["table"]
    return {"table": {**table, "file": _absolute_path(table["file"], run.base)}}


def _engine(run: RunFile) -> dict[str, Any]:
    return {"engine": run.engine, "count": run.workers, **run.engine_options}


def _absolute_path(path: str, base: Path) -> str:
    return check_name(os.path.abspath(base / Path(path).expanduser()))
