"""A worker process, seen from the engine that started it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metanas.worker._channel import decode, encode
from metanas.worker._devices import Slot

_GRACE_SECONDS = 5.0
"""How long a process that was asked to leave, or that closed its channel, may take to end."""
_TAIL_LINES = 20
"""Lines of a log that are worth showing in an error."""


class WorkerProcess:
    """One process, from start to death. What it says arrives in ``inbox`` as ``(self, kind, body)``.

    The last message is ``dead``, with the exit code in ``body["code"]`` (minus the signal's number where a signal
    killed it). No other one follows it.
    """

    def __init__(
        self,
        setup: Mapping[str, Any],
        slot: Slot,
        log: Path,
        inbox: queue.SimpleQueue[tuple[WorkerProcess, str, dict[str, Any]]],
        *,
        path: Sequence[str] | None = None,
    ) -> None:
        """``path`` is where it finds modules: by default, where this process does."""
        self.ready = False
        """Whether its evaluator has been built."""
        self._log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._inbox = inbox
        self._exited = threading.Event()
        with log.open("ab") as stderr:
            # A session of its own keeps the terminal's Ctrl-C away, and makes a group of all that it starts.
            # -P: its folder must not shadow installed modules; it gets the coordinator's module path in the setup.
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "metanas.worker._process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_environment(slot),
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name="metanas-read", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="metanas-watch", daemon=True)
        self._reader.start()
        self._watcher.start()
        path = [entry or os.getcwd() for entry in (sys.path if path is None else path)]
        self.send("setup", {"setup": dict(setup), "device": slot.device, "threads": slot.threads, "path": path})

    @property
    def pid(self) -> int:
        """The operating system's number of the process."""
        return self._popen.pid

    def send(self, kind: str, body: Mapping[str, Any]) -> None:
        """Send a message. Lost if the process is dead, which the inbox will tell."""
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):
            self._popen.stdin.write(encode(kind, body))
            self._popen.stdin.flush()

    def leave(self) -> None:
        """Ask it to exit at once."""
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):
            self._popen.stdin.close()

    def kill(self) -> None:
        """Kill it and everything that it has started."""
        if self._exited.is_set():
            return  # its number may be another's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self._popen.kill()

    def join(self) -> None:
        """Wait until it is gone; kill it if that takes seconds."""
        self._watcher.join(_GRACE_SECONDS)
        self.kill()
        self._watcher.join(_GRACE_SECONDS)
        self.leave()  # the pipe's end, if still open

    def tail(self) -> str:
        """The last lines that it wrote to its log."""
        with contextlib.suppress(OSError):
            text = self._log.read_bytes()[self._log_start :].decode(errors="backslashreplace")
            return "\n".join(text.strip().splitlines()[-_TAIL_LINES:])
        return ""

    def _read(self) -> None:
        assert self._popen.stdout is not None
        # ValueError: torn by its death, or no message, and then nothing more that it says can be trusted.
        with self._popen.stdout as lines, contextlib.suppress(OSError, ValueError):
            for line in lines:
                self._inbox.put((self, *decode(line)))
        if not self._exited.wait(_GRACE_SECONDS):
            self.kill()

    def _watch(self) -> None:
        if hasattr(os, "waitid"):
            # Not reaped yet, so its number is still its own: end what it has started, which may hold the channel open.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
                self.kill()
        self._exited.set()
        code = self._popen.wait()
        self._reader.join(_GRACE_SECONDS)
        self._inbox.put((self, "dead", {"code": code}))


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _environment(slot: Slot) -> dict[str, str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(slot.threads))
    environment = {**os.environ, **threads, "CUDA_VISIBLE_DEVICES": slot.visible}
    root = Path(__file__).parents[2]
    if root.name not in ("site-packages", "dist-packages"):  # a checkout that only sys.path knows of
        paths = [str(root), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment
