"""What every peer's file shares: it needs nothing but Python, as it runs in each peer's own environment.

A peer's file defines the reference spaces as that library's users do, decisions alone, and hands :func:`main` functions
that draw, and mutate, one architecture.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping

EDGES = [f"{source}->{target}" for target in range(1, 4) for source in range(target)]
"""NAS-Bench-201: an operation on each of six edges."""
NASBENCH201_OPS = ["none", "skip", "conv1x1", "conv3x3", "avg_pool3x3"]
DARTS_OPS = [
    "skip", "max_pool3x3", "avg_pool3x3", "sep_conv3x3", "sep_conv5x5", "dil_conv3x3", "dil_conv5x5",
]  # fmt: skip
"""DARTS: in each of two cells four steps that read two of the states before, an operation on each."""
DARTS_PAIRS = {
    step: [f"{a}+{b}" for b in range(step + 1) for a in range(b)] for step in range(1, 5)
}  # step 1 has no choice
STAGES, BLOCKS = range(1, 6), range(1, 5)
"""A MobileNet-like space: a width, and five stages of 2 to 4 blocks with a kernel, an expansion and an SE each."""

Draw = Callable[[], object]


def rate(draw: Draw, seconds: float) -> float:
    """Calls a second of processor time, after one that warms up."""
    draw()
    calls, started = 0, time.process_time()
    while (spent := time.process_time() - started) < seconds:
        draw()
        calls += 1
    return calls / spent


def main(
    version: str, sample: Mapping[str, Draw], mutate: Mapping[str, Draw], *, rows: int = 1, notes: str = ""
) -> None:
    """Print the rates of a peer as JSON; each call draws ``rows`` architectures."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    result = {
        "version": version,
        "sample": {name: rows * rate(draw, seconds) for name, draw in sample.items()},
        "mutate": {name: rows * rate(draw, seconds) for name, draw in mutate.items()},
        "notes": notes,
    }
    print(json.dumps(result))
