"""What the networks of a space cost for a data set, before anything is searched."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas._rng import generator
from metanas.architecture import Architecture, ShapeError
from metanas.data import Dataset, fit_preparation, split
from metanas.errors import MetanasError
from metanas.evaluator import step_seconds
from metanas.space import SearchSpace
from metanas.study._gate import Gate
from metanas.study._idle import idle_decisions
from metanas.worker import plan_slots

Row = npt.NDArray[np.int64]

_SAMPLED = 300
"""Random networks measured; shares are known to about 3 points (one standard error at most)."""
_SWEEPS = 2
"""How often all decisions are gone through on the way to an extreme."""
_LEVELS = 6
"""Values of a decision tried on that way: all, or the ends and some between."""
_STEPS = 6
"""Training steps timed, after one that is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceProfile:
    """What :func:`profile_space` found."""

    sampled: int
    """Random networks measured."""
    built: float
    """Share of them that can be built for the data."""
    problems: tuple[str, ...]
    """What keeps others from being built; a search would refuse the space."""
    measures: Mapping[str, tuple[float, float, float]]
    """By measure: the smallest value found, the median of random networks, the largest found."""
    constraints: Mapping[str, float]
    """Share of random networks that meets each constraint."""
    all_constraints: float
    """Share that meets all of them."""
    steered: float
    """Share of steered proposals that do; 0 when no network that does was found."""
    idle: tuple[str, ...]
    """Decisions of which no change was seen to make another network, in some hundred networks each."""
    steps: Mapping[str, tuple[float, float]]
    """Of the network of the smallest, median and largest FLOPs seen: FLOPs, and seconds of a training step with the
    threads of one worker."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "sampled": self.sampled,
            "built": self.built,
            "problems": list(self.problems),
            "measures": {
                name: dict(zip(("smallest", "median", "largest"), values, strict=True))
                for name, values in self.measures.items()
            },
            "constraints": dict(self.constraints),
            "all_constraints": self.all_constraints,
            "steered": self.steered,
            "decisions_without_effect_seen": list(self.idle),
            "training_step": {
                name: {"flops": flops, "seconds": seconds} for name, (flops, seconds) in self.steps.items()
            },
        }


def profile_space(
    space: SearchSpace,
    dataset: Dataset,
    *,
    seed: int = 0,
    allow_python: bool = False,
    told: Callable[[str], None] = lambda text: None,
) -> SpaceProfile:
    """Measure random networks of a space for a data set, look for the extremes, and time three training steps.

    ``told`` hears what is being done, for a display.

    Raises
    ------
    MetanasError
        If the space and the data are of different kinds, or no network of the space can be built for the data.

    """
    if space.tabular:
        raise MetanasError("a tabular space has no networks to measure", found=f"space {space.name}")
    if space.input != dataset.kind:
        raise MetanasError(
            "the space and the data are of one kind",
            found=f"the space {space.name} for {space.input} data, and {dataset.name}, which is {dataset.kind} data",
            remedy=f"choose a space with 'input: {dataset.kind}', or other data",
        )
    splits = split(dataset, seed=seed)
    preparation = fit_preparation(dataset, splits.train)
    gate = Gate(space, preparation.input_shape, dataset.n_outputs, preparation.vocabulary, samples=len(splits.train))
    told("checking shapes")
    shapes = gate.check_shapes()
    rng = generator(seed, "profile")
    told(f"measuring {_SAMPLED} random networks")
    known = _Known(gate)
    sampled = [(row, known.of(row)) for row in space.sample(_SAMPLED, rng)]
    built = [(row, measures) for row, measures in sampled if measures is not None]
    if not built:
        shapes.raise_if_any()
        gate.measures(sampled[0][0])  # raises what is wrong with it
    values = {name: [measures[name] for _, measures in built] for name in built[0][1]}
    extremes: dict[str, tuple[Row, Row]] = {}
    for name, column in values.items():
        told(f"looking for the smallest and largest {name}")
        ends = built[int(np.argmin(column))][0], built[int(np.argmax(column))][0]
        extremes[name] = _extreme(space, known, name, ends[0], 1, rng), _extreme(space, known, name, ends[1], -1, rng)
    holds = {
        rule.text: float(np.mean([m is not None and rule.holds_for(space.to_values(row), m) for row, m in sampled]))
        for rule in space.constraints
    }
    everywhere = np.mean(
        [m is not None and all(r.holds_for(space.to_values(row), m) for r in space.constraints) for row, m in sampled]
    )
    steered = float(everywhere)
    if any(rule.measures for rule in space.constraints):
        told("looking for networks that meet the constraints")
        steered = max(steered, gate.steering.share)
    told("looking for decisions that make no difference")
    idle = idle_decisions(space, rng)
    middle = built[int(np.argsort(values["flops"])[len(built) // 2])][0]
    three = {"smallest": extremes["flops"][0], "median": middle, "largest": extremes["flops"][1]}
    architectures = [Architecture(space, tuple(int(v) for v in row)) for row in three.values()]
    told("timing training steps")
    seconds = step_seconds(
        architectures,
        dataset,
        seed=seed,
        steps=_STEPS,
        threads=plan_slots("auto", [])[0].threads,
        allow_python=allow_python,
    )
    flops = [(known.of(row) or {})["flops"] for row in three.values()]
    steps = dict(zip(three, zip(flops, seconds, strict=True), strict=True))
    return SpaceProfile(
        sampled=len(sampled),
        built=len(built) / len(sampled),
        problems=tuple(map(str, shapes.problems)),
        measures={
            name: ((known.of(low) or {})[name], statistics.median(values[name]), (known.of(high) or {})[name])
            for name, (low, high) in extremes.items()
        },
        constraints=holds,
        all_constraints=float(everywhere),
        steered=steered,
        idle=idle,
        steps=steps,
    )


class _Known:
    """Measures of rows, each counted once."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._of: dict[bytes, Mapping[str, float] | None] = {}

    def of(self, row: Row) -> Mapping[str, float] | None:
        """The row's measures; None when it cannot be built."""
        key = row.tobytes()
        if key not in self._of:
            try:
                self._of[key] = self.gate.measures(row).to_json()
            except ShapeError:
                self._of[key] = None
        return self._of[key]


def _extreme(space: SearchSpace, known: _Known, name: str, row: Row, sign: int, rng: np.random.Generator) -> Row:
    """A row of a small (``sign`` 1) or large (−1) measure: each decision in turn takes the value that is best for it."""
    for _ in range(_SWEEPS):
        before = row
        for column in range(len(row)):
            size = space.decisions[column].size
            if row[column] < 0 or size == 1:
                continue
            levels = np.unique(np.linspace(0, size - 1, min(size, _LEVELS)).round().astype(np.int64))
            others = np.repeat(row[None], len(levels), axis=0)
            others[:, column] = levels
            others = space.complete(others, rng)
            for other in others[space.satisfies(others)]:
                new, old = known.of(other), known.of(row)
                if new is not None and old is not None and sign * new[name] < sign * old[name]:
                    row = other
        if row is before:
            break
    return row
