"""Syntax -> the table of decisions and the template that reads it.

The walk carries the name of the place (decision names come from it) and the condition under which the place is
reached (a clause). A decision is one per (syntax, place): a name used twice leads to the same places, so its
decisions are shared; ``new`` leads to places of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from operator import itemgetter

from metanas.space._ops import OPS, Parameter, signature
from metanas.space._order import SharedBlock, ordered
from metanas.space._parse_modules import MAX_REPEATS, label_of
from metanas.space._problems import Problems, did_you_mean
from metanas.space._resolve_cells import CellResolver, Overrides
from metanas.space._resolve_values import TooLargeError, item_places, join, named
from metanas.space._syntax import (
    ChoiceForm,
    Constant,
    GraphForm,
    MatchForm,
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
    parts_of,
)
from metanas.space._template import (
    IDENTITY,
    Branches,
    Chain,
    Clause,
    Computed,
    Copies,
    Decided,
    Decision,
    OpSite,
    Resolved,
    Switch,
    Template,
    Value,
    decisions_in,
    value_under,
)
from metanas.space._yaml import key_text

OTHER = "other"
"""Label of the option for all values that no option names."""
MAX_NESTING = 100
"""Modules in modules, blocks counted with what they hold; keeps clear of Python's own limit."""


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
    except TooLargeError as error:
        problems.add(error.syntax.mark, error.syntax.path, str(error), remedy="use fewer repeats or less depth")
        return None
    if problems.found:
        return None
    limits = [(place, columns, most) for place, (columns, most) in resolver.limits.items()]
    return ordered(resolver.drafts, list(resolver.known.values()), template, recipe, limits, syntax, problems)


