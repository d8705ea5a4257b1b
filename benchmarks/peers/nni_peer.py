"""NNI 3.0 mutables: value choices without modules, which NNI draws faster than its module spaces."""

from __future__ import annotations

import random

import nni
from _rates import BLOCKS, DARTS_OPS, DARTS_PAIRS, EDGES, NASBENCH201_OPS, STAGES, main
from nni.mutable import Categorical, MutableDict


def nasbench201() -> MutableDict:
    return MutableDict({edge: Categorical(NASBENCH201_OPS, label=edge) for edge in EDGES})


def darts() -> MutableDict:
    choices = {}
    for cell in ("normal", "reduction"):
        for step, pairs in DARTS_PAIRS.items():
            if len(pairs) > 1:
                choices[f"{cell}_step{step}_inputs"] = pairs
            choices[f"{cell}_step{step}_op1"] = DARTS_OPS
            choices[f"{cell}_step{step}_op2"] = DARTS_OPS
    return MutableDict({name: Categorical(values, label=name) for name, values in choices.items()})


def mobile() -> MutableDict:
    """All four blocks of a stage are drawn: a mutable cannot be conditional on another."""
    choices = {"width": [0.75, 1.0, 1.25]}
    for stage in STAGES:
        choices[f"stage{stage}_times"] = [2, 3, 4]
        for block in BLOCKS:
            choices[f"stage{stage}_{block}_kernel"] = [3, 5, 7]
            choices[f"stage{stage}_{block}_expand"] = [3, 4, 6]
            choices[f"stage{stage}_{block}_se"] = [False, True]
    return MutableDict({name: Categorical(values, label=name) for name, values in choices.items()})


def mutation(space: MutableDict):
    """As its regularized evolution does: a mutable in so many is drawn anew."""
    leaves = {leaf.label: leaf for leaf in space.simplify().values()}
    sample: dict[str, object] = {}
    space.random(memo=sample)

    def mutate() -> object:
        label = random.choice(list(leaves))
        child = {**sample, label: random.choice(leaves[label].values)}
        return space.freeze(child)

    return mutate


if __name__ == "__main__":
    spaces = {"nasbench201": nasbench201(), "darts": darts(), "mobile": mobile()}
    main(
        nni.__version__,
        {name: lambda space=space: space.random() for name, space in spaces.items()},
        {name: mutation(space) for name, space in spaces.items()},
    )
