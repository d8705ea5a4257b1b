"""A session of a search, from its run folder; and reading one."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml

from metanas.data import data_notes
from metanas.errors import StudyError
from metanas.evaluator import PROXIES, proxy_scores
from metanas.predictor import FEW
from metanas.space import SearchSpace, find_space, load_space
from metanas.study._create import resolved, study_name
from metanas.study._folder import RunFolder, write_atomically
from metanas.study._identity import changed_code, check_identity
from metanas.study._kept_predictor import keep_predictor
from metanas.study._lease import Lease, StudyLease
from metanas.study._limits import Ending
from metanas.study._listener import Listener
from metanas.study._loop import Search
from metanas.study._plan import Plan, plan
from metanas.study._proposer import make_proposer
from metanas.study._proxies import Score
from metanas.study._run_file import RunFile
from metanas.study._run_reader import read_run_file
from metanas.study._storage import disk_errors, open_storage
from metanas.study._strategies import takes_model
from metanas.study._timeline import time_so_far
from metanas.study._trials import Trials, open_study
from metanas.study._url import sqlite_file
from metanas.trial import Result
from metanas.worker import Slot, make_engine, plan_slots

_MEMORY_SHARE = 0.8
"""Part of the free memory that workers on the CPU may count on together."""


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
    with disk_errors(folder), Lease(folder):
        run = read_run_file(folder.run_file, sets=sets)
        planned = plan(run, allow_python=allow_python)
        _same_data(folder, planned)
        name = folder.read_info().get("study", study_name(folder))
        url = storage or run.storage
        if folder.log.exists():
            _check_study_is_there(url, name, planned, folder)
        opened = open_storage(folder.journal, url)
        study_id = open_study(opened, name, planned.objectives)
        with StudyLease(opened if url else None, study_id) as lease:
            check_identity(opened, study_id, planned, note=True)
            changed = changed_code(opened, study_id, planned) if allow_python else []
            # Read only now, when nobody else writes any more.
            trials = Trials(opened, name, planned.space, planned.objectives)
            proposer = make_proposer(
                run.strategy, run.strategy_options, trials, planned.gate, seed=run.seed, knowledge=_knowledge(planned)
            )
            if sets:  # not before all of it was accepted
                keep_predictor(planned, folder)
                write_atomically(
                    folder.run_file, yaml.safe_dump(resolved(planned), sort_keys=False, allow_unicode=True)
                )
            # The workers of a cluster are not of this machine.
            slots = [] if run.engine == "ray" else _slots(run, trials)
            setup = _setup(planned, slots, allow_python)
            engine = make_engine(
                run.engine, setup, slots, folder.workers, count=run.workers, options=run.engine_options,
                since=max(time_so_far(folder.log)[1], *(r.ended or r.started or 0.0 for r in trials.records.values()), 0.0),
            )  # fmt: skip
            trials.clock = engine.time
            folder.write_info(folder.read_info() | {"workers": engine.capacity, "needs_python": planned.needs_python})
            finished = False
            try:
                search = Search(
                    run, folder, trials, planned.gate, proposer, engine, listener=listener or Listener(),
                    guard=lease.check, score=_score(planned, allow_python),
                )  # fmt: skip
                if listener is not None:
                    _tell(listener, planned, changed)
                if on_search is not None:
                    on_search(search)
                outcome = _outcome(search, trains=run.trains)
                finished = True
            finally:
                engine.close(kill=not finished)
    return outcome


def _check_study_is_there(url: str | None, name: str, planned: Plan, folder: RunFolder) -> None:
    """A search that has begun goes on where its trials are, and does not begin anew in another database; none is made."""
    file = sqlite_file(url) if url else folder.journal
    with suppress(KeyError):
        if file is None or file.exists():
            if url:
                open_study(open_storage(folder.journal, url), name, planned.objectives, read_only=True)
            # A journal that was torn is cut, however little is left.
            return
    raise StudyError(
        "a search goes on in the storage that has its trials", found=f"no study {name} there", where="storage",
        remedy="give the storage that it began with, or start a new search",
    )  # fmt: skip


def _slots(run: RunFile, trials: Trials) -> list[Slot]:
    """One a worker; no more than there are trials left, as each takes memory, and threads of the others."""
    slots = plan_slots(run.workers if isinstance(run.workers, int) else "auto")
    if run.trials is None:
        return slots
    done = sum(r.status is not None and r.duplicate_of is None for r in trials.records.values())
    left = max(1, run.trials - done)
    return slots if len(slots) <= left else plan_slots(left)


def _tell(listener: Listener, planned: Plan, changed: Sequence[str]) -> None:
    """What is known before the first trial: of the data, of the user's modules that ``changed``, and by the predictor."""
    if planned.dataset is not None and planned.preparation is not None:
        for note in data_notes(planned.dataset, planned.preparation):
            listener.noted(note)
    if changed:
        listener.noted(
            f"{' and '.join(changed)} changed since the session before, so that results of both may not be comparable"
        )
    model = planned.model
    if model is None or not model.sources:
        return
    listener.informed(
        [source.name for source in model.sources], model.rank_correlation if model.judged else None,
        trusted=model.tells, few=model.judged_on if model.judged_on < FEW else None,
    )  # fmt: skip
    if carried := [source for source in model.sources if source.elsewhere]:
        kept, all_of = sum(s.count for s in carried), sum(s.elsewhere for s in carried)
        listener.carried_over((len(carried), len(model.sources)), kept, all_of)


def _knowledge(planned: Plan) -> dict[str, Any]:
    """What a strategy that transfers is told beside its settings."""
    if not takes_model(planned.run.strategy):
        return {}
    return {"model": planned.model, "facts": planned.data_info["facts"], "single": planned.gate.table is None}


def _score(planned: Plan, allow_python: bool) -> Score | None:
    """What tells proxies of networks on a run's data; None where results are looked up."""
    if planned.dataset is None or planned.space.tabular:
        return None
    return partial(
        proxy_scores, dataset=planned.dataset, names=tuple(PROXIES), seed=planned.run.seed, allow_python=allow_python
    )


def _outcome(search: Search, *, trains: bool) -> Outcome:
    ending = search.search()
    final = None
    if ending is not Ending.INTERRUPTED and trains:
        final = search.train_best()
        ending = ending if final is not None or search.best() is None else Ending.INTERRUPTED
    return Outcome(ending=ending, final=final)


def _same_data(folder: RunFolder, planned: Plan) -> None:
    expected = folder.read_info().get("data", {}).get("fingerprint")
    if expected and planned.fingerprint != expected:
        raise StudyError(
            "the data must stay as they were when the search began",
            found=f"fingerprint {planned.fingerprint[:12]} instead of {expected[:12]}",
            remedy="restore the data, or start a new search", where=planned.data_info["name"],
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
        "data": {"spec": run.data, "base": str(run.base), "fingerprint": planned.fingerprint},
        "seed": run.seed,
        "metrics": list(planned.metrics),
        "memory_limit": limit,
        "supernet": dict(run.strategy_options) if run.strategy == "supernet" else None,
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
            remedy="give the storage that it began with, or leave it out" if folder.log.exists()
            else f"start the search with: {folder.command('resume')}",
        ) from None  # fmt: skip
    return run, space, trials
