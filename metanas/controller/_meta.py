"""Search by the meta-learned predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.controller._acquisition import expected_gain, promise, shared_promise
from metanas.controller._meta_memory import Memory
from metanas.controller._scalarise import scalar_losses
from metanas.controller._strategy import (
    Accept,
    Candidates,
    Observation,
    Proposal,
    Row,
    Strategy,
    random_proposal,
)
from metanas.errors import MetanasError
from metanas.predictor import UNTAUGHT_EXPERT, Field, Opinion, SpaceModel, full_losses
from metanas.space import Rows, SearchSpace
from metanas.tables import TaskData

_ASKED = 200
"""Candidates offered to ``accept`` in order of promise before a random one is taken."""
_DRAWS = 4_000
"""Draws of the evaluated networks' true scores, to tell how sure the best of them is."""
_BOUNDS = 10
"""Proposals by the upper bound, where sources predict each other: it was quicker than the expected gain, and later slower."""
_ALIKE, _FINER = 0.1, 30
"""Share of a number's range within which networks are alike, and results after which it is half of that."""
FEWEST_PROXIES = 20
"""Networks by whose proxies others can be told."""
_SAME = 2
"""Trainings again with the result of the first, from which on evaluations count as exact."""
_LEADERS = 3
"""Networks with the best posterior means that may be trained again."""


