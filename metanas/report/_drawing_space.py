"""A search space drawn as the network that it describes, with its choices as dashed boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from metanas.report._canvas import INK, Format, TextMark, render, text_width
from metanas.report._cells import CellPart, view_cell
from metanas.report._families import Families
from metanas.report._flow import columns, graph, page
from metanas.report._labels import (
    Signatures,
    chosen_by,
    constraint_texts,
    family,
    is_optional,
    labelled_options,
    last_name,
    parts_of,
    shared_columns,
    shared_decisions,
    site_details,
    times_text,
    values_of,
    walk,
)
from metanas.report._pieces import (
    Piece,
    beside,
    frame,
    heading,
    lines_box,
    merge_mark,
    node_mark,
    point,
    stack,
    text_lines,
    wrapped,
)
from metanas.space import Branches, Cell, Chain, Copies, OpSite, SearchSpace, Switch, Template, columns_read

_WORTH_A_PANEL = 10
"""Boxes that are saved by drawing a part that comes several times only once, beside the network."""
_OPTIONS_WIDTH = 520.0
"""Options of one choice stand next to each other up to this width."""
_HIGH, _SHELF = 560.0, 18.0
"""Height of a column of parts beside the network, and the gap between two."""
_CHOICE = ("#fffdf8", "#8a6d2f")
_NAMES = {Switch: "choice", Branches: "parallel", Cell: "cell"}
"""Parts without a name of their own."""
_LABELS = 4
"""What so many parts have that differ in little from the one that is drawn."""
_TOO_DEEP = 40


def draw_space(space: SearchSpace, *, format: Format, title: str | None = None) -> bytes:
    """The network of a space: choices as dashed boxes with their options, repeats and cells as frames.

    Cells, and large parts that come several times, are named in the network and drawn once beside it. ``format`` is
    ``svg`` (texts stay texts) or ``png`` (144 dots an inch); ``title`` stands above instead of the space's name.
    """
    drawer = _Drawer(space)
    chain = [lines_box("input", [space.input], "input"), *drawer.chain(space.template)]
    panels = [_left(panel) for panel in drawer.panels()]
    if space.tabular:
        chain = [frame(_table([(d.name, values_of(d, most=400)) for d in space.decisions]), "decisions")]
    network = columns(chain, most=max([_HIGH, *(panel.height for panel in panels)]))
    top = [heading(title) if title else heading(space.name, space.about)]
    notes = {
        "shared decisions": [f"${d.name} {{{values_of(d)}}}" for d in shared_decisions(space)],
        "constraints": constraint_texts(space),
    }
    if boxes := [frame(_lines(lines), title) for title, lines in notes.items() if lines]:
        top.append(_left(beside(boxes)))
    shelves: list[list[Piece]] = []
    high = max([_HIGH, network.height, *(panel.height for panel in panels)])
    for panel in panels:
        if not shelves or sum(p.height + _SHELF for p in shelves[-1]) + panel.height > high:
            shelves.append([])
        shelves[-1].append(panel)
    parts = [network, *(stack(shelf, gap=_SHELF, arrows=False) for shelf in shelves)]
    return render(*page([*top, _left(beside(parts, gap=36.0))]), format)


def _left(piece: Piece) -> Piece:
    """The same with its axis at its left edge."""
    return Piece(0, piece.width, piece.height, tuple(piece.at(piece.left, 0)))


def _table(rows: Sequence[tuple[str, str]]) -> Piece:
    """Names, and beside them their values, broken into lines."""
    column = max(text_width(name, 8.5, bold=True) for name, _ in rows) + 14
    marks: list[TextMark] = []
    y = 6.0
    for name, values in rows:
        marks.append(TextMark(0, y, name, 8.5, True, INK, "left"))
        for line in text_lines(values, 8.5, _OPTIONS_WIDTH):
            marks.append(TextMark(column, y, line, 8.5, False, INK, "left"))
            y += 14.0
    width = max(column + text_width(mark.text, 8.5) for mark in marks if mark.x)
    return Piece(0, width, y - 8, tuple(marks))


def _lines(texts: Sequence[str]) -> Piece:
    marks = tuple(TextMark(0, 14.0 * k + 6, text, 8.5, False, INK, "left") for k, text in enumerate(texts))
    return Piece(0, max(90.0, *(text_width(text, 8.5) for text in texts)), 14.0 * len(texts) - 2, marks)


class _Drawer:
    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.signatures = Signatures(space)
        self.families = Families(space, self.signatures)
        self.names: dict[int, str] = {}
        """Name of each part that is drawn beside the network, by family."""
        self.shared = shared_columns(space)
        self.deciders: dict[int, list[set[int]]] = {}
        """By family: the decisions of its own of each part, in the order in which they are met."""
        self.independent = self._independent()
        """Families of which each use decides for itself."""
        self.titles: set[str] = set()
        """Names that choices inside the network bear."""
        self.waiting: list[Template] = []
        self.repeated = self._repeated(space.template)

    # --- parts drawn once

    def _independent(self) -> set[int]:
        """Families of several parts, of which no two make a decision together."""
        found: dict[int, list[frozenset[int]]] = {}
        waiting, seen = [self.space.template], set[int]()
        while waiting:
            part = waiting.pop()
            if id(part) in seen:
                continue
            seen.add(id(part))
            uses = [(frozenset(columns_read(inner) - self.shared), inner) for inner in parts_of(part)]
            if isinstance(part, Copies):
                uses = list(dict(uses).items())  # copies that decide together are one use
            for own, inner in uses:
                found.setdefault(self.families.of(inner), []).append(own)
                waiting.append(inner)
        return {family for family, owns in found.items() if _apart(owns)}

    def _repeated(self, template: Template) -> set[int]:
        """Families of cells, and of parts so large and frequent that they are drawn once."""
        parts = self.parts = {self.families.of(part): part for part in reversed(walk(template))}
        uses: Counter[int] = Counter()
        waiting = [self.families.of(template)]
        while waiting:
            inner = self._inside(parts[waiting.pop()])
            waiting += [family for family in dict.fromkeys(inner) if family not in uses]
            uses.update(inner)
        found: set[int] = set()
        boxes: dict[int, int] = {}

        def count(part: Template) -> int:
            """Boxes that the part takes, parts drawn elsewhere counted once."""
            signature = self.families.of(part)
            if signature not in boxes:
                size = 1 + sum(count(parts[inner]) for inner in self._inside(part))
                saved = (uses[signature] - 1) * (size - 1)
                large = isinstance(part, (Switch, Branches)) and saved >= _WORTH_A_PANEL
                if large or isinstance(part, Cell):
                    found.add(signature)
                boxes[signature] = 1 if signature in found else size
            return boxes[signature]

        count(template)
        return found

    def _inside(self, part: Template) -> list[int]:
        """Families of the parts drawn inside; equal copies and equal edges are drawn once."""
        inner = parts_of(part)
        if isinstance(part, Cell):
            return list(dict.fromkeys(map(self.families.of, inner)))
        if isinstance(part, Copies):
            equal = self.signatures.of
            inner = [copy for k, copy in enumerate(inner) if not k or equal(copy) != equal(inner[k - 1])]
        return [self.families.of(copy) for copy in inner]

    def panels(self) -> list[Piece]:
        """The parts that the network names, each of which may name more."""
        panels = []
        while self.waiting:
            part = self.waiting.pop(0)
            panels.append(self._panel(part, self.names[self.families.of(part)]))
        return panels

    def _panel(self, part: Template, name: str) -> Piece:
        about = "each use decides for itself" if self.families.of(part) in self.independent else ""
        if labels := self.families.labels(part):
            about = "; ".join(filter(None, (f"here {labels[0]}, elsewhere {_some(labels[1:])}", about)))
        if isinstance(part, Cell):
            return self._cell(part, name, about)
        if isinstance(part, Switch):
            return self._switch(part, 0, name, about)
        return frame(stack(self._items(part)), name, about=about)

    def _named(self, part: Switch | Branches | Cell) -> Piece:
        family = self.families.of(part)
        if family not in self.names:
            self.names[family] = self._name(part)
            self.waiting.append(self.parts[family])
        lines = text_lines(self.families.label(part), 8.5, 130.0)
        # A part that looks like one before it may be a copy that makes decisions of its own.
        own = columns_read(part) - self.shared
        deciders = self.deciders.setdefault(family, [])
        if own not in deciders:
            deciders.append(own)
        if deciders.index(own) and family not in self.independent:
            lines.append("decides for itself")
        return lines_box(self.names[family], lines, "other")

    def _name(self, part: Switch | Branches | Cell) -> str:
        base = last_name(part.site) or _NAMES[type(part)]
        taken = self.titles | set(self.names.values())
        return next(n for n in (base, *(f"{base} {k}" for k in range(2, len(taken) + 3))) if n not in taken)

    # --- templates

    def chain(self, template: Template, depth: int = 0) -> list[Piece]:
        """The pieces of a template, one after another."""
        if isinstance(template, Chain):
            return [piece for item in template.items for piece in self.chain(item, depth)]
        if depth > _TOO_DEEP:
            return [lines_box("…", [], "other")]
        if isinstance(template, (Switch, Branches, Cell)) and self.families.of(template) in self.repeated:
            return [self._named(template)]
        return self._items(template, depth)

    def _items(self, template: Template, depth: int = 0) -> list[Piece]:
        match template:
            case OpSite():
                return [self._op(template)]
            case Switch():
                return [self._switch(template, depth)]
            case Copies():
                return [self._copies(template, depth)] if template.copies else []
            case Branches():
                return [self._branches(template, depth)]
            case _:
                return self.chain(template, depth)

    def _op(self, op: OpSite) -> Piece:
        fixed, open_ = site_details(op, self.space)
        return lines_box(op.name, [*text_lines(" ".join(fixed), 8.5, 130.0), *open_], family(op.name))

    def _switch(self, switch: Switch, depth: int, title: str = "", about: str = "") -> Piece:
        decision, by = self.space.decisions[switch.decision], chosen_by(switch, self.space)
        if not title and not by:
            title = decision.name.rpartition(".")[2]
        self.titles.add(title)
        title = " ".join(filter(None, (title, by)))
        fill, edge = _CHOICE
        if is_optional(switch, decision):
            body = stack(self.chain(switch.options[1], depth + 1) or [_nothing()])
            return frame(body, f"{title}: optional", about=about, dashed=True, fill=fill, edge=edge)
        options = []
        for label, option in labelled_options(switch, decision):
            body = stack(self.chain(option, depth + 1) or [_nothing()])
            options.append(frame(body, label, fill="#ffffff", edge="#d9cdb0"))
        body = wrapped(options, most=_OPTIONS_WIDTH)
        return frame(body, f"{title}: one of", about=about, dashed=True, fill=fill, edge=edge)

    def _copies(self, copies: Copies, depth: int) -> Piece:
        runs: list[tuple[int, int]] = []
        for k, copy in enumerate(copies.copies):
            if k and self.signatures.of(copy) == self.signatures.of(copies.copies[k - 1]):
                runs[-1] = (runs[-1][0], k)
            else:
                runs.append((k, k))
        own = len({frozenset(columns_read(copy)) for copy in copies.copies}) > 1
        pieces = []
        for first, last in runs:
            body = stack(self.chain(copies.copies[first], depth + 1) or [_nothing()])
            if len(runs) > 1:
                label = f"copy {first + 1}" if first == last else f"copies {first + 1} to {last + 1}"
                body = frame(body, label, fill="#ffffff", edge="#d5dadf")
            pieces.append(body)
        title = f"{last_name(copies.site) or 'repeat'} ×{times_text(copies.times, self.space)}"
        return frame(stack(pieces), title, about="each decides for itself" if own else "")

    def _branches(self, branches: Branches, depth: int) -> Piece:
        bodies = [self.chain(branch, depth + 1) for branch in branches.branches]
        nodes = [point(dot=True), *(stack(body) for body in bodies if body), merge_mark(branches.merge)]
        end = len(nodes) - 1
        edges = Counter({edge: 1 for k in range(1, end) for edge in ((0, k), (k, end))})
        if empty := sum(not body for body in bodies):
            edges[0, end] = empty
        return graph(nodes, edges)

    # --- cells

    def _cell(self, cell: Cell, name: str, about: str) -> Piece:
        """The states and wires of a cell, and under them what stands on them; equal parts are described once."""
        view = view_cell(cell, self.signatures)
        last = len(view.states) - 1
        nodes = [
            node_mark(
                text,
                "input" if k < view.inputs and text != "input" else "output" if k == last and text != "output" else "",
            )
            for k, text in enumerate(view.states)
        ]
        edges = dict.fromkeys(view.wires, 1)
        parts = [graph(nodes, edges, gap=34.0, labels=view.wires, dashed=view.open_wires, shared=False)]
        if view.parts:
            parts.append(wrapped([self._cell_part(part) for part in view.parts], most=_OPTIONS_WIDTH))
        return frame(stack(parts, gap=16.0, arrows=False), name, about="; ".join(filter(None, (*view.notes, about))))

    def _cell_part(self, part: CellPart) -> Piece:
        if isinstance(part.template, Switch) and self.families.of(part.template) not in self.repeated:
            return self._switch(part.template, 1, part.place)
        return frame(stack(self.chain(part.template, 1) or [_nothing()]), part.place)


def _apart(sets: Sequence[frozenset[int]]) -> bool:
    """Whether each of several sets has something, and nothing that another has, but for what all have."""
    rest = [own - frozenset.intersection(*sets) for own in sets]
    return len(sets) > 1 and all(rest) and len(frozenset.union(*rest)) == sum(map(len, rest))


def _some(texts: Sequence[str]) -> str:
    """Texts, of many the first."""
    return " or ".join([*texts[:_LABELS], *([f"{len(texts) - _LABELS} others"] if len(texts) > _LABELS else [])])


def _nothing() -> Piece:
    return lines_box("identity", [], "other")
