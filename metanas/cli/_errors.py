"""How an error of the user's is shown."""

from __future__ import annotations

import errno

import click

from metanas.errors import DISK_FULL, MetanasError

_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
OF_FILES = DISK_FULL + _NOT_ALLOWED + _NOT_THERE
"""Numbers of errors that say of a file or a disk what its user can mend."""


def file_error(error: OSError) -> MetanasError:
    """An error of a file or a disk, with what to do about it."""
    remedy = "check the path"
    if error.errno in DISK_FULL:
        remedy = "free some space, and try again"
    elif error.errno in _NOT_ALLOWED:
        remedy = "check the permissions, or choose another place"
    where = error.filename2 or error.filename or ""
    return MetanasError("the file must be readable or writable", found=error.strerror, where=str(where), remedy=remedy)


def show_error(error: MetanasError) -> int:
    """Print an error, and say the exit code that it asks for."""
    text = str(error)
    click.echo(text if "\n" in text or text.startswith("error") else f"error: {text}", err=True)
    return error.exit_code
