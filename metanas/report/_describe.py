"""A search space in plain text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from metanas.report._cells import view_cell
from metanas.report._format import scalar
from metanas.report._labels import (
    Signatures,
    chosen_by,
    constraint_texts,
    is_optional,
    labelled_options,
    last_name,
    shared_decisions,
    site_details,
    times_text,
    value_text,
    values_of,
)
from metanas.space import (
    Branches,
    Cell,
    Chain,
    Copies,
    Decision,
    OpSite,
    SearchSpace,
    Switch,
    Template,
    columns_read,
    size_text,
)
from metanas.space._template import Clause

_STEP = "  "
_MAX_LINES = 400
"""An outline longer than this is cut."""
_MAX_NESTING = 40
"""Parts nested deeper are left out."""


def describe_space(space: SearchSpace) -> str:
    """Name, size, outline of the network, table of decisions and constraints of a space, as plain text.

    Decisions that differ only in the number of a copy or in an edge share a line.
    """
    shared = [f"{_STEP}${d.name} {{{values_of(d)}}}" for d in shared_decisions(space)]
    blocks = [
        [space.name, *_facts(space)],
        [] if space.tabular else ["Network", *_cut([_STEP + line for line in _Outline(space)])],
        ["Shared decisions", *shared] if shared else [],
        [f"Decisions ({len(space.decisions):,})", *_cut([_STEP + line for line in _table(space)])],
        ["Training", *(f"{_STEP}{n}: {value_text(v, space, n, '')}" for n, v in space.recipe.items())]
        if space.recipe
        else [],
        ["Constraints", *([_STEP + text for text in constraint_texts(space)] or [f"{_STEP}none"])],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _facts(space: SearchSpace) -> list[str]:
    rows = size_text(space.size)
    if space.size and space.size >= 1000 and rows[0].isdigit():
        rows += f" (~10^{math.log10(space.size):.1f})"
    facts = {"about": space.about, "source": space.source, "input": space.input, "rows": rows}
    return [f"{_STEP}{name:<8}{text}" for name, text in facts.items() if text]


def _cut(lines: list[str]) -> list[str]:
    rest = len(lines) - _MAX_LINES
    return lines if rest <= 0 else [*lines[:_MAX_LINES], f"{_STEP}… and {rest:,} lines more"]


# --- the network


class _Outline:
    """Lines of a template, options and bodies indented. A part that came before is named and not repeated."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.signatures = Signatures(space)
        self.known: dict[int, str] = {}
        """Name of each cell and choice that was described, by signature."""

    def __iter__(self) -> Iterator[str]:
        yield from self.lines(self.space.template, 0)

    def lines(self, template: Template, depth: int) -> Iterator[str]:
        """The lines of a template without its own indentation."""
        if depth > _MAX_NESTING:
            yield "…"
            return
        match template:
            case OpSite():
                fixed, open_ = site_details(template, self.space)
                yield f"{template.name} {', '.join([' '.join(fixed), *open_] if fixed else open_)}".strip()
            case Chain(items=items):
                for item in items:
                    yield from self.lines(item, depth)
            case Switch():
                yield from self._switch(template, self.space.decisions[template.decision].name, depth)
            case Copies():
                yield from self._copies(template, depth)
            case Branches(branches=branches, merge=merge):
                if merge == "residual":
                    yield "residual, the input plus:"
                    yield from self._body(branches[-1], depth)
                    return
                yield f"parallel, merged by {merge}:"
                for k, branch in enumerate(branches, start=1):
                    yield from self._labelled(f"{_STEP}branch {k}", branch, depth)
            case Cell():
                yield from self._cell(template, depth)

    def _body(self, template: Template, depth: int) -> Iterator[str]:
        lines = list(self.lines(template, depth + 1)) or ["identity"]
        yield from (_STEP + line for line in lines)

    def _labelled(self, label: str, template: Template, depth: int) -> Iterator[str]:
        """``label: body`` on one line when the body is one line, else the body indented under it."""
        lines = list(self.lines(template, depth + 1)) or ["identity"]
        if len(lines) == 1:
            yield f"{label}: {lines[0]}"
            return
        yield f"{label}:"
        indent = label[: len(label) - len(label.lstrip())]
        yield from (f"{indent}{_STEP}{line}" for line in lines)

    def _switch(self, switch: Switch, name: str, depth: int, later: str = "") -> Iterator[str]:
        """The options of a choice, which later lines call ``later``, or ``name`` without it."""
        decision, by = self.space.decisions[switch.decision], chosen_by(switch, self.space)
        name = " ".join(filter(None, (last_name(switch.site) if by and name == decision.name else name, by)))
        signature = self.signatures.of(switch)
        if signature in self.known:
            yield f"{name}: as {self.known[signature]}"
            return
        self.known[signature] = later or name
        if is_optional(switch, decision):
            yield f"{name}: optional"
            yield from self._body(switch.options[1], depth)
            return
        yield f"{name}: one of"
        for label, option in labelled_options(switch, decision):
            yield from self._labelled(f"{_STEP}{label}", option, depth)

    def _copies(self, copies: Copies, depth: int) -> Iterator[str]:
        own = len({frozenset(columns_read(copy)) for copy in copies.copies}) > 1
        yield f"{last_name(copies.site) or 'repeat'} ×{times_text(copies.times, self.space)}{', each decides for itself' if own else ''}"
        runs: list[list[int]] = []
        for k, copy in enumerate(copies.copies):
            if not runs or self.signatures.of(copy) != self.signatures.of(copies.copies[k - 1]):
                runs.append([])
            runs[-1].append(k + 1)
        for run in runs:
            copy = copies.copies[run[0] - 1]
            if len(runs) == 1:
                yield from self._body(copy, depth)
            else:
                label = f"copy {run[0]}" if len(run) == 1 else f"copies {run[0]} to {run[-1]}"
                yield from self._labelled(f"{_STEP}{label}", copy, depth)

    def _cell(self, cell: Cell, depth: int) -> Iterator[str]:
        signature = self.signatures.of(cell)
        if signature in self.known:
            yield f"{self.known[signature]} (as above)"
            return
        view = view_cell(cell, self.signatures)
        self.known[signature] = view.name
        yield f"{view.name}: a graph of {len(view.states)} nodes; {view.notes[0]}"
        for node, target in zip(cell.nodes, range(view.inputs, len(view.states)), strict=True):
            picks = sum(edge.pick is not None for edge in node.edges)
            if picks:
                sources = [view.states[u] for u, v in view.wires if v == target]
                yield f"{_STEP}{node.name} reads {picks} of {', '.join(sources)}"
        if view.optional:
            yield f"{_STEP}optional edges: {view.optional}"
        for part in view.parts:
            place = part.place
            if part.where:
                several = "s" if "," in part.where or "…" in part.where else ""
                place = f"{place} ({part.where})" if place == "every edge" else f"edge{several} {part.where}"
            if isinstance(part.template, Switch):
                yield from (
                    _STEP + line
                    for line in self._switch(part.template, place, depth + 1, f"{part.place} of {view.name}")
                )
            else:
                yield from self._labelled(_STEP + place, part.template, depth + 1)


