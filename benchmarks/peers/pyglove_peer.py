"""PyGlove: symbolic dicts with ``oneof``, drawn as DNA and decoded."""

from __future__ import annotations

import random

import pyglove as pg
from _rates import DARTS_OPS, DARTS_PAIRS, EDGES, NASBENCH201_OPS, STAGES, main
from pyglove.ext import evolution


def nasbench201() -> pg.Dict:
    return pg.Dict({edge.replace("->", "_"): pg.oneof(NASBENCH201_OPS) for edge in EDGES})


def darts() -> pg.Dict:
    def step(pairs: list[str]) -> pg.Dict:
        inputs = {"inputs": pg.oneof(pairs)} if len(pairs) > 1 else {}
        return pg.Dict(op1=pg.oneof(DARTS_OPS), op2=pg.oneof(DARTS_OPS), **inputs)

    return pg.Dict({cell: [step(pairs) for pairs in DARTS_PAIRS.values()] for cell in ("normal", "reduction")})


def mobile() -> pg.Dict:
    def block() -> pg.Dict:
        return pg.Dict(kernel=pg.oneof([3, 5, 7]), expand=pg.oneof([3, 4, 6]), se=pg.oneof([False, True]))

    stages = {f"stage{k}": pg.oneof([[block() for _ in range(times)] for times in (2, 3, 4)]) for k in STAGES}
    return pg.Dict(width=pg.oneof([0.75, 1.0, 1.25]), **stages)


def draws(space: pg.Dict):
    template, spec, rng = pg.template(space), pg.dna_spec(space), random.Random(0)
    return lambda: template.decode(pg.random_dna(spec, rng))


def mutation(space: pg.Dict):
    template, spec = pg.template(space), pg.dna_spec(space)
    parent, mutator = pg.random_dna(spec, random.Random(0)), evolution.mutators.Uniform(seed=0)
    return lambda: template.decode(mutator.mutate(parent))


if __name__ == "__main__":
    spaces = {"nasbench201": nasbench201(), "darts": darts(), "mobile": mobile()}
    main(
        pg.__version__,
        {name: draws(space) for name, space in spaces.items()},
        {name: mutation(space) for name, space in spaces.items()},
    )
