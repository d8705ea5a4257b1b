"""Syntax -> the table of decisions and the template that reads it.

The walk carries the name of the place (decision names come from it) and the condition under which the place is
reached (a clause). A decision is one per (syntax, place): a name used twice leads to the same places, so its
decisions are shared; ``new`` leads to places of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np

from metanas.space._expression import ExpressionError, names_in
from metanas.space._ops import OPS, Parameter, signature
from metanas.space._order import Draft, ordered
from metanas.space._parse_modules import MAX_REPEATS, label_of
from metanas.space._problems import Problems, did_you_mean
from metanas.space._syntax import (
    ChoiceForm,
    ChoiceValue,
    Constant,
    Formula,
    GraphForm,
    ModuleSyntax,
    OpCall,
    OptionalForm,
    ParallelForm,
    RangeValue,
    Reference,
    RepeatForm,
    ResidualForm,
    SequenceForm,
    SpaceSyntax,
    StepsForm,
    Syntax,
    ValueSyntax,
)
from metanas.space._template import (
    FLOAT_LEVELS,
    IDENTITY,
    Branches,
    Cell,
    CellEdge,
    CellNode,
    Chain,
    Clause,
    Computed,
    Copies,
    Decided,
    Decision,
    Fixed,
    OpSite,
    Resolved,
    Switch,
    Template,
    Value,
    decisions_in,
    value_under,
)
from metanas.space._yaml import Scalar

MAX_STEPS = 200_000
"""Places visited; beyond this a file repeats itself without measure."""
MAX_DECISIONS = 5_000
MAX_NESTING = 100
"""Modules in modules, blocks counted with what they hold; keeps clear of Python's own limit."""
MAX_LETS = 10
"""Let values that lead to each other."""

Overrides = dict[str, ValueSyntax]


def resolve(syntax: SpaceSyntax, problems: Problems) -> Resolved | None:
    """Resolve a space file; None when a breach (noted in ``problems``) stands in the way."""
    resolver = _Resolver(syntax, problems)
    try:
        template: Template = IDENTITY
        if syntax.network is not None:
            template = resolver.module(syntax.network, "", ())
        for name, value in syntax.tabular.items():
            resolver.value(value, name, ())
        resolver.part = "train"
        recipe = {name: resolver.value(value, f"train.{name}", ()) for name, value in syntax.train.items()}
    except _TooLargeError as error:
        problems.add(error.syntax.mark, error.syntax.path, str(error), remedy="use fewer repeats or less depth")
        return None
    if problems.found:
        return None
    limits = [(place, columns, most) for place, (columns, most) in resolver.limits.items()]
    return ordered(resolver.drafts, template, recipe, limits, syntax, problems)


class _TooLargeError(Exception):
    def __init__(self, syntax: Syntax, rule: str) -> None:
        self.syntax = syntax
        super().__init__(rule)


