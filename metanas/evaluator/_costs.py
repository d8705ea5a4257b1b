"""What a network costs, as objectives: counted before training, or timed after it."""

from __future__ import annotations

from collections.abc import Mapping

from metanas.space import MEASURES

COSTS: Mapping[str, str] = {
    **MEASURES,
    "latency_ms": "median milliseconds of a forward pass of one sample on the worker's device",
}
"""Name -> what it is; less is better."""