@dataclass(frozen=True, slots=True)
class Meta(Strategy):
    """Gaussian processes that learned from other data sets, and drop what does not hold here.

    Where sources predict each other, the first proposals are the candidates with the highest upper confidence bound. Later
    ones are those that are expected to raise the best posterior mean most: as all experts see it, and every second time, or
    less often where sources predict each other very well, as the one sees it that knows nothing of them, as long as it
    explains the results at all. Without such sources the first proposals are random. Where trainings are noisy, it is one of the
    leaders again when that is expected to gain more, or nearly as much where sources agree which networks may be best.
    Workers in parallel get different networks, because those under way count as evaluated with the result that is
    expected of them; the bound is then the mean of the experts' own. With several objectives each proposal draws weights, and the scores are of the weighted worst (see
    :func:`scalar_losses`).
    """

    start: int = 6
    """Proposals at random, without sources that predict each other."""
    repeats: int = 3
    """Most trainings of one network, where a second one may differ from the first; 1 for never again."""
    proxies: int = 0
    """Random networks that are scored by zero-cost proxies before a search, where no sources predict each other: the proxies
    are sources then. It is the search that has them scored and hands over a ``model``."""
    sources: tuple[TaskData, ...] = field(default=(), repr=False)
    """Results on other data sets."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """What is known of this data set, by the names of the sources' facts."""
    model: SpaceModel | None = field(default=None, repr=False)
    """What was learned from the sources; None to learn it from ``sources``."""
    single: bool | None = field(default=None, repr=False)
    """Whether an evaluation is one training, whose noise another would show; None for as the sources' results were."""
    _memory: Memory = field(default_factory=Memory, init=False, repr=False, compare=False)
    """What can be computed again at any time."""

    def __post_init__(self) -> None:
        if self.start < 1 or self.repeats < 1:
            raise MetanasError(
                "meta needs start >= 1 and repeats >= 1", found=f"start {self.start}, repeats {self.repeats}",
                where="search.strategy",
            )  # fmt: skip
        if self.proxies and self.proxies < FEWEST_PROXIES:
            raise MetanasError(
                f"meta needs the proxies of {FEWEST_PROXIES} networks or more, or of none", found=f"proxies {self.proxies}",
                where="search.strategy",
            )  # fmt: skip

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        """See :meth:`Strategy.propose`."""
        begun = sum(o.losses is not None or o.pending for o in observations)
        # A model that knows no source cannot tell, and to learn its encodings of a large space takes seconds.
        if begun < self.start and not (self._taught and self._model(space).tells):
            return random_proposal(space, accept, rng)
        model = self._model(space)
        field = self._memory.field(space, model, self.facts, observations, accept, rng)
        seen = _Seen(field, observations, rng)
        if not len(seen.places) and not model.tells:
            return random_proposal(space, accept, rng)
        opinion = field.opinion(seen.places, seen.losses, waiting=seen.waiting, doubt=seen.doubt)
        evaluated = np.unique(np.array(seen.places, dtype=np.intp))
        gain = expected_gain(opinion, evaluated) if seen.places else np.zeros(len(field.rows))
        untaught = next((member for member in opinion.members if member.name == UNTAUGHT_EXPERT), None)
        if not seen.places or (model.tells and begun < _BOUNDS):
            worth = shared_promise(opinion) if seen.waiting else promise(opinion)
        elif begun % _untaught_every(model) == 1 and untaught is not None:
            # So that sources which mislead cost at most every second evaluation, should the evidence be slow to tell.
            worth = expected_gain(opinion.of(untaught), evaluated)
        else:
            worth = gain.copy()
        known = np.union1d(evaluated, np.array(seen.waiting, dtype=np.intp))
        worth[known] = -np.inf
        alike = _alike(space, field.rows, known)
        if (worth[~alike] > -np.inf).any():
            worth[alike] = -np.inf
        again = self._again(model, opinion, seen, gain, int(np.where(worth > -np.inf, gain, -np.inf).argmax()))
        if again is None:
            return _first(field, worth, accept, "predictor") or random_proposal(space, accept, rng)
        return Proposal(field.rows[again].copy(), "repeat", repeat=True)

    def recommend(self, space: SearchSpace, observations: Sequence[Observation]) -> Row | None:
        """See :meth:`Strategy.recommend`: the evaluated network with the best posterior mean."""
        believed = self._believed(space, observations)
        if believed is None:
            return None
        rows, mean, _ = believed
        best: Row = rows[int(mean.argmax())].copy()
        return best

    def sureness(self, space: SearchSpace, observations: Sequence[Observation]) -> float | None:
        """See :meth:`Strategy.sureness`; beliefs about different networks count as independent."""
        believed = self._believed(space, observations)
        if believed is None:
            return None
        _, mean, std = believed
        draws = mean + std * np.random.default_rng(0).standard_normal((_DRAWS, len(mean)))
        return float((draws.argmax(axis=1) == mean.argmax()).mean())

    @property
    def _taught(self) -> bool:
        """Whether there is anything to know before the first result."""
        return self.model is not None or any(task.says_something for task in self.sources)

    def _model(self, space: SearchSpace) -> SpaceModel:
        return self._memory.model(space, self.sources, self.model, single=self.single)

    def _believed(self, space: SearchSpace, observations: Sequence[Observation]) -> tuple[Rows, Any, Any] | None:
        """The evaluated networks that did not fail ``(n, n_decisions)``, and mean and deviation of their true scores ``(n,)``."""
        if not any(o.losses is not None for o in observations):
            return None
        model = self._model(space)
        field = self._memory.known_field(space, model, self.facts, observations)
        seen = _Seen(field, observations, None)
        if not len(seen.places) or not np.isfinite(seen.losses).any():
            return None
        opinion = field.opinion(seen.places, seen.losses, doubt=seen.doubt)
        alive = np.unique(np.array(seen.places)[np.isfinite(seen.losses)])
        return field.rows[alive], opinion.mean[alive], opinion.std[alive]

    def predict(
        self, space: SearchSpace, observations: Sequence[Observation], rows: Rows, rng: np.random.Generator
    ) -> npt.NDArray[np.float64] | None:
        """See :meth:`Strategy.predict`; in units of normal scores, less is better."""
        model = self._model(space)
        if not observations and not model.sources:
            return None
        field = self._memory.known_field(space, model, self.facts, observations, rows)
        seen = _Seen(field, observations, None)
        opinion = field.opinion(seen.places, seen.losses, doubt=seen.doubt)
        places = [place for place in map(field.find, rows) if place is not None]
        return np.asarray(-opinion.mean[places])

    def acquisition(
        self, space: SearchSpace, observations: Sequence[Observation], rng: np.random.Generator
    ) -> Callable[[Rows], npt.NDArray[np.float64]]:
        """Upper bounds of any rows, ``(n, n_decisions)`` to ``(n,)``: what an optimiser over rows maximises.

        Not differentiable in relaxed rows, since structure is read off whole graphs.
        """
        model = self._model(space)

        def bound(rows: Rows) -> npt.NDArray[np.float64]:
            field = self._memory.known_field(space, model, self.facts, observations, rows)
            seen = _Seen(field, observations, rng)
            opinion = field.opinion(seen.places, seen.losses, waiting=seen.waiting, doubt=seen.doubt)
            places = [place for place in map(field.find, rows) if place is not None]
            return np.asarray(promise(opinion)[places])

        return bound

    def _again(self, model: SpaceModel, opinion: Opinion, seen: _Seen, gain: Any, new: int) -> int | None:
        """The leader whose training again is expected to gain more than the first of ``new``; None for none."""
        if self.repeats < 2 or not model.noisy or not seen.places or seen.exact:
            return None
        counts = np.bincount([*seen.places, *seen.waiting], minlength=len(opinion.mean))
        alive = np.unique(np.array(seen.places)[np.isfinite(seen.losses)])
        leaders = alive[np.argsort(-opinion.mean[alive], kind="stable")[:_LEADERS]]
        leaders = leaders[counts[leaders] < self.repeats]
        if not len(leaders):
            return None
        best = int(leaders[gain[leaders].argmax()])
        # The gain looks one training ahead, which is too little to tell networks apart that are close (Frazier & Powell 2010,
        # *Paradoxes in learning and the marginal value of information*). Where sources agree, that is what is left to learn.
        return best if _agreed(model) * gain[best] > gain[new] else None


