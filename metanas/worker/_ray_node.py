"""What runs on a node of a Ray cluster: an actor that keeps one worker process.

The evaluation runs in a process of its own, started as by the local engine, so that the actor can tell what happened to
it, which signal killed it and what it wrote last, answers whatever it does, and starts another in less time than an
actor takes.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from metanas._version import __version__
from metanas.errors import MetanasError, describe
from metanas.worker._devices import Slot, find_devices
from metanas.worker._handle import WorkerProcess, describe_exit
from metanas.worker._ray_link import NodeEnd
from metanas.worker._ray_parcel import leave_node, node_folder, pack, receive, remove_old, with_data_at

_LOG_BYTES = 2**16
"""At most so much of a worker's log goes along with a reply; what is more is cut out of the middle."""


class NodeWorker:
    """One worker process on this node. Made by Ray, which calls its methods from several threads."""

    def __init__(self, hello: bytes) -> None:
        """``hello`` holds the ``search``'s name, and as ``marker`` a file, with its ``text``, that shared disks show."""
        message = json.loads(hello)
        self._search = message["search"]
        self._shared = _reads(message["marker"], message["text"])
        self._channel = NodeEnd()
        self._start: dict[str, Any] = {}
        self._missing: set[str] = set()
        """Parcels that must come before the process can start."""
        self._held: list[tuple[str, dict[str, Any]]] = []
        """Commands for the process, kept until it starts."""
        self._process: WorkerProcess | None = None
        self._inbox: queue.SimpleQueue[tuple[WorkerProcess, str, dict[str, Any]]] = queue.SimpleQueue()
        # In the search's folder, which is found and removed later if nobody is left to do it.
        self._folder = Path(tempfile.mkdtemp(prefix="worker-", dir=node_folder(self._search)))
        remove_old(node_folder(self._search))
        self._log = self._folder / "log"
        self._log_sent = 0
        self._channel.say("hello", self._introduce())
        threading.Thread(target=self._listen, name="metanas-listen", daemon=True).start()

    def exchange(self, request: bytes) -> bytes:
        """Take commands and return messages; waits up to ``wait`` seconds for a first one."""
        return self._channel.exchange(request, self._try, self._new_log)

    def unpack(self, key: str, refs: list[Any]) -> None:
        """Take a parcel, given as references to its pieces, and start."""
        import ray

        try:
            path = receive(node_folder(self._search), key, (ray.get(ref) for ref in refs))
        except Exception as error:
            self._channel.say("refused", _refusal(error))
            return
        with self._channel.lock:
            if key == "data":
                self._start["setup"] = with_data_at(self._start["setup"], path / Path(self._start["data"]).name)
            else:
                self._start["path"].insert(0, str(path))
            self._missing.discard(key)
            if not self._missing:
                self._try("begin", {})

    def collect(self, job_id: str) -> bytes:
        """The artefacts of a final training, as an archive."""
        output = self._output(job_id)
        data = b"".join(pack((path, path.name) for path in sorted(output.iterdir()) if path.is_file()))
        shutil.rmtree(output, ignore_errors=True)
        return data

    def stop(self, kill: bool) -> bytes:
        """End the process and clean up; returns the rest of its log."""
        process = self._process
        if process is not None:
            if kill:
                process.kill()
            else:
                process.leave()
            process.join()
        text = self._new_log()
        shutil.rmtree(self._folder, ignore_errors=True)
        leave_node(self._search)
        return text.encode()

    # --- commands

    def _try(self, kind: str, body: dict[str, Any]) -> None:
        try:
            self._obey(kind, body)
        except Exception as error:
            self._channel.say("refused", _refusal(error))

    def _obey(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "start":
            self._start = body
            data = body["data"]
            self._missing = {
                *(["data"] if data and not Path(data).exists() else []),
                *(["code"] if body["code"] else []),
            }
            if self._missing:
                self._channel.say("missing", {"keys": sorted(self._missing)})
            else:
                self._begin()
        elif kind == "begin":
            self._begin()
        elif self._missing:
            self._held.append((kind, body))
        elif self._process is not None:  # if it has died meanwhile, the engine hears of that
            self._process.send(kind, body if kind != "job" or self._shared else self._localized(body))

    def _begin(self) -> None:
        start = self._start
        slot = Slot(device=self._device, visible=self._visible, threads=start["threads"], memory=start["memory"])
        path = [*start["path"], *_module_path()]
        self._process = WorkerProcess(slot.setup(start["setup"]), slot, self._log, self._inbox, path=path)
        held, self._held = self._held, []
        for kind, body in held:
            self._obey(kind, body)

    def _localized(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job without folders of a disk that this node does not see."""
        output = str(self._output(job["id"])) if job["output"] else ""
        return {**job, "spool": "", "checkpoint": "", "output": output}

    def _output(self, job_id: str) -> Path:
        folder = self._folder / f"output-{job_id}"
        folder.mkdir(exist_ok=True)
        return folder

    # --- messages

    def _introduce(self) -> dict[str, Any]:
        import ray

        context = ray.get_runtime_context()
        # Without GPUs of its own Ray leaves CUDA_VISIBLE_DEVICES as it is, and all would be seen.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "") if context.get_accelerator_ids().get("GPU") else ""
        gpus = find_devices() if visible else []
        self._device = "cuda:0" if visible else "cpu"
        # By UUID where the driver tells them, else as Ray counts them.
        self._visible = ",".join(gpu.uuid for gpu in gpus) or visible
        return {
            "node": context.get_node_id(), "host": socket.gethostname(), "shared": self._shared,
            "gpu_memory": gpus[0].memory if gpus else None, "version": __version__,
        }  # fmt: skip

    def _listen(self) -> None:
        while True:
            process, kind, body = self._inbox.get()
            if kind == "dead":
                process.join()
                body = {"exit": describe_exit(body["code"]), "killed": body["code"] == -9, "tail": process.tail()}
            with self._channel.lock:
                if process is self._process:
                    self._process = None if kind == "dead" else process
                    self._channel.say(kind, body)

    def _new_log(self) -> str:
        """What the log has got since the last time."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            file.seek(self._log_sent)
            data = file.read(_LOG_BYTES // 2)
            end = self._log.stat().st_size
            if end - file.tell() > _LOG_BYTES // 2:
                data += f"\n[{end - file.tell() - _LOG_BYTES // 2:,} bytes left out]\n".encode()
                file.seek(end - _LOG_BYTES // 2)
            data += file.read(_LOG_BYTES // 2)
            self._log_sent = file.tell()
        return data.decode(errors="backslashreplace")


def _reads(marker: str, text: str) -> bool:
    try:
        return bool(marker) and Path(marker).read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def _module_path() -> list[str]:
    """The module path of the actor without what Ray has added for itself."""
    import ray

    own = Path(ray.__file__).parent
    return [entry for entry in sys.path if not Path(entry).is_relative_to(own)]


def _refusal(error: Exception) -> dict[str, Any]:
    if isinstance(error, MetanasError):
        found = None if error.found is None else str(error.found)
        return {"rule": error.rule, "found": found, "remedy": error.remedy, "where": error.where}
    return {"rule": "a node must be able to start a worker", "found": describe(error), "where": socket.gethostname()}
