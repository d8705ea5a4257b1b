"""Texts and keys that drawings and descriptions share: ops, parameters, values, and what makes two parts equal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from metanas.report._format import scalar
from metanas.space import (
    FLOAT_LEVELS,
    OPS,
    Branches,
    Cell,
    Chain,
    Copies,
    Decision,
    OpSite,
    Scalar,
    SearchSpace,
    Switch,
    Template,
    Value,
    parts_of_cell,
    value_under,
)
from metanas.space._expression import expression_text
from metanas.space._template import Computed, Decided, Fixed, decisions_in

_FAMILY = {
    **dict.fromkeys(("se", "identity", "none", "flatten"), "other"),
    **dict.fromkeys(("dense", "linear", "head", "mlp", "embed", "user_embed", "item_embed", "tokenize"), "dense"),
    **dict.fromkeys(("attention", "lstm", "gru"), "mixing"),
    **dict.fromkeys(("sum", "concat", "mean", "product", "residual"), "merge"),
    "input": "input",
}
MERGES = frozenset(op for op, family in _FAMILY.items() if family == "merge")


def family(op: str) -> str:
    """The family of an op or merge, by which it is coloured."""
    if op in _FAMILY:
        return _FAMILY[op]
    if "conv" in op or op in ("depthwise", "res_block", "patches"):
        return "convolution"
    return "pooling" if op.endswith("pool") else "normalisation"


# --- values


def values_of(decision: Decision, most: int = 80) -> str:
    """A choice's or range's values: ``3, 5, 7``, ``1 to 40``, ``0.0001 to 0.1 log``; ``most`` characters or so."""
    values = decision.values
    if decision.kind == "float" and len(values) == FLOAT_LEVELS:
        return f"{scalar(values[0])} to {scalar(values[-1])}" + (" log" if decision.log else "")
    if decision.kind in ("int", "float") and len(values) > 6:
        step = float(values[1]) - float(values[0])
        return f"{scalar(values[0])} to {scalar(values[-1])}" + (f" step {step:.8g}" if step != 1 else "")
    texts = [scalar(v) for v in values]
    shown = next(k for k in range(len(texts), 0, -1) if len(", ".join(texts[:k])) <= most or k == 1)
    return ", ".join(texts[:shown]) + (f", … {len(texts) - shown} more" if shown < len(texts) else "")


def is_own(decision: Decision, parameter: str, site: str) -> bool:
    """Whether a decision was made at this place, and is no shared ``let`` value."""
    parent, _, last = site.rpartition(".")
    return decision.name in {".".join(filter(None, (place, parameter))) for place in (site, parent, last and parent)}


# --- ops


def op_details(op: str, parameters: Mapping[str, Scalar | None]) -> list[str]:
    """The parameters that matter, short: ``16``, ``3×3``, ``/2``; defaults that change nothing are left out."""
    texts = (_short(op, name, value) for name, value in _ordered(op, parameters))
    return [text for text in texts if text]


def _ordered(op: str, parameters: Mapping[str, object]) -> list[tuple[str, object]]:
    """In the order of the op's reference."""
    known = [name for name in (OPS[op].parameters if op in OPS else ()) if name in parameters]
    return [(name, parameters[name]) for name in [*known, *(name for name in parameters if name not in known)]]


def _short(op: str, name: str, value: object) -> str:
    if value is None or (name in ("stride", "dilation", "groups") and value == 1):
        return ""
    text = scalar(value) if isinstance(value, (bool, int, float, str)) else str(value)
    match name:
        case "out" | "units" | "act" | "kind":
            return text
        case "kernel":
            return f"{text}×{text}"
        case "stride":
            return f"/{text}"
        case "norm":
            return "" if value == "none" else f"{text} norm"
        case "dropout" | "rate":
            return f"dropout {text}" if value and op != "dropout" else text if value else ""
        case "se":
            return "se" if value else ""
        case "bias":
            return "" if value else "no bias"
        case _:
            return f"{name} {text}"


def site_details(site: OpSite, space: SearchSpace) -> tuple[list[str], list[str]]:
    """Of an op in a template: short texts of its fixed parameters, and one text for each that is open."""
    # What no decision has a say in is a constant, be it computed.
    given = {name: value_under(value, ()) for name, value in site.parameters.items() if not decisions_in(value)}
    open_ = [
        f"{name} {value_text(value, space, name, site.site)}"
        for name, value in _ordered(site.name, site.parameters)
        if name not in given and isinstance(value, (Decided, Computed))
    ]
    return op_details(site.name, given), open_


def value_text(value: Value, space: SearchSpace, parameter: str, site: str) -> str:
    """``{3, 5, 7}`` for a decision made here, ``$width`` for a shared one, ``16 × $width``, or a constant."""
    match value:
        case Fixed(constant):
            return scalar(constant)
        case Decided(column):
            decision = space.decisions[column]
            return f"{{{values_of(decision)}}}" if is_own(decision, parameter, site) else f"${decision.name}"
        case Computed(expression, names):
            if not decisions_in(value):
                return scalar(value_under(value, ()))
            # Names that a use of a block binds mean something else in each use.
            return expression_text(
                expression, {name: value_text(v, space, "", "?") for name, v in names.items()}.__getitem__
            )


