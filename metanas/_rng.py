"""Random generators derived from one seed and the names of what they are for.

The same seed and names give the same numbers in every process and on every platform, so a resumed search
proposes what the uninterrupted one would have proposed.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the purpose that ``names`` describe."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator for the purpose that ``names`` describe."""
    return np.random.default_rng(derive_seed(seed, *names))
