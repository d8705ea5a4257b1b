"""What earlier tasks of one space taught: the sources, the scales of the kernels, and how far to trust them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas._rng import generator
from metanas.encoding import NetworkEncoder
from metanas.predictor._belief import Belief, Expert
from metanas.predictor._judge import NORMAL_80, deviations, rank_correlation
from metanas.predictor._kernels import Kernel
from metanas.predictor._parts import (
    PLAIN,
    PLAIN_START,
    TRANSFER,
    TRANSFER_START,
    UNTAUGHT,
    UNTAUGHT_START,
    Parts,
    make_parts,
    similarity_weights,
)
from metanas.predictor._source import Source
from metanas.predictor._warp import normal_scores
from metanas.space import Decision, Rows, SearchSpace
from metanas.tables import RowLookup, TaskData

Array = npt.NDArray[Any]

_REFERENCE = 2_000
"""Rows of the space that the sources' scores are standardised on."""
_LESSONS = (15, 40, 100)
"""Results of a left-out source that the scales must suit."""
_HELD_OUT = 150
"""Networks of a left-out source that rankings and intervals are judged on."""
_LENGTHS = (None, 3.0, 2.0)
"""Ranges of likeness of data sets tried, in standard deviations of their facts; None for none. Shorter ones leave the
average to one or two sources, whose best networks are luck more often than those that many agree on."""
_GAIN = 0.002
"""Rank correlation that a shorter range must bring."""
_SHARES = (0.0, 0.3, 0.5, 0.7, 0.9)
"""Factors of the sources' average tried as the prior mean."""
_COVERED = 0.8
FEW = 30
"""Networks of a source below which a rank correlation is told to be of few, and counts less."""
_SINGLE, _MEAN = 0.5, 1.0
"""Share of the unexplained variance that a network keeps when evaluated again: a single training, or a mean of repeats,
which is looked up and stays as it is."""
_OFFSET = 1.0
"""Log variance of a target's constant: wider than among the lessons' random networks. Scores are of the observed networks among
each other, so those of a search, all of good networks, lie lower, and that must not speak against the sources. Scales learned
under a constant as wide found worse networks."""
_CLOSE = 7.0
"""Factor of the unexplained variance in a search of single trainings. Networks that a search chooses are so close to each other
that luck decides more among them than among the random ones that scales are learned from. 3 is worse, 20 about as good."""
_PROXIES_SHARE = 0.2
"""Factor of the proxies' average in the prior mean: on NAS-Bench-201 0.15 was best with single trainings, 0.3 with means, and 0 and
0.6 were worse."""
_ENCODERS: dict[tuple[str, str, tuple[Decision, ...]], NetworkEncoder] = {}
"""By name and text of the space, and its decisions, some of which a run file may add: learning one costs seconds."""
_MOST_ENCODERS = 8
_TELLS, _DISTRUST = 0.1, 6.0
"""Mean rank correlation with which sources must predict each other, and what experts lose in log weight that learned from
such as do not: so much evidence of the target's own brings them back."""
UNTAUGHT_EXPERT = "untaught"
"""Name of the expert that no source taught anything."""
_PLAIN_PRIOR, _UNTAUGHT_PRIOR = -1.0, -2.0
"""Logs of the prior weights of the experts that know nothing of the sources: but for its kernel, and at all."""


def encoder_of(space: SearchSpace) -> NetworkEncoder:
    """The encoder of a space, the same wherever it is asked for."""
    key = space.name, space.text, space.decisions
    if key not in _ENCODERS:
        if len(_ENCODERS) >= _MOST_ENCODERS:
            _ENCODERS.clear()
        _ENCODERS[key] = NetworkEncoder.learn(space, generator(0, "encoder"))
    return _ENCODERS[key]


