"""Tasks that a predictor learns from: runs, tables of benchmarks, and the tables of bench files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metanas._rng import generator
from metanas.bench._play import load_task
from metanas.bench._read import read_bench_file
from metanas.bench._spec import TaskSpec
from metanas.errors import MetanasError
from metanas.space import did_you_mean
from metanas.study import task_of_run
from metanas.tables import BENCHMARKS, TaskData


def gather(origins: Sequence[str], *, known: int | None, seed: int = 0) -> list[TaskData]:
    """The tasks behind names as ``--from`` has them, each once.

    A benchmark, one of its data sets (``nasbench201/cifar10``), a bench file (its tasks), or a run folder. Of tables
    ``known`` random architectures are taken, or all for None.

    Raises
    ------
    MetanasError
        If one is none of these, or cannot be read; if two have one name, as one would take the other's place.

    """
    tasks: dict[str, tuple[TaskSpec | Path, TaskData]] = {}
    for origin in origins:
        specs = _specs(origin)
        found: list[tuple[TaskSpec | Path, TaskData]] = [(spec, _of_table(spec, known, seed)) for spec in specs]
        for whence, task in found or [(Path(origin).resolve(), task_of_run(Path(origin)))]:
            other, _ = tasks.setdefault(task.name, (whence, task))
            if other == whence:
                continue
            if isinstance(other, Path) and isinstance(whence, Path):
                raise MetanasError(
                    "a predictor learns from each study once, or it would take two tasks for agreeing that are one",
                    found=f"{task.name} in {other} and {whence}", remedy="leave one out", where="--from",
                )  # fmt: skip
            both = " and ".join(str(w) if isinstance(w, Path) else w.file or w.name for w in (other, whence))
            raise MetanasError(
                "tasks of a predictor have names of their own, by default those of their tables' files or run folders",
                found=f"{task.name} for {both}", remedy="rename one of the two, or give a table a 'name'", where="--from",
            )  # fmt: skip
    return [task for _, task in tasks.values()]


def _of_table(spec: TaskSpec, known: int | None, seed: int) -> TaskData:
    return load_task(spec).task(known, generator(seed, "source", spec.name), single=False)


def _specs(origin: str) -> list[TaskSpec]:
    """The tables of an origin; none for a run folder."""
    name, _, dataset = origin.partition("/")
    if name in BENCHMARKS and not Path(origin).exists():
        known = BENCHMARKS[name].datasets
        if dataset and dataset not in known:
            raise MetanasError(
                f"{name} has no data set {dataset!r}", remedy=did_you_mean(dataset, known), where="--from"
            )
        return [TaskSpec(benchmark=name, dataset=each) for each in ([dataset] if dataset else known)]
    if Path(origin).suffix in (".yaml", ".yml"):
        return list(read_bench_file(Path(origin), tables_only=True).tasks)
    if Path(origin).is_file():
        raise MetanasError(
            "a predictor learns from tables of one's own that a bench file lists", found=repr(origin), where="--from",
            remedy="write a bench file whose 'tasks' name it and the space, and give that",
        )  # fmt: skip
    if not Path(origin).exists():
        raise MetanasError(
            "a predictor learns from benchmarks, bench files and run folders", found=f"nothing at {origin!r}", where="--from",
            remedy=did_you_mean(origin, BENCHMARKS) if len(Path(origin).parts) == 1 else "give the folder that a search made",
        )  # fmt: skip
    return []
