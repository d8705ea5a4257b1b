"""What run files and bench files read alike: names, sections, numbers, quantities, strategies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from metanas.space import MapNode, Node, ScalarNode, Values, kind_of, plain

_LONGEST_NAME = 80


class Keys(Values):
    """Reads keys of mappings, and notes every breach of the rules."""

    def name(self, root: MapNode, key: str, default: str) -> str:
        """A name that folders can have; without one, the ``default`` made to be such."""
        fallback = re.sub(r"[^\w-]+", "-", default).strip("-")[:_LONGEST_NAME] or key
        name = self.text(root, "$", key, fallback)
        if not re.fullmatch(rf"[\w-]{{1,{_LONGEST_NAME}}}", name):
            self.problems.add(
                root.entries[key].mark, f"$.{key}", "a name is letters, digits, _ and -", found=repr(name)
            )
        return name

    def section(self, root: MapNode, key: str, known: Sequence[str]) -> MapNode:
        """The mapping below ``key``, whose own keys are ``known``; an empty one when it is not there."""
        node = root.entries.get(key)
        if node is None or is_null(node):
            return MapNode(root.mark)
        if not isinstance(node, MapNode):
            self.problems.add(node.mark, f"$.{key}", f"'{key}' is a mapping", found=kind_of(node))
            return MapNode(node.mark)
        self.keys(node, f"$.{key}", known)
        return node

    def number(
        self, node: MapNode, path: str, key: str, *, low: float | None = None, high: float | None = None,
        whole: bool = False, default: float | None = None,
    ) -> float | None:  # fmt: skip
        """A number between ``low`` and ``high``; the ``default`` when it is not there, or none."""
        entry = node.entries.get(key)
        if entry is None or is_null(entry):
            return default
        value = entry.value if isinstance(entry, ScalarNode) else None
        good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and value == value
        if not good or (low is not None and value < low) or (high is not None and value > high):  # type: ignore[operator]
            bounds = ("" if low is None else f" from {low:g}") + ("" if high is None else f" to {high:,}")
            self.problems.add(
                entry.mark, f"{path}.{key}", f"must be a {'whole ' * whole}number{bounds}", found=kind_of(entry)
            )
            return default
        return value  # type: ignore[return-value]

    def whole(self, node: MapNode, path: str, key: str, default: int, *, low: int = 0, high: int | None = None) -> int:
        """A whole number."""
        value = self.number(node, path, key, low=low, high=high, whole=True, default=default)
        return default if value is None else int(value)

    def quantity(self, node: MapNode, path: str, key: str, parse: Callable[[Any], Any], what: str) -> Any:
        """What ``parse`` (of :mod:`metanas.study._quantities`) makes of a value; None when it is not there, or none."""
        entry = node.entries.get(key)
        if entry is None or is_null(entry):
            return None
        parsed = parse(entry.value) if isinstance(entry, ScalarNode) else None
        if parsed is None:
            self.problems.add(entry.mark, f"{path}.{key}", f"must be {what}", found=kind_of(entry))
        return parsed


def is_null(node: Node) -> bool:
    """Whether a key is there without a value."""
    return isinstance(node, ScalarNode) and node.value is None


def named_settings(node: Node) -> tuple[str, dict[str, Any]] | None:
    """Name and settings of a strategy, written as ``name`` or ``{name: {setting: value}}``; None for neither."""
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value:
        return node.value, {}
    if isinstance(node, MapNode) and len(node.entries) == 1:
        name, body = next(iter(node.entries.items()))
        settings = plain(body) or {}
        if name and isinstance(settings, dict):
            return name, settings
    return None