@dataclass(frozen=True, kw_only=True)
class SpaceModel:
    """A model of the networks of one space. Made by :meth:`fit` or :meth:`untrained`."""

    encoder: NetworkEncoder
    """Of the space."""
    sources: tuple[Source, ...] = ()
    """One a task."""
    centres: Array = field(default_factory=lambda: np.zeros((2, 0)))
    """Mean and standard deviation of each source's scores over the space, ``(2, m)``."""
    correlation: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """Of the sources' scores over the space, ``(m, m)``."""
    transfer: Array = field(default_factory=lambda: TRANSFER_START)
    """Scales of the kernel that knows the sources."""
    plain: Array = field(default_factory=lambda: PLAIN_START)
    """Scales of the one that does not."""
    share: float = 0.6
    """Factor of the sources' average in the prior mean."""
    length: float | None = None
    """Range of likeness of data sets, see :func:`similarity_weights`."""
    repeatable: float = _MEAN
    """Share of the variance that features do not explain that is a network's own, and not noise of its training."""
    unexplained: float = 1.0
    """Factor of the variance that features do not explain, over that of the lessons."""
    widen: float = 1.0
    """Factor of standard deviations, from what left-out sources showed."""
    quality: Mapping[str, Any] = field(default_factory=dict)
    """How well left-out sources were ranked and covered, for the card."""

    @property
    def space(self) -> SearchSpace:
        """Whose networks these are."""
        return self.encoder.space

    @classmethod
    def untrained(cls, space: SearchSpace, encoder: NetworkEncoder | None = None) -> SpaceModel:
        """The model that knows no task."""
        return cls(encoder=encoder or encoder_of(space))

    @classmethod
    def fit(cls, space: SearchSpace, tasks: Sequence[TaskData], *, encoder: NetworkEncoder | None = None) -> SpaceModel:
        """Learn from tasks of the space; one with fewer than two results says nothing, and is left out."""
        encoder = encoder or encoder_of(space)
        known = [task for task in tasks if task.says_something]
        return cls.learn(encoder, [Source.fit(task, encoder(task.rows)) for task in known])

    @classmethod
    def learn(cls, encoder: NetworkEncoder, sources: Sequence[Source]) -> SpaceModel:
        """Learn the scales from sources, each left out in turn."""
        if not sources:
            return cls(encoder=encoder)
        model = cls._knowing(encoder, sources)
        return _Lessons(model).learned() if len(sources) > 1 else model

    @classmethod
    def of_proxies(cls, encoder: NetworkEncoder, rows: Rows, proxies: Mapping[str, Array]) -> SpaceModel:
        """Of proxies ``(n,)`` of a task's networks ``(n, n_decisions)``, each as a source, before any result of the task.

        More of a proxy is better, and NaN, where it has no value, is worst; one that is the same for all says nothing. That
        proxies predict each other does not tell how well they predict the task, so no scales are learned from them.
        """
        tasks = [
            TaskData(name=f"proxy/{name}", space=encoder.space, rows=rows, losses=-values[:, None])
            for name, values in proxies.items()
            if len(np.unique(values[np.isfinite(values)])) > 1
        ]
        if not tasks:
            return cls(encoder=encoder)
        blocks = encoder(rows)
        sources = [Source.fit(task, blocks, decisions=False) for task in tasks]
        return replace(cls._knowing(encoder, sources), share=_PROXIES_SHARE)

    @classmethod
    def _knowing(cls, encoder: NetworkEncoder, sources: Sequence[Source]) -> SpaceModel:
        """With sources, of which one or more are given, and nothing learned."""
        reference = encoder(encoder.space.sample(_REFERENCE, generator(0, "reference"), prior=False))
        raw = np.array([source(reference) for source in sources], dtype=np.float64)
        centres = np.stack([raw.mean(axis=1), np.maximum(raw.std(axis=1), 1e-6)])
        single = max(source.repeats for source in sources) == 1
        with np.errstate(invalid="ignore", divide="ignore"):
            # One that says the same of all networks goes with no other.
            correlation = np.nan_to_num(np.atleast_2d(np.corrcoef(raw)))
        return cls(
            encoder=encoder, sources=tuple(sources), centres=centres, correlation=correlation,
            repeatable=_SINGLE if single else _MEAN,
        )  # fmt: skip

    @property
    def noisy(self) -> bool:
        """Whether evaluations are thought to be single trainings, so that a second one of a network says something new."""
        return self.repeatable < _MEAN

    @property
    def judged(self) -> bool:
        """Whether sources were left out and predicted from the others: that takes two."""
        return bool(self.quality.get("rank_correlation"))

    @property
    def rank_correlation(self) -> float:
        """Mean Kendall's tau with which the other sources predict each one before any of its results; 0 where none was left out."""
        taus = [found["0"] for found in self.quality.get("rank_correlation", {}).values()]
        return float(np.mean(taus)) if taus else 0.0

    @property
    def judged_on(self) -> float:
        """Mean number of a source's networks that this was found on; infinite where it is not known to be few."""
        counts = list(self.quality.get("judged_on", {}).values())
        return float(np.mean(counts)) if counts else np.inf

    @property
    def agreement(self) -> float:
        """The same as far as it can be trusted: of few networks it is chance."""
        return self.rank_correlation * min(1.0, self.judged_on / FEW)

    @property
    def tells(self) -> bool:
        """Whether the sources predict each other, so that they may predict another task; a single source may."""
        return bool(self.sources) and (not self.judged or self.rank_correlation > _TELLS)

    def of_trainings(self, single: bool | None) -> SpaceModel:
        """The model for a search whose evaluations are ``single`` trainings, or means of several; itself for None."""
        if single is None:
            return self
        return replace(self, repeatable=_SINGLE, unexplained=_CLOSE) if single else replace(self, repeatable=_MEAN)

    def without(self, task: TaskData) -> SpaceModel:
        """The model that does not know a task, whatever it is called; what it taught of scales is kept."""
        lookup = RowLookup(task.rows, np.arange(len(task.rows)), [decision.size for decision in self.space.decisions])
        losses = np.append(np.where(np.isnan(task.mean_losses), np.inf, task.mean_losses), np.inf)

        def is_it(source: Source) -> bool:
            # Place -1, of what the task does not have, is infinite as a failure is.
            same = np.allclose(losses[lookup.find(source.rows)], source.losses, rtol=1e-9, atol=0)
            return source.name == task.name or bool(same)

        kept = [i for i, source in enumerate(self.sources) if not is_it(source)]
        return replace(
            self, sources=tuple(self.sources[i] for i in kept), centres=self.centres[:, kept],
            correlation=self.correlation[np.ix_(kept, kept)],
        )  # fmt: skip

    # --- a target

    def scores(self, encoded: Sequence[Array]) -> Array:
        """Each source's scores of encoded networks ``(m, n)``, standardised over the space."""
        if not self.sources:
            return np.zeros((0, len(encoded[0])))
        raw = np.array([source(encoded) for source in self.sources], dtype=np.float64)
        return np.asarray((raw - self.centres[0][:, None]) / self.centres[1][:, None])

    def parts(
        self, encoded: Sequence[Array], scores: Array, facts: Mapping[str, float], keep: Sequence[int] | None = None
    ) -> Parts:
        """The parts of the model for a target with these facts; ``keep`` names the sources to use, of all in ``scores``."""
        chosen = list(range(len(self.sources)) if keep is None else keep)
        weights = similarity_weights(facts, [self.sources[i].facts for i in chosen], self.length)
        correlation = self.correlation[np.ix_(chosen, chosen)]
        spread = float(np.sqrt(max(float(weights @ correlation @ weights), 1e-12))) if chosen else 1.0
        relevance = np.mean([self.sources[i].relevance for i in chosen], axis=0) if chosen else np.zeros(0)
        return make_parts(encoded, scores[chosen], weights, spread, relevance)

    def experts(self, parts: Parts) -> list[Expert]:
        """The Gaussian processes of a target."""
        nothing = np.zeros(len(parts.untaught[0]))
        # Without it, sources that mislead would have spoilt the kernels of all experts.
        more = np.log(self.unexplained)
        untaught = Expert(
            UNTAUGHT_EXPERT, UNTAUGHT, _scales(UNTAUGHT_START, more), parts.untaught, nothing, _UNTAUGHT_PRIOR
        )
        if not len(parts.average):
            return [untaught]
        distrust = 0.0 if self.tells else _DISTRUST
        plain = Expert(
            "plain", PLAIN, _scales(self.plain, more, _OFFSET), parts.plain, nothing, _PLAIN_PRIOR - distrust
        )
        mean = self.share * parts.average
        transfer = Expert("transfer", TRANSFER, _scales(self.transfer, more, _OFFSET), parts.transfer, mean, -distrust)
        return [transfer, plain, untaught]

    def belief(self, parts: Parts) -> Belief:
        """What is believed of a target before any result."""
        return Belief(self.experts(parts), repeatable=self.repeatable, widen=self.widen)

    def on(self, rows: Rows) -> tuple[tuple[Array, Array], Array]:
        """Encodings of rows, and the sources' scores of them: what all else about them is computed from."""
        encoded = self.encoder(rows)
        return encoded, self.scores(encoded)


