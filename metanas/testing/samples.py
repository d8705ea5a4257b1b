"""A small sample of each input, to build any space's networks for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SAMPLES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = MappingProxyType(
    {
        "image": ((3, 32, 32), ()),
        "sequence": ((2, 40), ()),
        "tokens": ((9,), (30,)),
        "table": ((20,), ()),
        "pairs": ((2,), (20, 30)),
    }
)
"""Input -> shape of a sample without the batch, and how many ids there are."""
