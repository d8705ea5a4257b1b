"""Which GPUs and cores there are, and how workers share them. Loads no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metanas.errors import MetanasError

MOST_WORKERS = 1_024
"""That a search may ask for."""
_MAX_AUTO_CPU_WORKERS = 8
"""More small trainings at a time than this wait for memory bandwidth on most machines."""
_CONTEXT_BYTES = 512 * 2**20
"""What a process takes of a GPU before it holds a tensor: CUDA's context and the kernels of PyTorch, 300 to 500 MiB."""
_NVIDIA_SMI_SECONDS = 20
"""A driver that is not kept loaded takes several seconds to answer; a broken one never does."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU."""

    uuid: str
    """What CUDA_VISIBLE_DEVICES calls it (``GPU-…`` or ``MIG-…``): the same in every process, unlike an index."""
    memory: int | None
    """Its memory in bytes; None when unknown (MIG)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The place of one worker."""

    device: str
    """What the worker calls its device: ``cpu``, or ``cuda:0``, since it sees one GPU only."""
    visible: str
    """CUDA_VISIBLE_DEVICES of the worker: the GPU's UUID, or empty."""
    threads: int
    """CPU threads that it may use."""
    memory: int | None = None
    """Bytes of the GPU's memory for trainings, of this slot and of the others on the same GPU together; None for no known
    limit."""

    def setup(self, setup: Mapping[str, Any]) -> dict[str, Any]:
        """An evaluator's setup with ``memory_limit`` (bytes) lowered to what the slot has."""
        if self.memory is None:
            return dict(setup)
        limit = setup.get("memory_limit")
        return {**setup, "memory_limit": self.memory if limit is None else min(limit, self.memory)}


def find_devices() -> list[Device]:
    """The GPUs that nvidia-smi lists and CUDA_VISIBLE_DEVICES, if set, lets through, in its order."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.strip():
        return []
    devices = _query_nvidia_smi()
    if visible is None or not devices:
        return devices
    found: list[Device] = []
    for entry in visible.split(","):
        device = _match(entry.strip(), devices)
        if device is None:  # like CUDA: what follows an entry that does not exist is invisible
            break
        found.append(device)
    return found


def _allowed_threads() -> int | None:
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return int(allowed) if allowed.isdigit() and int(allowed) > 0 else None


def plan_slots(
    workers: Literal["auto"] | int, devices: Sequence[Device] | None = None, cores: int | None = None
) -> list[Slot]:
    """A slot for each worker.

    ``auto`` is one worker a GPU, or without a GPU one a core, at most 8. A number of workers is dealt out over the
    GPUs in turn; on a GPU with several of them run as many trainings at a time as its memory has room for. The cores are shared out as evenly as they go, at least one
    thread a worker. ``devices`` and ``cores`` are looked up when not given; a worker then has no more threads than the
    environment's ``OMP_NUM_THREADS`` allows, as other work may share the cores.

    Raises MetanasError when ``workers`` is neither ``auto`` nor a whole number from 1 to :data:`MOST_WORKERS`.
    """
    devices = find_devices() if devices is None else devices
    most = _allowed_threads() if cores is None else None
    cores = usable_cores() if cores is None else cores
    if workers == "auto":
        workers = len(devices) or min(cores, _MAX_AUTO_CPU_WORKERS)
    if not isinstance(workers, int) or isinstance(workers, bool) or not 1 <= workers <= MOST_WORKERS:
        raise MetanasError(
            f"workers is auto or a whole number from 1 to {MOST_WORKERS:,}", found=repr(workers), where="workers"
        )
    threads = [max(1, cores // workers + (index < cores % workers)) for index in range(workers)]
    threads = [min(count, most or count) for count in threads]
    if not devices:
        return [Slot(device="cpu", visible="", threads=count) for count in threads]
    slots = []
    for index, count in enumerate(threads):
        device = devices[index % len(devices)]
        sharing = len(range(index % len(devices), workers, len(devices)))
        memory = device.memory
        if memory is not None and sharing > 1:
            memory = max(memory // sharing, memory - sharing * _CONTEXT_BYTES)
        slots.append(Slot(device="cuda:0", visible=device.uuid, threads=count, memory=memory))
    return slots


def usable_cores() -> int:
    """Cores that this process may run on, which under a scheduler are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _query_nvidia_smi() -> list[Device]:
    """All GPUs in the order of their indices; none where there is no working driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    devices = []
    for line in answer.splitlines():
        uuid, _, mebibytes = (part.strip() for part in line.partition(","))
        if uuid.startswith("GPU-"):
            # Some GPUs that share the host's memory answer "[N/A]".
            devices.append(Device(uuid, int(mebibytes) * 2**20 if mebibytes.isdigit() else None))
    return devices


def _match(entry: str, devices: Sequence[Device]) -> Device | None:
    """The device that an entry of CUDA_VISIBLE_DEVICES means: an index, a UUID or its beginning, or a MIG slice."""
    if entry.startswith("MIG-"):
        return Device(entry, None)
    if entry.isdigit():
        return devices[int(entry)] if int(entry) < len(devices) else None
    matching = [device for device in devices if entry.startswith("GPU-") and device.uuid.startswith(entry)]
    return matching[0] if len(matching) == 1 else None
