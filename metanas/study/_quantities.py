"""Quantities as run files write them: durations, sizes, hours. Each reader gives None for what is none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?")


def hours(value: Any) -> float | None:
    """A number above 0."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and 0 < value < math.inf else None


def seconds(value: Any) -> float | None:
    """Seconds of a number, or of a duration such as 1h30m."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if 0 < value < math.inf else None
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        return None
    return sum(float(part or 0) * unit for part, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True)) or None


def size(value: Any) -> int | None:
    """Bytes of a number, or of a size such as 4GB (units of 1,024)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value) if 0 < value < math.inf else None
    match = _BYTES.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    return int(float(match[1]) * 2 ** {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2]]) or None


def text(value: Any) -> str | None:
    """A text."""
    return value if isinstance(value, str) else None


def number(value: Any) -> float | None:
    """A number, as it is."""
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else value


OPTION_KINDS: Mapping[str, Callable[[Any], Any]] = {"text": text, "number": number, "size": size, "duration": seconds}
"""Kind of an engine's option (:class:`metanas.worker.EngineOption`) -> how its value is read."""
