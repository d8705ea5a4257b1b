"""How two spaces differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from metanas.space._diff_network import Difference, network_differences, value_text
from metanas.space._size import size_text
from metanas.space._space import SearchSpace
from metanas.space._template import Clause, Decision
from metanas.space._yaml import Scalar

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
    network: tuple[Difference, ...]
    """Places of the network where something else stands: ops, their parameters and order, merges, wires, repeats."""
    constraints: tuple[tuple[str, ...], tuple[str, ...]]
    """Constraints of the first alone, and of the second alone."""
    recipe: Mapping[str, tuple[str, str]]
    """Training settings that differ."""

    @property
    def same(self) -> bool:
        """Whether the spaces differ in nothing but their texts."""
        return not (
            self.keys
            or self.removed
            or self.added
            or self.changed
            or self.network
            or any(self.constraints)
            or self.recipe
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "same": self.same,
            "keys": dict(self.keys),
            "removed": dict(self.removed),
            "added": dict(self.added),
            "changed": dict(self.changed),
            "network": [asdict(difference) for difference in self.network],
            "constraints": {"removed": list(self.constraints[0]), "added": list(self.constraints[1])},
            "train": dict(self.recipe),
        }


def diff_spaces(first: SearchSpace, second: SearchSpace) -> SpaceDiff:
    """Compare what two spaces describe, decisions by name and networks part by part; not how their files say it."""
    old, new = ({d.name: d for d in space.decisions} for space in (first, second))
    changed = {name: _decisions(first, second, old[name], new[name]) for name in old if name in new}
    constraints = [[c.text for c in space.constraints] + [e.text for e in space.limits] for space in (first, second)]
    rows = [size_text(space.size) for space in (first, second)]
    keys = {"space": (first.name, second.name), "input": (first.input, second.input), "rows": (rows[0], rows[1])}
    return SpaceDiff(
        keys={key: pair for key, pair in keys.items() if pair[0] != pair[1]},
        removed={name: _decision(first, decision) for name, decision in old.items() if name not in new},
        added={name: _decision(second, decision) for name, decision in new.items() if name not in old},
        changed={name: pair for name, pair in changed.items() if pair[0] != pair[1]},
        network=network_differences(first, second),
        constraints=(
            tuple(text for text in constraints[0] if text not in constraints[1]),
            tuple(text for text in constraints[1] if text not in constraints[0]),
        ),
        recipe=_changes(*({k: value_text(s, v) for k, v in s.recipe.items()} for s in (first, second))),
    )


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    pairs = {name: (old.get(name, ""), new.get(name, "")) for name in (*old, *new)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _decisions(first: SearchSpace, second: SearchSpace, old: Decision, new: Decision) -> tuple[str, str]:
    """How two decisions of one name differ: with all their values only where the first ones do not tell; else equal."""
    long = _decision(first, old, all_=True), _decision(second, new, all_=True)
    short = _decision(first, old), _decision(second, new)
    return short if short[0] != short[1] or long[0] == long[1] else long


def _decision(space: SearchSpace, decision: Decision, *, all_: bool = False) -> str:
    values = [_written(value, all_) for value in decision.values]
    if decision.size > _SHOWN and not all_:
        values = [*values[:3], "…", values[-1], f"({decision.size} values)"]
    text = f"{decision.kind} of {', '.join(values)}"
    if decision.log:
        text += ", log"
    if decision.prior:
        text += f", prior {', '.join(f'{weight:g}' if not all_ else str(weight) for weight in decision.prior)}"
    if decision.when:
        text += ", when " + " or ".join(sorted(_clause(space, clause, all_) for clause in decision.when))
    return text


def _clause(space: SearchSpace, clause: Clause, all_: bool) -> str:
    parts = []
    for parent, allowed in clause:
        known = space.decisions[parent]
        shown = sorted(allowed) if all_ else sorted(allowed)[:_SHOWN]
        parts.append(f"{known.name} in [{', '.join(_written(known.values[index], all_) for index in shown)}]")
    return " and ".join(sorted(parts))


def _written(value: Scalar, all_: bool) -> str:
    """A value for people, or so that no two are alike."""
    return repr(value) if all_ else str(value)
