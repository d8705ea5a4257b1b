"""The study's default file: Optuna's journal, one append a change, and cheap to open.

A process that is killed, or a disk that is full, can leave the last line half written. It is cut before anything is
appended; what was acknowledged before stays.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation

from metanas.errors import StudyError

_BEGIN = b'{"op_code"'
_LONGEST_LINE = 4_000_000
"""Bytes: an entry holds one change, which is some kilobytes."""


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


def open_journal(journal: Path, *, read_only: bool = False) -> JournalStorage:
    """The study in a run folder's file. Without ``read_only`` a torn end is cut: the caller holds the folder's lease.

    Raises StudyError if the file is no study.
    """
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
