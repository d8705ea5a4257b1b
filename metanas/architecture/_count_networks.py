"""How many different networks a space has: exactly where that can be done, else an estimate and its interval."""

from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metanas.architecture._count_cells import count_fillings
from metanas.architecture._count_words import OutOfReachError, count_words
from metanas.architecture._identity import CanonicalIds
from metanas.errors import MetanasError
from metanas.space import OpSite, Rows, SearchSpace, Switch, templates_in

ENUMERABLE = 1_000_000
"""Rows that are named one by one at most."""

_DRAWN = 2_000
"""Rows drawn for an estimate."""

_NAMED = 5_000
"""Rows one decision from these that are named for it."""

_LEVELS = 20
"""Values of one decision that are tried at most."""

_CLASS = 100
"""Rows of one network after which no more are looked for."""

_NORMAL = 1.96
"""97.5 % quantile of the normal distribution."""

Track = Callable[[Rows], Iterable[npt.NDArray[np.int64]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCount:
    """Number of different networks of a space."""

    exact: int | None
    """The number; None where it is estimated."""
    estimate: float
    """The number, or its estimate."""
    interval: tuple[float, float]
    """What it is between, with 95 % confidence where it is estimated."""


def count_networks(
    space: SearchSpace, rng: np.random.Generator, *, enumerable: int = ENUMERABLE, track: Track = iter
) -> NetworkCount | None:
    """Count the different networks (by canonical id) of a space; None when even its rows are too many.

    Spaces of parts in series, and cells of ops at open places, are counted without their rows; others row by row when
    there are no more than ``enumerable``. Beyond that the number is estimated (:func:`estimate_networks`). ``track``
    goes through rows, perhaps with a progress bar.

    A row that is cut counts as one network, of constant outputs, where an operation ``none`` cuts it (as NAS-Bench-201
    counts); where optional edges make no path from input to output there is no network (as in NAS-Bench-101).
    """
    ids = CanonicalIds(space)
    ways: tuple[Callable[[], tuple[int, bool]], ...] = (
        lambda: count_words(space, ids),
        lambda: count_fillings(space, ids, enumerable, track),
        lambda: _enumerated(space, ids, enumerable, track),
    )
    for count in ways:
        try:
            networks, cut = count()
        except OutOfReachError:
            continue
        networks += cut and _constant_counts(space)
        return NetworkCount(exact=networks, estimate=networks, interval=(networks, networks))
    return estimate_networks(space, rng, track=track)


def _enumerated(space: SearchSpace, ids: CanonicalIds, limit: int, track: Track) -> tuple[int, bool]:
    if space.size is None or space.size > limit:
        raise OutOfReachError
    try:
        rows = space.rows(limit)
    except MetanasError as error:  # constraints leave few of many
        raise OutOfReachError from error
    cut: set[str] = set()
    found: set[str] = set()
    for row in track(rows):
        # A cut network is one whatever its training, as it cannot be trained.
        (cut if not space.tabular and ids.is_cut(row) else found).add(ids.of(row))
    return len(found), bool(cut)


def _constant_counts(space: SearchSpace) -> bool:
    """Whether a choice among operations holds ``none``."""
    return any(
        isinstance(option, OpSite) and option.name == "none" and space.decisions[part.decision].values != (False, True)
        for part in templates_in(space.template)
        if isinstance(part, Switch)
        for option in part.options
    )


def estimate_networks(space: SearchSpace, rng: np.random.Generator, *, track: Track = iter) -> NetworkCount | None:
    """Estimate the number of different networks by sampling rows; None when the rows cannot be counted, or are above 10^308.

    With R rows, and c(r) rows that denote the network of row r, there are R·E[1/c(r)] networks, r uniform. Of these
    rows, those are found that single changes of a decision lead to without leaving the network: at most all, so this
    is an upper bound. The lower bound comes from how often two random rows denote one network: with probability p they do, and
    there are at least 1/p networks. Rows are weighted to be uniform.
    """
    if not space.size or space.size > sys.float_info.max:
        return None
    ids = CanonicalIds(space)
    rows = space.sample(_DRAWN, rng, prior=False)
    weights = _weights(space, rows)
    names: list[str] = []
    shares: list[float] = []
    named = 0
    for row in track(rows):
        names.append(ids.of(row))
        if named < _NAMED:
            same, looked_at = _same_network(space, ids, row, rng)
            shares.append(1 / same)
            named += looked_at
    share, error = _mean(np.asarray(shares), weights[: len(shares)])
    most = min(1.0, share + _NORMAL * error) * space.size
    least = min(_fewest(names, weights), most)
    return NetworkCount(exact=None, estimate=max(least, share * space.size), interval=(least, most))


def _weights(space: SearchSpace, rows: Rows) -> npt.NDArray[np.float64]:
    """Weights ``(n,)`` of sum 1 that make rows drawn decision by decision uniform over all rows."""
    logs = np.log([decision.size for decision in space.decisions])
    weights = np.where(rows >= 0, logs, 0).sum(axis=1)
    weights = np.exp(weights - weights.max())
    return np.asarray(weights / weights.sum())


def _same_network(
    space: SearchSpace, ids: CanonicalIds, row: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[int, int]:
    """Rows found that denote the network of a row (itself among them), and how many were looked at."""
    name = ids.of(row)
    known, waiting, looked_at = {row.tobytes()}, [row], 0
    while waiting and len(known) < _CLASS:
        for other in _one_away(space, waiting.pop(), rng):
            key = other.tobytes()
            if key not in known:
                looked_at += 1
                if ids.of(other) == name:
                    known.add(key)
                    waiting.append(other)
    return len(known), looked_at


def _one_away(space: SearchSpace, row: npt.NDArray[np.int64], rng: np.random.Generator) -> Rows:
    """Different rows that differ from a row in one decision (and what it wakes), each value of each once."""
    changed = []
    for column in np.flatnonzero(row >= 0):
        size = space.decisions[column].size
        levels = range(size) if size <= _LEVELS else np.unique(rng.integers(size, size=_LEVELS))
        for value in levels:
            if value != row[column]:
                other = row.copy()
                other[column] = value
                changed.append(other)
    rows = space.complete(np.array(changed, dtype=np.int64).reshape(len(changed), len(row)), rng)
    return rows[space.satisfies(rows)]


def _mean(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Weighted mean, and its standard error."""
    weights = weights / weights.sum()
    mean = 1 - float(weights @ (1 - values))
    return mean, float(np.sqrt(np.sum(weights**2 * (values - mean) ** 2)))


def _fewest(names: list[str], weights: npt.NDArray[np.float64]) -> float:
    """At least so many networks there are (97.5 %), by how often two rows of one network were drawn.

    Networks that the first half of the draws shows to be of many rows would drown the others: they are left out.
    """
    half = len(names) // 2
    often = {name for name, count in Counter(names[:half]).items() if count > 2}
    kept = np.array([name not in often for name in names[half:]])
    weights = weights[half:] / weights[half:].sum()
    together: dict[str, float] = defaultdict(float)
    for name, weight in zip(np.array(names[half:])[kept], weights[kept], strict=True):
        together[name] += weight
    squares = float(np.sum(weights**2))
    same = (sum(total**2 for total in together.values()) - float(np.sum(weights[kept] ** 2))) / (1 - squares)
    pairs = (1 / squares) ** 2 / 2  # of as many uniform rows as these are worth
    share, error = _mean(kept.astype(float), weights)
    return max(float(len(set(names))), max(0.0, share - _NORMAL * error) ** 2 * pairs / _poisson_most(same * pairs))


def _poisson_most(seen: float) -> float:
    """Upper 97.5 % bound on a Poisson mean (Wilson and Hilferty's approximation of the chi-square quantile)."""
    n = seen + 1
    return float(n * (1 - 1 / (9 * n) + _NORMAL / (3 * math.sqrt(n))) ** 3)
