"""Nodes -> syntax of a whole space file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from metanas.space._ops import OPS
from metanas.space._parse_modules import FORMS, Modules
from metanas.space._parse_values import NAME, kind_of
from metanas.space._problems import Mark, Problems, did_you_mean
from metanas.space._syntax import (
    ModuleSyntax,
    SpaceSyntax,
)
from metanas.space._yaml import ListNode, MapNode, Node, ScalarNode

INPUTS = ("image", "sequence", "tokens", "table", "pairs")

_TOP = (
    "space",
    "language",
    "about",
    "source",
    "input",
    "extends",
    "let",
    "ops",
    "blocks",
    "network",
    "tabular",
    "train",
    "constraints",
)


def parse_space(root: Node, problems: Problems, *, allow_python: bool = False) -> SpaceSyntax | None:
    """The syntax of a space file, or None when too little of it can be read.

    With ``allow_python`` it may name modules of the user's; none is imported here.
    """
    return _SpaceParser(problems, allow_python).space(root)


class _SpaceParser(Modules):
    """The file around the module expressions."""

    def space(self, root: Node) -> SpaceSyntax | None:
        if not isinstance(root, MapNode):
            self.problems.add(root.mark, "$", "a space file is a mapping", found=kind_of(root))
            return None
        self.keys(root, "$", _TOP)
        name = self.text(root, "$", "space")
        if "space" not in root.entries:
            self.problems.add(
                root.mark, "$", "the key 'space' is required: the space's name", remedy="add 'space: my_space'"
            )
        language = root.entries.get("language", ScalarNode(root.mark, 1))
        if not isinstance(language, ScalarNode) or language.value != 1 or isinstance(language.value, bool):
            self.problems.add(language.mark, "$.language", "this metanas reads language 1", found=kind_of(language))
        kind = self.text(root, "$", "input", "image")
        if kind not in INPUTS:
            self.problems.add(
                root.entries["input"].mark, "$.input", f"the input is one of {', '.join(INPUTS)}", found=repr(kind),
                remedy=did_you_mean(kind, INPUTS),
            )  # fmt: skip
        ops, blocks = self._section(root, "ops"), self._section(root, "blocks")
        self._define(root, ops, blocks)
        let = {
            key: self.value(node, f"$.let.{key}", lambda value: "")
            for key, node in self._section(root, "let").items() if self._good_name(root, "let", key)
        }  # fmt: skip
        named, depths = self._named(ops, blocks)
        network, tabular = root.entries.get("network"), self._section(root, "tabular")
        if (network is None) == (not tabular):
            found = "both" if network is not None else "neither"
            self.problems.add(
                root.mark,
                "$",
                "a space has a 'network', the module of the whole network, or is 'tabular': decisions alone",
                found=found,
                remedy="remove one of them" if network is not None else "add 'network: [...]'",
            )
            return None
        return SpaceSyntax(
            name=name, mark=root.mark, about=self.text(root, "$", "about"), source=self.text(root, "$", "source"),
            input=kind, let=let, named=named, blocks=frozenset(blocks), depths=depths,
            network=None if network is None else self.module(network, "$.network"),
            tabular={k: self.value(n, f"$.tabular.{k}", lambda value: "") for k, n in tabular.items()},
            train={k: self.value(n, f"$.train.{k}", lambda value: "") for k, n in self._section(root, "train").items()},
            constraints=tuple(self.constraints(root, "$")),
        )  # fmt: skip

    def _section(self, root: MapNode, key: str) -> dict[str, Node]:
        node = root.entries.get(key)
        if node is None:
            return {}
        if not isinstance(node, MapNode):
            self.problems.add(node.mark, f"$.{key}", f"'{key}' is a mapping from name to value", found=kind_of(node))
            return {}
        return node.entries

    def _good_name(self, root: MapNode, section: str, name: str) -> bool:
        if NAME.fullmatch(name):
            return True
        node = root.entries[section]
        assert isinstance(node, MapNode)
        self.problems.add(
            node.key_marks[name], f"$.{section}", "a name is letters, digits and _, at most 64", found=repr(name)
        )
        return False

    def _define(self, root: MapNode, ops: Mapping[str, Node], blocks: Mapping[str, Node]) -> None:
        for section, names in (("ops", ops), ("blocks", blocks)):
            for name in names:
                self._good_name(root, section, name)
                node = root.entries[section]
                assert isinstance(node, MapNode)
                if name in OPS or name in FORMS:
                    self.problems.add(
                        node.key_marks[name], f"$.{section}", f"{name!r} is a word of the language", remedy="rename it"
                    )
                if section == "blocks" and name in ops:
                    self.problems.add(node.key_marks[name], "$.blocks", f"{name!r} is also in ops", remedy="rename it")
        self.lets = list(self._section(root, "let"))
        for name, node in ops.items():
            if isinstance(node, MapNode) and "python" in node.entries:
                self.modules[name] = self._python(node, f"$.ops.{name}")
        self.names = [*(name for name in ops if name not in self.modules), *blocks]

    def _python(self, node: MapNode, path: str) -> str:
        """``package.module:Class`` of a module of the user's."""
        self.keys(node, path, ("python",))
        name = self.text(node, path, "python")
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
            self.problems.add(
                node.entries["python"].mark,
                f"{path}.python",
                "a module of yours is package.module:Class",
                found=repr(name),
            )
        elif not self.allow_python:
            self.problems.add(
                node.entries["python"].mark,
                f"{path}.python",
                "Python code of your own runs only where it is allowed",
                found=name,
                remedy="pass --allow-python (allow_python=True from Python) if you trust this code",
            )
        return name

    def _named(
        self, ops: Mapping[str, Node], blocks: Mapping[str, Node]
    ) -> tuple[dict[str, ModuleSyntax], dict[str, int]]:
        named: dict[str, ModuleSyntax] = {}
        depths: dict[str, int] = {}
        for name, node in ops.items():
            if name not in self.modules:
                named[name] = self.module(node, f"$.ops.{name}")
        for name, node in blocks.items():
            path = f"$.blocks.{name}"
            if isinstance(node, MapNode) and "depth" in node.entries:
                entries = dict(node.entries)
                depth = entries.pop("depth")
                value = depth.value if isinstance(depth, ScalarNode) else None
                if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 12:
                    self.problems.add(
                        depth.mark, f"{path}.depth", "a depth is a whole number from 1 to 12", found=kind_of(depth)
                    )
                else:
                    depths[name] = value
                node = MapNode(node.mark, entries, node.key_marks)
            named[name] = self.module(node, path)
        return named, depths

    def constraints(self, root: MapNode, path: str) -> Iterable[tuple[str, Mark, str]]:
        node = root.entries.get("constraints")
        if node is None:
            return
        if not isinstance(node, ListNode):
            self.problems.add(node.mark, f"{path}.constraints", "constraints are a list of texts", found=kind_of(node))
            return
        for index, item in enumerate(node.items):
            here = f"{path}.constraints[{index}]"
            if isinstance(item, ScalarNode) and isinstance(item.value, str):
                yield item.value, item.mark, here
            else:
                self.problems.add(item.mark, here, "a constraint is a text", found=kind_of(item), remedy="quote it")