def shared_decisions(space: SearchSpace) -> list[Decision]:
    """The decisions behind ``$names`` in the network, in the order of the table."""
    return [space.decisions[column] for column in sorted(shared_columns(space))]


def shared_columns(space: SearchSpace) -> set[int]:
    """Columns of the decisions behind ``$names`` in the network."""
    found: set[int] = set()

    def visit(value: Value, parameter: str, site: str) -> None:
        if isinstance(value, Computed):
            for inner in value.names.values():
                visit(inner, "", "?")
        elif isinstance(value, Decided) and not is_own(space.decisions[value.decision], parameter, site):
            found.add(value.decision)

    for part in walk(space.template):
        if isinstance(part, OpSite):
            for name, value in part.parameters.items():
                visit(value, name, part.site)
        elif isinstance(part, Switch) and part.by_let:
            found.add(part.decision)
        elif isinstance(part, Copies) and times_text(part.times, space)[0] != "{":
            visit(part.times, "times", "?")
    return found


# --- templates


def parts_of(template: Template) -> Sequence[Template]:
    """The templates directly inside."""
    match template:
        case OpSite():
            return ()
        case Chain(items=items):
            return items
        case Switch(options=options):
            return options
        case Copies(copies=copies):
            return copies
        case Branches(branches=branches):
            return branches
        case Cell():
            return list(parts_of_cell(template))


def walk(template: Template) -> list[Template]:
    """The template and all inside it, each object once, outer ones first."""
    found: dict[int, Template] = {}
    waiting = [template]
    while waiting:
        part = waiting.pop()
        if id(part) not in found:
            found[id(part)] = part
            waiting.extend(reversed(parts_of(part)))
    return list(found.values())


class Signatures:
    """Keys that are equal for templates that differ in nothing but the names of places and decisions."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._known: dict[int, int] = {}
        self._numbers: dict[object, int] = {}

    def of(self, template: Template) -> int:
        """A number for each class of equal templates."""
        if id(template) not in self._known:
            key = (type(template).__name__, self._head(template), tuple(self.of(part) for part in parts_of(template)))
            self._known[id(template)] = self._numbers.setdefault(key, len(self._numbers))
        return self._known[id(template)]

    def _head(self, template: Template) -> object:
        match template:
            case OpSite(name=name, parameters=parameters, site=site):
                texts = {p: value_text(value, self._space, p, site) for p, value in parameters.items()}
                return name, tuple(sorted(texts.items()))
            case Chain() | Branches(merge=""):
                return ""
            case Switch(decision=decision):
                return chosen_by(template, self._space), tuple(self._space.decisions[decision].values)
            case Copies(times=times):
                return times_text(times, self._space)
            case Branches(merge=merge):
                return merge
            case Cell(inputs=inputs, nodes=nodes, each_input=each):
                # Parts may be shared inside a cell, so that which stands where belongs to the key.
                return (
                    inputs,
                    tuple(map(self.of, each)),
                    tuple(
                        (
                            n.name,
                            n.merge,
                            n.op and self.of(n.op),
                            tuple((e.sources, tuple(map(self.of, e.modules))) for e in n.edges),
                        )
                        for n in nodes
                    ),
                )


def times_text(times: Value, space: SearchSpace) -> str:
    """How often something is repeated: ``5``, ``{2, 3, 4}``, ``2 × $depth``."""
    match times:
        case Decided(column):
            decision = space.decisions[column]
            return f"{{{values_of(decision)}}}" if decision.name.endswith("times") else f"${decision.name}"
        case _:
            return value_text(times, space, "times", "")


def last_name(site: str) -> str:
    """The last part of a place, without the number that tells it from its neighbours; empty where it has none of its own."""
    last = re.sub(r"_\d+$", "", site.rpartition(".")[2])
    return "" if last.isdigit() or last == "match" else last


def chosen_by(switch: Switch, space: SearchSpace) -> str:
    """``by $norm`` where a shared decision chooses; empty for a choice of its own."""
    return f"by ${space.decisions[switch.decision].name}" if switch.by_let else ""


def constraint_texts(space: SearchSpace) -> list[str]:
    """What an architecture must make true, bounds on the edges of cells included."""
    return [*(limit.text for limit in space.limits), *(constraint.text for constraint in space.constraints)]


def is_optional(switch: Switch, decision: Decision) -> bool:
    """Whether a choice is between something and nothing."""
    return set(decision.values) == {False, True} and not is_something(switch.options[0])


def is_something(template: Template) -> bool:
    """Whether a template is more than its input or a cut edge."""
    if isinstance(template, OpSite):
        return template.name not in ("none", "identity")
    return not isinstance(template, Chain) or bool(template.items)


def labelled_options(switch: Switch, decision: Decision) -> list[tuple[str, Template]]:
    """The options of a choice with their labels; one that a let value chooses may stand for several values."""
    labels: dict[int, list[str]] = {}
    for value, option in zip(decision.values, switch.options, strict=True):
        labels.setdefault(id(option), []).append(scalar(value))
    return [(", ".join(labels[key]), option) for key, option in {id(o): o for o in switch.options}.items()]
