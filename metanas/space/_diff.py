"""How two spaces differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metanas.space._size import size_text
from metanas.space._space import SearchSpace
from metanas.space._template import (
    Clause,
    Computed,
    Decided,
    Decision,
    Fixed,
    OpSite,
    Value,
    templates_in,
)

_SHOWN = 8
"""Values of a decision that are written out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceDiff:
    """What :func:`diff_spaces` found; empty mappings and pairs of equal values where the spaces agree."""

    keys: Mapping[str, tuple[str, str]]
    """Name, input and size (rows): those that differ."""
    removed: Mapping[str, str]
    """Decisions of the first space alone, with what they decide."""
    added: Mapping[str, str]
    """Decisions of the second alone."""
    changed: Mapping[str, tuple[str, str]]
    """Decisions of both that differ in values, prior or condition."""
    ops: Mapping[str, tuple[str, str]]
    """Places where another op stands, or with other parameters; empty on the side that has no such place."""
    constraints: tuple[tuple[str, ...], tuple[str, ...]]
    """Constraints of the first alone, and of the second alone."""
    recipe: Mapping[str, tuple[str, str]]
    """Training settings that differ."""

    @property
    def same(self) -> bool:
        """Whether the spaces differ in nothing but their texts."""
        return not (
            self.keys or self.removed or self.added or self.changed or self.ops or any(self.constraints) or self.recipe
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "same": self.same,
            "keys": dict(self.keys),
            "removed": dict(self.removed),
            "added": dict(self.added),
            "changed": dict(self.changed),
            "ops": dict(self.ops),
            "constraints": {"removed": list(self.constraints[0]), "added": list(self.constraints[1])},
            "train": dict(self.recipe),
        }


def diff_spaces(first: SearchSpace, second: SearchSpace) -> SpaceDiff:
    """Compare what two spaces describe: decisions by name, ops by place; not how their files say it."""
    decisions = [{d.name: _decision(space, d) for d in space.decisions} for space in (first, second)]
    constraints = [[c.text for c in space.constraints] + [e.text for e in space.limits] for space in (first, second)]
    rows = [size_text(space.size) for space in (first, second)]
    keys = {"space": (first.name, second.name), "input": (first.input, second.input), "rows": (rows[0], rows[1])}
    old, new = decisions
    return SpaceDiff(
        keys={key: pair for key, pair in keys.items() if pair[0] != pair[1]},
        removed={name: text for name, text in old.items() if name not in new},
        added={name: text for name, text in new.items() if name not in old},
        changed={name: (old[name], new[name]) for name in old if name in new and old[name] != new[name]},
        ops=_changes(_ops(first), _ops(second)),
        constraints=(
            tuple(text for text in constraints[0] if text not in constraints[1]),
            tuple(text for text in constraints[1] if text not in constraints[0]),
        ),
        recipe=_changes(*({k: _value(s, v) for k, v in s.recipe.items()} for s in (first, second))),
    )


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    pairs = {name: (old.get(name, ""), new.get(name, "")) for name in (*old, *new)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _decision(space: SearchSpace, decision: Decision) -> str:
    values = [str(value) for value in decision.values[:_SHOWN]]
    if decision.size > _SHOWN:
        values = [*values[:3], "…", str(decision.values[-1]), f"({decision.size} values)"]
    text = f"{decision.kind} of {', '.join(values)}"
    if decision.log:
        text += ", log"
    if decision.prior:
        text += f", prior {', '.join(f'{weight:g}' for weight in decision.prior)}"
    if decision.when:
        text += ", when " + " or ".join(_clause(space, clause) for clause in decision.when)
    return text


def _clause(space: SearchSpace, clause: Clause) -> str:
    parts = []
    for parent, allowed in clause:
        known = space.decisions[parent]
        values = ", ".join(str(known.values[index]) for index in sorted(allowed)[:_SHOWN])
        parts.append(f"{known.name} in [{values}]")
    return " and ".join(parts)


def _ops(space: SearchSpace) -> dict[str, str]:
    """What stands at each place; several uses of one place are numbered."""
    ops: dict[str, str] = {}
    sites = [part for part in templates_in(space.template) if isinstance(part, OpSite)]
    for site in sorted(sites, key=lambda part: part.site):
        given = ", ".join(f"{key} {_value(space, value)}" for key, value in site.parameters.items())
        text = f"{site.name} ({given})" if given else site.name
        name = site.site or site.name
        count = 2
        while name in ops and ops[name] != text:
            name = f"{site.site or site.name} #{count}"
            count += 1
        ops[name] = text
    return ops


def _value(space: SearchSpace, value: Value) -> str:
    match value:
        case Fixed(constant):
            return str(constant)
        case Decided(decision):
            return f"by {space.decisions[decision].name}"
        case Computed(names=names):
            return f"computed from {', '.join(_value(space, inner) for inner in names.values())}"
