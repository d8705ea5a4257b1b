"""Parts of a space that differ in a few values alone: a drawing shows one of them, and says what the others have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from metanas.report._labels import Signatures, chosen_by, parts_of, times_text, value_text, walk
from metanas.space import Branches, Cell, Copies, OpSite, SearchSpace, Switch, Template, parts_of_cell

_MOST_VARIED = 2
"""Values that parts of one family differ in; with more, the names of their uses would say more than a drawing."""

_MOST_TRIED = 32
"""Families, the latest ones, that a part is compared with; spaces of more have thousands of places."""


class Slot(NamedTuple):
    """A value in a part: where the first of a family has it, and its text."""

    place: str
    """Op and parameter, which may come several times."""
    label: str
    """The parameter."""
    text: str


_Aligned = dict[Slot, str]
"""The values of one part, with the texts of another that stand in their places."""


class Families:
    """Groups the choices, branches and cells of a space."""

    def __init__(self, space: SearchSpace, signatures: Signatures) -> None:
        self._space = space
        self._signatures = signatures
        self._aligned: dict[tuple[int, int], _Aligned | None] = {}
        self._family: dict[int, tuple[int, _Aligned]] = {}
        """By signature: the family, and what stands in place of the values of its first part."""
        self._varied: dict[int, set[Slot]] = {}
        """By family: the values that differ."""
        self._members: dict[int, list[int]] = {}
        """By family: the signatures of its parts."""
        self._firsts: dict[type, list[Switch | Branches | Cell]] = {}
        for part in walk(space.template):
            if isinstance(part, (Switch, Branches, Cell)):
                self._place(part)

    def of(self, part: Template) -> int:
        """The signature of the first part of the family; its own for a part that has none."""
        signature = self._signatures.of(part)
        return self._family[signature][0] if signature in self._family else signature

    def label(self, part: Template) -> str:
        """What a part has where its family differs, as ``out 32``; empty where there is one alone."""
        return self._label(self._signatures.of(part))

    def labels(self, part: Template) -> list[str]:
        """Those of the whole family."""
        return list(filter(None, dict.fromkeys(map(self._label, self._members.get(self.of(part), ())))))

    def _label(self, signature: int) -> str:
        family, texts = self._family.get(signature, (signature, {}))
        varied = self._varied.get(family, ())
        said: dict[str, None] = {}
        for slot in filter(varied.__contains__, texts):
            # Names of shared decisions say enough.
            named = all(re.fullmatch(r"\$\w+", self._family[member][1][slot]) for member in self._members[family])
            said[texts[slot] if named else f"{slot.label} {texts[slot]}"] = None
        return ", ".join(said)

    def _place(self, part: Switch | Branches | Cell) -> None:
        """Into the first family that it differs from in few values, or one of its own."""
        signature = self._signatures.of(part)
        if signature in self._family:
            return
        for first in self._firsts.setdefault(type(part), [])[-_MOST_TRIED:]:
            texts = self._align(first, part)
            if texts is None:
                continue
            family = self._signatures.of(first)
            varied = self._varied[family] | {slot for slot, text in texts.items() if text != slot.text}
            if len({(slot.text, texts[slot]) for slot in varied}) <= _MOST_VARIED:
                self._varied[family] = varied
                self._members[family].append(signature)
                self._family[signature] = family, texts
                return
        self._firsts[type(part)].append(part)
        self._varied[signature] = set()
        self._members[signature] = [signature]
        self._family[signature] = signature, self._align(part, part) or {}

    def _align(self, one: Template, other: Template) -> _Aligned | None:
        """The values of one part with what stands there in another; None where these differ in more."""
        key = (self._signatures.of(one), self._signatures.of(other))
        if key not in self._aligned:
            self._aligned[key] = self._compared(one, other)
        return self._aligned[key]

    def _compared(self, one: Template, other: Template) -> _Aligned | None:
        if type(one) is not type(other) or _form(one, self._space) != _form(other, self._space):
            return None
        found: _Aligned = {}
        values = list(zip(self._slots(one), self._slots(other), strict=True))
        if any(a[:2] != b[:2] or (a.text != b.text and "{" in (a.text[0], b.text[0])) for a, b in values):
            return None  # what a decision of its own may be is no detail
        pairs = [(a, b.text) for a, b in values]
        for mine, its in zip(parts_of(one), parts_of(other), strict=True):
            inner = self._align(mine, its)
            if inner is None:
                return None
            pairs += inner.items()
        for slot, text in pairs:
            if found.setdefault(slot, text) != text:
                return None  # one value would have to stand for two
        return found

    def _slots(self, part: Template) -> Iterator[Slot]:
        match part:
            case OpSite(name=op, parameters=parameters, site=site):
                for name, value in sorted(parameters.items()):
                    yield Slot(f"{op} {name}", name, value_text(value, self._space, name, site))
            case Switch() if part.by_let:
                yield Slot("choice", "by", chosen_by(part, self._space).removeprefix("by "))
            case Copies(times=times):
                yield Slot("repeat", "times", times_text(times, self._space))


def _form(part: Template, space: SearchSpace) -> object:
    """What parts of one family have in common, beside the parts in them."""
    inner = len(parts_of(part))
    match part:
        case OpSite(name=name, parameters=parameters):
            return name, sorted(parameters)
        case Switch(decision=decision):
            return inner, part.by_let, tuple(space.decisions[decision].values)
        case Branches(merge=merge):
            return inner, merge
        case Cell(inputs=inputs, nodes=nodes, each_input=each):
            # Parts may stand in several places of a cell.
            number = {id(module): k for k, module in enumerate(parts_of_cell(part))}
            wires = [
                (n.name, n.merge, n.op and number[id(n.op)], [(e.sources, [number[id(m)] for m in e.modules]) for e in n.edges])
                for n in nodes
            ]  # fmt: skip
            return inner, inputs, [number[id(module)] for module in each], wires
        case _:
            return inner
