"""NePS: pipeline spaces of categoricals, resolved with its random and its mutating sampler."""

from __future__ import annotations

from importlib.metadata import version

import neps
from _rates import BLOCKS, DARTS_OPS, DARTS_PAIRS, EDGES, NASBENCH201_OPS, STAGES, main
from neps.space.neps_spaces.neps_space import resolve
from neps.space.neps_spaces.sampling import MutateByForgettingSampler, RandomSampler


class NasBench201(neps.PipelineSpace):
    for _edge in EDGES:
        locals()[f"edge_{_edge.replace('->', '_')}"] = neps.Categorical(NASBENCH201_OPS)


class Darts(neps.PipelineSpace):
    for _cell in ("normal", "reduction"):
        for _step, _pairs in DARTS_PAIRS.items():
            if len(_pairs) > 1:
                locals()[f"{_cell}_{_step}_inputs"] = neps.Categorical(_pairs)
            locals()[f"{_cell}_{_step}_op1"] = neps.Categorical(DARTS_OPS)
            locals()[f"{_cell}_{_step}_op2"] = neps.Categorical(DARTS_OPS)


class Mobile(neps.PipelineSpace):
    """All four blocks of a stage are drawn."""

    width = neps.Categorical([0.75, 1.0, 1.25])
    for _stage in STAGES:
        locals()[f"stage{_stage}_times"] = neps.Integer(2, 4)
        for _block in BLOCKS:
            locals()[f"stage{_stage}_{_block}_kernel"] = neps.Categorical([3, 5, 7])
            locals()[f"stage{_stage}_{_block}_expand"] = neps.Categorical([3, 4, 6])
            locals()[f"stage{_stage}_{_block}_se"] = neps.Categorical([False, True])


def mutation(space: neps.PipelineSpace):
    _, context = resolve(space)
    made = context.samplings_made
    return lambda: resolve(space, MutateByForgettingSampler(made, n_forgets=1))


if __name__ == "__main__":
    spaces = {"nasbench201": NasBench201(), "darts": Darts(), "mobile": Mobile()}
    main(
        version("neural-pipeline-search"),
        {name: lambda space=space: resolve(space, RandomSampler({})) for name, space in spaces.items()},
        {name: mutation(space) for name, space in spaces.items()},
    )
