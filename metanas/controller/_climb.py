"""Proposals in spaces too large to list: ascents of a critic, and of what they visited a batch that is diverse."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from metanas.controller._ascent import Archive, Ascent
from metanas.controller._critic import DifferentiableCritic
from metanas.controller._policy import Policy
from metanas.controller._strategy import Accept, Filter, Row, Sampler
from metanas.space import Rows

_SEEDS = 3
"""Best known rows that chains start beside."""
_STARTS = 2
"""Rows drawn where the user's constraints are met, for chains to start at."""
_LEARNED_FROM = 10
"""Best known rows that the policy is learned from, and about which a region lies."""
_AGAIN = 60
"""Calls of a further ascent, once a row of the batch is chosen."""
_KEPT = 100
"""Best rows visited that are valued again for the next row of a batch."""
_ASKED = 100
"""Rows offered to ``accept`` for one proposal, best first."""


@runtime_checkable
class Believing(Protocol):
    """A critic that can take rows as evaluated."""

    def believing(self, rows: Rows) -> DifferentiableCritic:
        """The critic when rows ``(m, d)`` have come to what is expected of them."""


def climb(
    critic: DifferentiableCritic,
    policy: Policy,
    known: Rows,
    losses: npt.NDArray[np.float64],
    accept: Accept,
    rng: np.random.Generator,
    *,
    count: int = 1,
    ascent: Ascent | None = None,
    region: int | None = None,
) -> list[Row]:
    """At most ``count`` rows that ``accept`` takes, by value under the critic, best first.

    ``known`` ``(n, d)`` are never proposed; those with losses ``(k,)``, ``k <= n``, come first in it. ``policy`` is what
    is believed of good rows beforehand. Each row that is chosen counts as evaluated for the next ones (kriging
    believer), so a batch is diverse. ``region`` is how many decisions a row may differ in from the nearest
    of the best known.
    """
    ascent = ascent or Ascent()
    space = policy.layout.space
    taken = {row.tobytes() for row in known}
    likely = accept.likely if isinstance(accept, Filter) else None

    def allowed(rows: Rows) -> npt.NDArray[np.bool_]:
        keep = np.array([row.tobytes() not in taken for row in rows], dtype=bool) & space.satisfies(rows)
        if region is not None and len(leaders):
            # What a change wakes or silences is not another change.
            both = (rows[:, None] >= 0) & (leaders >= 0)
            keep &= ((rows[:, None] != leaders) & both).sum(axis=2).min(axis=1) <= region
        return keep if likely is None else keep & likely(rows)

    best = known[np.argsort(losses, kind="stable")]
    leaders = best[:_LEARNED_FROM]
    # Few rows that the policy draws may meet the constraints; these do.
    starts = accept.sample(_STARTS, rng) if isinstance(accept, Sampler) else space.sample(_STARTS, rng)
    policy = policy.learned(leaders)
    archive = ascent.run(critic, policy, best[:_SEEDS], starts, allowed, rng)
    found: list[Row] = []
    while len(found) < count:
        row = _first(archive, accept, taken)
        if row is None:
            break
        found.append(row)
        if len(found) < count and isinstance(critic, Believing):
            critic = critic.believing(row[None])
            rows, _ = archive.best(_KEPT)
            archive = Archive(rows.shape[1])
            archive.add(rows, critic.value(rows))
            again = replace(ascent, calls=_AGAIN)
            more = again.run(critic, policy, archive.best(2)[0], rows[:0], allowed, rng)
            archive.add(more.rows, more.values)
    return found


def _first(archive: Archive, accept: Accept, taken: set[bytes]) -> Row | None:
    """The best row that ``accept`` takes; what it refuses is taken, too."""
    rows, _ = archive.best(len(archive))
    asked = 0
    for row in rows:
        if row.tobytes() in taken:
            continue
        taken.add(row.tobytes())
        if accept(row):
            return np.asarray(row)
        asked += 1
        if asked >= _ASKED:
            break
    return None
