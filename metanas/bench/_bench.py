"""All cells of a bench, in parallel processes; what is done is kept, and not done again."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas._version import __version__
from metanas.bench._play import Cell, load_task, play
from metanas.bench._read import uses_sources
from metanas.bench._spec import BenchFile, CellSpec
from metanas.errors import MetanasError, StudyError
from metanas.space import SearchSpace
from metanas.study import write_atomically

_VERSION = 2
"""Of what a cell holds; one more when its meaning changes."""
_IN_HAND = 2
"""Cells handed out for each process, so that none waits."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a bench came to."""

    bench: BenchFile
    """Its file."""
    cells: Mapping[tuple[str, str, int], Cell]
    """By name of the task, name of the contestant, and seed."""


class Bench:
    """A bench and the folder that keeps its cells."""

    def __init__(self, bench: BenchFile, folder: Path) -> None:
        self.bench = bench
        self.folder = folder

    def specs(self) -> list[CellSpec]:
        """All cells: those of one seed together, so that a process has what it made of their sources at hand."""
        bench = self.bench
        return [
            CellSpec(
                task=task, contestant=contestant, sources=bench.sources if uses_sources(contestant) else None,
                evaluations=bench.evaluations, seed=seed, values=bench.values, workers=bench.workers,
            )
            for seed in range(bench.first_seed, bench.first_seed + bench.seeds)
            for task in bench.tasks
            for contestant in bench.contestants
        ]  # fmt: skip

    def path(self, spec: CellSpec) -> Path:
        """Where a cell's result lies: named by all that it depends on, so that a changed bench finds what still holds."""
        key = json.dumps([_VERSION, __version__, spec.to_json(), _stamp(spec)], sort_keys=True)
        return self.folder / "cells" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"

    def read(self, spec: CellSpec) -> Cell | None:
        """A cell that is done; None for one that is not, or whose file is damaged."""
        try:
            return Cell.from_json(json.loads(self.path(spec).read_text(encoding="utf-8"))["cell"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, spec: CellSpec, cell: Cell) -> None:
        """Keep a cell."""
        data = {"of": spec.to_json(), "name": spec.contestant.name, "cell": cell.to_json()}
        write_atomically(self.path(spec), json.dumps(data))


def _stamp(spec: CellSpec) -> list[Any]:
    """Size and time of the files that tables of the user's are read from."""
    tasks = [spec.task, *(spec.sources.tasks if spec.sources else ())]
    files = {file for task in tasks for file in (task.file, task.space) if file and os.path.isabs(file)}
    return [[file, os.stat(file).st_size, os.stat(file).st_mtime_ns] for file in sorted(files) if os.path.exists(file)]


def _check_sources(bench: BenchFile, spaces: Sequence[SearchSpace]) -> None:
    for source in bench.sources.tasks:
        if not any(load_task(source).space.decisions == space.decisions for space in spaces):
            raise MetanasError(
                "source and target have the same decisions", found=f"{source.name} for {bench.tasks[0].name}", where="sources",
                remedy="name sources of the space of a target",
            )  # fmt: skip


def run_bench(
    bench: BenchFile,
    folder: Path,
    *,
    processes: int,
    progress: Callable[[int, int, CellSpec | None], None] = lambda done, total, spec: None,
) -> Comparison:
    """Search in every cell that is not done yet, in so many ``processes``.

    ``progress`` is told how many are done, of how many, and the one just done.

    Raises
    ------
    MetanasError
        If a table cannot be read, or a cell fails; the others are kept.
    KeyboardInterrupt
        On Ctrl-C; what is done is kept.

    """
    keeper = Bench(bench, folder)
    # Before anything runs; and a benchmark's table is then in the cache for all processes.
    spaces = [load_task(task).space for task in bench.tasks]
    if any(map(uses_sources, bench.contestants)):
        _check_sources(bench, spaces)
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            "a bench has a folder for its results", found=str(error), where=str(folder), remedy="name another one with --out"
        ) from error  # fmt: skip
    specs = keeper.specs()
    done: dict[int, Cell] = {}
    waiting: list[int] = []
    for number, spec in enumerate(specs):
        cell = keeper.read(spec)
        if cell is None:
            waiting.append(number)
        else:
            done[number] = cell
    progress(len(done), len(specs), None)
    failures: list[str] = []

    def keep(number: int, result: Future[Cell]) -> None:
        spec = specs[number]
        try:
            cell = result.result()
        except MetanasError as error:
            failures.append(f"{spec.contestant.name} on {spec.task.name}, seed {spec.seed}: {error}")
            return
        keeper.write(spec, cell)
        done[number] = cell
        progress(len(done), len(specs), spec)

    _run(specs, waiting, keep, processes=processes)
    if failures:
        raise StudyError(
            "every search of a bench ends well", found=f"{len(failures)} that failed, the first: {failures[0]}",
            where=str(folder), remedy="mend the cause and start again: what is done is kept",
        )  # fmt: skip
    return Comparison(
        bench=bench,
        cells={(spec.task.name, spec.contestant.name, spec.seed): done[number] for number, spec in enumerate(specs)},
    )


def _run(
    specs: Sequence[CellSpec], waiting: list[int], keep: Callable[[int, Future[Cell]], None], *, processes: int
) -> None:
    """Play the waiting cells, and hand each result to ``keep``; one process is this one itself."""
    processes = min(processes, len(waiting))
    if processes <= 1:
        for number in waiting:
            here: Future[Cell] = Future()
            try:
                here.set_result(play(specs[number]))
            except MetanasError as error:
                here.set_exception(error)
            keep(number, here)
        return
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
    running: dict[Future[Cell], int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < _IN_HAND * processes:
                number = waiting.pop(0)
                running[executor.submit(play, specs[number])] = number
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for result in ended:
                keep(running.pop(result), result)
    except BrokenProcessPool as error:
        raise StudyError(
            "the processes of a bench must live", found="one that was killed, perhaps for want of memory",
            remedy="start again, with fewer --processes: what is done is kept",
        ) from error  # fmt: skip
    except BaseException:
        for process in list((executor._processes or {}).values()):
            process.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int) -> None:
    """In each process: Ctrl-C is the parent's to handle, and without the parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_without, args=(parent,), daemon=True).start()


def _leave_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
