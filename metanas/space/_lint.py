"""What could be said more simply in a space file that is valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product

import numpy as np

from metanas.space._load import find_space, parse_space_text
from metanas.space._parse_modules import FORMS
from metanas.space._problems import Mark, Problem
from metanas.space._space import SearchSpace
from metanas.space._unmet import check_some_row
from metanas.space._yaml import ListNode, MapNode, Node, ScalarNode, parse_yaml, plain

_MAX_COMBINATIONS = 100_000
_DEPTH = 64


def lint_space(space: str, *, allow_python: bool = False) -> list[Problem]:
    """Suggestions for a space file, by name or path, in the order of the file.

    Raises
    ------
    LanguageError
        If the file is not valid: mistakes come first.
    ConstraintError
        If no row meets its constraints on decisions.
    MetanasError
        If there is no such file or built-in space.

    """
    file, text = find_space(space)
    loaded = parse_space_text(text, file, allow_python=allow_python)
    check_some_row(loaded)
    root = parse_yaml(text, file)
    assert isinstance(root, MapNode)
    found = [*_unused(root), *_constraints(root, loaded)]
    for section in ("ops", "blocks"):
        for name, node in _entries(root, section):
            found += _module(node, f"$.{section}.{name}")
    if "network" in root.entries:
        found += _module(root.entries["network"], "$.network", series=True)
    for section in ("let", "train", "tabular"):
        for name, node in _entries(root, section):
            found += _value(node, f"$.{section}.{name}")
    return sorted(found, key=lambda p: (p.mark.line, p.mark.column, p.rule))


def _entries(root: MapNode, section: str) -> Iterator[tuple[str, Node]]:
    node = root.entries.get(section)
    if isinstance(node, MapNode):
        yield from node.entries.items()


# --- names


def _unused(root: MapNode) -> Iterator[Problem]:
    """Names that nothing uses. A file that extends another may define what the other uses."""
    if "extends" in root.entries:
        return
    for section in ("let", "ops", "blocks"):
        for name, _ in _entries(root, section):
            words = [
                word
                for key, node in root.entries.items()
                for word in _words(MapNode(node.mark, {k: n for k, n in node.entries.items() if k != name})
                                   if key == section and isinstance(node, MapNode) else node)
            ]  # fmt: skip
            used = re.compile(rf"\${name}\b") if section == "let" else None
            if any(word == name or (used is not None and used.search(word)) for word in words):
                continue
            section_node = root.entries[section]
            assert isinstance(section_node, MapNode)
            mark = section_node.key_marks[name]
            yield Problem(mark, f"$.{section}", "nothing uses this name", repr(name), "remove it, or use it")


def _words(node: Node) -> Iterator[str]:
    """All texts and keys in a node."""
    if isinstance(node, ScalarNode):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from _words(item)
    elif isinstance(node, MapNode):
        for key, value in node.entries.items():
            yield key
            yield from _words(value)


# --- modules and values


def _module(node: Node, path: str, *, series: bool = False, depth: int = 0) -> Iterator[Problem]:
    """Suggestions for a module; ``series`` where cutting it cuts the network."""
    if depth > _DEPTH:
        return
    if isinstance(node, ListNode):
        if len(node.items) == 1:
            yield Problem(node.mark, path, "a list of one module is that module", "", "write it without brackets")
        for index, item in enumerate(node.items):
            if isinstance(item, ListNode):
                yield Problem(
                    item.mark, f"{path}[{index}]", "a list in a list is one list", "", "remove the inner brackets"
                )
            yield from _module(item, f"{path}[{index}]", series=series, depth=depth + 1)
    if not isinstance(node, MapNode):
        return
    form = next((key for key in FORMS if key in node.entries), None)
    if form is None:
        yield from _op(node, path)
        return
    body, here = node.entries[form], f"{path}.{form}"
    if form == "graph":
        yield from _graph(body, here, depth)
    elif form == "choice":
        yield from _choice(node, path, series, depth)
    elif form == "parallel" and isinstance(body, ListNode):
        for index, item in enumerate(body.items):
            yield from _module(item, f"{here}[{index}]", depth=depth + 1)
    elif form != "new":
        yield from _module(body, here, series=series and form != "residual", depth=depth + 1)
    if form == "repeat":
        yield from _repeat(node, path)
        yield from _value(node.entries["times"], f"{path}.times")
    if form == "optional" and isinstance(body, MapNode) and "optional" in body.entries:
        yield Problem(body.mark, here, "optional of optional is optional", "", "remove one of them")


def _op(node: MapNode, path: str) -> Iterator[Problem]:
    for name, body in node.entries.items():
        if name == "id":
            continue
        if isinstance(body, MapNode):
            if not body.entries and "id" not in node.entries:
                yield Problem(
                    node.mark, path, "an op without parameters is its name", f"{{{name}: {{}}}}", f"write {name}"
                )
            for key, value in body.entries.items():
                yield from _value(value, f"{path}.{name}.{key}")


def _repeat(node: MapNode, path: str) -> Iterator[Problem]:
    times = node.entries["times"]
    if isinstance(times, ScalarNode) and times.value == 1:
        yield Problem(
            node.mark, path, "repeat once is the module itself", "times: 1", "write the module without repeat"
        )
    share = node.entries.get("share")
    if share is not None and isinstance(share, ScalarNode) and share.value is True:
        yield Problem(
            share.mark, path, "copies share their decisions unless told otherwise", "share: true", "remove it"
        )


def _choice(node: MapNode, path: str, series: bool, depth: int) -> Iterator[Problem]:
    body, here = node.entries["choice"], f"{path}.choice"
    if isinstance(body, MapNode):
        options = [(f"{here}.{label}", item) for label, item in body.entries.items()]
    else:
        assert isinstance(body, ListNode)
        options = [(f"{here}[{index}]", item) for index, item in enumerate(body.items)]
    if "by" not in node.entries:
        yield from _few_options(node, path, options)
    for index, (place, item) in enumerate(options):
        if series and isinstance(item, ScalarNode) and item.value == "none":
            yield Problem(
                item.mark, place, "none cuts off the whole network here", "none", "write identity, or use optional"
            )
        for _, other in options[:index]:
            if plain(other) == plain(item):
                yield Problem(item.mark, place, "two options of a choice are the same", "", "remove one of them")
                break
        yield from _module(item, place, series=series, depth=depth + 1)


def _few_options(node: MapNode, path: str, options: list[tuple[str, Node]]) -> Iterator[Problem]:
    if len(options) == 1:
        yield Problem(node.mark, path, "a choice of one option is that option", "", "write the option itself")
    names = [item.value for _, item in options if isinstance(item, ScalarNode)]
    if len(options) == 2 and "identity" in names and "prior" not in node.entries and names != ["identity", "none"]:
        yield Problem(
            node.mark, path, "a choice between a module and identity is optional", "", "write 'optional: module'"
        )


def _graph(body: Node, path: str, depth: int) -> Iterator[Problem]:
    if not isinstance(body, MapNode):
        return
    for key in ("every_edge", "each_input"):
        if key in body.entries:
            yield from _module(body.entries[key], f"{path}.{key}", depth=depth + 1)
    for key in ("nodes", "edges"):
        for name, node in _entries(body, key):
            yield from _module(node, f"{path}.{key}.{name}", depth=depth + 1)
    each = body.entries.get("each_step")
    if isinstance(each, MapNode) and "op" in each.entries:
        yield from _module(each.entries["op"], f"{path}.each_step.op", depth=depth + 1)
    most, nodes = body.entries.get("max_edges"), body.entries.get("nodes")
    count = (
        len(nodes.items) if isinstance(nodes, ListNode) else len(nodes.entries) + 2 if isinstance(nodes, MapNode) else 0
    )
    if isinstance(nodes, ScalarNode) and isinstance(nodes.value, int):
        count = nodes.value
    if isinstance(most, ScalarNode) and isinstance(most.value, int) and most.value >= count * (count - 1) // 2:
        yield Problem(
            most.mark, f"{path}.max_edges", "the cell has no more edges than that", str(most.value), "remove it"
        )


def _value(node: Node, path: str) -> Iterator[Problem]:
    if not isinstance(node, MapNode):
        return
    choice = node.entries.get("choice")
    if isinstance(choice, ListNode) and len(choice.items) == 1:
        yield Problem(node.mark, path, "a choice of one value is that value", "", "write the value itself")
    prior = node.entries.get("prior")
    weights = list(plain(prior).values()) if isinstance(prior, MapNode) else plain(prior) if prior else []
    if isinstance(choice, ListNode) and len(set(weights)) == 1 and len(weights) == len(choice.items):
        yield Problem(node.mark, f"{path}.prior", "equal weights are the default", "", "remove 'prior'")


# --- constraints


def _constraints(root: MapNode, space: SearchSpace) -> Iterator[Problem]:
    """Constraints on decisions that no architecture breaks, and constraints that stand twice."""
    seen: dict[str, Mark] = {}
    marks = root.entries.get("constraints")
    for index, rule in enumerate(space.constraints):
        mark = marks.items[index].mark if isinstance(marks, ListNode) and index < len(marks.items) else root.mark
        path = f"$.constraints[{index}]"
        if rule.text in seen:
            yield Problem(mark, path, "a constraint stands once", repr(rule.text), "remove one of them")
        seen[rule.text] = mark
        levels = [range(space.decisions[column].size) for column in rule.decisions.values()]
        if rule.measures or np.prod([float(len(level)) for level in levels]) > _MAX_COMBINATIONS:
            continue
        combinations = list(islice(product(*levels), _MAX_COMBINATIONS))
        rows = np.full((len(combinations), len(space.decisions)), -1, dtype=np.int64)
        rows[:, list(rule.decisions.values())] = np.array(combinations, dtype=np.int64).reshape(len(combinations), -1)
        if rule.holds(rows, space.decisions).all():
            yield Problem(mark, path, "every architecture meets this constraint", repr(rule.text), "remove it")