class _Resolver(CellResolver):
    """Resolves modules; the walk carries the place and the condition under which it is reached."""

    def __init__(self, syntax: SpaceSyntax, problems: Problems) -> None:
        super().__init__(syntax, problems)
        self.open_blocks: list[str] = []
        self.nesting = 0
        self.known: dict[Hashable, SharedBlock] = {}
        """Shared blocks as they were resolved."""
        self.recursive = sorted(name for name in syntax.named if name in self._reachable(syntax.named[name]))
        self.fixed: dict[int, Mapping[str, Value]] = {}
        """Parameters of ops in which nothing is decided, by their syntax."""
        self.told: tuple[Mapping[str, Value], tuple[tuple[str, str], ...] | None] = ({}, ())
        """Bound values, and their texts; blocks that bind nothing stand in the same ones."""

    # --- modules

    def module(self, syntax: ModuleSyntax, place: str, when: Clause, first: Overrides | None = None) -> Template:
        """The template of ``syntax``; entries of ``first`` are consumed by the ops that take them."""
        self.step(syntax)
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise TooLargeError(syntax, f"modules nest at most {MAX_NESTING} deep, blocks counted with what they hold")
        template = self._template(syntax, place, when, {} if first is None else first)
        self.nesting -= 1
        return template

    def _template(self, syntax: ModuleSyntax, place: str, when: Clause, first: Overrides) -> Template:
        match syntax:
            case OpCall():
                return self._op(syntax, named(place, syntax), when, first)
            case Reference():
                return self._reference(syntax, place, when, first)
            case SequenceForm(items=items):
                return self._sequence(items, place, when, first)
            case ChoiceForm(options=options):
                return self._switch(syntax, options, named(place, syntax), when, first)
            case MatchForm():
                return self._match(syntax, named(place, syntax), when, first)
            case OptionalForm():
                return self.optional(syntax, named(place, syntax), when, first)
            case RepeatForm():
                return self._repeat(syntax, named(place, syntax), when, first)
            case ResidualForm(body=body):
                inner = self.module(body, named(place, syntax), when, first)
                return Branches((IDENTITY, inner), "residual", named(place, syntax), syntax.mark, syntax.path)
            case ParallelForm(branches=branches, merge=merge):
                here = named(place, syntax)
                places = item_places(branches, here)
                unused = [dict(first) for _ in branches]
                inner_templates = tuple(
                    self.module(branch, where, when, rest)
                    for branch, where, rest in zip(branches, places, unused, strict=True)
                )
                _consume(first, unused)
                return Branches(inner_templates, merge, here, syntax.mark, syntax.path)
            case GraphForm():
                return self.graph(syntax, named(place, syntax), when)
            case StepsForm():
                return self.steps_cell(syntax, named(place, syntax), when)

    def _op(self, syntax: OpCall, place: str, when: Clause, first: Overrides) -> Template:
        plain = not first
        parameters = self.fixed.get(id(syntax)) if plain else None
        if parameters is None:
            parameters = self._parameters(syntax, place, when, first)
            if plain and all(isinstance(value, Constant) for value in syntax.parameters.values()):
                self.fixed[id(syntax)] = parameters
        label = syntax.label or syntax.name
        site = place if place.rpartition(".")[2].startswith(label) else join(place, label)
        return OpSite(syntax.name, parameters, site, syntax.mark, syntax.path)

    def _parameters(self, syntax: OpCall, place: str, when: Clause, first: Overrides) -> dict[str, Value]:
        known = {**dict.fromkeys(syntax.parameters), **signature(syntax.name).parameters}
        taken = {name: first.pop(name) for name in list(first) if name in known}
        for name, override in taken.items():
            parameter = known[name]
            if parameter and isinstance(override, Constant) and (breach := parameter.breach(override.value)):
                self.problems.add(override.mark, override.path, breach, found=repr(override.value))
        return {
            name: self.value(value, join(place, name), when, known[name])
            for name, value in {**syntax.parameters, **taken}.items()
        }

    def _sequence(self, items: tuple[ModuleSyntax, ...], place: str, when: Clause, first: Overrides) -> Template:
        places = item_places(items, place)
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
            self.module(option, join(place, label), (*when, (decision, frozenset({k}))), unused[k])
            for k, (label, option) in enumerate(options)
        )
        _consume(first, unused)
        return Switch(decision, templates, place)

    def _match(self, syntax: MatchForm, place: str, when: Clause, first: Overrides) -> Template:
        """The option that the let value names, or ``other``; no decision of its own."""
        by = self.value(syntax.by, join(place, "by"), when)
        if isinstance(by, Computed):
            self.problems.add(
                syntax.by.mark, syntax.by.path, "'by' is a let value that is one decision, or none",
                found="arithmetic", remedy="define a let value with the choice, and write its name",
            )  # fmt: skip
            return IDENTITY
        values = self.drafts[by.decision].decision.values if isinstance(by, Decided) else (by.value,)
        names = [key_text(value) for value in values]
        labels = [label for label, _ in syntax.options]
        # A let value without a choice may stand for one that another use of the block, or another file, has.
        for wrong in [label for label in labels if isinstance(by, Decided) and label not in (*names, OTHER)]:
            self.problems.add(
                syntax.mark, syntax.path, f"an option has a value of 'by' as its label, or {OTHER!r}", found=repr(wrong),
                remedy=did_you_mean(wrong, [*names, OTHER]),
            )  # fmt: skip
        missing = [name for name in names if name not in labels]
        if missing and OTHER not in labels:
            self.problems.add(
                syntax.mark, syntax.path, "every value of 'by' has an option", found=f"none for {', '.join(missing)}",
                remedy=f"add them, or the option {OTHER!r}",
            )  # fmt: skip
            return IDENTITY
        unused = [dict(first) for _ in labels]
        templates: dict[str, Template] = {}
        for (label, option), rest in zip(syntax.options, unused, strict=True):
            places = frozenset(k for k, name in enumerate(names) if (name if name in labels else OTHER) == label)
            if places:
                clause = (*when, (by.decision, places)) if isinstance(by, Decided) else when
                templates[label] = self.module(option, join(place, label), clause, rest)
        _consume(first, unused)
        chosen = tuple(templates[name if name in labels else OTHER] for name in names)
        return Switch(by.decision, chosen, place, by_let=True) if isinstance(by, Decided) else chosen[0]

    def optional(self, syntax: OptionalForm, place: str, when: Clause, first: Overrides) -> Template:
        if self._beyond_depth(syntax.body):
            return IDENTITY
        name = place or "optional"
        decision = self.decide(syntax, place, when, Decision(name=name, kind="choice", values=(False, True)))
        here = join(place, label_of(syntax.body))
        body = self.module(syntax.body, here, (*when, (decision, frozenset({1}))), first)
        return Switch(decision, (IDENTITY, body), place)

    def _repeat(self, syntax: RepeatForm, place: str, when: Clause, first: Overrides) -> Template:
        times = self.value(syntax.times, join(place, "times"), when, Parameter("int", "", low=0, high=MAX_REPEATS))
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
            here = place if syntax.share else join(place, str(copy + 1))
            rest = dict(overrides) if copy == 0 else {}
            copies.append(self.module(syntax.body, here, reached, rest))
            if copy == 0:
                self._all_used(syntax, rest)
                for name in [name for name in first if name not in rest]:
                    del first[name]
        return Copies(times, tuple(copies), place)

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
        here = syntax.name if shared else named(place, syntax)
        before = len(self.drafts)
        outer = self.bound
        if syntax.bound:
            given = {name: self.value(value, join(here, name), when) for name, value in syntax.bound.items()}
            self.bound = outer | given
        self.open_blocks.append(syntax.name)
        home, self.home = self.home, syntax.name if shared else self.home
        if shared and not first:
            template = self._shared(syntax.name, body, when)
        else:
            template = self.module(body, here, when, first)
        self.home = home
        self.open_blocks.pop()
        self.bound = outer
        if syntax.name not in self.syntax.blocks and len(self.drafts) > before:
            self.problems.add(
                body.mark, f"$.ops.{syntax.name}", "an op makes no decisions", found=self.drafts[before].decision.name,
                remedy="move it to 'blocks'",
            )  # fmt: skip
        return template

    def _shared(self, name: str, body: ModuleSyntax, when: Clause) -> Template:
        """The block ``name``, resolved once however often it stands in the space."""
        if self.told[0] is not self.bound:
            self.told = self.bound, _texts(self.bound)
        bound = self.told[1]
        if bound is None:
            return self.module(body, name, when)
        levels = tuple([self.open_blocks.count(block) for block in self.recursive])
        key = (name, bound, levels)
        block = self.known.get(key)
        if block is None:
            start = len(self.reached)
            template = self.module(body, name, when)
            # Each once; what they reach is found by identity.
            uses = {(id(used), clause): (used, clause[len(when) :]) for used, clause in self.reached[start:]}
            block = self.known[key] = SharedBlock(template, list(uses.values()), set())
            del self.reached[start:]
        self.reach(block, when)
        return block.template

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
            waiting.extend(parts_of(module))
        return found


def _texts(bound: Mapping[str, Value]) -> tuple[tuple[str, str], ...] | None:
    """Bound values to compare, by their texts, as True equals 1; None where one is arithmetic."""
    texts = []
    for let, value in sorted(bound.items(), key=itemgetter(0)):
        if isinstance(value, Computed):
            return None
        texts.append((let, f"decision {value.decision}" if isinstance(value, Decided) else repr(value.value)))
    return tuple(texts)


def _consume(first: Overrides, unused: list[Overrides]) -> None:
    """Drop from ``first`` what every branch took."""
    for name in list(first):
        if all(name not in rest for rest in unused):
            del first[name]
