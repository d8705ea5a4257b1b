"""What a run file says of its workers."""

from __future__ import annotations

from typing import Any

from metanas.space import MapNode, Node, ScalarNode, did_you_mean, kind_of, plain
from metanas.study._keys import Keys, is_null
from metanas.study._quantities import OPTION_KINDS
from metanas.worker import ENGINE_OPTIONS, MOST_WORKERS


def worker_keys(keys: Keys, root: MapNode) -> tuple[int | str, str, dict[str, Any]]:
    """Number of workers or auto, the engine, and its options; breaches are noted in ``keys.problems``."""
    node = root.entries.get("workers")
    if node is None:
        return "auto", "local", {}
    count: Node | None = node
    engine = "local"
    options: dict[str, Any] = {}
    if isinstance(node, MapNode):
        engine = keys.text(node, "$.workers", "engine", "local")
        keys.keys(node, "$.workers", ("engine", "count", *ENGINE_OPTIONS.get(engine, ())))
        if engine not in ENGINE_OPTIONS:
            keys.problems.add(
                node.entries["engine"].mark, "$.workers.engine", f"an engine is one of {', '.join(ENGINE_OPTIONS)}",
                found=repr(engine), remedy=did_you_mean(engine, ENGINE_OPTIONS),
            )  # fmt: skip
        count = node.entries.get("count")
        options = _engine_options(keys, node, engine)
    value = count.value if isinstance(count, ScalarNode) else ("auto" if count is None else None)
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_WORKERS):
        assert count is not None
        rule = f"workers is auto or a whole number from 1 to {MOST_WORKERS:,}"
        keys.problems.add(count.mark, "$.workers", rule, found=kind_of(count))
        return "auto", engine, options
    return value if isinstance(value, int) else "auto", engine, options


def _engine_options(keys: Keys, node: MapNode, engine: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, option in ENGINE_OPTIONS.get(engine, {}).items():
        entry = node.entries.get(name)
        if entry is None or is_null(entry):
            continue
        value = OPTION_KINDS[option.kind](entry.value) if isinstance(entry, ScalarNode) else None
        if value is None or not option.accepts(value):
            keys.problems.add(entry.mark, f"$.workers.{name}", option.rule, found=repr(plain(entry)))
        else:
            found[name] = value
    return found
