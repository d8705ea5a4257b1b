"""A run file with all that it names, loaded and checked before a folder is made or a worker starts."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metanas._rng import generator
from metanas.data import Dataset, Preparation, Splits, fit_preparation, load_dataset, split
from metanas.errors import MetanasError, SeveralErrors
from metanas.evaluator import (
    COSTS,
    DEFAULT_METRIC,
    METRICS,
    import_factory,
    metric_problem,
    python_refused,
    recipe_names_python,
    recipe_problems,
    table_of,
)
from metanas.predictor import NO_PREDICTOR, SpaceModel, model_for
from metanas.space import Rows, SearchSpace, did_you_mean, load_space, ops_in
from metanas.study._folder import RunFolder
from metanas.study._gate import Gate
from metanas.study._objective_keys import first_quality
from metanas.study._run_file import Objective, RunFile
from metanas.study._stopping import make_pruner
from metanas.study._strategies import STRATEGIES, check_sampler, proxies_problem, takes_model
from metanas.tables import BENCHMARKS, ResultTable

_SMALL = 4_000
"""Rows of a space that is looked through: quicker than learning to steer in it, and sure. Of a larger one so much takes minutes."""


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
    model: SpaceModel | None = None
    """What the predictor knows of the space."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured after each epoch: the objectives, the task's default metric and the loss."""
        names = [name for name, _ in self.objectives]
        if self.dataset is None:
            return tuple(names)
        return tuple(dict.fromkeys([*names, DEFAULT_METRIC[self.dataset.task], "loss"]))

    @property
    def needs_python(self) -> bool:
        """Whether code of the user's is named, so that the search goes on only where that is allowed."""
        own = isinstance(self.run.evaluator, dict) and "python" in self.run.evaluator
        metrics = self.run.trains and any(name not in METRICS and name not in COSTS for name, _ in self.objectives)
        return own or metrics or "python" in ops_in(self.space.template) or recipe_names_python(self.space)

    @property
    def fingerprint(self) -> str:
        """Of the data set, or of the table."""
        if self.dataset is not None:
            return self.dataset.fingerprint
        table = self.gate.table
        assert table is not None
        return hashlib.sha256(table.rows.tobytes() + table.losses.tobytes()).hexdigest()

    @property
    def data_info(self) -> dict[str, Any]:
        """What the run folder notes of the data, as JSON values."""
        dataset, splits, preparation = self.dataset, self.splits, self.preparation
        if dataset is None or splits is None or preparation is None:
            assert self.gate.table is not None
            facts = dict(self.gate.table.facts)
            return {"name": self.gate.table.name, "fingerprint": self.fingerprint, "facts": facts}
        samples = {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)}
        return {
            "name": dataset.name,
            "kind": dataset.kind,
            "task": dataset.task,
            "outputs": dataset.n_outputs,
            "shape": list(preparation.input_shape),
            "vocabulary": list(preparation.vocabulary),
            "samples": samples,
            "fingerprint": dataset.fingerprint,
            # By the names that tables of benchmarks use, so that data sets can be compared.
            "facts": {
                "samples": sum(samples.values()), "classes": dataset.n_outputs,
                "features": math.prod(preparation.input_shape),
            },
        }  # fmt: skip


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
    model = _model(run, space)
    if run.strategy == "supernet" and not run.trains:
        raise MetanasError(
            "a supernet is trained, so its search trains networks too", found="another evaluator", where=run.file,
            remedy="leave 'evaluator' out, or use another strategy",
        )  # fmt: skip
    if (run.looked_up or space.tabular) and (problem := proxies_problem(run.strategy_options, run.file)):
        raise problem
    if run.looked_up:
        return _plan_table(run, space, model)
    dataset = load_dataset(run.data, base=run.base)
    if space.input != dataset.kind:
        raise MetanasError(
            "the space and the data are of one kind", found=f"the space {space.name} for {space.input} data, and "
            f"{dataset.name}, which is {_an(dataset.kind)} set", where=run.file,
            remedy=f"choose a space with 'input: {dataset.kind}'",
        )  # fmt: skip
    if space.tabular and run.trains:
        raise MetanasError(
            "a tabular space has no networks to train", found=f"the space {space.name}", where=run.file,
            remedy="give an 'evaluator' that looks results up",
        )  # fmt: skip
    objectives = run.objectives or _default_objective(dataset)
    model = _of_quality(model, run, objectives)
    _check_no_main(run, space, objectives)
    for name, _ in objectives:
        if (run.trains and name not in COSTS) and (
            problem := metric_problem(
                name, task=dataset.task, where=f"{run.file}: objective", allow_python=allow_python
            )
        ):
            raise problem
    _check_recipe(run, space, allow_python)
    if isinstance(run.evaluator, dict) and not allow_python:
        raise python_refused(run.evaluator["python"], where=f"{run.file}: evaluator")
    if isinstance(run.evaluator, dict) and run.engine != "ray":  # whose nodes may have what this machine has not
        import_factory(run.evaluator["python"], where=f"{run.file}: evaluator")
    splits = split(dataset, seed=run.seed)
    preparation = fit_preparation(dataset, splits.train)
    gate = Gate(space, preparation.input_shape, dataset.n_outputs, preparation.vocabulary, samples=len(splits.train))
    gate.check_shapes().raise_if_any()
    _check_some_network(gate)
    if run.strategy not in STRATEGIES:
        check_sampler(run.strategy, run.strategy_options, space, len(objectives))
    if run.stop.startswith("optuna:"):
        make_pruner(run.stop, run.stop_options, run.rungs)
    return Plan(
        run=run, space=space, dataset=dataset, splits=splits, preparation=preparation, objectives=objectives, gate=gate,
        model=model,
    )  # fmt: skip


