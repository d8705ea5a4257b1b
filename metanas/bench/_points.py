"""Points: the unit in which differences of a metric are small or large, for tables in percent and in anything else."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, log10

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def point(values: Floats) -> float:
    """A hundredth of the power of ten that a metric's values reach: 1 for accuracies in percent, 0.01 for fractions.

    The values, of any shape, are losses or of unknown direction: those above the median do not count, as losses may diverge.
    """
    known = values[np.isfinite(values)]
    reached = max(abs(float(known.min())), abs(float(np.median(known)))) if len(known) else 0.0
    return 10.0 ** (ceil(log10(reached)) - 2) if reached > 0 else 1.0


def decimals(points: Iterable[float], of_percents: int) -> int:
    """Decimals that show metrics with these ``points`` as closely as so many show percents, and never fewer."""
    return of_percents + max(0, -round(log10(min(points))))
