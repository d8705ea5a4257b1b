"""Run files -> :class:`RunFile`. Same loader and errors as space files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from metanas.data import data_mapping, spec_errors
from metanas.evaluator import RECIPE_OPTIONS
from metanas.predictor import NO_PREDICTOR
from metanas.space import (
    ListNode,
    MapNode,
    Mark,
    Node,
    Problems,
    ScalarNode,
    ValueSyntax,
    did_you_mean,
    kind_of,
    parse_yaml,
    plain,
    read_text,
)
from metanas.study._keys import Keys, named_settings
from metanas.study._objective_keys import objective_keys
from metanas.study._override import override
from metanas.study._quantities import hours, seconds, size
from metanas.study._run_file import DEFAULT_EPOCHS, DEFAULT_RETRIES, DEFAULT_STRATEGY, DEFAULT_TRIALS, RunFile
from metanas.study._stopping import stopping_problem
from metanas.study._strategies import strategy_problem, takes_model
from metanas.study._table_keys import table_keys
from metanas.study._url import STORAGE_REMEDY, STORAGE_RULE, storage_problem
from metanas.study._worker_keys import worker_keys

_TOP = (
    "name", "space", "data", "objective", "constraints", "search", "fidelity", "train", "workers", "storage", "evaluator",
)  # fmt: skip
_EVALUATORS = ("table", "python")
_FIDELITY = ("epochs", "stop")
_SEARCH = ("strategy", "predictor", "trials", "time", "gpu_hours", "target", "seed", "retries", "max_memory")
_TRAIN = tuple(option.name for option in RECIPE_OPTIONS)
_DATA = ("test", "validation", "ignore", "text", "user", "item", "images", "arrays")
_SECTIONS = {"search": _SEARCH, "train": _TRAIN, "fidelity": _FIDELITY, "data": _DATA}


def read_run_file(path: Path, *, sets: Sequence[str] = ()) -> RunFile:
    """Read a run file; ``sets`` are overrides such as ``search.trials=10``.

    Raises
    ------
    LanguageError
        With every breach of the rules.
    MetanasError
        If it cannot be read.

    """
    return parse_run_text(read_text(path), str(path), base=path.absolute().parent, sets=sets)


def parse_run_text(text: str, file: str, *, base: Path, sets: Sequence[str] = ()) -> RunFile:
    """A run file from its text; see :func:`read_run_file`."""
    root = parse_yaml(text, file)
    for setting in sets:
        if setting.startswith("data."):
            _spell_out_data(root, base)
        override(root, setting)
    problems = Problems()
    reader = _Reader(problems)
    run = reader.run_file(root, file, base)
    problems.raise_if_any()
    assert run is not None
    return run


def _spell_out_data(root: Node, base: Path) -> None:
    """Make ``data: digits`` a mapping, ``{name: digits}``, so that ``data.test=0.3`` can stand beside the name."""
    node = root.entries.get("data") if isinstance(root, MapNode) else None
    if not isinstance(root, MapNode) or not isinstance(node, ScalarNode) or not isinstance(node.value, str):
        return
    (key,) = data_mapping(node.value, base)
    root.entries["data"] = MapNode(node.mark, {key: node}, {key: node.mark})


class _Reader(Keys):
    """Nodes of a run file -> :class:`RunFile`."""

    def run_file(self, root: Node, file: str, base: Path) -> RunFile | None:
        if not isinstance(root, MapNode):
            self.problems.add(
                root.mark, "$", "a run file is a mapping", found=kind_of(root), remedy="see 'metanas init'"
            )
            return None
        self.keys(root, "$", _TOP)
        own = root.entries.get("evaluator")
        # Also where its key is misspelt: that is told below, and of data there are none.
        looks_up = isinstance(own, MapNode) and "python" not in own.entries
        for key in ("space", "data"):
            if key not in root.entries and not (looks_up and key == "data"):
                self.problems.add(root.mark, "$", f"the key {key!r} is required", remedy=f"add '{key}: ...'")
        search = self.section(root, "search", _SEARCH)
        strategy, options = self._strategy(search)
        train, rungs = self._training(root)
        objectives = objective_keys(self, root, any_name=isinstance(root.entries.get("evaluator"), MapNode))
        stop, stop_options = self._stop(root, rungs, len(objectives))
        workers, engine, engine_options = worker_keys(self, root)
        space = self.text(root, "$", "space")
        trials = self.number(search, "$.search", "trials", low=1, whole=True)
        time = self.quantity(search, "$.search", "time", seconds, "a duration such as 90s, 10m or 1h30m")
        gpu_hours = self.quantity(search, "$.search", "gpu_hours", hours, "a number of hours above 0")
        target = self.number(search, "$.search", "target")
        bounded = time is not None or target is not None or gpu_hours is not None
        return RunFile(
            file=file,
            base=base,
            name=self.name(root, "name", Path(file).absolute().parent.name or "search"),
            space=space,
            data=self._data(root),
            objectives=objectives,
            constraints=tuple(self._constraints(root)),
            strategy=strategy,
            strategy_options=options,
            predictor=self._predictor(search, strategy),
            trials=int(trials) if trials is not None else (None if bounded else DEFAULT_TRIALS),
            time=time,
            gpu_hours=gpu_hours,
            target=target,
            seed=self.whole(search, "$.search", "seed", 0),
            retries=self.whole(search, "$.search", "retries", DEFAULT_RETRIES),
            max_memory=self.quantity(search, "$.search", "max_memory", size, "a size such as 4GB or 512MB"),
            rungs=rungs,
            stop=stop,
            stop_options=stop_options,
            train=train,
            train_syntax=self._train_syntax(root),
            workers=workers,
            engine=engine,
            engine_options=engine_options,
            storage=self._storage(root),
            evaluator=self._evaluator(root),
        )

    def keys(self, node: MapNode, path: str, known: Iterable[str]) -> None:
        """Note every key that is not ``known``, and the section that it belongs to, if there is one."""
        known = list(known)
        for key in [key for key in node.entries if key not in known]:
            home = next((section for section, keys in _SECTIONS.items() if key in keys), None)
            remedy = did_you_mean(key, known)
            if key in _TOP:
                remedy = "it belongs at the top, under no section"
            elif home is not None:
                remedy = f"it belongs under `{home}`"
            self.problems.add(node.key_marks[key], path, f"unknown key {key!r}", remedy=remedy)

    def _data(self, root: MapNode) -> str | dict[str, Any]:
        node = root.entries.get("data")
        if node is None:
            return ""
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return node.value
        if isinstance(node, MapNode):
            spec = dict(plain(node))
            for error in spec_errors(spec):
                where = error.where or "data"
                mark = node.key_marks.get(where.removeprefix("data."), node.mark)
                self.problems.add(mark, f"$.{where}", error.rule, found=str(error.found), remedy=error.remedy)
            return spec
        self.problems.add(
            node.mark,
            "$.data",
            "data is a name, a path, or a mapping such as {table: people.csv, target: income}",
            found=kind_of(node),
        )
        return ""

    def _constraints(self, root: MapNode) -> list[tuple[str, Mark, str]]:
        node = root.entries.get("constraints")
        if node is None:
            return []
        if not isinstance(node, ListNode):
            self.problems.add(node.mark, "$.constraints", "constraints are a list of texts", found=kind_of(node))
            return []
        texts = []
        for index, item in enumerate(node.items):
            if isinstance(item, ScalarNode) and isinstance(item.value, str):
                texts.append((item.value, item.mark, f"$.constraints[{index}]"))
            else:
                self.problems.add(item.mark, f"$.constraints[{index}]", "a constraint is a text", found=kind_of(item))
        return texts

    def _strategy(self, search: MapNode) -> tuple[str, dict[str, Any]]:
        node = search.entries.get("strategy")
        if node is None:
            return DEFAULT_STRATEGY, {}
        named = named_settings(node)
        if named is None:
            self.problems.add(
                node.mark, "$.search.strategy", "a strategy is a name, or {name: {setting: value}}", found=kind_of(node)
            )
            return DEFAULT_STRATEGY, {}
        if problem := strategy_problem(*named):
            self.problems.add(
                node.mark, "$.search.strategy", problem.rule, found=problem.found or "", remedy=problem.remedy
            )
        return named

    def _predictor(self, search: MapNode, strategy: str) -> str | None:
        name = self.text(search, "$.search", "predictor", "")
        if name not in ("", NO_PREDICTOR) and not takes_model(strategy):
            self.problems.add(
                search.entries["predictor"].mark, "$.search.predictor", "a predictor is for the strategy meta",
                found=strategy, remedy="write 'strategy: meta', or leave the predictor out",
            )  # fmt: skip
        return name or None

    def _training(self, root: MapNode) -> tuple[dict[str, Any], tuple[int, ...]]:
        section = self.section(root, "train", _TRAIN)
        train = dict(plain(section))
        train_epochs = train.pop("epochs", None)
        node = section.entries.get("epochs")
        if node is not None and (
            isinstance(train_epochs, bool) or not isinstance(train_epochs, int) or train_epochs < 1
        ):
            self.problems.add(
                node.mark,
                "$.train.epochs",
                "epochs is a whole number from 1: the fidelity, not a decision",
                found=kind_of(node),
            )
            train_epochs = None
        rungs = self._rungs(root)
        if rungs and node is not None and train_epochs not in (None, rungs[-1]):
            self.problems.add(
                node.mark, "$.train.epochs", f"train.epochs is the last of fidelity.epochs, {rungs[-1]}", found=train_epochs,
                remedy="leave one of them out",
            )  # fmt: skip
        return train, rungs or (train_epochs or DEFAULT_EPOCHS,)

    def _train_syntax(self, root: MapNode) -> dict[str, ValueSyntax]:
        node = root.entries.get("train")
        if not isinstance(node, MapNode):
            return {}
        options = {option.name: option for option in RECIPE_OPTIONS}

        def rule(name: str) -> Callable[[Any], str]:
            option = options.get(name)
            return lambda value: "" if option is None or option.accepts(value) else option.rule

        return {
            name: self.value(value, f"$.train.{name}", rule(name))
            for name, value in node.entries.items()
            if name != "epochs" and name in options
        }

    def _rungs(self, root: MapNode) -> tuple[int, ...]:
        section = self.section(root, "fidelity", _FIDELITY)
        node = section.entries.get("epochs")
        if node is None:
            return ()
        value = plain(node)
        values = value if isinstance(value, list) else [value]
        good = all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in values)
        if not values or not good or sorted(set(values)) != values:
            self.problems.add(
                node.mark, "$.fidelity.epochs", "epochs is a whole number, or a rising list of them", found=value,
                remedy="write e.g. [3, 6, 12]",
            )  # fmt: skip
            return ()
        return tuple(values)

    def _stop(self, root: MapNode, rungs: tuple[int, ...], objectives: int) -> tuple[str, dict[str, Any]]:
        section = root.entries.get("fidelity")
        node = section.entries.get("stop") if isinstance(section, MapNode) else None
        if node is None:
            return "asha" if len(rungs) > 1 else "none", {}
        named = named_settings(node)
        if named is None:
            self.problems.add(
                node.mark, "$.fidelity.stop", "stop is a name, or {name: {setting: value}}", found=kind_of(node)
            )
            return "none", {}
        if problem := stopping_problem(*named, rungs=rungs, objectives=objectives):
            self.problems.add(
                node.mark, "$.fidelity.stop", problem.rule, found=problem.found or "", remedy=problem.remedy
            )
        return named

    def _storage(self, root: MapNode) -> str | None:
        storage = self.text(root, "$", "storage", "default")
        if storage == "default":
            return None
        if found := storage_problem(storage):
            self.problems.add(
                root.entries["storage"].mark, "$.storage", STORAGE_RULE, found=repr(found), remedy=STORAGE_REMEDY,
            )  # fmt: skip
        return storage

    def _evaluator(self, root: MapNode) -> str | dict[str, Any]:
        node = root.entries.get("evaluator")
        value = "train" if node is None else plain(node)
        if value == "train":
            return "train"
        if isinstance(value, dict) and set(value) == {"python"} and isinstance(value["python"], str):
            return value
        assert node is not None
        if isinstance(node, MapNode) and set(node.entries) == {"table"}:
            return {"table": table_keys(self, node.entries["table"], "$.evaluator.table")}
        key = next((key for key in node.entries if key not in _EVALUATORS), "") if isinstance(node, MapNode) else ""
        self.problems.add(
            node.mark, "$.evaluator", "an evaluator is train, {table: ...}, or {python: package.module:Factory}",
            found=f"the key {key!r}" if key else kind_of(node), remedy=did_you_mean(key, _EVALUATORS) if key else "",
        )  # fmt: skip
        return "train"
