"""Opening a study. Optuna's journal file by default: one append a change, and cheap to open.

A process that is killed, or a disk that is full, can leave the last line half written. It is cut before anything is
appended; what was acknowledged before stays.
"""

from __future__ import annotations

import errno
import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation

from metanas._lazy import optional_import
from metanas.errors import StudyError

_BEGIN = b'{"op_code"'
_LONGEST_LINE = 4_000_000
"""Bytes: an entry holds one change, which is some kilobytes."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Journal(JournalFileBackend):
    """Optuna's journal file for one writer, which the run folder's lease makes sure of.

    It takes no lock of its own, and waits for the disk once a trial, when its end is written: what came before in the
    file is then safe too. A killed process loses nothing either way; only a power cut may cost trials under way.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append in one write."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with open(self._file_path, "ab") as file:
            file.write(text.encode())
            file.flush()
            if any(log["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES for log in logs):
                os.fsync(file.fileno())


def open_storage(journal: Path, url: str | None, *, read_only: bool = False) -> BaseStorage:
    """The storage of a study: the run folder's journal, or a shared one by URL.

    Without ``read_only`` the caller holds the run folder's lease, and a journal's torn end is cut.

    Raises
    ------
    StudyError
        If the file is no study, or the URL leads nowhere.

    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if url is None:
            if journal.exists():
                _check_begin(journal)
                if not read_only:
                    _mend(journal)
            elif read_only:
                raise _no_study(journal, "no file")
            try:
                return JournalStorage(_Journal(str(journal)))
            except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
                raise _no_study(journal, f"{type(error).__name__}: {error}") from error
        return _database(url)


def _database(url: str) -> BaseStorage:
    if url.startswith(("postgresql://", "postgres://")):
        optional_import("psycopg2", extra="postgres")
    try:
        return RDBStorage(url)
    except Exception as error:
        text = re.sub(r"//\S*@", "//…@", str(error)).splitlines()[0]
        raise StudyError(
            "the storage must be a database that Optuna reaches", found=text, where="storage",
            remedy="check the URL, and that the server runs",
        ) from error  # fmt: skip


def _check_begin(journal: Path) -> None:
    """Refuse a file that does not begin as a journal does."""
    with journal.open("rb") as file:
        first = file.readline(_LONGEST_LINE)
    torn_at_birth = not first.endswith(b"\n") and _BEGIN.startswith(first[: len(_BEGIN)])
    if not (torn_at_birth or _is_entry(first)):
        raise _no_study(journal, repr(first[:40]))


def _mend(journal: Path) -> None:
    """Cut a last line that was not written to its end."""
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _LONGEST_LINE)
        file.seek(start)
        tail = file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        while whole and not _is_entry(whole[whole.rfind(b"\n", 0, -1) + 1 :]):
            whole = whole[: whole.rfind(b"\n", 0, -1) + 1]
        if len(whole) < len(tail):
            file.truncate(start + len(whole))


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict) and b"op_code" in line
    except ValueError:
        return False


def _no_study(journal: Path, found: str) -> StudyError:
    return StudyError(
        "the file must be a study's journal", found=found, where=str(journal),
        remedy="restore it from a copy, or start a new search; nothing was changed",
    )  # fmt: skip


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """A full disk as an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StudyError(
            "the disk must have room for the study", found=error.strerror, where=str(folder),
            remedy=f"free some space, then go on with: metanas resume {folder}; all results so far are kept",
        ) from error  # fmt: skip
