"""From a run file to a search: everything is checked before a folder is made or a worker starts."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from optuna.storages import BaseStorage

from metanas._rng import generator
from metanas.controller import ENUMERABLE
from metanas.data import BUILTIN_NAMES, Dataset, Preparation, Splits, fit_preparation, load_dataset, split
from metanas.errors import MetanasError, StudyError
from metanas.evaluator import COSTS, DEFAULT_METRIC, METRICS, metric_problem, recipe_problems, table_of
from metanas.space import SearchSpace, did_you_mean, find_space, load_space
from metanas.study._folder import RunFolder, environment, write_atomically
from metanas.study._gate import Gate
from metanas.study._lease import Lease, StudyLease
from metanas.study._limits import Ending
from metanas.study._listener import Listener
from metanas.study._loop import Search
from metanas.study._proposer import make_proposer
from metanas.study._run_file import Objective, RunFile
from metanas.study._run_reader import read_run_file
from metanas.study._storage import disk_errors, open_storage
from metanas.study._strategies import STRATEGIES, make_sampler
from metanas.study._trials import Trials, open_study
from metanas.study._url import without_password
from metanas.trial import Result
from metanas.worker import Slot, make_engine, plan_slots

_MEMORY_SHARE = 0.8
"""Part of the free memory that workers on the CPU may count on together."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run file with all that it names, loaded and checked."""

    run: RunFile
    space: SearchSpace
    dataset: Dataset | None
    """None where results are looked up in a table; so are the next two."""
    splits: Splits | None
    preparation: Preparation | None
    objectives: tuple[Objective, ...]
    gate: Gate
    """What may be proposed."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured after each epoch: the objectives, the task's default metric and the loss."""
        names = [name for name, _ in self.objectives]
        if self.dataset is None:
            return tuple(names)
        return tuple(dict.fromkeys([*names, DEFAULT_METRIC[self.dataset.task], "loss"]))


def plan(run: RunFile, *, allow_python: bool = False) -> Plan:
    """Load and check what a run file names.

    Raises
    ------
    MetanasError
        If the space or the data cannot be used, or do not suit each other or the objectives; if networks of the
        space cannot be built for the data.

    """
    space = load_space(
        run.space, base=run.base, train=run.train_syntax, constraints=run.constraints, allow_python=allow_python
    )
    if isinstance(run.evaluator, dict) and "table" in run.evaluator:
        return _plan_table(run, space)
    dataset = load_dataset(run.data, base=run.base)
    if space.input != dataset.kind:
        raise MetanasError(
            "the space and the data are of one kind", found=f"the space {space.name} for {space.input} data, and "
            f"{dataset.name}, which is {_an(dataset.kind)} set", where=run.file,
            remedy=f"choose a space with 'input: {dataset.kind}'",
        )  # fmt: skip
    if space.tabular and run.evaluator == "train":
        raise MetanasError(
            "a tabular space has no networks to train", found=f"the space {space.name}", where=run.file,
            remedy="give an 'evaluator' that looks results up",
        )  # fmt: skip
    objectives = run.objectives or _default_objective(dataset)
    for name, _ in objectives:
        if (run.evaluator == "train" and name not in COSTS) and (
            problem := metric_problem(
                name, task=dataset.task, where=f"{run.file}: objective", allow_python=allow_python
            )
        ):
            raise problem
    _check_recipe(run, space, allow_python)
    if isinstance(run.evaluator, dict) and not allow_python:
        raise MetanasError(
            "an evaluator of your own runs only where Python code is allowed", found=run.evaluator["python"],
            where=f"{run.file}: evaluator", remedy="pass --allow-python if you trust this code",
        )  # fmt: skip
    splits = split(dataset, seed=run.seed)
    preparation = fit_preparation(dataset, splits.train)
    gate = Gate(space, preparation.input_shape, dataset.n_outputs, preparation.vocabulary, samples=len(splits.train))
    gate.check_shapes().raise_if_any()
    _check_some_network(gate)
    if run.strategy not in STRATEGIES:
        make_sampler(run.strategy, run.strategy_options, space, 0)
    return Plan(
        run=run, space=space, dataset=dataset, splits=splits, preparation=preparation, objectives=objectives, gate=gate,
    )  # fmt: skip


def _plan_table(run: RunFile, space: SearchSpace) -> Plan:
    """A search whose evaluations are looked up."""
    assert isinstance(run.evaluator, dict)
    spec = run.evaluator["table"]
    breach = (
        "no data: results are looked up" if run.data else "no rungs: a table has no epochs" if len(run.rungs) > 1
        else "no constraints on measures: nothing is built" if any(c.measures for c in space.constraints) else ""
    )  # fmt: skip
    if breach:
        raise MetanasError(
            f"a search over a table takes {breach}", where=run.file, remedy="leave it out of the run file"
        )
    named = spec.get("metric") or spec.get("maximize") or spec.get("minimize")
    way = next((way for way in ("maximize", "minimize") if way in spec), "")
    if not way and run.objectives:
        way = dict(run.objectives).get(str(named), run.objectives[0][1])
    if not way and "benchmark" not in spec:
        raise MetanasError(
            "a metric of your own needs a direction", found=str(named), where=f"{run.file}: evaluator.table",
            remedy=f"write 'objective: {{maximize: {named}}}' or minimize",
        )  # fmt: skip
    table = table_of(spec, space, base=run.base, direction=way or "maximize")
    objectives = run.objectives or ((table.metric, way or table.direction),)
    for name, _ in objectives:
        if name not in table.metrics:
            raise MetanasError(
                f"the table {table.name} has the metrics {', '.join(table.metrics)}", found=repr(name),
                where=f"{run.file}: objective", remedy=did_you_mean(name, table.metrics),
            )  # fmt: skip
    if run.engine == "simulated" and table.seconds is None:
        raise MetanasError(
            "a simulated clock needs the table's training seconds", found=f"none in {table.name}", where=run.file,
            remedy="name their column as 'cost', or use another engine",
        )  # fmt: skip
    gate = Gate(space, (1,), 1, samples=1, table=table)
    return Plan(run=run, space=space, dataset=None, splits=None, preparation=None, objectives=objectives, gate=gate)


def _data_info(planned: Plan) -> dict[str, Any]:
    dataset, splits, preparation = planned.dataset, planned.splits, planned.preparation
    if dataset is None or splits is None or preparation is None:
        table = planned.gate.table
        assert table is not None
        return {"name": table.name, "fingerprint": _fingerprint(planned)}
    return {
        "name": dataset.name,
        "kind": dataset.kind,
        "task": dataset.task,
        "outputs": dataset.n_outputs,
        "shape": list(preparation.input_shape),
        "vocabulary": list(preparation.vocabulary),
        "samples": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
        "fingerprint": dataset.fingerprint,
    }


def _fingerprint(planned: Plan) -> str:
    """Of the data set, or of the table."""
    if planned.dataset is not None:
        return planned.dataset.fingerprint
    table = planned.gate.table
    assert table is not None
    return hashlib.sha256(table.rows.tobytes() + table.losses.tobytes()).hexdigest()