# --- the table of decisions


@dataclass(slots=True)
class _Family:
    """Decisions that differ in the number of a copy or in an edge, and in when they are active."""

    members: list[Decision]

    def names(self) -> str:
        first, last = self.members[0].name, self.members[-1].name
        return first if len(self.members) == 1 else f"{first} … {last} ({len(self.members)})"


def _table(space: SearchSpace) -> list[str]:
    """A line for each decision or family: name, kind, values, when it is active."""
    families: dict[object, _Family] = {}
    for decision in space.decisions:
        pattern = tuple(
            "*" if re.fullmatch(r"\d+|(step|op)\d+|.+->.+", part) else part for part in decision.name.split(".")
        )
        key = (pattern, decision.kind, tuple(decision.values), decision.prior, decision.part)
        families.setdefault(key, _Family([])).members.append(decision)
    rows = [("name", "kind", "values", "active")]
    for family in families.values():
        first = family.members[0]
        values = values_of(first) + (" (weighted)" if first.prior else "")
        rows.append((family.names(), first.kind, values, _activity(family, space)))
    if len(rows) == 1:
        return ["none: the space holds one network"]
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]).rstrip() for row in rows
    ]


def _activity(family: _Family, space: SearchSpace) -> str:
    """When the members are active: one text, or one for each run of members that agree."""
    runs: list[tuple[str, list[Decision]]] = []
    for decision in family.members:
        text = _words(decision.when, space.decisions)
        if not runs or runs[-1][0] != text:
            runs.append((text, []))
        runs[-1][1].append(decision)
    if len(runs) == 1:
        return runs[0][0]
    if len(runs) > 4:
        return "depends on the member"
    return "; ".join(f"{_difference(members, family.members)} {text}" for text, members in runs)


def _difference(members: Sequence[Decision], family: Sequence[Decision]) -> str:
    """The parts of names that tell these members from the rest of their family: ``1 to 2``."""
    split = [decision.name.split(".") for decision in family]
    places = [k for k in range(len(split[0])) if len({parts[k] for parts in split}) > 1]
    first, last = (".".join(d.name.split(".")[k] for k in places) for d in (members[0], members[-1]))
    return first if first == last else f"{first} to {last}"


def _words(when: tuple[Clause, ...], table: Sequence[Decision]) -> str:
    if not when:
        return "always"
    clauses = (" and ".join(_condition(table[parent], allowed) for parent, allowed in clause) for clause in when)
    return "when " + " or ".join(dict.fromkeys(clauses))


def _condition(decision: Decision, allowed: frozenset[int]) -> str:
    """``stage1.times ≥ 3``, ``body is plain``."""
    known = sorted(allowed)
    values = [scalar(decision.values[k]) for k in known]
    if decision.kind != "choice":
        if len(known) == 1:
            return f"{decision.name} = {values[0]}"
        if known[-1] == decision.size - 1 and len(known) == decision.size - known[0]:
            return f"{decision.name} ≥ {values[0]}"
        if known[0] == 0 and len(known) == known[-1] + 1:
            return f"{decision.name} ≤ {values[-1]}"
    return f"{decision.name} is {' or '.join(values)}"
