"""Where a tree of plain values can be damaged: what tests and ``benchmarks/fuzz.py`` do to files before loading them."""

from __future__ import annotations

from typing import Any

SNIPPETS = (
    "{", "}", "[", "]", ":", "- ", "\n", "\t", "'", '"', "&a ", "*a", "!x ", "#", "|", ">", "%", "@", "\x00", "é", "$",
    "---\n", "? ", "<<: ",
)  # fmt: skip
"""Pieces of text that mean something to YAML, or nothing at all."""


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree of dicts and lists, so that ``container[key]`` can be changed."""
    items = list(tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ())
    return [place for key, inner in items for place in [(tree, key), *places(inner)]]
