"""Syntax of cells -> cells: nodes, the edges between them, and the steps of DARTS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import combinations
from math import comb

from metanas.space._problems import Problems
from metanas.space._resolve_values import TooLargeError, ValueResolver, join
from metanas.space._syntax import Constant, GraphForm, ModuleSyntax, OptionalForm, SpaceSyntax, StepsForm, ValueSyntax
from metanas.space._template import (
    IDENTITY,
    Cell,
    CellEdge,
    CellNode,
    Clause,
    Decision,
    Fixed,
    OpSite,
    Switch,
    Template,
)

Overrides = dict[str, ValueSyntax]

MAX_READS = 50_000
"""Ways to choose what is read, of all steps of a file."""


class CellResolver(ValueResolver, ABC):
    """Resolves cells; what stands on their edges and nodes is for the class below."""

    def __init__(self, syntax: SpaceSyntax, problems: Problems) -> None:
        super().__init__(syntax, problems)
        self.limits: dict[str, tuple[tuple[int, ...], int]] = {}
        """Place of a cell -> its optional edges, and how many may be there."""
        self.reads = 0

    @abstractmethod
    def module(self, syntax: ModuleSyntax, place: str, when: Clause, first: Overrides | None = None) -> Template:
        """The template of a module at ``place``, reached when ``when`` holds."""

    @abstractmethod
    def optional(self, syntax: OptionalForm, place: str, when: Clause, first: Overrides) -> Template:
        """The template of ``optional``: a switch, unless its body cannot be."""

    def graph(self, syntax: GraphForm, place: str, when: Clause) -> Template:
        edges: dict[int, list[CellEdge]] = {target: [] for target in range(1, len(syntax.nodes))}
        optional: list[int] = []
        for source, target, module in syntax.edges:
            here = join(place, f"{syntax.nodes[source]}->{syntax.nodes[target]}")
            if isinstance(module, OptionalForm):
                template = self._optional_edge(module, here, when)
                optional.extend([template.decision] if isinstance(template, Switch) else [])
            else:
                template = self.module(module, here, when)
            edges[target].append(CellEdge((source,), (template,)))
        if syntax.max_edges is not None:
            self.limits[place] = (tuple(optional), syntax.max_edges)
        nodes = []
        for index, name in enumerate(syntax.nodes[1:], start=1):
            op = syntax.ops[index]
            template_of_op = None if op is None else self.module(op, join(place, name), when)
            merge = syntax.output if index == len(syntax.nodes) - 1 else syntax.merge
            nodes.append(CellNode(name, tuple(edges[index]), merge, template_of_op))
        return Cell((syntax.nodes[0],), tuple(nodes), place, syntax.mark, syntax.path)

    def _optional_edge(self, syntax: OptionalForm, place: str, when: Clause) -> Template:
        """On an edge, nothing is no edge; in a sequence it is the input."""
        template = self.optional(syntax, place, when, {})
        cut = OpSite("none", {}, place, syntax.mark, syntax.path)
        return Switch(template.decision, (cut, template.options[1])) if isinstance(template, Switch) else cut

    def steps_cell(self, syntax: StepsForm, place: str, when: Clause) -> Template:
        names = list(syntax.inputs)
        nodes = []
        for step in range(1, syntax.steps + 1):
            here = join(place, f"step{step}")
            nodes.append(CellNode(f"step{step}", self._step_edges(syntax, names, here, when), syntax.merge))
            names.append(f"step{step}")
        made = range(len(syntax.inputs), len(names))
        kept = tuple(CellEdge((state,), (IDENTITY,)) for state in made)
        each_input: tuple[Template, ...] = ()
        if syntax.each_input is not None:
            each_input = tuple(self.module(syntax.each_input, join(place, name), when) for name in syntax.inputs)
        stride = {"stride": Fixed(syntax.stride)}
        reduces = OpSite("identity", stride, join(place, "handed_on"), syntax.mark, syntax.path)
        return Cell(
            syntax.inputs,
            (*nodes, CellNode("output", kept, syntax.output)),
            place,
            syntax.mark,
            syntax.path,
            each_input,
            reduces if syntax.stride > 1 else None,
        )

    def _step_edges(self, syntax: StepsForm, names: list[str], place: str, when: Clause) -> tuple[CellEdge, ...]:
        """One decision for which states are read, in order; then one module for each."""
        reads = min(syntax.reads, len(names))
        self.reads += comb(len(names), reads)
        if self.reads > MAX_READS:
            raise TooLargeError(syntax, f"the steps of a space have at most {MAX_READS:,} ways to read")
        picks = list(combinations(range(len(names)), reads))
        decision = None
        if len(picks) > 1:
            labels = tuple("+".join(names[state] for state in pick) for pick in picks)
            inputs = join(place, "inputs")
            decision = self.decide(syntax, inputs, when, Decision(name=inputs, kind="choice", values=labels))
        edges = []
        for slot in range(len(picks[0])):
            here = join(place, f"op{slot + 1}")
            plain = self.module(syntax.op, here, when)
            strided = self._strided(syntax, here, when) if syntax.stride > 1 else plain
            sources = tuple(pick[slot] for pick in picks)
            modules = tuple(strided if source < len(syntax.inputs) else plain for source in sources)
            edges.append(CellEdge(sources, modules, decision))
        return tuple(edges)

    def _strided(self, syntax: StepsForm, place: str, when: Clause) -> Template:
        """The op as it stands on an edge from an input of a cell that reduces."""
        stride: Overrides = {"stride": Constant(mark=syntax.mark, path=f"{syntax.path}.stride", value=syntax.stride)}
        template = self.module(syntax.op, place, when, stride)
        if stride:
            self.problems.add(
                syntax.mark, f"{syntax.path}.stride", "every op on an edge from an input takes the stride of the cell",
                remedy="use ops with the parameter 'stride'",
            )  # fmt: skip
        return template
