"""Bench files -> :class:`BenchFile`. Same loader and errors as space files and run files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from metanas.bench._spec import DEFAULT_EVALUATIONS, DEFAULT_SEEDS, BenchFile, Contestant, Sources, TaskSpec
from metanas.space import (
    ListNode,
    MapNode,
    Node,
    Problems,
    builtin_spaces,
    kind_of,
    parse_yaml,
    plain,
    read_text,
)
from metanas.study import Keys, named_settings, override, strategy_problem, table_keys, takes_sources
from metanas.tables import OPTIONAL
from metanas.worker import MOST_WORKERS

_TOP = ("bench", "tasks", "strategies", "sources", "evaluations", "seeds", "first_seed", "values", "workers")
_MOST = {"evaluations": 100_000, "seeds": 10_000, "first_seed": 2**31, "workers": MOST_WORKERS}


def read_bench_file(path: Path, *, sets: Sequence[str] = (), tables_only: bool = False) -> BenchFile:
    """Read a bench file; ``sets`` are overrides such as ``seeds=5``. For its ``tables_only`` it needs no strategies.

    Raises
    ------
    LanguageError
        With every breach of the rules.
    MetanasError
        If it cannot be read.

    """
    return parse_bench_text(read_text(path), str(path), base=path.absolute().parent, sets=sets, tables_only=tables_only)


def parse_bench_text(
    text: str, file: str, *, base: Path, sets: Sequence[str] = (), tables_only: bool = False
) -> BenchFile:
    """A bench file from its text; see :func:`read_bench_file`."""
    root = parse_yaml(text, file)
    for setting in sets:
        override(root, setting)
    problems = Problems()
    bench = _Reader(problems, base, tables_only).bench(root, Path(file).stem)
    problems.raise_if_any()
    assert bench is not None
    return bench


class _Reader(Keys):
    def __init__(self, problems: Problems, base: Path, tables_only: bool) -> None:
        super().__init__(problems)
        self._base = base
        self._tables_only = tables_only
        self._named: dict[str, TaskSpec] = {}

    def bench(self, root: Node, default: str) -> BenchFile | None:
        if not isinstance(root, MapNode):
            self.problems.add(root.mark, "$", "a bench file is a mapping", found=kind_of(root))
            return None
        if "tasks" not in root.entries and "space" in root.entries:
            if any(key in root.entries for key in ("network", "tabular", "extends")):
                found, remedy = (
                    "a space file",
                    "write e.g. tasks: [{file: results.csv, space: my_space.yaml, maximize: acc}]",
                )
            else:
                found = "a run file"
                remedy = "give the folder of its run" if self._tables_only else "start it with 'metanas search'"
            self.problems.add(
                root.mark, "$", "a bench file lists tables as 'tasks'", found=found, remedy=remedy
            )  # fmt: skip
            return None
        self.keys(root, "$", _TOP)
        name = self.name(root, "bench", default)
        tasks = self._tasks(root, "$", "tasks")
        contestants = self._contestants(root)
        values = self.text(root, "$", "values", "mean")
        if values not in ("mean", "repeat"):
            self.problems.add(root.entries["values"].mark, "$.values", "values is mean or repeat", found=repr(values))
        return BenchFile(
            name=name, tasks=tasks, contestants=contestants, sources=self._sources(root, tasks),
            evaluations=self.whole(root, "$", "evaluations", DEFAULT_EVALUATIONS, low=1, high=_MOST["evaluations"]),
            seeds=self.whole(root, "$", "seeds", DEFAULT_SEEDS, low=1, high=_MOST["seeds"]),
            first_seed=self.whole(root, "$", "first_seed", 0, high=_MOST["first_seed"]),
            values=cast(Any, values),
            workers=self.whole(root, "$", "workers", 1, low=1, high=_MOST["workers"]),
        )  # fmt: skip

    def _tasks(self, node: MapNode, path: str, key: str) -> tuple[TaskSpec, ...]:
        inner = node.entries.get(key)
        if not isinstance(inner, ListNode) or not inner.items:
            self.problems.add(
                node.mark if inner is None else inner.mark, f"{path}.{key}", f"{key} is a list of tables",
                found="none" if inner is None else kind_of(inner), remedy="write e.g. [{benchmark: nasbench201}]",
            )  # fmt: skip
            return ()
        tasks: list[TaskSpec] = []
        for index, item in enumerate(inner.items):
            place = f"{path}.{key}[{index}]"
            found = table_keys(self, item, place, more=("space",), several=True)
            if "benchmark" in found:
                if "metric" in found:
                    self.problems.add(
                        item.mark, place, "a bench searches on a benchmark's own metric", found=found["metric"]
                    )
                tasks += [TaskSpec(benchmark=found["benchmark"], dataset=dataset) for dataset in found["datasets"]]
            elif "file" in found:
                tasks.append(self._file(found, item, place))
        here: set[str] = set()
        for task in tasks:
            known = self._named.setdefault(task.name, task)
            if not known.same_table(task):
                self.problems.add(
                    inner.mark, f"{path}.{key}", "tables have names of their own, by default those of their files",
                    found=f"{task.name} for {known.file} and {task.file}", remedy="give one of them a 'name'",
                )  # fmt: skip
            elif task.name in here:
                self.problems.add(
                    inner.mark, f"{path}.{key}", "a task stands once", found=task.name,
                    remedy="leave it out, or give one a 'name', if they are of two metrics",
                )  # fmt: skip
            here.add(task.name)
        return tuple(tasks)

    def _file(self, found: dict[str, Any], node: Node, path: str) -> TaskSpec:
        space = found.get("space", "")
        if not space:
            self.problems.add(node.mark, path, "a table of your own has a space", remedy="add 'space: my_space.yaml'")
        elif space not in builtin_spaces():
            space = str(self._base / Path(space).expanduser())
        direction = "minimize" if "minimize" in found else "maximize"
        if "metric" in found:
            self.problems.add(
                node.mark, path, "a bench must know which way its metric is better",
                remedy=f"write {{maximize: {found['metric']}}} or {{minimize: {found['metric']}}}",
            )  # fmt: skip
        options: dict[str, Any] = {key: found[key] for key in OPTIONAL if key in found}
        options |= {"metric": found.get(direction, ""), "direction": direction}
        return TaskSpec(file=str(self._base / Path(found["file"]).expanduser()), space=space, options=options)

    def _contestants(self, root: MapNode) -> tuple[Contestant, ...]:
        node = root.entries.get("strategies")
        if node is None and self._tables_only:
            return ()
        if not isinstance(node, ListNode) or not node.items:
            self.problems.add(
                root.mark if node is None else node.mark, "$.strategies", "strategies is a list of names",
                found="none" if node is None else kind_of(node), remedy="write e.g. [random, evolution]",
            )  # fmt: skip
            return ()
        contestants: list[Contestant] = []
        for index, item in enumerate(node.items):
            path = f"$.strategies[{index}]"
            contestant = self._contestant(item, path)
            if contestant is None:
                continue
            if problem := strategy_problem(contestant.strategy, contestant.settings, bench=True):
                self.problems.add(item.mark, path, problem.rule, found=problem.found or "", remedy=problem.remedy)
            if any(other.name == contestant.name for other in contestants):
                self.problems.add(
                    item.mark, path, "two strategies have two names", found=contestant.name,
                    remedy="write {name: ..., strategy: ...}",
                )  # fmt: skip
            contestants.append(contestant)
        return tuple(contestants)

    def _contestant(self, node: Node, path: str) -> Contestant | None:
        if isinstance(node, MapNode) and "strategy" in node.entries:
            self.keys(node, path, ("name", "strategy", "sources"))
            inner = self._contestant(node.entries["strategy"], f"{path}.strategy")
            sources = plain(node.entries["sources"]) if "sources" in node.entries else "given"
            if sources not in ("given", "none", "shuffled"):
                self.problems.add(
                    node.entries["sources"].mark,
                    f"{path}.sources",
                    "sources is given, none or shuffled",
                    found=repr(sources),
                )
                return None
            if inner is None:
                return None
            return replace(inner, name=self.text(node, path, "name", inner.name), sources=cast(Any, sources))
        if (named := named_settings(node)) is not None:
            return Contestant(name=named[0], strategy=named[0], settings=named[1])
        self.problems.add(
            node.mark, path, "a strategy is a name, {name: {setting: value}}, or {name: ..., strategy: ...}",
            found=kind_of(node),
        )  # fmt: skip
        return None

    def _sources(self, root: MapNode, tasks: tuple[TaskSpec, ...]) -> Sources:
        node = root.entries.get("sources")
        if node is None:
            return Sources(tasks=tasks)
        if not isinstance(node, MapNode):
            self.problems.add(node.mark, "$.sources", "sources is a mapping such as {known: 200}", found=kind_of(node))
            return Sources(tasks=tasks)
        self.keys(node, "$.sources", ("tasks", "known"))
        known: int | None = 1000
        if "known" in node.entries:
            value = plain(node.entries["known"])
            if value == "all":
                known = None
            elif isinstance(value, bool) or not isinstance(value, int) or value < 2:
                self.problems.add(
                    node.entries["known"].mark,
                    "$.sources.known",
                    "known is all, or a whole number from 2",
                    found=repr(value),
                )
            else:
                known = value
        return Sources(tasks=self._tasks(node, "$.sources", "tasks") if "tasks" in node.entries else tasks, known=known)


def uses_sources(contestant: Contestant) -> bool:
    """Whether a contestant's results depend on the source tasks."""
    return takes_sources(contestant.strategy) and contestant.sources != "none"
