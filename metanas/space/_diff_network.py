"""Where the networks of two spaces differ: both templates side by side, as trees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from metanas.space._expression import expression_text
from metanas.space._space import SearchSpace
from metanas.space._template import (
    Branches,
    Cell,
    CellNode,
    Chain,
    Copies,
    Decided,
    Fixed,
    OpSite,
    Switch,
    Template,
    Value,
)

_SHOWN = 6
"""Parts in series that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A place where two networks differ."""

    place: str
    """As ``network[2].copy 1[0]``; numbers count from 0, in the first space where it has the place."""
    before: str
    """What stands there in the first space; empty for nothing."""
    after: str
    """What stands there in the second; empty for nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of a template in a form of its own: what differs here, and what is inside."""

    key: int
    """Equal for parts that describe the same, in either space."""
    kind: str
    """``op``, ``series``, ``choice`` and so on: what is inside is compared within one kind."""
    text: str
    """What it is, but for what is inside; empty for parts in series."""
    inside: tuple[tuple[str, Part], ...] = ()
    """Each with its name; parts in series have none."""

    def __str__(self) -> str:
        if self.kind != "series":
            return self.text
        return _listed([part for _, part in self.inside]) if self.inside else "identity"


def network_differences(first: SearchSpace, second: SearchSpace) -> tuple[Difference, ...]:
    """Where the networks differ; a difference that copies or shared blocks repeat is told once.

    Decisions are compared by name, and so is all that they decide.
    """
    keys: dict[object, int] = {}
    old, new = (_Parts(space, keys).of(space.template) for space in (first, second))
    return tuple(_differences("network", old, new, set()))


def value_text(space: SearchSpace, value: Value) -> str:
    """``16``, the name of the decision that says it, or arithmetic on these."""
    match value:
        case Fixed(constant):
            return str(constant)
        case Decided(decision):
            return f"${space.decisions[decision].name}"
    texts = {name: value_text(space, inner) for name, inner in value.names.items()}
    return expression_text(value.expression, texts.__getitem__)


class _Parts:
    """The parts of a space's template, each made once."""

    def __init__(self, space: SearchSpace, keys: dict[object, int]) -> None:
        self._space = space
        self._keys = keys
        self._known: dict[int, Part] = {}

    def of(self, template: Template) -> Part:
        """The part that a template is."""
        if id(template) not in self._known:
            self._known[id(template)] = self._made(template)
        return self._known[id(template)]

    def _made(self, template: Template) -> Part:
        match template:
            case OpSite(name=name, parameters=parameters):
                given = ", ".join(f"{key} {value_text(self._space, value)}" for key, value in parameters.items())
                return self._part("op", f"{name} ({given})" if given else name)
            case Chain(items=items):
                parts = [self.of(item) for item in items]
                # However they are bracketed, parts are in series.
                flat = [inner for part in parts for inner in (part.inside if part.kind == "series" else (("", part),))]
                return flat[0][1] if len(flat) == 1 else self._part("series", "", flat)
            case Switch(decision=decision, options=options):
                known = self._space.decisions[decision]
                labels = [str(value) for value in known.values]
                if known.values == (False, True):
                    return self._part("optional", f"optional, by {known.name}", [("module", self.of(options[1]))])
                return self._part(
                    "choice", f"choice by {known.name}", [*zip(labels, map(self.of, options), strict=True)]
                )
            case Copies(times=times, copies=copies):
                named = [(f"copy {k}", self.of(copy)) for k, copy in enumerate(copies, start=1)]
                return self._part("repeat", f"repeat {value_text(self._space, times)} times", named)
            case Branches(branches=branches, merge=merge):
                named = [(f"branch {k}", self.of(branch)) for k, branch in enumerate(branches, start=1)]
                return self._part(
                    "parallel", "residual" if merge == "residual" else f"parallel, merged by {merge}", named
                )
            case Cell():
                return self._cell(template)

    def _cell(self, cell: Cell) -> Part:
        states = [*cell.inputs, *(node.name for node in cell.nodes)]
        named = [(f"input {name}", self.of(part)) for name, part in zip(cell.inputs, cell.each_input, strict=False)]
        named += [(f"node {node.name}", self._node(node, states)) for node in cell.nodes]
        if cell.hands_on is not None:
            named.append(("for the next cell", self.of(cell.hands_on)))
        return self._part("graph", f"graph of {', '.join(states)}", named)

    def _node(self, node: CellNode, states: Sequence[str]) -> Part:
        reads: list[str] = []
        named: list[tuple[str, Part]] = []
        for edge in node.edges:
            sources = [states[source] for source in edge.sources]
            by = "" if edge.pick is None else self._space.decisions[edge.pick].name
            reads.append(f"one of {' '.join(sources)} by {by}" if by else sources[0])
            named += [
                (f"{source}->{node.name}{f' by {by}' if by else ''}", self.of(module))
                for source, module in zip(sources, edge.modules, strict=True)
            ]
        if node.op is not None:
            named.append(("op", self.of(node.op)))
        return self._part("node", f"{node.merge} of {', '.join(reads)}", named)

    def _part(self, kind: str, text: str, inside: Sequence[tuple[str, Part]] = ()) -> Part:
        alike = kind, text, tuple((name, part.key) for name, part in inside)
        return Part(self._keys.setdefault(alike, len(self._keys)), kind, text, tuple(inside))


def _differences(place: str, old: Part, new: Part, told: set[tuple[int, int]]) -> Iterator[Difference]:
    if old.key == new.key or (old.key, new.key) in told:
        return
    told.add((old.key, new.key))
    if "series" in (old.kind, new.kind):
        before, after = ([p for _, p in part.inside] if part.kind == "series" else [part] for part in (old, new))
        yield from _in_series(place, before, after, told)
        return
    if old.text != new.text:
        yield Difference(place=place, before=old.text, after=new.text)
        if old.kind != new.kind:
            return
    ours, theirs = dict(old.inside), dict(new.inside)
    for name in dict.fromkeys((*ours, *theirs)):
        if name in ours and name in theirs:
            yield from _differences(f"{place}.{name}", ours[name], theirs[name], told)
        elif old.kind != "repeat":  # whose number of copies is its text, or a decision's
            yield Difference(place=f"{place}.{name}", before=str(ours.get(name, "")), after=str(theirs.get(name, "")))


def _in_series(
    place: str, old: Sequence[Part], new: Sequence[Part], told: set[tuple[int, int]]
) -> Iterator[Difference]:
    """Parts in series: those that are in another order, others, or more."""
    keys, others = [part.key for part in old], [part.key for part in new]
    if sorted(keys) == sorted(others):
        low = next(k for k in range(len(keys)) if keys[k] != others[k])
        high = next(k for k in reversed(range(len(keys))) if keys[k] != others[k]) + 1
        before, after = _listed(old[low:high]), _listed(new[low:high])
        yield Difference(place=f"{place}[{low} to {high - 1}]", before=before, after=after)
        return
    for what, a, b, c, d in SequenceMatcher(None, keys, others, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        both = min(b - a, d - c)
        for k in range(both):
            yield from _differences(f"{place}[{a + k}]", old[a + k], new[c + k], told)
        yield from (Difference(place=f"{place}[{k}]", before=str(old[k]), after="") for k in range(a + both, b))
        yield from (Difference(place=f"{place}[{k}]", before="", after=str(new[k])) for k in range(c + both, d))


def _listed(parts: Sequence[Part]) -> str:
    return f"[{', '.join([*map(str, parts[:_SHOWN]), *['…'] * (len(parts) > _SHOWN)])}]"