class _Resolver:
    def __init__(self, syntax: SpaceSyntax, problems: Problems) -> None:
        self.syntax = syntax
        self.problems = problems
        self.drafts: list[Draft] = []
        self.by_place: dict[tuple[int, str, tuple[Scalar, ...]], int] = {}
        self.taken: set[str] = set()
        self.open_lets: list[str] = []
        self.bound: dict[str, Value] = {}
        """Values that the uses of blocks around the present place give to let names."""
        self.open_blocks: list[str] = []
        self.steps = 0
        self.limits: dict[str, tuple[tuple[int, ...], int]] = {}
        """Place of a cell -> its optional edges, and how many may be there."""
        self.nesting = 0
        self.checked: set[tuple[int, int]] = set()
        """Formulas, each with the parameter that it was checked for."""
        self.checks = 200_000
        """Values that formulas may still be checked on."""
        self.part = "network"
        self.recursive = {name for name in syntax.named if name in self._reachable(syntax.named[name])}

    # --- decisions

    def decide(self, syntax: Syntax, place: str, when: Clause, draft: Decision) -> int:
        """The decision of ``syntax`` at ``place``, active (also) when ``when`` holds."""
        # Where recursion ends early, one place may offer fewer options than another visit of it: another decision.
        key = (id(syntax), place, tuple(draft.values) if isinstance(syntax, ChoiceForm) else ())
        index = self.by_place.get(key)
        if index is None:
            if len(self.drafts) >= MAX_DECISIONS:
                raise _TooLargeError(syntax, f"a space has at most {MAX_DECISIONS:,} decisions")
            name, number = draft.name, 2
            while name in self.taken:
                name, number = f"{draft.name}_{number}", number + 1
            self.taken.add(name)
            index = self.by_place[key] = len(self.drafts)
            self.drafts.append(Draft(replace(draft, name=name, part=self.part)))
        self.drafts[index].clauses.add(when)
        return index

    # --- values

    def value(self, syntax: ValueSyntax, place: str, when: Clause, parameter: Parameter | None = None) -> Value:
        place = _named(place, syntax)
        match syntax:
            case Constant(value=value):
                return Fixed(value)
            case ChoiceValue(values=values, prior=prior):
                return Decided(
                    self.decide(syntax, place, when, Decision(name=place, kind="choice", values=values, prior=prior))
                )
            case RangeValue():
                return Decided(self.decide(syntax, place, when, _range(syntax, place)))
            case Formula():
                return self._formula(syntax, when, parameter)

    def _formula(self, syntax: Formula, when: Clause, parameter: Parameter | None) -> Value:
        names: dict[str, Value] = {}
        before = self.steps
        for name in dict.fromkeys(names_in(syntax.expression)):
            let = name.removeprefix("$")
            if name.startswith("$") and let in self.bound:
                names[name] = self.bound[let]
                continue
            if not name.startswith("$") or let not in self.syntax.let:
                known = [f"${known}" for known in self.syntax.let]
                self.problems.add(
                    syntax.mark, syntax.path, f"no let value has the name {name!r}", remedy=did_you_mean(name, known)
                )
                return Fixed(1)
            if let in self.open_lets:
                chain = " -> ".join([*self.open_lets[self.open_lets.index(let) :], let])
                self.problems.add(syntax.mark, syntax.path, "let values cannot refer to themselves", found=chain)
                return Fixed(1)
            if len(self.open_lets) >= MAX_LETS:
                raise _TooLargeError(syntax, f"let values lead to each other at most {MAX_LETS} deep")
            self._step(syntax)
            self.open_lets.append(let)
            names[name] = self.value(self.syntax.let[let], let, when)
            self.open_lets.pop()
        value = Computed(syntax.expression, names, whole=parameter is not None and parameter.kind == "int")
        if (id(syntax), id(parameter)) not in self.checked:
            self.checked.add((id(syntax), id(parameter)))
            self._check_formula(syntax, value, parameter, 1 + self.steps - before)
        return value

    def _check_formula(self, syntax: Formula, value: Computed, parameter: Parameter | None, weight: int) -> None:
        try:
            for result, chosen in self._results(value, weight):
                if parameter is not None and (breach := parameter.breach(result)):
                    found = f"{result!r}" + (f" when {chosen}" if chosen else "")
                    self.problems.add(syntax.mark, syntax.path, breach, found=found)
                    return
        except ExpressionError as error:
            self.problems.add(
                syntax.mark, syntax.path, f"arithmetic has a value: {error.rule}", found=repr(syntax.text)
            )

    def _results(self, value: Value, weight: int) -> Iterator[tuple[Scalar, str]]:
        """Every result (the extremes, when there are many) with the decisions that give it."""
        used = sorted(decisions_in(value))
        levels: Sequence[Sequence[Scalar]] = [self.drafts[i].decision.values for i in used]
        count = math.prod(len(level) for level in levels)
        if count > 4096 or count * weight > self.checks:
            levels = [(level[0], level[-1]) for level in levels][:8]
            used = used[:8]
        for combination in product(*levels):
            self.checks -= weight
            choose = dict(zip(used, combination, strict=True))
            for rest in decisions_in(value) - set(used):
                choose[rest] = self.drafts[rest].decision.values[0]
            text = ", ".join(f"{self.drafts[i].decision.name} = {v}" for i, v in choose.items())
            yield value_under(value, choose), text

    # --- modules

    def module(self, syntax: ModuleSyntax, place: str, when: Clause, first: Overrides | None = None) -> Template:
        """The template of ``syntax``; entries of ``first`` are consumed by the ops that take them."""
        self._step(syntax)
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise _TooLargeError(syntax, f"modules nest at most {MAX_NESTING} deep, blocks counted with what they hold")
        template = self._template(syntax, place, when, {} if first is None else first)
        self.nesting -= 1
        return template

    def _step(self, syntax: Syntax) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise _TooLargeError(syntax, f"a space has at most {MAX_STEPS:,} places")

    def _template(self, syntax: ModuleSyntax, place: str, when: Clause, first: Overrides) -> Template:
        match syntax:
            case OpCall():
                return self._op(syntax, _named(place, syntax), when, first)
            case Reference():
                return self._reference(syntax, place, when, first)
            case SequenceForm(items=items):
                return self._sequence(items, place, when, first)
            case ChoiceForm(options=options):
                return self._switch(syntax, options, _named(place, syntax), when, first)
            case OptionalForm():
                return self._optional(syntax, _named(place, syntax), when, first)
            case RepeatForm():
                return self._repeat(syntax, _named(place, syntax), when, first)
            case ResidualForm(body=body):
                inner = self.module(body, _named(place, syntax), when, first)
                return Branches((IDENTITY, inner), "residual", _named(place, syntax))
            case ParallelForm(branches=branches, merge=merge):
                here = _named(place, syntax)
                places = _item_places(branches, here)
                unused = [dict(first) for _ in branches]
                inner_templates = tuple(
                    self.module(branch, where, when, rest)
                    for branch, where, rest in zip(branches, places, unused, strict=True)
                )
                _consume(first, unused)
                return Branches(inner_templates, merge, here)
            case GraphForm():
                return self._graph(syntax, _named(place, syntax), when)
            case StepsForm():
                return self._steps(syntax, _named(place, syntax), when)

    def _op(self, syntax: OpCall, place: str, when: Clause, first: Overrides) -> Template:
        known = {**dict.fromkeys(syntax.parameters), **signature(syntax.name).parameters}
        taken = {name: first.pop(name) for name in list(first) if name in known}
        for name, override in taken.items():
            parameter = known[name]
            if parameter and isinstance(override, Constant) and (breach := parameter.breach(override.value)):
                self.problems.add(override.mark, override.path, breach, found=repr(override.value))
        parameters = {
            name: self.value(value, _join(place, name), when, known[name])
            for name, value in {**syntax.parameters, **taken}.items()
        }
        label = syntax.label or syntax.name
        site = place if place.rpartition(".")[2].startswith(label) else _join(place, label)
        return OpSite(syntax.name, parameters, site)

    def _sequence(self, items: tuple[ModuleSyntax, ...], place: str, when: Clause, first: Overrides) -> Template:
        places = _item_places(items, place)
        return Chain(tuple(self.module(item, here, when, first) for item, here in zip(items, places, strict=True)))

    def _switch(
        self,
        syntax: ChoiceForm,
        options: tuple[tuple[str, ModuleSyntax], ...],
        place: str,
        when: Clause,
        first: Overrides,
    ) -> Template:
        allowed = [k for k, (_, option) in enumerate(options) if not self._beyond_depth(option)]
        if not allowed:
            self.problems.add(
                syntax.mark, syntax.path, "a choice in a recursive block has an option that ends the recursion",
                remedy="add an option without the block's own name",
            )  # fmt: skip
            return IDENTITY
        options = tuple(options[k] for k in allowed)
        labels = tuple(label for label, _ in options)
        prior = tuple(syntax.prior[k] for k in allowed) if syntax.prior else ()
        decision = self.decide(
            syntax, place, when,
            Decision(name=place or "choice", kind="choice", values=labels, prior=prior if sum(prior) > 0 else ()),
        )  # fmt: skip
        unused = [dict(first) for _ in options]
        templates = tuple(
            self.module(option, _join(place, label), (*when, (decision, frozenset({k}))), unused[k])
            for k, (label, option) in enumerate(options)
        )
        _consume(first, unused)
        return Switch(decision, templates)

    def _optional(self, syntax: OptionalForm, place: str, when: Clause, first: Overrides) -> Template:
        if self._beyond_depth(syntax.body):
            return IDENTITY
        name = place or "optional"
        decision = self.decide(syntax, place, when, Decision(name=name, kind="choice", values=(False, True)))
        here = _join(place, label_of(syntax.body))
        body = self.module(syntax.body, here, (*when, (decision, frozenset({1}))), first)
        return Switch(decision, (IDENTITY, body))

    def _repeat(self, syntax: RepeatForm, place: str, when: Clause, first: Overrides) -> Template:
        times = self.value(syntax.times, _join(place, "times"), when, Parameter("int", "", low=0, high=MAX_REPEATS))
        used = decisions_in(times)
        if len(used) > 1:
            self.problems.add(
                syntax.times.mark, syntax.times.path, "the number of copies depends on one decision at most",
                found=f"{len(used)} decisions",
            )  # fmt: skip
            return IDENTITY
        counts = self._counts(times, used)
        overrides = {**syntax.first, **first}
        copies: list[Template] = []
        for copy in range(min(MAX_REPEATS, max(counts.values(), default=0))):
            reached = when
            if used and not all(count > copy for count in counts.values()):
                reached = (*when, (next(iter(used)), frozenset(k for k, count in counts.items() if count > copy)))
            here = place if syntax.share else _join(place, str(copy + 1))
            rest = dict(overrides) if copy == 0 else {}
            copies.append(self.module(syntax.body, here, reached, rest))
            if copy == 0:
                self._all_used(syntax, rest)
                for name in [name for name in first if name not in rest]:
                    del first[name]
        return Copies(times, tuple(copies))

    def _counts(self, times: Value, used: set[int]) -> dict[int, int]:
        """Copies for each value index of the one decision (or for 0, when there is none)."""
        if not used:
            result = value_under(times, ())
            return {0: result if isinstance(result, int) else 0}
        (decision,) = used
        results = [value_under(times, {decision: value}) for value in self.drafts[decision].decision.values]
        return {k: result if isinstance(result, int) else 0 for k, result in enumerate(results)}

    def _all_used(self, syntax: RepeatForm, rest: Overrides) -> None:
        for name in rest:
            if name in syntax.first:
                known = sorted({key for op in OPS.values() for key in op.parameters})
                self.problems.add(
                    syntax.first[name].mark, syntax.first[name].path,
                    f"'first' overrides parameters of the body, and no op there takes {name!r}",
                    remedy=did_you_mean(name, known),
                )  # fmt: skip

    def _graph(self, syntax: GraphForm, place: str, when: Clause) -> Template:
        edges: dict[int, list[CellEdge]] = {target: [] for target in range(1, len(syntax.nodes))}
        optional: list[int] = []
        for source, target, module in syntax.edges:
            here = _join(place, f"{syntax.nodes[source]}->{syntax.nodes[target]}")
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
            template_of_op = None if op is None else self.module(op, _join(place, name), when)
            merge = syntax.output if index == len(syntax.nodes) - 1 else syntax.merge
            nodes.append(CellNode(name, tuple(edges[index]), merge, template_of_op))
        return Cell((syntax.nodes[0],), tuple(nodes), place)

    def _optional_edge(self, syntax: OptionalForm, place: str, when: Clause) -> Template:
        """On an edge, nothing is no edge; in a sequence it is the input."""
        template = self._optional(syntax, place, when, {})
        cut = OpSite("none", {}, place)
        return Switch(template.decision, (cut, template.options[1])) if isinstance(template, Switch) else cut

    def _steps(self, syntax: StepsForm, place: str, when: Clause) -> Template:
        names = list(syntax.inputs)
        nodes = []
        for step in range(1, syntax.steps + 1):
            here = _join(place, f"step{step}")
            nodes.append(CellNode(f"step{step}", self._step_edges(syntax, names, here, when), syntax.merge))
            names.append(f"step{step}")
        made = range(len(syntax.inputs), len(names))
        kept = tuple(CellEdge((state,), (IDENTITY,)) for state in made)
        each_input: tuple[Template, ...] = ()
        if syntax.each_input is not None:
            each_input = tuple(self.module(syntax.each_input, _join(place, name), when) for name in syntax.inputs)
        reduces = OpSite("identity", {"stride": Fixed(syntax.stride)}, _join(place, "handed_on"))
        return Cell(
            syntax.inputs,
            (*nodes, CellNode("output", kept, syntax.output)),
            place,
            each_input,
            reduces if syntax.stride > 1 else None,
        )

    def _step_edges(self, syntax: StepsForm, names: list[str], place: str, when: Clause) -> tuple[CellEdge, ...]:
        """One decision for which states are read, in order; then one module for each."""
        picks = list(combinations(range(len(names)), min(syntax.reads, len(names))))
        decision = None
        if len(picks) > 1:
            labels = tuple("+".join(names[state] for state in pick) for pick in picks)
            inputs = _join(place, "inputs")
            decision = self.decide(syntax, inputs, when, Decision(name=inputs, kind="choice", values=labels))
        edges = []
        for slot in range(len(picks[0])):
            here = _join(place, f"op{slot + 1}")
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

    # --- named modules

    def _reference(self, syntax: Reference, place: str, when: Clause, first: Overrides) -> Template:
        body = self.syntax.named[syntax.name]
        depth = self.syntax.depths.get(syntax.name)
        level = self.open_blocks.count(syntax.name)
        if level and depth is None:
            start = self.open_blocks.index(syntax.name)
            cycle = " -> ".join([*self.open_blocks[start:], syntax.name])
            self.problems.add(
                syntax.mark, syntax.path, "a block that contains itself says how deep", found=f"the cycle {cycle}",
                remedy=f"add 'depth: 3' to the block {syntax.name!r}, or break the cycle",
            )  # fmt: skip
            return IDENTITY
        if level and not syntax.new:
            self.problems.add(
                syntax.mark, syntax.path, "a block names itself with 'new'", remedy=f"write {{new: {syntax.name}}}"
            )
            return IDENTITY
        if depth is not None and level >= depth:
            self.problems.add(
                syntax.mark, syntax.path, "recursion passes through a choice or an optional, where it can end",
                found=f"{syntax.name!r} deeper than {depth}",
            )  # fmt: skip
            return IDENTITY
        shared = not syntax.new and syntax.name in self.syntax.blocks
        here = syntax.name if shared else _named(place, syntax)
        before = len(self.drafts)
        outer = self.bound
        self.bound = outer | {name: self.value(value, _join(here, name), when) for name, value in syntax.bound.items()}
        self.open_blocks.append(syntax.name)
        template = self.module(body, here, when, first)
        self.open_blocks.pop()
        self.bound = outer
        if syntax.name not in self.syntax.blocks and len(self.drafts) > before:
            self.problems.add(
                body.mark, f"$.ops.{syntax.name}", "an op makes no decisions", found=self.drafts[before].decision.name,
                remedy="move it to 'blocks'",
            )  # fmt: skip
        return template

    def _beyond_depth(self, syntax: ModuleSyntax) -> bool:
        """Whether ``syntax`` names a recursive block that is as deep as it may be."""
        full = {
            name
            for name in self.recursive
            if (depth := self.syntax.depths.get(name)) is not None and self.open_blocks.count(name) >= depth
        }
        return bool(full & self._reachable(syntax)) if full else False

    def _reachable(self, syntax: ModuleSyntax) -> set[str]:
        """Names of blocks that ``syntax`` leads to."""
        found: set[str] = set()
        waiting: list[ModuleSyntax] = [syntax]
        while waiting:
            module = waiting.pop()
            if isinstance(module, Reference) and module.name not in found:
                found.add(module.name)
                waiting.append(self.syntax.named[module.name])
            waiting.extend(_parts(module))
        return found


