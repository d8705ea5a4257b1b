"""How the number of a space's rows, of any length, is told."""

from __future__ import annotations

import math
from decimal import Decimal

_EXACT_DIGITS = 30
"""Digits that are written out for people; more say nothing that the power of ten does not."""
_NUMBER_DIGITS = 308
"""Digits of a whole number in JSON: what reads it into a double holds no larger ones."""


def size_text(size: int | None) -> str:
    """``15,625``, ``about 10^4745``, or that it could not be counted."""
    if size is None:
        return "too many to count"
    return f"{size:,}" if size < 10**_EXACT_DIGITS else f"about 10^{math.log10(size):.0f}"


def size_json(size: int | None) -> int | str | None:
    """As a JSON value: a number, all digits as text where a double is too small for it, None where uncounted."""
    if size is None or size < 10**_NUMBER_DIGITS:
        return size
    return f"{Decimal(size):f}"  # str refuses integers of more than 4,300 digits, as it is slow on them


def size_log10(size: int | None) -> float | None:
    """The logarithm; None where there is none, or no count."""
    return math.log10(size) if size else None
