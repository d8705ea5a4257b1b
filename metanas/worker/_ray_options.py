"""What a run file may say of the engine ``ray``. Loads no Ray."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from metanas.errors import MetanasError

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}")


@dataclass(frozen=True, slots=True)
class EngineOption:
    """A key of ``workers`` that one engine reads."""

    kind: Literal["text", "number", "size", "duration"]
    """How a run file writes it: a size such as 4GB becomes bytes, a duration such as 10m seconds."""
    rule: str
    """What holds for its value, in words."""
    accepts: Callable[[Any], bool]
    """Whether a value, of the right kind, is allowed."""


def _is_address(value: str) -> bool:
    return value in ("auto", "local") or _HOST_AND_PORT.fullmatch(value) is not None


def _is_share(value: float) -> bool:
    """Ray gives out a part of one GPU, or whole ones."""
    return 0 <= value < 1 or (value < math.inf and value == int(value))


RAY_OPTIONS: Mapping[str, EngineOption] = {
    "address": EngineOption(
        "text", "address is auto (a cluster that runs), local (one of its own), or the head's host:port", _is_address
    ),
    "gpus_per_trial": EngineOption("number", "gpus_per_trial is 0, a part of 1 such as 0.5, or whole", _is_share),
    "cpus_per_trial": EngineOption(
        "number", "cpus_per_trial is a part of 1, or whole", lambda value: value > 0 and _is_share(value)
    ),
    "memory_per_trial": EngineOption("size", "memory_per_trial is a size such as 4GB", lambda value: value > 0),
    "wait": EngineOption("duration", "wait is a duration such as 90s or 10m", lambda value: value > 0),
}
"""By key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """How a search uses a Ray cluster."""

    address: str = ""
    """``auto``, ``local`` or ``host:port``; empty for the cluster that RAY_ADDRESS names, else a private one."""
    count: int | None = None
    """Workers; None for as many as fit, more when nodes join."""
    gpus_per_trial: float | None = None
    """GPUs of one worker; None for 1 where the cluster has GPUs, else 0."""
    cpus_per_trial: float | None = None
    """Cores that Ray reserves for one worker, and its threads; None to reserve 1 and, beside a GPU, use its share."""
    memory_per_trial: int | None = None
    """Bytes of a node's memory that Ray reserves for one worker; None to reserve none."""
    wait: float | None = None
    """Seconds that the cluster may take to have room for a worker; None for 0 at the start, and 10 minutes later."""

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any], *, count: int | None = None) -> Self:
        """Options as a run file has them, in bytes and seconds. Raises MetanasError for one that cannot be."""
        for name, value in options.items():
            option = RAY_OPTIONS.get(name)
            if option is None:
                raise MetanasError(f"the engine ray reads {', '.join(RAY_OPTIONS)}", found=name, where="workers")
            if not option.accepts(value):
                raise MetanasError(option.rule, found=repr(value), where=f"workers.{name}")
        return cls(count=count, **options)
