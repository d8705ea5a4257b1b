"""Run files -> :class:`RunFile`. Same loader and errors as space files."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from metanas.evaluator import COSTS, METRICS, RECIPE_OPTIONS
from metanas.space import (
    LanguageError,
    ListNode,
    MapNode,
    Mark,
    Node,
    Problem,
    Problems,
    ScalarNode,
    Values,
    ValueSyntax,
    did_you_mean,
    kind_of,
    parse_yaml,
    plain,
    read_text,
)
from metanas.study._run_file import DEFAULT_EPOCHS, DEFAULT_STRATEGY, DEFAULT_TRIALS, Objective, RunFile
from metanas.study._strategies import strategy_problem
from metanas.study._table_keys import table_keys
from metanas.study._url import SCHEMES, storage_problem
from metanas.worker import ENGINE_OPTIONS

_TOP = (
    "name", "space", "data", "objective", "constraints", "search", "fidelity", "train", "workers", "storage", "evaluator",
)  # fmt: skip
_SEARCH = ("strategy", "trials", "time", "gpu_hours", "target", "seed", "retries", "max_memory")
_STORAGE_RULE = f"storage is default, or a URL that begins with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}"
_STORAGE_REMEDY = "write e.g. postgresql://user@host/name or sqlite:////folder/study.db"
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?")
_DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


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
        override(root, setting)
    problems = Problems()
    reader = _Reader(problems)
    run = reader.run_file(root, file, base)
    problems.raise_if_any()
    assert run is not None
    return run


def with_storage(run: RunFile, url: str | None) -> RunFile:
    """The run file with another storage; itself without one.

    Raises LanguageError if the URL is none.
    """
    if url is None:
        return run
    if url == "default":
        return replace(run, storage=None)
    if found := storage_problem(url):
        mark = Mark("--storage", 1, 1)
        raise LanguageError([Problem(mark, "$.storage", _STORAGE_RULE, repr(found), _STORAGE_REMEDY)])
    return replace(run, storage=url)


def override(root: Node, setting: str) -> None:
    """Put a setting such as ``search.trials=10`` into a document. Raises LanguageError when it is none."""
    key, equals, text = setting.partition("=")
    mark = Mark(f"--set {key}", 1, 1)
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", key):
        raise LanguageError([Problem(mark, "$", "an override is key=value", setting, "write e.g. search.trials=10")])
    value = parse_yaml(text, mark.file) if text.strip() else ScalarNode(mark, "")
    node, parts = root, key.split(".")
    for part in parts[:-1]:
        if not isinstance(node, MapNode):
            break
        inner = node.entries.get(part)
        if not isinstance(inner, MapNode):
            inner = MapNode(mark)
            node.entries[part], node.key_marks[part] = inner, mark
        node = inner
    if isinstance(node, MapNode):
        node.entries[parts[-1]], node.key_marks[parts[-1]] = value, mark


class _Reader(Values):
    """Nodes of a run file -> :class:`RunFile`."""

    _own_evaluator = False
    _looks_up = False

    def run_file(self, root: Node, file: str, base: Path) -> RunFile | None:
        if not isinstance(root, MapNode):
            self.problems.add(
                root.mark, "$", "a run file is a mapping", found=kind_of(root), remedy="see 'metanas init'"
            )
            return None
        self.keys(root, "$", _TOP)
        # An evaluator of the user's own measures what it likes.
        own = root.entries.get("evaluator")
        self._own_evaluator = isinstance(own, MapNode)
        self._looks_up = isinstance(own, MapNode) and "table" in own.entries
        for key in ("space", "data"):
            if key not in root.entries and not (self._looks_up and key == "data"):
                self.problems.add(root.mark, "$", f"the key {key!r} is required", remedy=f"add '{key}: ...'")
        search = self._section(root, "search", _SEARCH)
        strategy, options = self._strategy(search)
        train, rungs = self._training(root)
        workers, engine, engine_options = self._workers(root)
        space = self.text(root, "$", "space")
        trials = self._number(search, "$.search", "trials", low=1, whole=True)
        time = self._parsed(search, "$.search", "time", _seconds, "a duration such as 90s, 10m or 1h30m")
        gpu_hours = self._parsed(search, "$.search", "gpu_hours", _hours, "a number of hours above 0")
        target = self._number(search, "$.search", "target")
        bounded = time is not None or target is not None or gpu_hours is not None
        return RunFile(
            file=file,
            base=base,
            name=self._name(root, Path(file).absolute().parent.name or "search"),
            space=space,
            data=self._data(root),
            objectives=self._objectives(root),
            constraints=tuple(self._constraints(root)),
            strategy=strategy,
            strategy_options=options,
            trials=int(trials) if trials is not None else (None if bounded else DEFAULT_TRIALS),
            time=time,
            gpu_hours=gpu_hours,
            target=target,
            seed=int(self._number(search, "$.search", "seed", low=0, whole=True) or 0),
            retries=int(self._number(search, "$.search", "retries", low=0, whole=True, default=2) or 0),
            max_memory=self._parsed(search, "$.search", "max_memory", _bytes, "a size such as 4GB or 512MB"),
            rungs=rungs,
            train=train,
            train_syntax=self._train_syntax(root),
            workers=workers,
            engine=engine,
            engine_options=engine_options,
            storage=self._storage(root),
            evaluator=self._evaluator(root),
        )

    def _section(self, root: MapNode, key: str, known: Sequence[str]) -> MapNode:
        node = root.entries.get(key)
        if node is None or (isinstance(node, ScalarNode) and node.value is None):
            return MapNode(root.mark)
        if not isinstance(node, MapNode):
            self.problems.add(node.mark, f"$.{key}", f"'{key}' is a mapping", found=kind_of(node))
            return MapNode(node.mark)
        self.keys(node, f"$.{key}", known)
        return node

    def _name(self, root: MapNode, default: str) -> str:
        name = self.text(root, "$", "name", re.sub(r"[^\w-]+", "-", default).strip("-")[:80] or "search")
        if not re.fullmatch(r"[\w-]{1,80}", name):
            self.problems.add(
                root.entries["name"].mark, "$.name", "a name is letters, digits, _ and -", found=repr(name)
            )
        return name

    def _data(self, root: MapNode) -> str | dict[str, Any]:
        node = root.entries.get("data")
        if node is None:
            return ""
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return node.value
        if isinstance(node, MapNode):
            return dict(plain(node))
        self.problems.add(
            node.mark,
            "$.data",
            "data is a name, a path, or a mapping such as {table: people.csv, target: income}",
            found=kind_of(node),
        )
        return ""

    def _objectives(self, root: MapNode) -> tuple[Objective, ...]:
        node = root.entries.get("objective")
        if node is None:
            return ()
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return self._checked([(node.value, _direction(node.value), node)], node)
        if not isinstance(node, MapNode):
            self.problems.add(
                node.mark, "$.objective", "an objective is {maximize: accuracy} or the like", found=kind_of(node)
            )
            return ()
        self.keys(node, "$.objective", ("maximize", "minimize"))
        found: list[tuple[str, str, Node]] = []
        for direction in node.entries:
            entry = node.entries[direction]
            items = entry.items if isinstance(entry, ListNode) else [entry]
            for item in items:
                if isinstance(item, ScalarNode) and isinstance(item.value, str):
                    found.append((item.value, direction, item))
                else:
                    self.problems.add(
                        item.mark, f"$.objective.{direction}", "an objective is a name", found=kind_of(item)
                    )
        return self._checked(found, node)

    def _checked(self, found: list[tuple[str, str, Node]], node: Node) -> tuple[Objective, ...]:
        names = [name for name, _, _ in found]
        for name, direction, item in found:
            if name not in METRICS and name not in COSTS and not _DOTTED.fullmatch(name) and not self._own_evaluator:
                self.problems.add(
                    item.mark,
                    "$.objective",
                    f"no metric has the name {name!r}",
                    remedy=did_you_mean(name, [*METRICS, *COSTS]),
                )
            elif _direction(name) not in ("", direction) and direction in ("maximize", "minimize"):
                self.problems.add(
                    item.mark, "$.objective", f"{name} is better when it is {_WORDS[_direction(name)]}",
                    found=direction, remedy=f"write {{{_direction(name)}: {name}}}",
                )  # fmt: skip
            elif direction == "":
                self.problems.add(
                    item.mark, "$.objective", "a metric of your own needs a direction", found=name,
                    remedy=f"write {{maximize: {name}}} or {{minimize: {name}}}",
                )  # fmt: skip
            if names.count(name) > 1:
                self.problems.add(item.mark, "$.objective", "an objective stands once", found=name)
        if not found:
            self.problems.add(
                node.mark, "$.objective", "name one objective or more", remedy="write {maximize: accuracy}"
            )
        return tuple((name, direction) for name, direction, _ in found)

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
        name = ""
        options: dict[str, Any] = {}
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            name = node.value
        elif isinstance(node, MapNode) and len(node.entries) == 1:
            name, body = next(iter(node.entries.items()))
            options = plain(body) or {}
        if not name or not isinstance(options, dict):
            self.problems.add(
                node.mark, "$.search.strategy", "a strategy is a name, or {name: {setting: value}}", found=kind_of(node)
            )
            return DEFAULT_STRATEGY, {}
        if problem := strategy_problem(name, options):
            self.problems.add(
                node.mark, "$.search.strategy", problem.rule, found=problem.found or "", remedy=problem.remedy
            )
        return name, options

    def _training(self, root: MapNode) -> tuple[dict[str, Any], tuple[int, ...]]:
        known = [option.name for option in RECIPE_OPTIONS]
        section = self._section(root, "train", known)
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
        section = self._section(root, "fidelity", ("epochs",))
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

    def _workers(self, root: MapNode) -> tuple[int | str, str, dict[str, Any]]:
        node = root.entries.get("workers")
        if node is None:
            return "auto", "local", {}
        count: Node | None = node
        engine = "local"
        options: dict[str, Any] = {}
        if isinstance(node, MapNode):
            engine = self.text(node, "$.workers", "engine", "local")
            self.keys(node, "$.workers", ("engine", "count", *ENGINE_OPTIONS.get(engine, ())))
            if engine not in ENGINE_OPTIONS:
                self.problems.add(
                    node.entries["engine"].mark, "$.workers.engine", f"an engine is one of {', '.join(ENGINE_OPTIONS)}",
                    found=repr(engine), remedy=did_you_mean(engine, ENGINE_OPTIONS),
                )  # fmt: skip
            count = node.entries.get("count")
            options = self._engine_options(node, engine)
        value = count.value if isinstance(count, ScalarNode) else ("auto" if count is None else None)
        if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024):
            assert count is not None
            self.problems.add(count.mark, "$.workers", "workers is auto or a whole number from 1", found=kind_of(count))
            return "auto", engine, options
        return value if isinstance(value, int) else "auto", engine, options

    def _engine_options(self, node: MapNode, engine: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, option in ENGINE_OPTIONS.get(engine, {}).items():
            entry = node.entries.get(name)
            if entry is None or (isinstance(entry, ScalarNode) and entry.value is None):
                continue
            value = _OPTION_KINDS[option.kind](entry.value) if isinstance(entry, ScalarNode) else None
            if value is None or not option.accepts(value):
                self.problems.add(entry.mark, f"$.workers.{name}", option.rule, found=repr(plain(entry)))
            else:
                found[name] = value
        return found

    def _storage(self, root: MapNode) -> str | None:
        storage = self.text(root, "$", "storage", "default")
        if storage == "default":
            return None
        if found := storage_problem(storage):
            self.problems.add(
                root.entries["storage"].mark, "$.storage", _STORAGE_RULE, found=repr(found), remedy=_STORAGE_REMEDY,
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
        self.problems.add(
            node.mark, "$.evaluator", "an evaluator is train, {table: ...}, or {python: package.module:Factory}",
            found=kind_of(node),
        )  # fmt: skip
        return "train"

    def _number(
        self,
        node: MapNode,
        path: str,
        key: str,
        *,
        low: float | None = None,
        whole: bool = False,
        default: float | None = None,
    ) -> float | None:
        entry = node.entries.get(key)
        if entry is None or (isinstance(entry, ScalarNode) and entry.value is None):
            return default
        value = entry.value if isinstance(entry, ScalarNode) else None
        kinds = int if whole else (int, float)
        if (
            isinstance(value, bool)
            or not isinstance(value, kinds)
            or (low is not None and value < low)
            or value != value
        ):
            what = "a whole number" if whole else "a number"
            self.problems.add(
                entry.mark,
                f"{path}.{key}",
                f"must be {what}" + ("" if low is None else f" from {low:g}"),
                found=kind_of(entry),
            )
            return default
        return value

    def _parsed(self, node: MapNode, path: str, key: str, parse: Callable[[Any], Any], what: str) -> Any:
        entry = node.entries.get(key)
        if entry is None or (isinstance(entry, ScalarNode) and entry.value is None):
            return None
        parsed = parse(entry.value) if isinstance(entry, ScalarNode) else None
        if parsed is None:
            self.problems.add(entry.mark, f"{path}.{key}", f"must be {what}", found=kind_of(entry))
        return parsed


_WORDS = {"maximize": "larger", "minimize": "smaller"}


def _direction(name: str) -> str:
    """Which way is better, where that is known."""
    if name in METRICS:
        return METRICS[name].direction
    return "minimize" if name in COSTS else ""


def _hours(value: Any) -> float | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and 0 < value < math.inf else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if 0 < value < math.inf else None
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        return None
    return sum(float(part or 0) * unit for part, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True)) or None


def _bytes(value: Any) -> int | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value) if 0 < value < math.inf else None
    match = _BYTES.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    return int(float(match[1]) * 2 ** {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2]]) or None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _plain_number(value: Any) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else value


_OPTION_KINDS: dict[str, Callable[[Any], Any]] = {
    "text": _text, "number": _plain_number, "size": _bytes, "duration": _seconds,
}  # fmt: skip
"""How the value of an engine's option is read; None for what is none."""
