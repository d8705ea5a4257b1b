"""What is wrong with a file, and where: collected, so that all of it is said at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from metanas.errors import MetanasError, listed, near_miss


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file."""

    file: str
    """Path as the user gave it, or a name in angle brackets for a text."""
    line: int
    """From 1."""
    column: int
    """From 1."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    mark: Mark
    """Where it stands."""
    path: str
    """Where it stands in the document, as ``$.network[2].conv.kernel``."""
    rule: str
    """What must hold."""
    found: str = ""
    """What was found instead."""
    remedy: str = ""
    """What to do."""

    def __str__(self) -> str:
        text = f"{self.mark}: {self.path}: {self.rule}"
        if self.found:
            text += f", found {self.found}"
        return f"{text}; {self.remedy}" if self.remedy else text


class LanguageError(MetanasError):
    """A space file or run file breaks the rules of its language; ``problems`` holds every breach."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.mark.file, p.mark.line, p.mark.column, p.rule)))
        super().__init__("the file breaks the rules of its language")

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    def __reduce__(self) -> tuple[object, ...]:
        return (LanguageError, (self.problems,))


class Problems:
    """A list that the stages of the loader append to."""

    LIMIT = 50
    """More breaches than this in one file are cut: the first ones cause the rest."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, mark: Mark, path: str, rule: str, *, found: object = "", remedy: str = "") -> None:
        """Note a breach."""
        if len(self.found) < self.LIMIT:
            self.found.append(Problem(mark, path, rule, _short(found), remedy))

    def raise_if_any(self) -> None:
        """Raise :class:`LanguageError` when a breach was noted."""
        if self.found:
            raise LanguageError(self.found)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The remedy for a name nobody knows: the nearest known one, or all of them."""
    names = list(dict.fromkeys(known))
    if near := near_miss(name[:100], names):
        return near
    if not names:
        return "none is defined"
    return f"use one of {listed(names[:40], 40)}" + (", ..." if len(names) > 40 else "")


def _short(found: object) -> str:
    text = str(found)
    return text if len(text) <= 120 else text[:117] + "..."
