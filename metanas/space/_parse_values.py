"""Nodes -> value syntax: numbers, texts, flags, choices, ranges and formulas, with every breach noted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

from metanas.space._expression import ExpressionError, parse_expression
from metanas.space._problems import Mark, Problems, did_you_mean
from metanas.space._syntax import ChoiceValue, Constant, Formula, RangeValue, ValueSyntax
from metanas.space._yaml import ListNode, MapNode, Node, Scalar, ScalarNode, plain

MAX_LEVELS = 10_001
"""Most values of one decision: a range longer than this needs a step."""

NAME = re.compile(r"[A-Za-z_]\w{0,63}")


def parse_value(node: Node, path: str, problems: Problems, rule: Callable[[Scalar], str] | None = None) -> ValueSyntax:
    """A value expression; ``rule`` says which rule a single value breaks, or nothing."""
    return Values(problems).value(node, path, rule or (lambda value: ""))


def kind_of(node: Node) -> str:
    """What a node is, in a user's words."""
    if isinstance(node, ScalarNode):
        if node.value is None:
            return "nothing"
        return repr(node.value).lower() if isinstance(node.value, bool) else repr(node.value)
    kind, inner = ("list", node.items) if isinstance(node, ListNode) else ("mapping", plain(node))
    return f"{'a' if inner else 'an empty'} {kind}"


