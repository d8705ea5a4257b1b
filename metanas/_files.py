"""Files that are written whole, or not at all."""

from __future__ import annotations

import glob
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metanas.errors import MetanasError

_STALE_SECONDS = 3600.0
"""Age from which a part that nobody has written to is one that a killed process left."""


def check_name(text: str, where: str = "") -> str:
    """A text of the command line or a path, which can be written into a file. Raises MetanasError if it is not Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MetanasError(
            "names and paths are to be Unicode", found=text.encode("ascii", "backslashreplace").decode(), where=where,
            remedy="set a locale of UTF-8, such as LC_ALL=C.UTF-8, or rename it",
        ) from error  # fmt: skip
    return text


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A place to write a file to, which takes the path's own place at the end; where that fails, nothing is left of it."""
    if path.exists() and (not path.is_file() or path.is_relative_to("/dev")):
        yield path  # a pipe or a device has no other place
        return
    path = Path(os.path.realpath(path))  # what a link points to is what is meant
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, as another process may write the same file.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, path)
        _drop_stale(path)
    finally:
        part.unlink(missing_ok=True)


def _drop_stale(path: Path) -> None:
    """Remove what killed processes left of the same file, or it would pile up."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):  # another process may have removed it
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()
