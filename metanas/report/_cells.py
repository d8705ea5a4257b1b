"""A cell as drawings and descriptions tell it: states, wires between them, and what stands where, equal things once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metanas.report._labels import Signatures
from metanas.space import Cell, Chain, OpSite, Switch, Template

Wire = tuple[int, int]
"""A state and a later one that may read it."""
_SHOWN = 8
"""More edges than this are told by the first, the last and their number."""


@dataclass(frozen=True, slots=True)
class CellPart:
    """A template and where in the cell it stands."""

    place: str
    """``every edge``, ``edge a``, ``node x``."""
    where: str
    """The edges, ``0->1, 0->2``; empty for another place."""
    template: Template


@dataclass(frozen=True, slots=True)
class CellView:
    """What a reader needs to know of a cell."""

    name: str
    states: tuple[str, ...]
    """Inputs, then nodes."""
    inputs: int
    """How many of the states are inputs."""
    wires: Mapping[Wire, str]
    """All wires that some architecture has, each with the letter of its part, or empty."""
    open_wires: frozenset[Wire]
    """Those that some architectures have not: optional, or picked by a decision from several."""
    optional: str
    """The optional ones in words, when nothing but a wire stands there."""
    parts: tuple[CellPart, ...]
    notes: tuple[str, ...]
    """How nodes merge and what they read."""


def view_cell(cell: Cell, signatures: Signatures) -> CellView:
    """Read a cell; edges and nodes with equal templates come together."""
    states = (*cell.inputs, *(node.name for node in cell.nodes))
    first = len(cell.inputs)
    wires: dict[Wire, str] = {}
    open_wires: set[Wire] = set()
    optional: list[Wire] = []
    kinds: dict[int, tuple[Template, list[Wire]]] = {}
    on_nodes: dict[int, tuple[Template, list[str]]] = {}
    for target, node in enumerate(cell.nodes, start=first):
        for edge in node.edges:
            for source, module in zip(edge.sources, edge.modules, strict=True):
                wires.setdefault((source, target), "")
                if edge.pick is not None:
                    open_wires.add((source, target))
                if _optional_wire(module):
                    optional.append((source, target))
                elif not _plain(module):
                    members = kinds.setdefault(signatures.of(module), (module, []))[1]
                    members.extend([(source, target)] if (source, target) not in members else [])
        if node.op is not None:
            on_nodes.setdefault(signatures.of(node.op), (node.op, []))[1].append(node.name)
    every = len(kinds) == 1 and {wire for _, members in kinds.values() for wire in members} == set(wires)
    parts = []
    for k, (template, members) in enumerate(kinds.values()):
        letter = "" if every else chr(ord("a") + k % 26)
        wires.update(dict.fromkeys(members, letter))
        where = _wires(members, states)
        parts.append(CellPart("every edge" if every else f"edge {letter}", where, template))
    parts += [CellPart(_nodes(names), "", template) for template, names in on_nodes.values()]
    inputs = {signatures.of(t): t for t in cell.each_input if not _plain(t)}
    parts += [CellPart("each input", "", template) for template in inputs.values()]
    name = cell.site.rpartition(".")[2] or "cell"
    notes = _notes(cell) + (["dashed edges are optional"] if optional else [])
    shown = frozenset(open_wires.union(optional))
    return CellView(name, states, first, wires, shown, _wires(optional, states), tuple(parts), tuple(notes))


def _wires(wires: list[Wire], states: tuple[str, ...]) -> str:
    texts = [f"{states[u]}->{states[v]}" for u, v in wires]
    return ", ".join(texts) if len(texts) <= _SHOWN else f"{texts[0]} … {texts[-1]} ({len(texts)})"


def _optional_wire(template: Template) -> bool:
    """Whether a template passes its input on or cuts it, as decided."""
    if not isinstance(template, Switch) or len(template.options) != 2:
        return False
    cut, kept = template.options
    return isinstance(cut, OpSite) and cut.name == "none" and _plain(kept)


def _plain(template: Template) -> bool:
    """Whether a template passes its input on."""
    if isinstance(template, OpSite):
        return template.name == "identity" and not template.parameters
    return isinstance(template, Chain) and all(_plain(item) for item in template.items)


def _nodes(names: list[str]) -> str:
    return f"node{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _notes(cell: Cell) -> list[str]:
    *inner, last = cell.nodes
    merges = {node.merge for node in inner} or {last.merge}
    text = f"a node takes the {' or '.join(sorted(merges))} of its inputs"
    notes = [text if merges == {last.merge} else f"{text}, {last.name} the {last.merge}"]
    reads = {sum(edge.pick is not None for edge in node.edges) for node in cell.nodes} - {0}
    if reads:
        notes.append(f"of dashed edges a node reads {max(reads)}")
    return notes