def _scales(theta: Array, more: float, constant: float | None = None) -> Array:
    """Those of a target, from the lessons': ``more`` in the logarithm of the noise, and the constant's, where that is given."""
    changed = theta.copy()
    changed[-1] += more
    if constant is not None:
        changed[0] = constant
    return changed


class _Lessons:
    """Each source left out in turn, and predicted from the others."""

    def __init__(self, model: SpaceModel) -> None:
        self.model = model
        self.losses: list[Array] = []
        self.encoded: list[tuple[Array, ...]] = []
        self.scores: list[Array] = []
        self.others = [[i for i in range(len(model.sources)) if i != j] for j in range(len(model.sources))]
        for source in model.sources:
            rng = generator(0, "lessons", source.name, len(source.losses))
            chosen = rng.permutation(len(source.losses))[: sum(_LESSONS) + _HELD_OUT]
            self.losses.append(source.losses[chosen])
            self.encoded.append(tuple(block[chosen] for block in source.blocks))
            self.scores.append(model.scores(self.encoded[-1]))

    def learned(self) -> SpaceModel:
        """The model with its scales and its quality."""
        self.model = replace(self.model, length=self._length())
        self.model = replace(self.model, plain=self._fitted(PLAIN, PLAIN_START, 0.0))
        if len(self.losses) > 2:
            self.model = replace(self.model, transfer=self._fitted(TRANSFER, TRANSFER_START, self.model.share))
            self.model = replace(self.model, share=self._share())
        self.model = replace(self.model, widen=self._widening())
        return replace(self.model, quality=self._quality())

    def parts(self, j: int) -> Parts:
        """Source j as a target of the others."""
        return self.model.parts(self.encoded[j], self.scores[j], self.model.sources[j].facts, self.others[j])

    def _length(self) -> float | None:
        best, length = -np.inf, None
        for tried in _LENGTHS:
            found = []
            for j, others in enumerate(self.others):
                facts = [self.model.sources[i].facts for i in others]
                weights = similarity_weights(self.model.sources[j].facts, facts, tried)
                found.append(rank_correlation(weights @ self.scores[j][others], self.losses[j]))
            if np.mean(found) > best + _GAIN:
                best, length = float(np.mean(found)), tried
        return length

    def _tasks(self, kernel: Kernel) -> list[tuple[list[Array], Array, Array]]:
        """Products of the blocks, normal scores, and the sources' average, of lessons of each length."""
        tasks = []
        for j, losses in enumerate(self.losses):
            parts, start = self.parts(j), 0
            for n in _LESSONS:
                at = slice(start, min(start + n, len(losses)))
                start += n
                if at.stop - at.start < 5:
                    continue
                blocks = parts.transfer if kernel is TRANSFER else parts.plain
                points = [block[at].astype(np.float64) for block in blocks]
                tasks.append((kernel.products(points, points), normal_scores(losses[at]), parts.average[at]))
        return tasks

    def _fitted(self, kernel: Kernel, start: Array, share: float) -> Array:
        lessons = [(products, scores - share * average) for products, scores, average in self._tasks(kernel)]
        return kernel.fit(lessons, start, precision=0.5, iterations=30)

    def _share(self) -> float:
        tasks = self._tasks(TRANSFER)
        losses = [
            sum(
                TRANSFER.loss(self.model.transfer, products, scores - share * average)[0]
                for products, scores, average in tasks
            )
            for share in _SHARES
        ]
        return _SHARES[int(np.argmin(losses))]

    def _rest(self, j: int) -> int:
        """Results of source j that are not held out."""
        return max(len(self.losses[j]) - _HELD_OUT, len(self.losses[j]) // 2)

    def _unknown(self, j: int) -> int:
        """Place of source j's first network to judge by where none of its results is known: then all are held out."""
        return max(len(self.losses[j]) - _HELD_OUT, 0)

    def _judged(self, j: int, n: int) -> tuple[float, Array]:
        """Rank correlation on held-out networks after n results of source j; and how far each lies from its mean, in std."""
        losses, rest = self.losses[j], self._rest(j) if n else self._unknown(j)
        n = min(n, self._rest(j))
        belief = self.model.belief(self.parts(j))
        belief.observe(range(n))
        opinion = belief.opinion(normal_scores(losses[:n]))
        held = slice(rest, None)
        tau = rank_correlation(opinion.mean[held], losses[held])
        if n < 5:
            return tau, np.zeros(0)
        opinion = replace(opinion, mean=opinion.mean[held], std=opinion.std[held])
        return tau, deviations(opinion, losses[:n], losses[held])

    def _widening(self) -> float:
        """The factor with which 80 % intervals cover 80 % of left-out sources' networks."""
        off = np.concatenate([self._judged(j, 20)[1] for j in range(len(self.losses))])
        if not len(off):
            return 1.0
        return float(np.clip(np.quantile(off, _COVERED) / NORMAL_80, 0.5, 3.0))

    def _quality(self) -> dict[str, Any]:
        taus: dict[str, dict[str, float]] = {}
        counts = {source.name: len(self.losses[j]) - self._unknown(j) for j, source in enumerate(self.model.sources)}
        for j, source in enumerate(self.model.sources):
            there = [n for n in (0, 10, 20, 50, 100) if n <= self._rest(j)]
            taus[source.name] = {str(n): round(self._judged(j, n)[0], 4) for n in there}
        off = [each for each in (self._judged(j, 20)[1] for j in range(len(self.losses))) if len(each)]
        covered = {"covered_80": round(float(np.mean([(o <= NORMAL_80).mean() for o in off])), 4)} if off else {}
        return {"rank_correlation": taus, "judged_on": counts, **covered}
