"""A search from Python, and the steps that the command line shares with it."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from metanas._files import new_file
from metanas._progress import make_progress
from metanas.architecture import Architecture, ShapeError
from metanas.data import dataset_from_arrays
from metanas.errors import MetanasError, file_errors
from metanas.report import DataSummary, DecisionSummary, RunSummary, render_report
from metanas.space import SearchSpace, ops_in
from metanas.study import (
    Ending,
    RunFile,
    RunFolder,
    Search,
    SearchResult,
    create_run,
    disk_errors,
    owner_of,
    parse_run_text,
    plan,
    predictor_line,
    read_choice,
    read_final,
    read_run,
    read_run_file,
    read_timeline,
    run_session,
    with_storage,
    write_atomically,
)
from metanas.trial import TrialRecord, best_trial

_DRAWN = 3
"""Networks that a report draws."""


def search(
    space: str | Path,
    data: Any,
    *,
    objective: str | Mapping[str, Any] | None = None,
    constraints: Sequence[str] = (),
    strategy: str | Mapping[str, Any] | None = None,
    predictor: str | None = None,
    trials: int | None = None,
    time: str | float | None = None,
    gpu_hours: float | None = None,
    target: float | None = None,
    max_memory: str | int | None = None,
    epochs: int | Sequence[int] | None = None,
    stop: str | Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    seed: int = 0,
    retries: int | None = None,
    workers: int | str | Mapping[str, Any] = "auto",
    name: str = "search",
    runs: str | Path = "runs",
    storage: str | None = None,
    evaluator: str | Mapping[str, str] = "train",
    allow_python: bool = False,
    progress: bool = True,
) -> SearchResult:
    """Find a network for a data set; the arguments are the keys of a run file.

    Parameters
    ----------
    space
        Built-in name, or path of a space file.
    data
        Built-in name, path, mapping as in a run file, or a pair ``(x, y)`` of arrays: images ``(n, h, w)``,
        ``(n, h, w, c)`` or ``(n, c, h, w)``, or a table ``(n, features)``, and ``n`` labels or values.
    objective
        Metric name, or ``{"maximize": …, "minimize": …}``; by default accuracy, or R² for a regression.
    epochs
        Epochs of a training; a rising list also names the rungs at which the worse trials are stopped.
    strategy
        Name, or ``{name: {setting: value}}``; by default meta.
    predictor
        Name or path of the predictor that meta starts from.
    max_memory
        Memory that one training may take, in bytes or as ``"4GB"``; larger networks are refused.
    stop
        Rule by which trials end early, such as ``"curve"``.
    retries
        How often a trial whose worker died is tried again; by default twice.
    runs
        Folder in which the run folder is made.
    progress
        Whether to show the progress on standard error.

    Returns
    -------
    SearchResult
        With ``.network``, ``.architecture``, ``.study``, ``.metrics`` and ``.predict``.

    Raises
    ------
    MetanasError
        For input or folders that cannot be used, with the rule, what was found and the remedy.
    KeyboardInterrupt
        After Ctrl-C; :func:`resume` goes on from there.

    """
    if isinstance(space, SearchSpace):
        raise MetanasError(
            "search takes the name or the path of a space",
            found=f"the loaded space {space.name}",
            remedy="give its file",
        )
    texts = [constraints] if isinstance(constraints, str) else list(constraints)
    settings: dict[str, Any] = {
        "name": name, "space": str(space), "data": data, "objective": objective, "constraints": texts,
        "search": _given(
            strategy=strategy, predictor=predictor, trials=trials, time=time, gpu_hours=gpu_hours, target=target, max_memory=max_memory,
            seed=seed, retries=retries,
        ),
        "fidelity": _given(epochs=list(epochs) if isinstance(epochs, Sequence) else epochs, stop=stop), "train": train,
        "workers": workers,
        "storage": storage, "evaluator": evaluator,
    }  # fmt: skip
    if isinstance(data, tuple):
        with file_errors(Path(runs)):
            settings["data"] = {"arrays": str(_keep_arrays(data, Path(runs), name))}
    text = json.dumps({key: _plain(value, key) for key, value in _given(**settings).items()})
    run = parse_run_text(text, "<search>", base=Path.cwd())
    with file_errors(Path(runs)):
        return start(run, runs=Path(runs), allow_python=allow_python, quiet=not progress)


def _plain(value: object, where: str) -> object:
    """An argument as JSON values: numbers of numpy's as Python's, paths as texts."""
    if isinstance(value, Mapping):
        # Keys of these sections are arguments of their own.
        before = "" if where in ("search", "fidelity") else f"{where}."
        return {str(key): _plain(each, f"{before}{key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, f"{where}[{place}]") for place, each in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, str | int | float):
        return value
    raise MetanasError(
        "the arguments of a search are numbers, texts, paths, lists and mappings", found=type(value).__name__, where=where
    )  # fmt: skip


def resume(
    run: str | Path,
    *,
    allow_python: bool = False,
    progress: bool = True,
    sets: Sequence[str] = (),
    storage: str | None = None,
) -> SearchResult:
    """Go on with a search that was stopped or killed; ``sets`` such as ``search.trials=60`` change its run file.

    ``storage`` is the URL of the study's storage, where its password is not to be found elsewhere.

    Raises
    ------
    MetanasError
        If the folder holds no run or cannot be written, another process works on it, or its data changed.

    """
    folder = RunFolder.open(Path(run))
    with file_errors(folder.path):
        return go_on(folder, sets=sets, storage=storage, allow_python=allow_python, quiet=not progress)


def start(run: RunFile, *, runs: Path, allow_python: bool = False, quiet: bool = False) -> SearchResult:
    """Check a run file, make its folder and search."""
    folder = create_run(plan(run, allow_python=allow_python), runs)
    return begin(folder, run, allow_python=allow_python, quiet=quiet)


def begin(folder: RunFolder, run: RunFile, *, allow_python: bool = False, quiet: bool = False) -> SearchResult:
    """The first session in a run folder, which is removed where the search is refused before it began, unless the error sends there."""
    try:
        return go_on(folder, storage=run.storage, allow_python=allow_python, quiet=quiet)
    except MetanasError as error:
        if not folder.log.exists() and str(folder.path) not in error.remedy:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


def go_on(
    folder: RunFolder,
    *,
    sets: Sequence[str] = (),
    storage: str | None = None,
    allow_python: bool = False,
    quiet: bool = False,
) -> SearchResult:
    """A session in a run folder: search, train the best, write the report.

    Raises
    ------
    KeyboardInterrupt
        After the session was interrupted; its results so far are kept and reported.

    """
    run = read_run_file(folder.run_file, sets=sets)
    storage = with_storage(run, storage).storage
    listener = make_progress(run.objectives, None if run.looked_up else run.rungs[-1], quiet=quiet)
    try:
        with _stoppable() as on_search:
            outcome = run_session(
                folder, sets=sets, storage=storage, listener=listener, allow_python=allow_python, on_search=on_search
            )
    finally:
        close: Callable[[], None] = getattr(listener, "close", lambda: None)
        close()
    write_report(folder, storage=storage)
    if outcome.ending is Ending.INTERRUPTED:
        raise KeyboardInterrupt
    return SearchResult(folder, allow_python, storage)


@contextmanager
def _stoppable() -> Iterator[Callable[[Search], None]]:
    """Ctrl-C and SIGTERM stop the search gently the first time, at once the second. Only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda search: None
        return
    running: list[Search] = []
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1 or not running:
            raise KeyboardInterrupt
        running[0].stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield running.append
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_report(folder: RunFolder, *, storage: str | None = None) -> Path:
    """Write the run's ``report.html`` from what its study holds, and return its path."""
    run, space, trials = read_run(folder, storage=storage)
    info = folder.read_info()
    data = info.get("data", {})
    records = [record for _, record in sorted(trials.records.items())]
    final = read_final(folder)
    choice = read_choice(folder)
    timeline = read_timeline(folder.log)
    summary = RunSummary(
        name=folder.path.resolve().name,
        space=space.name,
        space_about=space.about,
        space_size=space.size,
        data=DataSummary(
            name=data.get("name", ""),
            task=data.get("task", ""),
            shape=tuple(data.get("shape", ())),
            samples=data.get("samples", {}),
            fingerprint=data.get("fingerprint", ""),
        ),
        objectives=run.objectives,
        strategy=run.strategy,
        predictor=predictor_line(folder),
        looked_up=run.looked_up,
        trains=run.trains,
        under_way=owner_of(folder) is not None,
        seed=run.seed,
        trials=run.trials,
        versions=info.get("versions", {}),
        machine=info.get("machine", ""),
        seconds=timeline.seconds or None,
        workers=info.get("workers"),
        timeline=timeline,
        decisions=tuple(
            DecisionSummary(
                name=d.name, kind=d.kind, values=tuple(d.values) if d.kind == "choice" else (d.values[0], d.values[-1])
            )
            for d in space.decisions
        ),
        best_trial=choice.trial if choice else None,
        sureness=choice.sureness if choice else None,
        test_metrics={k: v for k, v in final.metrics.items() if k.startswith("test_")} if final else None,
        drawings=_drawings(space, records, run, data, choice.trial if choice else None),
        artefacts=tuple(sorted(f"best/{path.name}" for path in folder.best.glob("[!.]*")))
        if folder.best.is_dir()
        else (),
        # All settings are in this one, those of the command line too.
        command=folder.command("search", file=folder.run_file.name),
        use=folder.command("predict", "SAMPLES", python="python" in ops_in(space.template)) if final else "",
    )
    with disk_errors(folder):
        write_atomically(folder.report, render_report(summary, records))
    return folder.report


