"""Nodes -> syntax of modules: ops, blocks and forms, with every breach noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from metanas.space._ops import OPS, Parameter
from metanas.space._parse_cells import parse_graph
from metanas.space._parse_values import NAME, Values, kind_of
from metanas.space._problems import Mark, Problems, did_you_mean
from metanas.space._syntax import (
    ChoiceForm,
    Constant,
    MatchForm,
    ModuleSyntax,
    OpCall,
    OptionalForm,
    ParallelForm,
    Reference,
    RepeatForm,
    ResidualForm,
    SequenceForm,
    ValueSyntax,
)
from metanas.space._yaml import ListNode, MapNode, Node, ScalarNode

MERGES = ("sum", "concat", "mean", "product")
MAX_REPEATS = 200

FORMS: Mapping[str, tuple[str, ...]] = {
    "choice": ("prior", "by"),
    "optional": (),
    "repeat": ("times", "share", "first"),
    "residual": (),
    "parallel": ("merge",),
    "graph": (),
    "new": (),
}


class Modules(Values):
    """Module expressions, under the names that the file defines."""

    def __init__(self, problems: Problems, allow_python: bool) -> None:
        super().__init__(problems)
        self.allow_python = allow_python
        self.modules: dict[str, str] = {}
        """Names of the user's modules -> package.module:Class."""
        self.lets: list[str] = []
        """What ``let`` defines."""
        self.names: list[str] = []
        """What ``ops`` and ``blocks`` define."""

    def module(self, node: Node, path: str) -> ModuleSyntax:
        """A module expression."""
        if isinstance(node, ListNode):
            items = tuple(self.module(item, f"{path}[{index}]") for index, item in enumerate(node.items))
            return SequenceForm(mark=node.mark, path=path, items=items)
        if isinstance(node, ScalarNode):
            if isinstance(node.value, str):
                return self._by_name(node.value, MapNode(node.mark), node.mark, path, "")
            self.problems.add(
                node.mark, path, "a module is the name of an op or block, a form or a list", found=kind_of(node)
            )
            return self.nothing(node, path)
        assert isinstance(node, MapNode)
        return self._mapping(node, path)

    def nothing(self, node: Node, path: str) -> ModuleSyntax:
        """What stands for a module that could not be read."""
        return OpCall(mark=node.mark, path=path, name="identity")

    def _mapping(self, node: MapNode, path: str) -> ModuleSyntax:
        form = next((key for key in FORMS if key in node.entries), None)
        if form is not None:
            self.keys(node, path, (form, "id", *FORMS[form]))
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
                else did_you_mean(heads[0], [*FORMS, *OPS]) if heads else "name an op"
            )  # fmt: skip
            self.problems.add(
                node.mark,
                path,
                "a module in braces has one op, block or form",
                found=", ".join(heads) or "none",
                remedy=remedy,
            )
            return self.nothing(node, path)
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
                remedy=did_you_mean(name, [*self.names, *self.modules, *OPS, *FORMS]),
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
                    remedy=f"write it beside {name}: {{id: NAME, {name}: ...}}"
                    if key == "id"
                    else did_you_mean(key, op.parameters),
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
        by = node.entries.get("by")
        if isinstance(body, MapNode):
            for label, item in body.entries.items():
                if by is None and not NAME.fullmatch(label):
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
            return self.nothing(node, path)
        if by is not None:
            if "prior" in node.entries:
                self.problems.add(
                    node.entries["prior"].mark, f"{path}.prior", "a choice by a let value has no prior of its own",
                    remedy="give it to the let value",
                )  # fmt: skip
            value = self.value(by, f"{path}.by", lambda value: "")
            return MatchForm(mark=node.mark, path=path, id=site, by=value, options=tuple(options))
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
            return self.nothing(node, path)
        branches = tuple(self.module(item, f"{path}.parallel[{index}]") for index, item in enumerate(body.items))
        merge = self.merge(node, path, options=(*MERGES, "dot"))
        if merge != "dot":
            return ParallelForm(mark=node.mark, path=path, id=site, branches=branches, merge=merge)
        # A dot product is a product and its sum.
        product = ParallelForm(mark=node.mark, path=path, branches=branches, merge="product")
        total = OpCall(mark=node.mark, path=path, name="total")
        return SequenceForm(mark=node.mark, path=path, id=site, items=(product, total))

    def _graph(self, node: MapNode, path: str, site: str) -> ModuleSyntax:
        return parse_graph(self, node, path, site)

    def merge(
        self, node: MapNode, path: str, key: str = "merge", default: str = "sum", options: Sequence[str] = MERGES
    ) -> str:
        """The value of a key that names a merge."""
        merge = self.text(node, path, key, default)
        if merge not in options:
            self.problems.add(
                node.entries[key].mark,
                f"{path}.{key}",
                f"'{key}' is one of {', '.join(options)}",
                found=repr(merge),
                remedy=did_you_mean(merge, options),
            )
            return default
        return merge

    def _new(self, node: MapNode, path: str, site: str) -> ModuleSyntax:
        body = node.entries["new"]
        if isinstance(body, MapNode) and len(body.entries) == 1:
            # A copy that uses the block with let values of its own.
            block, values = next(iter(body.entries.items()))
            if block in self.names and isinstance(values, MapNode):
                used = self._by_name(block, values, body.key_marks[block], path, site)
                assert isinstance(used, Reference)
                return replace(used, new=True)
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
            return self.nothing(node, path)
        return Reference(mark=node.mark, path=path, id=site, name=name, new=True)


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
