"""Database servers on loopback, for tests of shared studies."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PASSWORD = "s3cret-Word"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _programs() -> Path | None:
    """Where initdb and pg_ctl are; Debian keeps them out of the path."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return places[-1].parent if places else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of an empty database of a PostgreSQL server of our own, with a password."""
    pytest.importorskip("psycopg2", reason="the driver psycopg2 is not installed")
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    account: dict[str, object] = {}
    if os.getuid() == 0:  # the server refuses to run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            user = pwd.getpwnam("nobody")
        account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="metanas-pg-"))
    port = free_port()
    try:
        (folder / "password").write_text(PASSWORD)
        if account:
            for path in (folder, folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)

        def run(*command: str) -> None:
            subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=folder, **account)  # type: ignore[call-overload]

        run(
            str(programs / "initdb"), "-D", "data", "-U", "metanas", "--auth=scram-sha-256", "--pwfile=password", "-N",
            "-E", "UTF8", "--locale=C",
        )  # fmt: skip
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        run(str(programs / "pg_ctl"), "-D", "data", "-w", "-l", "log", "-o", options, "start")
        try:
            yield f"postgresql://metanas:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            with contextlib.suppress(subprocess.SubprocessError):
                run(str(programs / "pg_ctl"), "-D", "data", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    """URL of Optuna's own proxy server over a journal."""
    pytest.importorskip("grpc", reason="the package grpcio is not installed")
    import warnings
    from concurrent.futures import ThreadPoolExecutor

    from optuna.storages import JournalStorage
    from optuna.storages._grpc.server import make_server
    from optuna.storages.journal import JournalFileBackend

    port = free_port()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "shared.journal")))
    server = make_server(storage, "127.0.0.1", port, ThreadPoolExecutor(max_workers=4))
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()
