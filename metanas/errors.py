"""Errors that a user can act on: the rule, what was found, and the remedy."""

from __future__ import annotations

import difflib
import errno
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors of a disk that has no room left."""
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
OF_FILES = DISK_FULL + _NOT_ALLOWED + _NOT_THERE
"""Numbers of errors that say of a file or a disk what its user can mend."""
_LONGEST = 500
"""Characters of an exception's text that are told; the log has all of it."""


class MetanasError(Exception):
    """Something that the user asked for cannot be done.

    Its text reads ``where: rule, found ..., remedy``, each part left out when it is not known.
    """

    exit_code = 2

    def __init__(self, rule: str, *, found: object = None, remedy: str = "", where: str = "") -> None:
        self.rule = rule
        """What must hold, in words."""
        self.found = found
        """What was there instead; None when the rule says it all."""
        self.remedy = remedy
        """What to do about it."""
        self.where = where
        """File, line, key or trial that the error is about."""
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.rule}" if self.where else self.rule
        if self.found is not None:
            text += f", found {self.found}"
        if self.remedy:
            text += f"; {self.remedy}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.rule, self.found, self.remedy, self.where))


def _rebuild(kind: type[MetanasError], rule: str, found: object, remedy: str, where: str) -> MetanasError:
    return kind(rule, found=found, remedy=remedy, where=where)


def near_miss(name: object, known: Iterable[str]) -> str:
    """The remedy for a name nobody knows: a question with the known name nearest to it, or "" if none is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


class SeveralErrors(MetanasError):
    """Several mistakes, told at once; ``problems`` holds each."""

    def __init__(self, problems: Iterable[MetanasError]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[object, ...]:
        return (SeveralErrors, (self.problems,))


class DataError(MetanasError):
    """A data set cannot be read or does not suit the task."""


class StudyError(MetanasError):
    """A run folder or its storage cannot be used."""


class ConstraintError(MetanasError):
    """No network that the search could propose meets the constraints."""


class MissingDependencyError(MetanasError):
    """An optional package is needed and not installed."""


def file_error(error: OSError, *, where: str = "") -> MetanasError:
    """An error of a file or a disk, with what to do about it; ``where`` is its place if it names none."""
    remedy = "check the path"
    if error.errno in DISK_FULL:
        remedy = "free some space, and try again"
    elif error.errno in _NOT_ALLOWED:
        remedy = "check the permissions, or choose another place"
    where = str(error.filename2 or error.filename or where)
    return MetanasError("the file must be readable or writable", found=error.strerror, where=where, remedy=remedy)


@contextmanager
def file_errors(folder: Path) -> Iterator[None]:
    """Errors of files and disks, met in work on ``folder``, as MetanasError."""
    try:
        yield
    except OSError as error:
        if error.errno not in OF_FILES:
            raise
        raise file_error(error, where=str(folder)) from error


def describe(error: BaseException) -> str:
    """Type, text and origin of an exception on one line; a long text is cut, as it is for people to read."""
    said = " ".join(str(error).split())
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name})" if frames else text


def listed(names: Sequence[object], most: int = 20) -> str:
    """Names as ``a, 'b, c' and 3 more``: in quotes where one could be taken for two."""
    shown = [str(name) if re.fullmatch(r"[^\s,;'\"]+", str(name)) else repr(str(name)) for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
