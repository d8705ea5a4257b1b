"""What the predictor costs: scoring a whole table, adapting to results, proposing, and how that grows with results.

All on ``nasbench201/cifar10`` with the other two data sets as sources (1,000 random architectures each), in one process
on one core; encodings of the table, which a search makes once, apart. Results of the target are of random architectures.

``score``: posterior mean and deviation of all 15,625 rows after one more result. ``adapt``: the same from nothing, after 50
results. ``propose``: a proposal of the strategy ``meta`` after 50. ``growth``: the same after 100, 1,000 and 10,000, the
median and the worst of several in a row. ``large``: a proposal in ``darts``, which cannot be enumerated.

Prints a table to standard error and JSON to standard output: ``python benchmarks/predictor.py``.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metanas.controller import Meta, Observation
from metanas.predictor import Encodings, Field, SpaceModel
from metanas.space import Rows, load_space
from metanas.tables import ResultTable, load_benchmark

TARGETS_MS = {"score": 100.0, "adapt": 200.0, "propose": 50.0, "growth 10000 worst": 1000.0}
KNOWN = 1_000
GROWTH = (100, 1_000, 10_000)
IN_A_ROW = 12


class Open:
    """Accepts what is not observed, of a table."""

    def __init__(self, rows: Rows, taken: Rows) -> None:
        self.rows = rows
        self.free = np.ones(len(rows), dtype=bool)
        known = {row.tobytes(): i for i, row in enumerate(rows)}
        self.free[[known[row.tobytes()] for row in taken]] = False
        self._known = known

    def __call__(self, row: Any) -> bool:
        return bool(self.free[self._known[row.tobytes()]])

    def candidates(self) -> Rows:
        return self.rows

    def open(self) -> Any:
        return self.free

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        return self.rows[rng.integers(len(self.rows), size=n)]


def milliseconds(what: Callable[[], Any]) -> float:
    began = time.perf_counter()
    what()
    return 1000 * (time.perf_counter() - began)


def observed(table: ResultTable, places: Sequence[int]) -> list[Observation]:
    means = np.nanmean(table.losses, axis=1)
    return [
        Observation(number=number, row=tuple(map(int, table.rows[place])), losses=(float(means[place]),))
        for number, place in enumerate(places)
    ]


def measure(repetitions: int) -> dict[str, float]:
    tables = {name: load_benchmark("nasbench201", name) for name in ("cifar10", "cifar100", "imagenet16_120")}
    target = tables.pop("cifar10")
    rng = np.random.default_rng(0)
    sources = tuple(table.task(KNOWN, rng, single=False) for table in tables.values())
    found: dict[str, float] = {}
    began = time.perf_counter()
    model = SpaceModel.fit(target.space, sources)
    found["learn"] = 1000 * (time.perf_counter() - began)
    began = time.perf_counter()
    encoded, scores = Encodings(model)(target.rows)
    found["encode"] = 1000 * (time.perf_counter() - began)
    places = rng.permutation(len(target.rows))
    losses = np.nanmean(target.losses, axis=1)
    score, adapt = [], []
    for _ in range(repetitions):
        field = Field(model, {}, target.rows, encoded, scores)
        adapt.append(milliseconds(lambda f=field: f.opinion(places[:50].tolist(), losses[places[:50]])))
        score.append(milliseconds(lambda f=field: f.opinion(places[:51].tolist(), losses[places[:51]])))
    found |= {"score": float(np.median(score)), "adapt": float(np.median(adapt))}
    strategy = Meta(model=model)
    for n in (50, *GROWTH):
        times = []
        for step in range(IN_A_ROW):
            known = places[: n + step]
            accept = Open(target.rows, target.rows[known])
            observations = observed(target, known.tolist())
            generator = np.random.default_rng(step)
            times.append(
                milliseconds(lambda o=observations, a=accept, g=generator: strategy.propose(target.space, o, a, g))
            )
        # The first fills what later ones reuse.
        name = "propose" if n == 50 else f"growth {n}"
        found[name] = float(np.median(times[1:]))
        found[f"{name} worst"] = float(max(times[1:]))
    return found


def large(repetitions: int) -> dict[str, float]:
    space = load_space("darts")
    rng = np.random.default_rng(0)
    rows = space.sample(50 + repetitions, rng)
    observations = [
        Observation(number=i, row=tuple(map(int, row)), losses=(float((row % 3).sum()),)) for i, row in enumerate(rows)
    ]
    strategy = Meta()
    times = []
    for step in range(repetitions + 1):
        some = observations[: 50 + step]
        taken = {o.row for o in some}
        times.append(
            milliseconds(
                lambda s=some, t=taken: strategy.propose(space, s, lambda row: tuple(row.tolist()) not in t, rng)
            )
        )
    return {"large": float(np.median(times[1:])), "large first": times[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=9)
    arguments = parser.parse_args()
    found = measure(arguments.repetitions) | large(min(arguments.repetitions, 5))
    for name, value in found.items():
        target = TARGETS_MS.get(name)
        verdict = "" if target is None else f"   at most {target:g}: {'met' if value <= target else 'missed'}"
        print(f"{name:22}{value:10.1f} ms{verdict}", file=sys.stderr)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"milliseconds": found, "peak_mb": memory, "machine": platform.platform()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