def _parts(module: ModuleSyntax) -> tuple[ModuleSyntax, ...]:
    match module:
        case SequenceForm(items=items):
            return items
        case ChoiceForm(options=options):
            return tuple(option for _, option in options)
        case OptionalForm(body=body) | RepeatForm(body=body) | ResidualForm(body=body):
            return (body,)
        case ParallelForm(branches=branches):
            return branches
        case GraphForm(edges=edges, ops=ops):
            unique = {id(edge): edge for _, _, edge in edges}
            return (*unique.values(), *(op for op in ops if op is not None))
        case StepsForm(op=op):
            return (op,)
        case _:
            return ()


def _consume(first: Overrides, unused: list[Overrides]) -> None:
    """Drop from ``first`` what every branch took."""
    for name in list(first):
        if all(name not in rest for rest in unused):
            del first[name]


def _join(place: str, part: str) -> str:
    return f"{place}.{part}" if place else part


def _named(place: str, syntax: Syntax) -> str:
    """The place, its last part replaced by the id that the user gave."""
    return _join(place.rpartition(".")[0], syntax.id) if syntax.id else place


def _item_places(items: Sequence[ModuleSyntax], place: str) -> list[str]:
    """A readable place for each item of a list: its label, numbered where labels repeat."""
    seen: Counter[str] = Counter()
    places = []
    for item in items:
        label = label_of(item)
        seen[label] += 1
        places.append(_join(place, label if seen[label] == 1 else f"{label}_{seen[label]}"))
    return places


def _range(syntax: RangeValue, place: str) -> Decision:
    values: Sequence[Scalar]
    if not syntax.real:
        values = range(int(syntax.low), int(syntax.high) + 1, int(syntax.step or 1))
        prior = tuple(math.log((v + 0.5) / (v - 0.5)) for v in values) if syntax.log else ()
        return Decision(name=place, kind="int", values=values, log=syntax.log, prior=prior)
    if syntax.step is not None:
        count = math.floor((syntax.high - syntax.low) / syntax.step + 1e-9) + 1
        values = tuple(float(v) for v in np.round(syntax.low + syntax.step * np.arange(count), 12))
    else:
        space = np.geomspace if syntax.log else np.linspace
        values = tuple(float(f"{v:.6g}") for v in space(syntax.low, syntax.high, FLOAT_LEVELS))
    return Decision(name=place, kind="float", values=values, log=syntax.log)
