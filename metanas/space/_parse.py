"""Nodes -> syntax: which form each value is, with every breach of the grammar noted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from metanas.space._ops import OPS, Parameter
from metanas.space._parse_values import NAME, Values, kind_of
from metanas.space._problems import Mark, Problems, did_you_mean
from metanas.space._syntax import (
    ChoiceForm,
    Constant,
    GraphForm,
    ModuleSyntax,
    OpCall,
    OptionalForm,
    ParallelForm,
    Reference,
    RepeatForm,
    ResidualForm,
    SequenceForm,
    SpaceSyntax,
    StepsForm,
    ValueSyntax,
)
from metanas.space._yaml import ListNode, MapNode, Node, ScalarNode

INPUTS = ("image", "table")
MERGES = ("sum", "concat", "mean", "product")
MAX_REPEATS = 200
MAX_NODES = 64

_FORMS: Mapping[str, tuple[str, ...]] = {
    "choice": ("prior",),
    "optional": (),
    "repeat": ("times", "share", "first"),
    "residual": (),
    "parallel": ("merge",),
    "graph": (),
    "new": (),
}
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


class _SpaceParser(Values):
    """Module expressions and the file around them."""

    def __init__(self, problems: Problems, allow_python: bool) -> None:
        super().__init__(problems)
        self.allow_python = allow_python
        self.modules: dict[str, str] = {}
        """Names of the user's modules -> package.module:Class."""
        self.lets: list[str] = []
        """What ``let`` defines."""
        self.names: list[str] = []
        """What ``ops`` and ``blocks`` define."""

    # --- the file

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
                if name in OPS or name in _FORMS:
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

    # --- modules

    def module(self, node: Node, path: str) -> ModuleSyntax:
        if isinstance(node, ListNode):
            items = tuple(self.module(item, f"{path}[{index}]") for index, item in enumerate(node.items))
            return SequenceForm(mark=node.mark, path=path, items=items)
        if isinstance(node, ScalarNode):
            if isinstance(node.value, str):
                return self._by_name(node.value, MapNode(node.mark), node.mark, path, "")
            self.problems.add(
                node.mark, path, "a module is the name of an op or block, a form or a list", found=kind_of(node)
            )
            return self._nothing(node, path)
        assert isinstance(node, MapNode)
        return self._mapping(node, path)

    def _nothing(self, node: Node, path: str) -> ModuleSyntax:
        return OpCall(mark=node.mark, path=path, name="identity")

    def _mapping(self, node: MapNode, path: str) -> ModuleSyntax:
        form = next((key for key in _FORMS if key in node.entries), None)
        if form is not None:
            self.keys(node, path, (form, "id", *_FORMS[form]))
            parse = {
                "choice": self._choice, "optional": self._optional, "repeat": self._repeat, "residual": self._residual,
                "parallel": self._parallel, "graph": self._graph, "new": self._new,
            }[form]  # fmt: skip
            return parse(node, path, self.identifier(node, path))
        heads = [key for key in node.entries if key != "id"]
        if len(heads) != 1:
            known = [key for key in heads if key in OPS or key in self.names or key in self.modules]
            remedy = (
                f"write its parameters as '{known[0]}: {{...}}'" if len(known) == 1
                else did_you_mean(heads[0], [*_FORMS, *OPS]) if heads else "name an op"
            )  # fmt: skip
            self.problems.add(
                node.mark,
                path,
                "a module in braces has one op, block or form",
                found=", ".join(heads) or "none",
                remedy=remedy,
            )
            return self._nothing(node, path)
        name, body = heads[0], node.entries[heads[0]]
        if isinstance(body, ScalarNode) and body.value is None:
            body = MapNode(body.mark)
        if not isinstance(body, MapNode):
            if name in OPS or name in self.names or name in self.modules:  # else the name is what is wrong
                self.problems.add(
                    body.mark, f"{path}.{name}", "the parameters of an op are a mapping", found=kind_of(body),
                    remedy=f"write '{name}: {{parameter: value}}'",
                )  # fmt: skip
            body = MapNode(body.mark)
        return self._by_name(name, body, node.key_marks.get(name, node.mark), path, self.identifier(node, path))

    def _by_name(self, name: str, body: MapNode, mark: Mark, path: str, site: str) -> ModuleSyntax:
        if name in self.modules:
            parameters = {
                key: self.value(value, f"{path}.{name}.{key}", lambda value: "") for key, value in body.entries.items()
            }
            module = Constant(mark=mark, path=path, value=self.modules[name])
            return OpCall(
                mark=mark, path=path, id=site, name="python", parameters={"module": module, **parameters}, label=name
            )
        if name in self.names:
            bound = {}
            for key, value in body.entries.items():
                if key in self.lets:
                    bound[key] = self.value(value, f"{path}.{name}.{key}", lambda value: "")
                else:
                    self.problems.add(
                        body.key_marks[key],
                        path,
                        "a use of a block sets let values",
                        found=repr(key),
                        remedy=did_you_mean(key, self.lets) if self.lets else "define it in 'let' first",
                    )
            return Reference(mark=mark, path=path, id=site, name=name, bound=bound)
        op = OPS.get(name)
        if op is None:
            self.problems.add(
                mark,
                path,
                f"no op or block has the name {name!r}",
                remedy=did_you_mean(name, [*self.names, *self.modules, *OPS, *_FORMS]),
            )
            return OpCall(mark=mark, path=path, name="identity")
        here = f"{path}.{name}"
        values: dict[str, ValueSyntax] = {}
        for key, value in body.entries.items():
            if key not in op.parameters:
                self.problems.add(
                    body.key_marks[key],
                    here,
                    f"{name} has no parameter {key!r}",
                    remedy=did_you_mean(key, op.parameters),
                )
                continue
            values[key] = self.value(value, f"{here}.{key}", op.parameters[key].breach)
        for key, parameter in op.parameters.items():
            if parameter.required and key not in values and key not in body.entries:
                self.problems.add(
                    mark, here, f"{name} needs the parameter {key!r}: {parameter.about}", remedy=op.example
                )
        return OpCall(mark=mark, path=path, id=site, name=name, parameters=values)

    def _choice(self, node: MapNode, path: str, site: str) -> ModuleSyntax:
        body, here = node.entries["choice"], f"{path}.choice"
        options: list[tuple[str, ModuleSyntax]] = []
        if isinstance(body, MapNode):
            for label, item in body.entries.items():
                if not NAME.fullmatch(label):
                    self.problems.add(
                        body.key_marks[label], here, "a label is letters, digits and _, at most 64", found=repr(label)
                    )
                options.append((label, self.module(item, f"{here}.{label}")))
        elif isinstance(body, ListNode):
            for index, item in enumerate(body.items):
                option = self.module(item, f"{here}[{index}]")
                label = label_of(option)
                if any(label == other for other, _ in options):
                    self.problems.add(
                        item.mark, f"{here}[{index}]", "the labels of a choice differ", found=f"{label!r} twice",
                        remedy="write the choice as a mapping from label to module",
                    )  # fmt: skip
                options.append((label, option))
        if not options:
            self.problems.add(body.mark, here, "a choice has one option or more", found=kind_of(body))
            return self._nothing(node, path)
        prior = self.prior(node, path, [label for label, _ in options])
        return ChoiceForm(mark=node.mark, path=path, id=site, options=tuple(options), prior=prior)

    def _optional(self, node: MapNode, path: str, site: str) -> ModuleSyntax:
        return OptionalForm(
            mark=node.mark, path=path, id=site, body=self.module(node.entries["optional"], f"{path}.optional")
        )

    def _repeat(self, node: MapNode, path: str, site: str) -> ModuleSyntax:
        times_rule = Parameter("int", "", low=0, high=MAX_REPEATS).breach
        if "times" in node.entries:
            times = self.value(node.entries["times"], f"{path}.times", times_rule)
        else:
            self.problems.add(node.mark, path, "repeat needs 'times'", remedy="add 'times: 3'")
            times = Constant(mark=node.mark, path=path, value=1)
        first: dict[str, ValueSyntax] = {}
        overrides = node.entries.get("first")
        if isinstance(overrides, MapNode):
            first = {k: self.value(n, f"{path}.first.{k}", lambda v: "") for k, n in overrides.entries.items()}
        elif overrides is not None:
            self.problems.add(
                overrides.mark, f"{path}.first", "'first' is a mapping of parameters", found=kind_of(overrides)
            )
        return RepeatForm(
            mark=node.mark, path=path, id=site, body=self.module(node.entries["repeat"], f"{path}.repeat"), times=times,
            share=self.flag(node, path, "share", True), first=first,
        )  # fmt: skip

    def _residual(self, node: MapNode, path: str, site: str) -> ModuleSyntax:
        return ResidualForm(
            mark=node.mark, path=path, id=site, body=self.module(node.entries["residual"], f"{path}.residual")
        )

    def _parallel(self, node: MapNode, path: str, site: str) -> ModuleSyntax:
        body = node.entries["parallel"]
        if not isinstance(body, ListNode) or len(body.items) < 2:
            self.problems.add(
                body.mark, f"{path}.parallel", "parallel is a list of two branches or more", found=kind_of(body)
            )
            return self._nothing(node, path)
        branches = tuple(self.module(item, f"{path}.parallel[{index}]") for index, item in enumerate(body.items))
        return ParallelForm(mark=node.mark, path=path, id=site, branches=branches, merge=self._merge(node, path))

    def _merge(self, node: MapNode, path: str, key: str = "merge", default: str = "sum") -> str:
        merge = self.text(node, path, key, default)
        if merge not in MERGES:
            self.problems.add(
                node.entries[key].mark,
                f"{path}.{key}",
                f"'{key}' is one of {', '.join(MERGES)}",
                found=repr(merge),
                remedy=did_you_mean(merge, MERGES),
            )
            return default
        return merge

    def _new(self, node: MapNode, path: str, site: str) -> ModuleSyntax:
        body = node.entries["new"]
        name = body.value if isinstance(body, ScalarNode) else None
        if not isinstance(name, str) or name not in self.names:
            found = name if isinstance(name, str) else kind_of(body)
            self.problems.add(
                body.mark,
                f"{path}.new",
                "new takes the name of a block",
                found=found,
                remedy=did_you_mean(str(found), self.names),
            )
            return self._nothing(node, path)
        return Reference(mark=node.mark, path=path, id=site, name=name, new=True)

    # --- cells

    def _graph(self, node: MapNode, path: str, site: str) -> ModuleSyntax:
        body, here = node.entries["graph"], f"{path}.graph"
        if not isinstance(body, MapNode):
            self.problems.add(body.mark, here, "a graph is a mapping", found=kind_of(body))
            return self._nothing(node, path)
        if "steps" in body.entries or "each_step" in body.entries:
            return self._steps(node.mark, body, here, site)
        self.keys(body, here, ("nodes", "every_edge", "edges", "merge", "output", "max_edges"))
        names, ops = self._graph_nodes(body, here)
        edges: dict[tuple[int, int], ModuleSyntax] = {}
        if every := body.entries.get("every_edge"):
            module = self._edge(every, f"{here}.every_edge")
            edges = {(i, j): module for j in range(len(names)) for i in range(j)}
        edges |= self._explicit_edges(body, here, names)
        if not edges:
            self.problems.add(
                body.mark, here, "a graph needs every_edge or edges", remedy="say what stands on its edges"
            )
            return self._nothing(node, path)
        ordered = tuple((i, j, edges[i, j]) for i, j in sorted(edges, key=lambda e: (e[1], e[0])))
        merge = self._merge(body, here)
        return GraphForm(
            mark=node.mark,
            path=path,
            id=site,
            nodes=names,
            ops=ops,
            edges=ordered,
            merge=merge,
            output=self._merge(body, here, "output", merge),
            max_edges=self._count(body, here, "max_edges", 1, MAX_NODES**2),
        )

    def _explicit_edges(self, body: MapNode, here: str, names: tuple[str, ...]) -> dict[tuple[int, int], ModuleSyntax]:
        edges: dict[tuple[int, int], ModuleSyntax] = {}
        for key, item in self._edge_entries(body, here):
            ends = self._ends(key, names)
            node = body.entries["edges"]
            assert isinstance(node, MapNode)
            if ends is None:
                self.problems.add(
                    node.key_marks[key],
                    f"{here}.edges",
                    "an edge is 'from->to', forward in the node order",
                    found=repr(key),
                    remedy=f"the nodes are {', '.join(names)}",
                )
            elif ends in edges:
                self.problems.add(
                    node.key_marks[key],
                    f"{here}.edges",
                    "an edge stands once",
                    found=f"{key!r} again",
                    remedy="remove or rename one of them",
                )
            else:
                edges[ends] = self._edge(item, f"{here}.edges.{key}")
        return edges

    def _steps(self, mark: Mark, body: MapNode, here: str, site: str) -> ModuleSyntax:
        self.keys(body, here, ("inputs", "steps", "each_input", "each_step", "stride", "merge", "output"))
        inputs = body.entries.get("inputs")
        names: tuple[str, ...] = ("previous",)
        if inputs is not None:
            given = [i.value for i in inputs.items if isinstance(i, ScalarNode)] if isinstance(inputs, ListNode) else []
            if given not in (["previous"], ["before", "previous"]):
                self.problems.add(
                    inputs.mark,
                    f"{here}.inputs",
                    "the inputs of a cell are [previous] or [before, previous]",
                    found=given,
                )
            names = ("before", "previous") if len(given) == 2 else names
        steps = self._count(body, here, "steps", 1, 16)
        if steps is None and "steps" not in body.entries:
            self.problems.add(body.mark, here, "a graph of steps needs 'steps'", remedy="add 'steps: 4'")
        each = body.entries.get("each_step")
        op: ModuleSyntax = OpCall(mark=mark, path=here, name="identity")
        reads = 2
        if isinstance(each, MapNode):
            where = f"{here}.each_step"
            self.keys(each, where, ("inputs", "op"))
            reads = self._count(each, where, "inputs", 1, 8) or 2
            if "op" in each.entries:
                op = self.module(each.entries["op"], f"{where}.op")
        if not isinstance(each, MapNode) or "op" not in each.entries:
            self.problems.add(
                (each or body).mark, f"{here}.each_step", "each_step says what a step does",
                found=kind_of(each) if each else "nothing", remedy="write {inputs: 2, op: {choice: {...}}}",
            )  # fmt: skip
        return StepsForm(
            mark=mark,
            path=here,
            id=site,
            inputs=names,
            steps=steps or 1,
            reads=reads,
            op=op,
            merge=self._merge(body, here),
            output=self._merge(body, here, "output", "concat"),
            stride=self._count(body, here, "stride", 1, 4) or 1,
            each_input=self.module(body.entries["each_input"], f"{here}.each_input")
            if "each_input" in body.entries
            else None,
        )

    def _count(self, body: MapNode, here: str, key: str, low: int, high: int) -> int | None:
        node = body.entries.get(key)
        if node is None:
            return None
        value = node.value if isinstance(node, ScalarNode) else None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.problems.add(
            node.mark, f"{here}.{key}", f"'{key}' is a whole number from {low} to {high}", found=kind_of(node)
        )
        return None

    def _edge(self, node: Node, path: str) -> ModuleSyntax:
        """``optional`` alone is an edge that is there or not."""
        if isinstance(node, ScalarNode) and node.value == "optional":
            return OptionalForm(mark=node.mark, path=path, body=OpCall(mark=node.mark, path=path, name="identity"))
        return self.module(node, path)

    def _edge_entries(self, body: MapNode, here: str) -> list[tuple[str, Node]]:
        edges = body.entries.get("edges")
        if edges is None:
            return []
        if isinstance(edges, MapNode):
            return list(edges.entries.items())
        self.problems.add(
            edges.mark, f"{here}.edges", "edges are a mapping from '0->1' to a module", found=kind_of(edges)
        )
        return []

    def _graph_nodes(self, body: MapNode, here: str) -> tuple[tuple[str, ...], tuple[ModuleSyntax | None, ...]]:
        """Names of all nodes, input first and output last, and what those with an op do."""
        node = body.entries.get("nodes")
        rule = f"nodes are a number from 2 to {MAX_NODES}, a list of that many different names, or a mapping from name to op"
        if isinstance(node, ScalarNode) and isinstance(node.value, int) and not isinstance(node.value, bool):
            if 2 <= node.value <= MAX_NODES:
                return tuple(str(index) for index in range(node.value)), (None,) * node.value
        elif isinstance(node, ListNode):
            names = [str(item.value) for item in node.items if isinstance(item, ScalarNode)]
            good = all(re.fullmatch(r"\w{1,64}", name) for name in names)
            if 2 <= len(set(names)) == len(node.items) <= MAX_NODES and good:
                return tuple(names), (None,) * len(names)
        elif isinstance(node, MapNode) and node.entries and len(node.entries) <= MAX_NODES - 2:
            for name in node.entries:
                if name in ("input", "output") or not re.fullmatch(r"\w{1,64}", name):
                    self.problems.add(
                        node.key_marks[name],
                        f"{here}.nodes",
                        "a node is named by letters, digits and _, and not input or output, which are there anyway",
                        found=repr(name),
                    )
            ops = (self.module(item, f"{here}.nodes.{name}") for name, item in node.entries.items())
            return ("input", *node.entries, "output"), (None, *ops, None)
        self.problems.add((node or body).mark, f"{here}.nodes", rule, found=kind_of(node) if node else "nothing")
        return ("0", "1"), (None, None)

    @staticmethod
    def _ends(key: str, names: tuple[str, ...]) -> tuple[int, int] | None:
        source, arrow, target = (part.strip() for part in key.partition("->"))
        if not arrow or source not in names or target not in names:
            return None
        ends = names.index(source), names.index(target)
        return ends if ends[0] < ends[1] else None


def label_of(module: ModuleSyntax) -> str:
    """How a module is called where it has no name of its own: its id, its op, or its form."""
    match module:
        case _ if module.id:
            return module.id
        case OpCall(label=label) if label:
            return label
        case OpCall(name=name) | Reference(name=name):
            return name
        case SequenceForm():
            return "_".join(label_of(item) for item in module.items[:3])[:64] or "empty"
        case _:
            return type(module).__name__.removesuffix("Form").lower()
