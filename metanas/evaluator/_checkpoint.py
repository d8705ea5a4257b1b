"""How far a training has come, in one file: safetensors, whose header holds the rest as JSON. Nothing is pickled.

What is kept is all that the next epoch depends on: weights and buffers, the optimizer's tensors, the states of the
random generators, the loss scale. On a CPU a training that goes on from it ends with the weights that it would have had.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

_SHARE = 0.05
"""Part of a training's time that may go into checkpoints: those of short epochs of a large network are left out."""
_RESERVE = 64 * 2**20
"""Bytes that a checkpoint leaves free on the disk: what the study writes is worth more."""
_KEY = "metanas"
_log = logging.getLogger(__name__)


class Checkpoint:
    """A training's file, written now and then and read once."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._path = path
        self._identity = json.loads(json.dumps(dict(identity)))
        self._cost = 0.0
        self._written: float | None = None
        self._refused = False

    def save(self, training: Trained, progress: Mapping[str, Any]) -> None:
        """Keep where ``training`` stands, with ``progress`` (JSON). Where it can't, the training goes on all the same."""
        began = time.monotonic()
        if self._refused or (self._written is not None and began - self._written < self._cost / _SHARE):
            return
        try:
            tensors, numbers = training.state()
        except TypeError as error:
            self._refuse(str(error))
            return
        size = sum(tensor.nbytes for tensor in tensors.values())
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._path.parent).free
            if free < size + _RESERVE:
                self._refuse(f"{free / 2**20:,.0f} MiB are free on the disk, and it needs {size / 2**20:,.0f} MiB")
                return
            header = {"identity": self._identity, "progress": dict(progress), "numbers": numbers}
            save_file(tensors, temporary, metadata={_KEY: json.dumps(header)})
            os.replace(temporary, self._path)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            self._refuse(str(error))
            return
        self._written = time.monotonic()
        self._cost = self._written - began

    def load(self, training: Trained) -> dict[str, Any] | None:
        """Put ``training`` where it was kept, and return its progress; None, and nothing changed, where nothing fits."""
        try:
            with safe_open(self._path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get(_KEY, "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            if header["identity"] != self._identity:
                return None
            training.restore(tensors, header["numbers"])
            return dict(header["progress"])
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
            _log.warning("the checkpoint %s cannot be used, so the training begins anew: %s", self._path, error)
            return None

    def _refuse(self, why: str) -> None:
        _log.warning("no checkpoint of %s any more: %s", self._path.parent.name, why)
        self._refused = True


class Trained:
    """A network in training, as tensors by name."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.GradScaler,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self._network = network
        self._optimizer = optimizer
        self._scaler = scaler
        self._generator = generator
        self._device = device
        self._weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and numbers as JSON. Raises TypeError where a module of the user's keeps something else."""
        tensors: dict[str, Tensor] = {}
        for name, value in self._network.state_dict().items():
            if not isinstance(value, Tensor):
                raise TypeError(f"{name} is no tensor")
            tensors[f"network.{name}"] = value
        numbers: dict[str, Any] = {"scaler": self._scaler.state_dict()}
        for index, state in self._optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{name}"] = value
                elif value is not None:
                    numbers[f"optimizer.{index}.{name}"] = value
        tensors["random.batches"] = self._generator.get_state()
        tensors["random.cpu"] = torch.get_rng_state()
        if self._device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self._device)
        return _apart(tensors), numbers

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state`. Raises LookupError, ValueError or TypeError, and changes nothing, if it is another's."""
        own = self._network.state_dict()
        kept = {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
        if {name: t.shape for name, t in own.items()} != {name: t.shape for name, t in kept.items()}:
            raise ValueError("it is of another network")
        state: dict[int, dict[str, Any]] = {}
        for name, value in [*tensors.items(), *numbers.items()]:
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                index, _, key = rest.partition(".")
                state.setdefault(int(index), {})[key] = self._as_weight(int(index), value)
        batches, cpu, scaler = tensors["random.batches"], tensors["random.cpu"], numbers["scaler"]
        cuda = tensors["random.cuda"] if self._device.type == "cuda" else None
        self._network.load_state_dict(kept)
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        if scaler:
            self._scaler.load_state_dict(scaler)
        self._generator.set_state(batches)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, self._device)

    def _as_weight(self, index: int, value: Any) -> Any:
        """A tensor of a weight's shape in the order in memory that the weight has, as fused kernels expect."""
        weight = self._weights[index]
        if not isinstance(value, Tensor) or value.shape != weight.shape:
            return value
        return torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, contiguous, and none sharing memory with another, as safetensors needs them."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        apart[name] = plain.clone() if plain.data_ptr() in seen else plain
        seen.add(plain.data_ptr())
    return apart
