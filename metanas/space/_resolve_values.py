"""Syntax of values -> values: decisions entered into the table, formulas checked on what they can become."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from metanas.space._expression import ExpressionError, Name, names_in
from metanas.space._ops import Parameter
from metanas.space._order import Draft, SharedBlock
from metanas.space._parse_modules import label_of
from metanas.space._problems import Problems, did_you_mean
from metanas.space._syntax import (
    ChoiceForm,
    ChoiceValue,
    Constant,
    Formula,
    ModuleSyntax,
    RangeValue,
    SpaceSyntax,
    Syntax,
    ValueSyntax,
)
from metanas.space._template import (
    FLOAT_LEVELS,
    Clause,
    Computed,
    Decided,
    Decision,
    Fixed,
    Value,
    decisions_in,
    value_under,
)
from metanas.space._yaml import Scalar

MAX_STEPS = 20_000
"""Places visited; beyond this a file repeats itself without measure."""
MAX_DECISIONS = 5_000
MAX_LETS = 10
"""Let values that lead to each other."""


class TooLargeError(Exception):
    """A file that repeats itself without measure."""

    def __init__(self, syntax: Syntax, rule: str) -> None:
        self.syntax = syntax
        super().__init__(rule)


class ValueResolver:
    """Resolves values, and keeps the table of decisions that they make."""

    def __init__(self, syntax: SpaceSyntax, problems: Problems) -> None:
        self.syntax = syntax
        self.problems = problems
        self.drafts: list[Draft] = []
        self.by_place: dict[tuple[int, str, str, tuple[Scalar, ...]], int] = {}
        self.home = ""
        """The shared block that is being resolved: a copy of it may stand at a place of the same name."""
        self.taken: set[str] = set()
        self.open_lets: list[str] = []
        self.bound: dict[str, Value] = {}
        """Values that the uses of blocks around the present place give to let names."""
        self.reached: list[tuple[Draft | SharedBlock, Clause]] = []
        """What was reached, in order: a shared block that is met again reaches the same once more."""
        self.steps = 0
        self.checked: set[tuple[int, int]] = set()
        """Formulas, each with the parameter that it was checked for."""
        self.checks = 200_000
        """Values that formulas may still be checked on."""
        self.part = "network"

    # --- decisions

    def decide(self, syntax: Syntax, place: str, when: Clause, draft: Decision) -> int:
        """The decision of ``syntax`` at ``place``, active (also) when ``when`` holds."""
        # Where recursion ends early, one place may offer fewer options than another visit of it: another decision.
        key = (id(syntax), self.home, place, tuple(draft.values) if isinstance(syntax, ChoiceForm) else ())
        index = self.by_place.get(key)
        if index is None:
            if len(self.drafts) >= MAX_DECISIONS:
                raise TooLargeError(syntax, f"a space has at most {MAX_DECISIONS:,} decisions")
            name, number = draft.name, 2
            while name in self.taken:
                name, number = f"{draft.name}_{number}", number + 1
            self.taken.add(name)
            index = self.by_place[key] = len(self.drafts)
            self.drafts.append(Draft(replace(draft, name=name, part=self.part)))
        self.reach(self.drafts[index], when)
        return index

    def reach(self, used: Draft | SharedBlock, when: Clause) -> None:
        """A place that uses a decision, or a shared block, is reached when ``when`` holds."""
        used.clauses.add(when)
        self.reached.append((used, when))

    def step(self, syntax: Syntax) -> None:
        """Count a place that is visited."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooLargeError(syntax, f"a space has at most {MAX_STEPS:,} places")

    # --- values

    def value(self, syntax: ValueSyntax, place: str, when: Clause, parameter: Parameter | None = None) -> Value:
        place = named(place, syntax)
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
                raise TooLargeError(syntax, f"let values lead to each other at most {MAX_LETS} deep")
            self.step(syntax)
            self.open_lets.append(let)
            home, self.home = self.home, ""
            names[name] = self.value(self.syntax.let[let], let, when)
            self.home = home
            self.open_lets.pop()
        if parameter is None and isinstance(syntax.expression, Name):
            return names[syntax.expression.name]  # another name for the same value
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


def join(place: str, part: str) -> str:
    """A place within a place."""
    return f"{place}.{part}" if place else part


def named(place: str, syntax: Syntax) -> str:
    """The place, its last part replaced by the id that the user gave."""
    return join(place.rpartition(".")[0], syntax.id) if syntax.id else place


def _range(syntax: RangeValue, place: str) -> Decision:
    values: Sequence[Scalar]
    if not syntax.real:
        values = range(int(syntax.low), int(syntax.high) + 1, int(syntax.step or 1))
        prior = tuple(math.log((v + 0.5) / (v - 0.5)) for v in values) if syntax.log else ()
        return Decision(name=place, kind="int", values=values, log=syntax.log, prior=prior)
    low, high = float(syntax.low), float(syntax.high)  # numpy has no whole numbers as large as a file may
    if syntax.step is not None:
        count = math.floor((high - low) / syntax.step + 1e-9) + 1
        values = tuple(round(low + float(syntax.step) * k, 12) for k in range(count))
    else:
        space = np.geomspace if syntax.log else np.linspace
        values = tuple(float(f"{v:.6g}") for v in space(low, high, FLOAT_LEVELS))
    return Decision(name=place, kind="float", values=values, log=syntax.log)


def item_places(items: Sequence[ModuleSyntax], place: str) -> list[str]:
    """A readable place for each item of a list: its label, numbered where labels repeat."""
    seen: dict[str, int] = {}
    places = []
    for item in items:
        label = label_of(item)
        number = seen[label] = seen.get(label, 0) + 1
        places.append(join(place, label if number == 1 else f"{label}_{number}"))
    return places