def _model(run: RunFile, space: SearchSpace) -> SpaceModel | None:
    """What the run's predictor knows of the space."""
    if not takes_model(run.strategy) or run.predictor == NO_PREDICTOR:
        return None
    try:
        return model_for(space, run.predictor, base=run.base)
    except MetanasError as error:
        if run.predictor != RunFolder.PREDICTOR:
            raise
        # That of a run folder: it cannot be fitted again.
        raise MetanasError(
            error.rule, found=error.found, where=error.where,
            remedy="go on with another one: metanas resume RUN --set search.predictor=NAME, or =none",
        ) from error  # fmt: skip


def _of_quality(model: SpaceModel | None, run: RunFile, objectives: tuple[Objective, ...]) -> SpaceModel | None:
    """The model where it has something to say: of objectives that are costs it knows nothing."""
    if model is None or first_quality(objectives, run.evaluator) is not None:
        return model
    if run.predictor is None:
        return None
    raise MetanasError(
        "a predictor tells how good networks are, and not what they cost",
        found=f"a search for {' and '.join(name for name, _ in objectives)} alone", where=run.file,
        remedy="leave 'predictor' out, or search for a metric too",
    )  # fmt: skip


def _plan_table(run: RunFile, space: SearchSpace, model: SpaceModel | None) -> Plan:
    """A search whose evaluations are looked up."""
    assert isinstance(run.evaluator, dict)
    spec = run.evaluator["table"]
    breach = (
        "no data: results are looked up" if run.data else "no rungs: a table has no epochs" if len(run.rungs) > 1 or run.stop != "none"
        else "no constraints on measures: nothing is built" if any(c.measures for c in space.constraints) else ""
    )  # fmt: skip
    if breach:
        raise MetanasError(
            f"a search over a table takes {breach}", where=run.file, remedy="leave it out of the run file"
        )
    named = spec.get("metric") or spec.get("maximize") or spec.get("minimize")
    way = next((way for way in ("maximize", "minimize") if way in spec), "")
    benchmark = BENCHMARKS.get(spec.get("benchmark", ""))
    if benchmark is not None and named and named not in dict(run.objectives):
        way = benchmark.metrics[named].direction
    if not way and run.objectives:
        way = dict(run.objectives).get(str(named), run.objectives[0][1])
    if not way and benchmark is None:
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
    if run.strategy not in STRATEGIES:
        check_sampler(run.strategy, run.strategy_options, space, len(objectives))
    gate = Gate(space, (1,), 1, samples=1, table=table)
    model = None if model is None else _unseen(model, table, run)
    model = _of_quality(model, run, objectives)
    return Plan(
        run=run, space=space, dataset=None, splits=None, preparation=None, objectives=objectives, gate=gate, model=model
    )


def _unseen(model: SpaceModel, table: ResultTable, run: RunFile) -> SpaceModel:
    """The model without what it learned from this very table, which would be no prediction."""
    unseen = model.without(table.task(None, generator(0, "table")))
    if model.sources and not unseen.sources and run.predictor is not None:
        raise MetanasError(
            "a predictor for a search over a table knows something else than this table",
            found=f"{', '.join(source.name for source in model.sources)}, of the same results", where=run.file,
            remedy="leave the predictor out, or fold another task in with 'metanas predictor update'",
        )  # fmt: skip
    return unseen


def _an(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _default_objective(dataset: Dataset) -> tuple[Objective, ...]:
    name = DEFAULT_METRIC[dataset.task]
    return ((name, METRICS[name].direction),)


def _check_no_main(run: RunFile, space: SearchSpace, objectives: tuple[Objective, ...]) -> None:
    """Nothing of the user's lies in ``__main__``, a script or notebook, where workers are other processes."""
    named = " ".join([str(run.evaluator), *(name for name, _ in objectives), str(dict(run.train)), space.text])
    if run.engine != "inline" and (found := re.search(r"\b__main__:\w+", named)):
        raise MetanasError(
            "workers are other processes, whose __main__ is another", found=found[0], where=run.file,
            remedy="put it into a module that they can import, and name that: module:Name",
        )  # fmt: skip


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
        raise SeveralErrors(problems.values())


def _check_some_network(gate: Gate) -> None:
    """Some network of the space can be built for the data and meets the constraints."""
    rng, size = generator(0, "some network"), gate.space.size

    def tried() -> Iterator[Rows]:
        if size is not None and size <= _SMALL:
            yield rng.permutation(gate.space.rows(_SMALL))
        else:
            yield gate.space.sample(64, rng)
            yield from (gate.sample(8 * 4**k, rng) for k in range(4))

    if any(not gate.refusal(row) for rows in tried() for row in rows):
        return
    error = gate.explain_nothing_left()
    assert error is not None
    raise error