def _an(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _default_objective(dataset: Dataset) -> tuple[Objective, ...]:
    name = DEFAULT_METRIC[dataset.task]
    return ((name, METRICS[name].direction),)


def _check_recipe(run: RunFile, space: SearchSpace, allow_python: bool) -> None:
    """Every setting is known and in range, whatever is decided: judged on the ends and options of each decision."""
    if "epochs" in space.recipe:
        raise MetanasError(
            "epochs are the fidelity of a run, not part of a space", found="train.epochs", where=f"space {space.name}",
            remedy="remove it there, and say 'fidelity: {epochs: ...}' in the run file",
        )  # fmt: skip
    rows = space.sample(32, generator(0, "recipe"))
    rows = np.concatenate(
        [rows, np.where(rows >= 0, 0, rows), np.where(rows >= 0, [d.size - 1 for d in space.decisions], rows)]
    )
    problems: dict[str, MetanasError] = {}
    for row in rows:
        for problem in recipe_problems(space.recipe_of(row), where=f"{run.file}: train", allow_python=allow_python):
            problems.setdefault(problem.where, problem)
    if problems:
        raise MetanasError("\n".join(str(problem) for problem in problems.values()))


def _check_some_network(gate: Gate) -> None:
    """Some network of the space can be built for the data and meets the constraints."""
    rng = generator(0, "some network")
    for rows in (gate.sample(8 * 4**k, rng) for k in range(4)):
        if any(not gate.refusal(row) for row in rows):
            return
    # A small space is looked through.
    small = gate.space.size is not None and gate.space.size <= ENUMERABLE
    if small and any(not gate.refusal(row) for row in gate.space.rows(ENUMERABLE)):
        return
    error = gate.explain_nothing_left()
    assert error is not None
    raise error


# --- the run folder


def create_run(planned: Plan, parent: Path, *, study: str | None = None) -> RunFolder:
    """A run folder that holds all that a resume needs. ``study`` names one of a shared storage that is to be gone on
    with; otherwise there will be a new one.
    """
    run = planned.run
    folder = RunFolder.create(parent, run.name)
    with disk_errors(folder.path):
        folder.space_file.write_text(planned.space.text, encoding="utf-8")
        folder.run_file.write_text(
            yaml.safe_dump(resolved(planned), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        folder.write_info(
            environment()
            | {
                "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "seed": run.seed,
                "run_file": run.file,
                "space": run.space,
                "study": study or _new_study(folder, run),
                "data": _data_info(planned),
            }
        )
    return folder


def study_name(folder: RunFolder) -> str:
    """Name of the study in its storage: the run folder's."""
    return folder.path.resolve().name


def _new_study(folder: RunFolder, run: RunFile) -> str:
    # In a shared storage a folder of another machine may have the same name.
    return study_name(folder) + (f"-{secrets.token_hex(3)}" if run.storage else "")


def resolved(planned: Plan) -> dict[str, Any]:
    """The run file with every default filled in and every path absolute. No password is written."""
    run = planned.run
    objective: dict[str, list[str]] = {}
    for name, direction in planned.objectives:
        objective.setdefault(direction, []).append(name)
    search = {
        "strategy": {run.strategy: dict(run.strategy_options)} if run.strategy_options else run.strategy,
        "trials": run.trials, "time": run.time, "gpu_hours": run.gpu_hours, "target": run.target, "seed": run.seed, "retries": run.retries,
        "max_memory": run.max_memory,
    }  # fmt: skip
    rungs = list(run.rungs)
    return {
        "name": run.name,
        "space": "space.yaml",
        **({"data": _absolute(run.data, run.base)} if planned.dataset is not None else {}),
        "objective": objective,
        "constraints": [text for text, _, _ in run.constraints],
        "search": {key: value for key, value in search.items() if value is not None},
        "fidelity": {"epochs": rungs if len(rungs) > 1 else rungs[0]},
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


def _absolute(data: str | Mapping[str, Any], base: Path) -> str | dict[str, Any]:
    if isinstance(data, str):
        return data if data in BUILTIN_NAMES else _absolute_path(data, base)
    return {
        k: _absolute_path(v, base) if k in ("table", "images", "arrays") and isinstance(v, str) else v
        for k, v in data.items()
    }


def _absolute_path(path: str, base: Path) -> str:
    return os.path.abspath(base / Path(path).expanduser())


# --- a session


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a session ended."""

    ending: Ending
    """Why it stopped proposing."""
    final: Result | None
    """The final training, when there was one."""


def run_session(
    folder: RunFolder,
    *,
    sets: Sequence[str] = (),
    storage: str | None = None,
    listener: Listener | None = None,
    allow_python: bool = False,
    on_search: Any = None,
) -> Outcome:
    """Search in a run folder, from its start or from where it stopped, until a limit is reached.

    ``sets`` override the folder's run file, for this session and later ones; ``storage`` its storage URL, for this
    session alone. ``on_search`` is called with the :class:`Search` before it begins.

    Raises
    ------
    MetanasError
        If another process works on the run, its data changed, its study cannot be read, or the search cannot go on.

    """
    with disk_errors(folder.path), Lease(folder):
        run = read_run_file(folder.run_file, sets=sets)
        planned = plan(run, allow_python=allow_python)
        _same_data(folder, planned)
        name = folder.read_info().get("study", study_name(folder))
        url = storage or run.storage
        opened = open_storage(folder.journal, url)
        study_id = open_study(opened, name, planned.objectives)
        with StudyLease(opened if url else None, study_id) as lease:
            _same_search(opened, study_id, planned)
            # Read only now, when nobody else writes any more.
            trials = Trials(opened, name, planned.space, planned.objectives)
            proposer = make_proposer(run.strategy, run.strategy_options, trials, planned.gate, seed=run.seed)
            if sets:  # not before all of it was accepted
                write_atomically(
                    folder.run_file, yaml.safe_dump(resolved(planned), sort_keys=False, allow_unicode=True)
                )
            # The workers of a cluster are not of this machine.
            slots = [] if run.engine == "ray" else plan_slots(run.workers if isinstance(run.workers, int) else "auto")
            setup = _setup(planned, slots, allow_python)
            engine = make_engine(
                run.engine, setup, slots, folder.workers, count=run.workers, options=run.engine_options,
                since=max((r.ended or r.started or 0.0 for r in trials.records.values()), default=0.0),
            )  # fmt: skip
            trials.clock = engine.time
            folder.write_info(folder.read_info() | {"workers": engine.capacity})
            finished = False
            try:
                search = Search(
                    run, folder, trials, planned.gate, proposer, engine, listener=listener or Listener(),
                    guard=lease.check,
                )  # fmt: skip
                if on_search is not None:
                    on_search(search)
                outcome = _outcome(search, trains=run.evaluator == "train")
                finished = True
            finally:
                engine.close(kill=not finished)
    return outcome


def _outcome(search: Search, *, trains: bool) -> Outcome:
    ending = search.search()
    final = None
    if ending is not Ending.INTERRUPTED and trains:
        final = search.train_best()
        ending = ending if final is not None or search.best() is None else Ending.INTERRUPTED
    return Outcome(ending=ending, final=final)


def _same_search(storage: BaseStorage, study_id: int, planned: Plan) -> None:
    """Note of what a study is, and refuse another search's: run folders may share a study, and so its trials."""
    space = hashlib.sha256(planned.space.text.encode()).hexdigest()
    known = storage.get_study_user_attrs(study_id)
    for key, value in {"metanas:space": space, "metanas:data": _fingerprint(planned)}.items():
        if key not in known:
            storage.set_study_user_attr(study_id, key, value)
        elif known[key] != value:
            what = key.removeprefix("metanas:")
            raise StudyError(
                f"a study keeps its {what}", found=f"another {what} than that of its first session", where="study",
                remedy="start a new search",
            )  # fmt: skip


def _same_data(folder: RunFolder, planned: Plan) -> None:
    expected = folder.read_info().get("data", {}).get("fingerprint")
    if expected and _fingerprint(planned) != expected:
        raise StudyError(
            "the data must stay as they were when the search began",
            found=f"fingerprint {_fingerprint(planned)[:12]} instead of {expected[:12]}",
            remedy="restore the data, or start a new search", where=_data_info(planned)["name"],
        )  # fmt: skip


def _setup(planned: Plan, slots: Sequence[Slot], allow_python: bool) -> dict[str, Any]:
    """All that a worker needs, as JSON values."""
    run = planned.run
    _, text = find_space(run.space, base=run.base)
    # On a GPU the slot, and on a cluster the worker, knows its own memory.
    limit = run.max_memory or (_free_memory(len(slots)) if slots and slots[0].device == "cpu" else None)
    setup = {
        "evaluator": run.evaluator,
        "base": str(run.base),
        "direction": planned.objectives[0][1],
        "allow_python": allow_python,
        "space": {"text": text, "file": run.space, "train": run.train},
        "data": {"spec": run.data, "base": str(run.base), "fingerprint": _fingerprint(planned)},
        "seed": run.seed,
        "metrics": list(planned.metrics),
        "memory_limit": limit,
    }
    return dict(json.loads(json.dumps(setup)))


def _free_memory(workers: int) -> int | None:
    """Bytes of main memory for each worker; None where the system does not tell."""
    try:
        pages = os.sysconf("SC_AVPHYS_PAGES")
        return int(_MEMORY_SHARE * pages * os.sysconf("SC_PAGE_SIZE") / workers)
    except (AttributeError, ValueError, OSError):
        return None


def read_run(folder: RunFolder, *, storage: str | None = None) -> tuple[RunFile, SearchSpace, Trials]:
    """What a run folder holds, read while a search may be writing it. Nothing is changed.

    Raises
    ------
    MetanasError
        If the study cannot be read.

    """
    run = read_run_file(folder.run_file)
    # Nothing of the user's is imported to read trials.
    space = load_space(run.space, base=run.base, train=run.train_syntax, constraints=run.constraints, allow_python=True)
    opened = open_storage(folder.journal, storage or run.storage, read_only=True)
    name = folder.read_info().get("study", study_name(folder))
    try:
        trials = Trials(opened, name, space, run.objectives, read_only=True)
    except KeyError:
        raise StudyError(
            "the storage must hold the run's study", found=f"none called {name}", where=str(folder.path),
            remedy="start the search with 'metanas resume'",
        ) from None  # fmt: skip
    return run, space, trials
