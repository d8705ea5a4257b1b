"""Opening a study by the URL of its storage.

The default is the journal in the run folder: see ``docs/run-file.md`` for why, with measured costs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage

from metanas._lazy import optional_import
from metanas.errors import DISK_FULL, StudyError
from metanas.space import did_you_mean
from metanas.study._folder import RunFolder
from metanas.study._journal import open_journal
from metanas.study._url import scheme_of, without_password

_GRPC_PORT = 13000
"""Optuna's own default."""
_GRPC_SECONDS = 10
"""A proxy that has not answered by then is not there."""
_SHOWN = 10
"""Studies of a storage that an error lists."""
_DRIVERS = {"postgresql": ("psycopg2", "postgres"), "mysql": ("pymysql", "mysql")}
"""Dialect -> module of the driver, and the extra that brings it."""


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
            return open_journal(journal, read_only=read_only)
        scheme = scheme_of(url)
        return _proxy(url) if scheme == "grpc" else _database(url, scheme)


def check_named(storage: BaseStorage, name: str, where: str) -> None:
    """Check that a shared storage has a study of this name, which is to be gone on with.

    Raises
    ------
    StudyError
        If it has none.

    """
    known = sorted(study.study_name for study in storage.get_all_studies())
    if name not in known:
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        raise StudyError(
            "a study that is gone on with must be there",
            found=f"no {name!r}, but {', '.join(known[:_SHOWN])}{more}" if known else "no study at all",
            where=without_password(where), remedy=did_you_mean(name, known) if known else "leave --study out to begin a new one",
        )  # fmt: skip


def _database(url: str, scheme: str) -> BaseStorage:
    if scheme in _DRIVERS and "+" not in url.partition("://")[0]:
        driver, extra = _DRIVERS[scheme]
        optional_import(driver, extra=extra)
        url = f"{scheme}+{driver}://{url.partition('://')[2]}"
    # A connection that the server has closed meanwhile is opened again instead of ending the search.
    options = {} if scheme == "sqlite" else {"pool_pre_ping": True}
    try:
        return RDBStorage(url, engine_kwargs=options)
    except Exception as error:
        raise _unreachable(url, error) from None  # the cause's text may hold the password


def _proxy(url: str) -> BaseStorage:
    grpc = optional_import("grpc", extra="grpc")
    logging.getLogger("grpc").addHandler(logging.NullHandler())
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or _GRPC_PORT
    try:
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=_GRPC_SECONDS)
    except grpc.FutureTimeoutError:
        raise _unreachable(url, TimeoutError(f"no answer from {host}:{port}")) from None
    return GrpcStorageProxy(host=host, port=port)


def _unreachable(url: str, error: BaseException) -> StudyError:
    text = (str(error) or type(error).__name__).splitlines()[0]
    password = urlsplit(url).password if "@" in url else None
    for secret in filter(None, (password, unquote(password or ""))):
        text = text.replace(secret, "…")
    return StudyError(
        "the storage must be a database that Optuna reaches", found=without_password(text), where=without_password(url),
        remedy="check the URL, and that the server runs; the run folder keeps no password: give the whole URL with "
        "--storage or in METANAS_STORAGE",
    )  # fmt: skip


@contextmanager
def disk_errors(folder: RunFolder) -> Iterator[None]:
    """A full disk, or a database that went away, as an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise StudyError(
            "the disk must have room for the study", found=error.strerror, where=str(folder.path),
            remedy=f"free some space, then go on with: {folder.command('resume')}; all results so far are kept",
        ) from error  # fmt: skip
    except Exception as error:
        if not _is_storage_error(error):
            raise
        cause = error.__cause__ or error
        raise StudyError(
            "the study's storage must answer", found=without_password(str(cause).splitlines()[0]), where=str(folder.path),
            remedy=f"see to the server, then go on with: {folder.command('resume')}; all results so far are kept, those "
            "that could not be recorded in the folder's spool",
        ) from None  # fmt: skip


def _is_storage_error(error: Exception) -> bool:
    """Whether a database or a proxy failed."""
    names = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, optuna.exceptions.StorageInternalError) or bool(names & {"sqlalchemy", "grpc"})
