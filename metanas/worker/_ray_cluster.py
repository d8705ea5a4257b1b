"""Ray clusters: connecting to one, starting a private one, and what fits on its nodes."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas._lazy import optional_import
from metanas.errors import MetanasError
from metanas.worker._devices import usable_cores
from metanas.worker._ray_options import RayOptions

_log = logging.getLogger(__name__)

_TRIES = "5"
"""Ray's tries to reach a head that does not answer, or not to our token: seconds, where its own 20 are minutes."""
_CONNECT_SECONDS = 5.0
"""Longest time to find that nothing listens at an address."""
_FOLDER = "mn-ray-"
"""Begin of the name of a private cluster's folder."""
_OWNER = "owner.json"
"""In it: host and process."""
_STORE_BYTES = 128 * 2**20
"""Object store of a private cluster, through which no data go: a little above the least that Ray takes."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What Ray reserves for one worker."""

    cpus: float
    """Cores."""
    gpus: float
    """GPUs, or a part of one."""
    memory: int = 0
    """Bytes."""

    def fit(self, resources: Mapping[str, float]) -> int:
        """How many such workers a node with these resources (as Ray names them) has room for."""
        counts = [int(resources.get("CPU", 0) / self.cpus + 1e-9)]
        if self.gpus:
            total = resources.get("GPU", 0)
            # Parts are cut from one GPU each: two of 0.6 need two.
            counts.append(int(total) * int(1 / self.gpus + 1e-9) if self.gpus < 1 else int(total / self.gpus))
        if self.memory:
            counts.append(int(resources.get("memory", 0) / self.memory))
        return min(counts)

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU" + ("s" if self.cpus > 1 else "")]
        if self.gpus:
            parts.append(f"{self.gpus:g} GPU" + ("s" if self.gpus > 1 else ""))
        if self.memory:
            parts.append(f"{self.memory / 2**30:.1f} GiB")
        return ", ".join(parts)


class Cluster:
    """A connection to a cluster; of the process, since Ray allows one. Ends what it began when it is closed."""

    def __init__(self, options: RayOptions) -> None:
        import_before = "ray" in sys.modules
        # All of the environment before Ray is imported, which reads it then.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = options.address or os.environ.get("RAY_ADDRESS", "") or "local"
        self.private = address == "local"
        """Whether the cluster is its own, on this machine alone."""
        if not self.private:
            os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", _TRIES)
        _use_token(self.private, import_before)
        self.ray = optional_import("ray", extra="ray")
        self._folder: Path | None = None
        self._borrowed: bool = self.ray.is_initialized()
        if self._borrowed:  # by the program that searches from Python
            self.private = False
            return
        with _signals_kept():
            try:
                self._connect(address, options)
            except BaseException:
                self.close()
                raise
        if not self.private and os.environ.get("RAY_AUTH_MODE", "") != "token":
            _log.warning(
                "the Ray cluster at %s is used without a token: whoever reaches its ports can run code on it;"
                " start it with RAY_AUTH_MODE=token",
                address,
            )

    def _connect(self, address: str, options: RayOptions) -> None:
        quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
        if self.private:
            self._folder = _private_folder()
            self.ray.init(
                address="local", num_cpus=_private_cpus(options), include_dashboard=False,
                object_store_memory=_STORE_BYTES, _temp_dir=str(self._folder), **quiet,
            )  # fmt: skip
            return
        try:
            _knock(address)
            self.ray.init(address=address, **quiet)
        except (OSError, RuntimeError, ValueError, self.ray.exceptions.RayError) as error:
            raise MetanasError(
                "a Ray cluster must take this search", found=f"{address}: {_first_line(error)}",
                remedy="run metanas on one of its nodes, with its Python, its Ray and its token (RAY_AUTH_MODE=token,"
                " RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH); or say 'address: local' for a cluster of this machine alone",
                where="workers.address",
            ) from error  # fmt: skip

    def nodes(self) -> dict[str, Mapping[str, float]]:
        """Node id -> its resources, of the nodes that live."""
        return {node["NodeID"]: node["Resources"] for node in self.ray.nodes() if node["Alive"]}

    def close(self) -> None:
        """Disconnect; end a private cluster."""
        if self._borrowed:
            return
        with _signals_kept():
            self.ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def needs_of(options: RayOptions, nodes: Mapping[str, Mapping[str, float]], limit: int | None = None) -> Needs:
    """What one worker reserves in a cluster of such nodes, if a training may take ``limit`` bytes of its device."""
    gpus = options.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if any(resources.get("GPU", 0) >= 1 for resources in nodes.values()) else 0.0
    memory = options.memory_per_trial or (limit if not gpus else None) or 0
    return Needs(cpus=options.cpus_per_trial or 1.0, gpus=gpus, memory=memory)


def room(needs: Needs, nodes: Mapping[str, Mapping[str, float]]) -> int:
    """How many workers the nodes have room for."""
    return sum(needs.fit(resources) for resources in nodes.values())


def _private_cpus(options: RayOptions) -> int:
    """As many as there are, or as the workers that were asked for take: like local workers they may be more."""
    asked = (options.count or 0) * (options.cpus_per_trial or 1.0)
    return max(usable_cores(), int(asked + 0.999))


def _private_folder() -> Path:
    """A folder for a cluster of this process; those of processes that were killed are removed."""
    # Short, because the paths of sockets must be.
    parent = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
    for note in parent.glob(f"{_FOLDER}*/{_OWNER}"):
        if _is_left(note):
            shutil.rmtree(note.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=parent))
    (folder / _OWNER).write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}), encoding="utf-8")
    return folder


def _is_left(note: Path) -> bool:
    """Whether a folder is ours, and its process, which was of this host, is gone."""
    try:
        if hasattr(os, "getuid") and note.parent.lstat().st_uid != os.getuid():
            return False
        owner = json.loads(note.read_text(encoding="utf-8"))
        if owner["host"] == socket.gethostname() and os.name == "posix":
            os.kill(int(owner["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return False


def _use_token(private: bool, imported: bool) -> None:
    """Have Ray ask for a token. Its ports are open to the network, also those of a cluster of one machine."""
    known = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if private and not known:
        # For this process and what it starts; kept when the cluster ends, since Ray reads it once.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        known = "new"
    if (known or Path("~/.ray/auth_token").expanduser().exists()) and not imported:
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _knock(address: str) -> None:
    """Raise OSError where nothing listens; Ray would take a long time for that."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Undo that Ray takes SIGTERM for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