class Values:
    """Value expressions, and the helpers that modules share with them."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def value(self, node: Node, path: str, rule: Callable[[Scalar], str]) -> ValueSyntax:
        if isinstance(node, MapNode):
            return self._decision(node, path, rule)
        value = self.scalar(node, path)
        if value is None:
            return Constant(mark=node.mark, path=path, value=0)
        if isinstance(value, str) and "$" in value:
            return self._formula(node.mark, path, value)
        self._check(node.mark, path, value, rule)
        return Constant(mark=node.mark, path=path, value=value)

    def scalar(self, node: Node, path: str) -> Scalar | None:
        if not isinstance(node, ScalarNode) or node.value is None:
            self.problems.add(
                node.mark, path, "must be a number, a text, a flag, or a choice, int or float", found=kind_of(node)
            )
            return None
        return node.value

    def _check(self, mark: Mark, path: str, value: Scalar, rule: Callable[[Scalar], str]) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            self.problems.add(mark, path, "must be finite", found=value)
        elif breach := rule(value):
            self.problems.add(mark, path, breach, found=repr(value))

    def _formula(self, mark: Mark, path: str, text: str) -> ValueSyntax:
        try:
            return Formula(mark=mark, path=path, expression=parse_expression(text), text=text)
        except ExpressionError as error:
            self.problems.add(mark, path, f"must be arithmetic on $names: {error}", remedy="write e.g. '$width * 2'")
            return Constant(mark=mark, path=path, value=0)

    def _decision(self, node: MapNode, path: str, rule: Callable[[Scalar], str]) -> ValueSyntax:
        keys = {"choice": ("prior",), "int": ("step", "log"), "float": ("step", "log")}
        head = next((key for key in keys if key in node.entries), None)
        if head is None:
            found = ", ".join(node.entries) or "an empty mapping"
            self.problems.add(
                node.mark, path, "a value is itself, or one of choice, int, float", found=found,
                remedy=did_you_mean(next(iter(node.entries), ""), keys),
            )  # fmt: skip
            return Constant(mark=node.mark, path=path, value=0)
        self.keys(node, path, (head, "id", *keys[head]))
        name = self.identifier(node, path)
        if head == "choice":
            return self._choice_of_values(node, path, name, rule)
        return self._range(node, path, name, head == "float", rule)

    def _choice_of_values(self, node: MapNode, path: str, name: str, rule: Callable[[Scalar], str]) -> ValueSyntax:
        body, here = node.entries["choice"], f"{path}.choice"
        values: list[Scalar] = []
        if not isinstance(body, ListNode) or not body.items:
            self.problems.add(body.mark, here, "a choice of values is a list of one or more", found=kind_of(body))
            return Constant(mark=node.mark, path=path, value=0)
        for index, item in enumerate(body.items):
            value = self.scalar(item, f"{here}[{index}]")
            if value is None:
                continue
            self._check(item.mark, f"{here}[{index}]", value, rule)
            if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values):
                self.problems.add(item.mark, f"{here}[{index}]", "the values of a choice differ", found=repr(value))
            values.append(value)
        prior = self.prior(node, path, [str(value) for value in values])
        return ChoiceValue(mark=node.mark, path=path, id=name, values=tuple(values), prior=prior)

    def _range(self, node: MapNode, path: str, name: str, real: bool, rule: Callable[[Scalar], str]) -> ValueSyntax:
        head = "float" if real else "int"
        body, here = node.entries[head], f"{path}.{head}"
        ends = [item.value for item in body.items if isinstance(item, ScalarNode)] if isinstance(body, ListNode) else []
        numbers = [end for end in ends if isinstance(end, (int, float) if real else int) and not isinstance(end, bool)]
        fallback = Constant(mark=node.mark, path=path, value=0)
        if not isinstance(body, ListNode) or len(body.items) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
            what = "two numbers" if real else "two whole numbers"
            self.problems.add(
                body.mark,
                here,
                f"a range is [low, high], {what} with low < high",
                found=ends or kind_of(body),
            )
            return fallback
        for item, end in zip(body.items, numbers, strict=True):
            self._check(item.mark, here, float(end) if real else end, rule)
        log = self.flag(node, path, "log", False)
        step: float | None = None
        if "step" in node.entries:
            step_node = node.entries["step"]
            given = step_node.value if isinstance(step_node, ScalarNode) else None
            step = given if isinstance(given, (int, float)) and not isinstance(given, bool) else 0
            if not 0 < step < math.inf or (not real and not isinstance(step, int)):
                self.problems.add(
                    step_node.mark, f"{path}.step", "a step is a number above 0", found=kind_of(step_node)
                )
                return fallback
        low, high = numbers
        if log and (low <= 0 or step is not None):
            self.problems.add(
                node.mark, path, "a log range begins above 0 and has no step", found=f"{ends}, step {step}"
            )
            return fallback
        if (not real or step is not None) and (high - low) / (step or 1) >= MAX_LEVELS:
            self.problems.add(
                body.mark,
                here,
                f"a decision has at most {MAX_LEVELS:,} values",
                found=ends,
                remedy="give a larger step",
            )
            return fallback
        if not math.isfinite(high - low):
            self.problems.add(body.mark, here, "the length of a range must be finite", found=ends)
            return fallback
        return RangeValue(mark=node.mark, path=path, id=name, low=low, high=high, real=real, step=step, log=log)

    def prior(self, node: MapNode, path: str, labels: list[str]) -> tuple[float, ...]:
        body = node.entries.get("prior")
        if body is None:
            return ()
        here = f"{path}.prior"
        if isinstance(body, MapNode):
            self.keys(body, here, labels)
            weights = [body.entries.get(label, ScalarNode(body.mark, 1)) for label in labels]
        elif isinstance(body, ListNode) and len(body.items) == len(labels):
            weights = body.items
        else:
            self.problems.add(
                body.mark, here, "a prior is a list of weights, one an option, or a mapping from label to weight",
                found=kind_of(body),
            )  # fmt: skip
            return ()
        values = [item.value if isinstance(item, ScalarNode) else None for item in weights]
        good = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v < math.inf]
        if len(good) != len(values) or not 0 < sum(good) < math.inf:
            self.problems.add(body.mark, here, "weights are numbers of 0 or more, not all 0", found=values)
            return ()
        return tuple(float(v) for v in good)

    def keys(self, node: MapNode, path: str, known: Iterable[str]) -> None:
        known = list(known)
        for key in node.entries:
            if key not in known:
                self.problems.add(node.key_marks[key], path, f"unknown key {key!r}", remedy=did_you_mean(key, known))

    def flag(self, node: MapNode, path: str, key: str, default: bool) -> bool:
        entry = node.entries.get(key)
        if entry is None:
            return default
        if not isinstance(entry, ScalarNode) or not isinstance(entry.value, bool):
            self.problems.add(entry.mark, f"{path}.{key}", "must be true or false", found=kind_of(entry))
            return default
        return entry.value

    def text(self, node: MapNode, path: str, key: str, default: str = "") -> str:
        entry = node.entries.get(key)
        if entry is None:
            return default
        if not isinstance(entry, ScalarNode) or not isinstance(entry.value, str):
            self.problems.add(entry.mark, f"{path}.{key}", "must be a text", found=kind_of(entry))
            return default
        return entry.value

    def identifier(self, node: MapNode, path: str) -> str:
        entry, name = node.entries.get("id"), self.text(node, path, "id")
        named = isinstance(entry, ScalarNode) and isinstance(entry.value, str)
        if entry is None or not named or NAME.fullmatch(name):
            return name
        self.problems.add(entry.mark, f"{path}.id", "an id is letters, digits and _, at most 64", found=repr(name))
        return ""