def _drawings(
    space: SearchSpace, records: Sequence[TrialRecord], run: RunFile, data: Mapping[str, Any], chosen: int | None
) -> dict[str, str]:
    """The network that the strategy chose, and those with the best values."""
    with _without_warnings("matplotlib"):
        from metanas.report import draw_architecture  # slow, so that a search does not begin with it

    directions = [direction for _, direction in run.objectives]
    drawings: dict[str, str] = {}
    first = [record for record in records if record.number == chosen]
    left = [record for record in records if record.duplicate_of is None or record.number == chosen]
    while len(drawings) < _DRAWN and (best := first.pop() if first else best_trial(left, directions)) is not None:
        architecture = Architecture.from_values(space, best.decisions)
        try:
            svg = draw_architecture(
                architecture, format="svg", input_shape=tuple(data["shape"]), outputs=data["outputs"],
                vocabulary=tuple(data.get("vocabulary", ())),
            )  # fmt: skip
        except (ShapeError, KeyError):
            # Modules of the user's have shapes that are not known here.
            svg = draw_architecture(architecture, format="svg")
        drawings[f"Trial {best.number}"] = svg.decode()
        left.remove(best)
    return drawings


@contextmanager
def _without_warnings(package: str) -> Iterator[None]:
    """Import a package that warns on standard error, as matplotlib does of a home it cannot write to and does without."""
    logger = logging.getLogger(package)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _keep_arrays(data: tuple[Any, ...], runs: Path, name: str) -> Path:
    """Arrays as a file, so that workers and a resume can read them; equal arrays share one."""
    if len(data) != 2:
        raise MetanasError("data given as arrays are a pair (x, y)", found=f"{len(data)} items")
    x, y = (np.asarray(part) for part in data)
    fingerprint = dataset_from_arrays(x, y, name=name).fingerprint
    # What cannot be a name is told with the other arguments.
    stem = re.sub(r"[^\w-]+", "-", name)
    path = (runs / f"{stem}-{fingerprint[:12]}.npz").resolve()
    if not zipfile.is_zipfile(path):  # nor is a file whose writing was cut
        with new_file(path) as part, part.open("wb") as file:
            np.savez_compressed(file, x=x, y=y)
    return path