def _untaught_every(model: SpaceModel) -> int:
    """Of how many proposals one is left to the expert that knows nothing of the sources."""
    return max(2, round(_agreed(model)))


def _agreed(model: SpaceModel) -> float:
    """``1 / (1 - agreement)``: 1 where sources tell nothing of each other, and up to 10, the better they predict each other."""
    return 1 / (1 - min(max(model.agreement, 0.0), 0.9))


class _Seen:
    """The observations as the field takes them."""

    def __init__(self, field: Field, observations: Sequence[Observation], rng: np.random.Generator | None) -> None:
        finished = [o for o in observations if not o.pending]
        found = [(field.find(np.array(o.row)), o) for o in finished]
        known = [(place, o) for place, o in found if place is not None]
        self.places = [place for place, _ in known]
        """Candidates with a result, once for each."""
        losses = scalar_losses([o.losses for _, o in known], rng)
        stopped = np.array([o.stopped for _, o in known], dtype=bool)
        # Curves are of the first objective, so with several they say too little.
        one = all(o.losses is None or len(o.losses) == 1 for _, o in known)
        self.losses, self.doubt = full_losses(losses, [o.curve for _, o in known], stopped & one)
        """Their losses at the end, ``(n,)``; infinite for failures; and the variance of those that were stopped early."""
        places = [field.find(np.array(o.row)) for o in observations if o.pending]
        self.waiting = [place for place in places if place is not None]
        """Candidates under way."""

    @property
    def exact(self) -> bool:
        """Whether networks that were trained again came to the very same, each time.

        Once may be chance, where few data are validated on.
        """
        first: dict[int, float] = {}
        same = []
        for place, loss in zip(self.places, self.losses, strict=True):
            if place in first:
                same.append(loss == first[place])
            else:
                first[place] = loss
        return len(same) >= _SAME and all(same)


def _alike(space: SearchSpace, rows: Rows, known: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which rows ``(N, n_decisions)`` differ from one of the ``known`` places in numbers alone, and by little.

    To the model each network may be better than its features tell, by a luck of its own; of a network whose learning rate
    is another one's in all but the third digit that is not so, and searches would train one after the other.
    """
    alike = np.zeros(len(rows), dtype=bool)
    steps = np.array([0 if d.kind == "choice" else d.size - 1 for d in space.decisions])
    most = steps * _ALIKE / (1 + len(known) / _FINER)
    numbers = np.flatnonzero(most >= 1)
    if not len(numbers) or not len(known):
        return alike
    rest = rows.copy()
    # Whether it is there at all is no number.
    rest[:, numbers] = rows[:, numbers] >= 0
    _, group = np.unique(rest, axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 2))
    for place in known:
        same = order[starts[group[place]] : starts[group[place] + 1]]
        near = np.abs(rows[same][:, numbers] - rows[place, numbers]) <= most[numbers]
        alike[same[near.all(axis=1)]] = True
    return alike


def _first(field: Field, gain: Any, accept: Accept, origin: str) -> Proposal | None:
    """The candidate with the highest gain that ``accept`` takes."""
    if isinstance(accept, Candidates) and accept.candidates() is field.rows:
        gain = np.where(accept.open(), gain, -np.inf)
    for index in np.argsort(-gain, kind="stable")[:_ASKED]:
        if gain[index] == -np.inf:
            return None
        if accept(field.rows[index]):
            return Proposal(field.rows[index].copy(), origin)
    return None
