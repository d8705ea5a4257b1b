"""What a run file says of its objectives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metanas.evaluator import COSTS, METRICS
from metanas.space import ListNode, MapNode, Node, ScalarNode, did_you_mean, kind_of
from metanas.study._keys import Keys
from metanas.study._run_file import Objective
from metanas.tables import BENCHMARKS

_DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_WORDS = {"maximize": "larger", "minimize": "smaller"}


def first_quality(objectives: Sequence[Objective], evaluator: str | Mapping[str, Any] = "train") -> int | None:
    """Place of the first objective that tells how good a network is, and not what it costs; None if all are costs.

    ``evaluator`` is the run file's: the table of a benchmark knows costs of its own.
    """
    table = {} if isinstance(evaluator, str) else evaluator.get("table", {})
    benchmark = BENCHMARKS.get(table.get("benchmark", ""))
    theirs = [] if benchmark is None else [name for name, metric in benchmark.metrics.items() if metric.is_cost]
    return next((place for place, (name, _) in enumerate(objectives) if name not in (*COSTS, *theirs)), None)


def objective_keys(keys: Keys, root: MapNode, *, any_name: bool) -> tuple[Objective, ...]:
    """Metrics and their directions; breaches are noted in ``keys.problems``. ``any_name`` allows names of a user's own."""
    node = root.entries.get("objective")
    if node is None:
        return ()
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return _checked(keys, [(node.value, _direction(node.value), node)], node, any_name)
    if not isinstance(node, MapNode):
        keys.problems.add(
            node.mark, "$.objective", "an objective is {maximize: accuracy} or the like", found=kind_of(node)
        )
        return ()
    keys.keys(node, "$.objective", ("maximize", "minimize"))
    found: list[tuple[str, str, Node]] = []
    for direction in node.entries:
        entry = node.entries[direction]
        items = entry.items if isinstance(entry, ListNode) else [entry]
        for item in items:
            if isinstance(item, ScalarNode) and isinstance(item.value, str):
                found.append((item.value, direction, item))
            else:
                keys.problems.add(item.mark, f"$.objective.{direction}", "an objective is a name", found=kind_of(item))
    return _checked(keys, found, node, any_name)


def _checked(keys: Keys, found: list[tuple[str, str, Node]], node: Node, any_name: bool) -> tuple[Objective, ...]:
    names = [name for name, _, _ in found]
    for name, direction, item in found:
        if name not in METRICS and name not in COSTS and not _DOTTED.fullmatch(name) and not any_name:
            keys.problems.add(
                item.mark,
                "$.objective",
                f"no metric has the name {name!r}",
                remedy=did_you_mean(name, [*METRICS, *COSTS]),
            )
        elif _direction(name) not in ("", direction) and direction in ("maximize", "minimize"):
            keys.problems.add(
                item.mark, "$.objective", f"{name} is better when it is {_WORDS[_direction(name)]}",
                found=direction, remedy=f"write {{{_direction(name)}: {name}}}",
            )  # fmt: skip
        elif direction == "":
            keys.problems.add(
                item.mark, "$.objective", "a metric of your own needs a direction", found=name,
                remedy=f"write {{maximize: {name}}} or {{minimize: {name}}}",
            )  # fmt: skip
        if names.count(name) > 1:
            keys.problems.add(item.mark, "$.objective", "an objective stands once", found=name)
    if not found:
        keys.problems.add(node.mark, "$.objective", "name one objective or more", remedy="write {maximize: accuracy}")
    return tuple((name, direction) for name, direction, _ in found)


def _direction(name: str) -> str:
    """Which way is better, where that is known."""
    if name in METRICS:
        return METRICS[name].direction
    return "minimize" if name in COSTS else ""
