"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metanas.report._summary import DecisionSummary
from metanas.trial import Scalar

MISSING = "–"
_SHOWN_OPTIONS = 24


def number(value: float | None) -> str:
    """Four significant digits, thousands set apart: ``0.9833``, ``61,706``, ``1.200e-05``."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:#.4g}".removesuffix(".")


def quantity(value: float | None) -> str:
    """A count with a unit prefix from 10,000 on: ``9,482``, ``61.7 k``, ``1.24 M``."""
    if value is None or not math.isfinite(value) or abs(value) < 1e4:
        return number(value)
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if abs(value) >= 0.9995 * scale:
            return f"{value / scale:.3g} {prefix}"
    return f"{value / 1e3:.3g} k"


def duration(seconds: float | None) -> str:
    """``0.42 s``, ``12 s``, ``3 min 20 s``, ``1 h 05 min``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def big_integer(value: int | None) -> str:
    """An integer of any length: exact below 10^9, else ``4.2 × 10³¹``."""
    if value is None:
        return "unknown or infinite"
    if value < 10**9:
        return f"{value:,}"
    exponent = math.log10(value)  # exact enough for an int too long for a float
    power = str(int(exponent)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{10 ** (exponent % 1):.1f} × 10{power}"


def scalar(value: Scalar | None) -> str:
    """A value as YAML spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def options(decision: DecisionSummary) -> str:
    """A decision's values: the options of a choice, or both ends of a range."""
    if decision.kind != "choice" and len(decision.values) == 2:
        return " to ".join(scalar(v) for v in decision.values)
    shown = ", ".join(scalar(v) for v in decision.values[:_SHOWN_OPTIONS])
    more = len(decision.values) - _SHOWN_OPTIONS
    return f"{shown} and {more} more" if more > 0 else shown


def shortened(numbers: Sequence[int], most: int = 20) -> str:
    """``3, 7, 12 and 40 more``."""
    shown = ", ".join(str(n) for n in numbers[:most])
    return f"{shown} and {len(numbers) - most:,} more" if len(numbers) > most else shown
