"""Who works on a run: one process at a time, on its folder and on its study.

The folder's lease is a lock of the operating system, which gives it back when its owner dies, however it dies. A study in
a shared storage may be worked on from other folders and machines, so its owner says there, every few seconds, that it is
alive; when it has said nothing for long, another may take over. No worker is judged by that, only the one coordinator.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import filelock
from optuna.storages import BaseStorage

from metanas.errors import StudyError
from metanas.study._folder import RunFolder, write_atomically

_OWNER = "metanas:owner"
"""User attribute of a study."""
_BEAT_SECONDS = 15.0
"""How often an owner says that it is alive."""
_SILENT_SECONDS = 90.0
"""Silence after which an owner on another machine counts as dead: several beats, for a storage that is slow."""
_SETTLE_SECONDS = 0.5
"""Time for another process, which looked at the same moment, to be seen."""


class Lease:
    """The right to write into a run folder."""

    def __init__(self, folder: RunFolder) -> None:
        self._lock = filelock.FileLock(str(folder.path / ".lock"))
        self._owner = folder.path / ".owner.json"

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise StudyError(
                "one process at a time works on a run", found=self._describe(), where=str(self._owner.parent),
                remedy="wait for it, or stop it first",
            ) from None  # fmt: skip
        try:
            write_atomically(self._owner, json.dumps(_this_process()))
        except OSError:  # a full disk
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._owner.unlink(missing_ok=True)
        self._lock.release()

    def _describe(self) -> str:
        try:
            return _describe(json.loads(self._owner.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            return "another process"


def owner_of(folder: RunFolder) -> str | None:
    """Who works on a run now, in words; None for nobody, as far as this machine can tell."""
    try:
        owner = json.loads((folder.path / ".owner.json").read_text(encoding="utf-8"))
        here = owner["host"] == socket.gethostname()
        return None if here and _is_gone(int(owner["pid"])) else _describe(owner)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def owner_of_study(attributes: Mapping[str, Any]) -> str | None:
    """Who works on a shared study now, by its user attributes, perhaps from another run folder; None for nobody."""
    owner = attributes.get(_OWNER)
    return _describe(owner) if isinstance(owner, dict) and not _is_dead(owner) else None


class StudyLease:
    """The right to write into a study of a shared storage; with None as storage, of the run folder's own, nothing."""

    def __init__(self, storage: BaseStorage | None, study_id: int) -> None:
        self._storage = storage
        self._since = _this_process()
        self._study_id = study_id
        self._token = secrets.token_hex(8)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._other: dict[str, Any] | None = None

    def check(self) -> None:
        """Raise StudyError if another process has taken the study over."""
        if self._other is not None:
            raise StudyError(
                "one process at a time works on a study", found=f"{_describe(self._other)}, took it over",
                remedy="it counted this one as dead; all that was recorded before is kept",
            )  # fmt: skip

    def __enter__(self) -> Self:
        if self._storage is None:
            return self
        owner = self._read()
        if owner is not None and not _is_dead(owner):
            silent = time.time() - float(owner.get("beat", 0))
            raise StudyError(
                "one process at a time works on a study", found=f"{_describe(owner)}, heard of {silent:.0f} s ago",
                remedy=f"wait for it, or stop it first; one that is dead is forgotten after {_SILENT_SECONDS:.0f} s",
                where="storage",
            )  # fmt: skip
        self._beat()
        # Also where nobody was there: two searches that start together both read that.
        time.sleep(_SETTLE_SECONDS)
        self._look()
        self.check()
        self._thread = threading.Thread(target=self._keep, name="metanas-lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._storage is None or self._thread is None:
            return
        self._thread.join(_BEAT_SECONDS)
        if self._other is None:
            with contextlib.suppress(Exception):  # a storage that does not answer is told by what waits for it
                self._storage.set_study_user_attr(self._study_id, _OWNER, None)

    def _keep(self) -> None:
        while not self._ended.wait(_BEAT_SECONDS):
            with contextlib.suppress(Exception):
                self._look()
                if self._other is not None:
                    return
                self._beat()

    def _read(self) -> dict[str, Any] | None:
        assert self._storage is not None
        owner = self._storage.get_study_user_attrs(self._study_id).get(_OWNER)
        return owner if isinstance(owner, dict) else None

    def _look(self) -> None:
        owner = self._read()
        if owner is not None and owner.get("token") != self._token:
            self._other = owner

    def _beat(self) -> None:
        assert self._storage is not None
        owner = self._since | {"token": self._token, "beat": time.time()}
        self._storage.set_study_user_attr(self._study_id, _OWNER, owner)


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _describe(owner: dict[str, Any]) -> str:
    return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"


def _is_dead(owner: dict[str, Any]) -> bool:
    """Whether an owner is gone for sure, or has been silent for long."""
    if abs(time.time() - float(owner.get("beat", 0))) > _SILENT_SECONDS:
        return True
    return owner.get("host") == socket.gethostname() and _is_gone(int(owner["pid"]))


def _is_gone(pid: int) -> bool:
    """Whether no process of this machine has that number."""
    if os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
