"""Drafts of decisions -> the ordered table, and the template renumbered to match."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from metanas.space._problems import Problems
from metanas.space._syntax import SpaceSyntax
from metanas.space._template import (
    Branches,
    Cell,
    CellNode,
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
)


@dataclass(slots=True)
class Draft:
    """A decision whose conditions are still being gathered."""

    decision: Decision
    """All but its conditions."""
    clauses: set[Clause] = field(default_factory=set)
    """Conditions under which some place that uses it is reached; they name drafts by index."""


@dataclass(slots=True, eq=False)
class SharedBlock:
    """A block that is resolved once and stands in several places: what it reaches is reached in each of them."""

    template: Template
    """What it is resolved to."""
    members: list[tuple[Draft | SharedBlock, Clause]]
    """What it reaches, under what beside the block's own condition."""
    clauses: set[Clause]
    """Conditions under which the block itself is reached."""


def ordered(
    drafts: Sequence[Draft],
    blocks: Sequence[SharedBlock],
    template: Template,
    recipe: Mapping[str, Value],
    limits: Sequence[tuple[str, tuple[int, ...], int]],
    syntax: SpaceSyntax,
    problems: Problems,
) -> Resolved | None:
    """The decisions with their conditions, each after those that it depends on; None (noted) for a circle.

    ``blocks`` stand in the order in which they were resolved: what a block holds before the block.
    """
    sizes = [draft.decision.size for draft in drafts]
    for block in reversed(blocks):
        # Conditions are joined once for the block and not for each decision in it.
        for when in _simplified(frozenset(block.clauses), sizes) or ((),):
            for member, tail in block.members:
                member.clauses.add(when + tail)
    # Decisions of one place are reached alike, so they share the work.
    kinds = [frozenset(draft.clauses) for draft in drafts]
    simple = {kind: _simplified(kind, sizes) for kind in dict.fromkeys(kinds)}
    clauses = [simple[kind] for kind in kinds]
    parents = [{i for clause in when for i, _ in clause} for when in clauses]
    order: list[int] = []
    state = [0] * len(drafts)
    for start in range(len(drafts)):
        stack = [(start, iter(sorted(parents[start])))]
        if state[start]:
            continue
        state[start] = 1
        while stack:
            index, rest = stack[-1]
            parent = next(rest, None)
            if parent is None:
                stack.pop()
                state[index] = 2
                order.append(index)
            elif state[parent] == 1:
                names = f"{drafts[index].decision.name} and {drafts[parent].decision.name}"
                problems.add(syntax.mark, "$", "decisions cannot depend on each other in a circle", found=names)
                return None
            elif state[parent] == 0:
                state[parent] = 1
                stack.append((parent, iter(sorted(parents[parent]))))
    position = {old: new for new, old in enumerate(order)}
    # Most spaces name their decisions in such an order already, and copying a large template costs.
    moved = order != list(range(len(order)))
    decisions = tuple(
        replace(
            drafts[old].decision,
            when=tuple(tuple((position[i], allowed) for i, allowed in clause) for clause in clauses[old]),
        )
        for old in order
    )
    return Resolved(
        decisions=decisions,
        template=_renumbered(template, position, {}) if moved else template,
        recipe={name: _renumbered_value(value, position) for name, value in recipe.items()},
        limits=tuple((place, tuple(position[c] for c in columns), most) for place, columns, most in limits),
    )


def _simplified(clauses: frozenset[Clause], sizes: Sequence[int]) -> tuple[Clause, ...]:
    """Clauses with one entry a decision, joined and absorbed where possible; empty when always true."""
    entries: list[dict[int, frozenset[int]]] = []
    for clause in sorted(clauses, key=lambda c: (len(c), [(d, sorted(a)) for d, a in c])):
        entry: dict[int, frozenset[int]] = {}
        for decision, allowed in clause:
            entry[decision] = entry[decision] & allowed if decision in entry else allowed
        if all(entry.values()):
            entries = _joined(entries, entry, sizes)
    if any(not entry for entry in entries):
        return ()
    return tuple(tuple(sorted(entry.items())) for entry in entries)


def _joined(
    entries: list[dict[int, frozenset[int]]], new: dict[int, frozenset[int]], sizes: Sequence[int]
) -> list[dict[int, frozenset[int]]]:
    """``entries`` with ``new``: dropped if one covers it, or united with one that differs in a single decision."""
    for index, other in enumerate(entries):
        if all(d in new and new[d] <= allowed for d, allowed in other.items()):
            return entries
        different = [d for d in new if new[d] != other.get(d)]
        if new.keys() == other.keys() and len(different) == 1:
            decision = different[0]
            union = new[decision] | other[decision]
            rest = {d: allowed for d, allowed in new.items() if d != decision}
            if len(union) < sizes[decision]:
                rest[decision] = union
            return _joined(entries[:index] + entries[index + 1 :], rest, sizes)
    return [*(o for o in entries if not all(d in o and o[d] <= a for d, a in new.items())), new]


def _renumbered(template: Template, position: Mapping[int, int], done: dict[int, Template]) -> Template:
    key = id(template)
    if key in done:
        return done[key]

    def inner(part: Template) -> Template:
        return _renumbered(part, position, done)

    result: Template
    match template:
        case OpSite():
            values = {name: _renumbered_value(value, position) for name, value in template.parameters.items()}
            result = replace(template, parameters=values)
        case Chain(items=items):
            result = Chain(tuple(inner(item) for item in items))
        case Switch(decision=decision, options=options):
            result = replace(template, decision=position[decision], options=tuple(inner(option) for option in options))
        case Copies(times=times, copies=copies):
            result = replace(
                template, times=_renumbered_value(times, position), copies=tuple(inner(copy) for copy in copies)
            )
        case Branches(branches=branches):
            result = replace(template, branches=tuple(inner(branch) for branch in branches))
        case Cell(nodes=nodes):
            result = replace(
                template,
                nodes=tuple(_renumbered_node(node, position, inner) for node in nodes),
                each_input=tuple(inner(part) for part in template.each_input),
                hands_on=None if template.hands_on is None else inner(template.hands_on),
            )
    done[key] = result
    return result


def _renumbered_node(node: CellNode, position: Mapping[int, int], inner: Callable[[Template], Template]) -> CellNode:
    edges = tuple(
        replace(
            edge, pick=None if edge.pick is None else position[edge.pick], modules=tuple(inner(m) for m in edge.modules)
        )
        for edge in node.edges
    )
    return replace(node, edges=edges, op=None if node.op is None else inner(node.op))


def _renumbered_value(value: Value, position: Mapping[int, int]) -> Value:
    match value:
        case Decided(decision):
            return Decided(position[decision])
        case Computed(names=names):
            return replace(value, names={name: _renumbered_value(inner, position) for name, inner in names.items()})
        case _:
            return value
