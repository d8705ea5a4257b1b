"""YAML text -> a tree of values that know where they stand.

Built from the parser's events, not its constructors: no tags, no Python objects, YAML 1.2 numbers and flags
(``1e-3`` is a number, ``no`` and ``on`` are strings), duplicate keys refused, and bounds on size, depth and
aliases, so that a hostile file ends in an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from metanas.errors import MetanasError, near_miss
from metanas.space._problems import LanguageError, Mark, Problem, Problems

Scalar = int | float | str | bool

MAX_BYTES = 1_000_000
MAX_DEPTH = 60
MAX_NODES = 50_000
"""Far beyond any file that a person writes; aliases count with all that they repeat."""

_INT = re.compile(r"[-+]?[0-9]{1,30}|0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", "")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


@dataclass(slots=True)
class Node:
    """A value of the document: one of the three kinds below."""

    mark: Mark
    """Where it begins."""


@dataclass(slots=True)
class ScalarNode(Node):
    """A number, a text, a flag or nothing."""

    value: Scalar | None


@dataclass(slots=True)
class ListNode(Node):
    """A list."""

    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class MapNode(Node):
    """A mapping; every key is a text."""

    entries: dict[str, Node] = field(default_factory=dict)
    key_marks: dict[str, Mark] = field(default_factory=dict)


def read_text(path: Path) -> str:
    """The text of a file that a user handed over.

    Raises
    ------
    MetanasError
        If it does not exist, is too large or is not UTF-8.

    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MetanasError(
                f"a space or run file has at most {MAX_BYTES:,} bytes",
                found=f"{path.stat().st_size:,}",
                where=str(path),
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MetanasError("the file must be UTF-8 text", found=str(error), where=str(path)) from error
    except OSError as error:
        raise MetanasError(
            "the file cannot be read",
            found=error.strerror or str(error),
            remedy=_near(path) or "check the path",
            where=str(path),
        ) from error


def _near(path: Path) -> str:
    """The file beside it whose name is nearest, where one is near."""
    try:
        there = [other.name for other in path.parent.iterdir() if other.suffix in (".yaml", ".yml", ".json")]
    except OSError:
        return ""
    return near_miss(path.name, there)


def parse_yaml(text: str, file: str) -> Node:
    """Parse one YAML document.

    Raises
    ------
    LanguageError
        If it is not YAML, or breaks one of the bounds above, or has duplicate keys.

    """
    problems = Problems()
    try:
        root = _Builder(file, problems).build(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(file, mark.line + 1, mark.column + 1) if mark else Mark(file, 1, 1)
        if "maximum nesting depth" in str(error.problem):  # of libyaml, from version 0.2.6
            too_deep = Problem(place, "$", f"values nest at most {MAX_DEPTH} deep", "deeper nesting", "use blocks")
            raise LanguageError([too_deep]) from error
        rule = f"the file must be YAML: {error.problem or error.context}"
        raise LanguageError([Problem(place, "$", rule, "", "check indentation, brackets and quotes")]) from error
    except (yaml.YAMLError, ValueError) as error:
        rule = "the file must be YAML: " + str(error).splitlines()[0]
        raise LanguageError([Problem(Mark(file, 1, 1), "$", rule)]) from error
    problems.raise_if_any()
    return root


class _Builder:
    """Events -> nodes, with an explicit stack: a deep file must not exhaust Python's own."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self.anchors: dict[str, Node] = {}
        self.sizes: dict[int, int] = {}
        self.heights: dict[int, int] = {}
        """Levels inside a container, itself included."""
        self.count = 0
        self.stack: list[tuple[Node, str | None, Mark | None]] = []
        """Open containers; for a mapping, the key that waits for its value."""

    def build(self, text: str) -> Node:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        root: Node | None = None
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._fail(self._mark(event), "a file holds one document", "a second '---'", "split the file")
            node: Node | None = None
            if isinstance(event, yaml.ScalarEvent):
                node = ScalarNode(self._mark(event), self._scalar(event))
                self._grow(node, 1)
            elif isinstance(event, yaml.AliasEvent):
                node = self._alias(event)
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                self._open(event)
                continue
            elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                node, _, _ = self.stack.pop()
            if node is None:
                continue
            if isinstance(event, yaml.ScalarEvent) and event.anchor:
                self.anchors[event.anchor] = node
            if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                self.sizes[id(node)] = self.count - self.sizes[id(node)]
            if self.stack:
                self._attach(node)
            else:
                root = node
        if root is None:
            self._fail(Mark(self.file, 1, 1), "the file must hold a mapping", "an empty file", "see 'metanas init'")
        assert root is not None
        return root

    def _mark(self, event: yaml.Event) -> Mark:
        start = event.start_mark
        assert start is not None
        return Mark(self.file, start.line + 1, start.column + 1)

    def _fail(self, mark: Mark, rule: str, found: str, remedy: str) -> None:
        raise LanguageError([*self.problems.found, Problem(mark, "$", rule, found, remedy)])

    def _grow(self, node: Node, amount: int) -> None:
        self.count += amount
        if self.count > MAX_NODES:
            self._fail(
                node.mark, f"a file has at most {MAX_NODES:,} values, aliases counted in full", "more", "split it"
            )

    def _open(self, event: yaml.Event) -> None:
        kind = ListNode if isinstance(event, yaml.SequenceStartEvent) else MapNode
        node = kind(self._mark(event))
        self._no_tag(event)
        if len(self.stack) >= MAX_DEPTH:
            self._fail(node.mark, f"values nest at most {MAX_DEPTH} deep", "deeper nesting", "use blocks")
        self._grow(node, 1)
        self.sizes[id(node)] = self.count - 1
        self.heights[id(node)] = 1
        if event.anchor:  # type: ignore[attr-defined]
            self.anchors[event.anchor] = node  # type: ignore[attr-defined]
        self.stack.append((node, None, None))

    def _alias(self, event: yaml.AliasEvent) -> Node:
        node = self.anchors.get(event.anchor or "")
        if node is None:
            self._fail(self._mark(event), "an alias must name an anchor above it", f"*{event.anchor}", "define it")
        assert node is not None
        if any(node is open_ for open_, _, _ in self.stack):
            self._fail(self._mark(event), "an alias cannot contain itself", f"*{event.anchor}", "name a block instead")
        self._grow(node, self.sizes.get(id(node), 1))
        if len(self.stack) + self.heights.get(id(node), 0) > MAX_DEPTH:
            self._fail(self._mark(event), f"values nest at most {MAX_DEPTH} deep", "deeper nesting", "use blocks")
        return node

    def _attach(self, node: Node) -> None:
        parent, key, key_mark = self.stack[-1]
        self.heights[id(parent)] = max(self.heights[id(parent)], 1 + self.heights.get(id(node), 0))
        if isinstance(parent, ListNode):
            parent.items.append(node)
            return
        assert isinstance(parent, MapNode)
        if key is None:
            if not isinstance(node, ScalarNode):
                self._fail(node.mark, "a key must be a text", "a list or a mapping", "quote it")
            assert isinstance(node, ScalarNode)
            text = key_text(node.value)
            self.stack[-1] = (parent, text, node.mark)
            return
        assert key_mark is not None
        self.stack[-1] = (parent, None, None)
        if key in parent.entries:
            first = parent.key_marks[key]
            self.problems.add(
                key_mark, "$", "a key stands once in a mapping", found=f"{key!r} again (first at line {first.line})",
                remedy="remove or rename one of them",
            )  # fmt: skip
            return
        parent.entries[key] = node
        parent.key_marks[key] = key_mark

    def _no_tag(self, event: yaml.Event) -> None:
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", "tag:yaml.org,2002:str"):
            self._fail(self._mark(event), "tags are not part of the language", str(tag), "remove the tag")

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar | None:
        self._no_tag(event)
        text = event.value
        if event.style not in (None, "") or event.tag is not None:
            return str(text)
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if match := _INFINITE.fullmatch(text):
            return -math.inf if match[1] == "-" else math.inf
        return str(text)


def key_text(value: Scalar | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def plain(node: Node) -> Any:
    """The node as plain Python values."""
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    if isinstance(node, MapNode):
        return {key: plain(value) for key, value in node.entries.items()}
    assert isinstance(node, ScalarNode)
    return node.value
