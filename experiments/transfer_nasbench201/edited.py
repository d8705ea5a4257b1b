"""Searches in a space that was edited since its sources were: ``python experiments/transfer_nasbench201/edited.py``

Each data set of NAS-Bench-201 in turn is the target, and the two others the sources, of which 1,000 random architectures are known, in
a space with an operation fewer, or one more, than is searched. Beside them sources of the searched space itself, and none.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np

from metanas.bench import search_regrets
from metanas.predictor import Predictor, SpaceModel, carried_over, encoder_of
from metanas.space import SearchSpace, find_space, parse_space_text
from metanas.tables import TaskData, load_benchmark

DATA = ("cifar10", "cifar100", "imagenet16_120")
AFTER = (10, 20, 50)
KNOWN = 1_000
OPS = ("          conv1x1: {relu_conv_bn: {kernel: 1}}\n", "          avg_pool3x3: {avg_pool: {kernel: 3}}\n")
WHOLE = find_space("nasbench201")[1]
EDITS = {f"{op.split(':')[0].strip()} {what}": (op, what) for op, what in product(OPS, ("new", "gone"))}
SOURCES = ("edited", "same", "none")


def spaces_of(edit: str) -> tuple[SearchSpace, SearchSpace]:
    """The space of the sources, and the one that is searched."""
    op, what = EDITS[edit]
    both = parse_space_text(WHOLE), parse_space_text(WHOLE.replace(op, ""))
    return (both[1], both[0]) if what == "new" else both


def task_in(space: SearchSpace, data: str) -> TaskData:
    """All results of the table that are of networks of a space."""
    task = load_benchmark("nasbench201", data).task(None, np.random.default_rng(0))
    found = carried_over(task, space)
    assert found is not None
    return found


def some(task: TaskData, seed: int) -> TaskData:
    """Of a task so many random results as are known."""
    places = np.random.default_rng((seed, DATA.index(task.name.rpartition("/")[2]))).permutation(len(task.rows))[:KNOWN]
    return TaskData(name=task.name, space=task.space, rows=task.rows[places], losses=task.losses[places])


def searches(edit: str, seed: int) -> list[tuple[str, str, str, dict[int, float]]]:
    """Edit, data set, sources, and regrets of the searches with a seed."""
    before, now = spaces_of(edit)
    found = []
    for data in DATA:
        target = task_in(now, data)
        others = [other for other in DATA if other != data]
        models = {
            "edited": Predictor.fit("old", [some(task_in(before, o), seed) for o in others]).model_for(now),
            "same": Predictor.fit("own", [some(task_in(now, o), seed) for o in others]).model_for(now),
            "none": SpaceModel.untrained(now, encoder_of(now)),
        }
        for name, model in models.items():
            assert model is not None
            found.append((edit, data, name, search_regrets(model, target, seed=seed, after=AFTER)))
    return found


def line(regrets: Sequence[dict[int, float]]) -> str:
    """Mean and standard error after each number of evaluations."""
    columns = np.array([[each[n] for n in AFTER] for each in regrets])
    errors = columns.std(axis=0, ddof=1) / np.sqrt(len(columns))
    return "  ".join(f"{m:.3f} ± {e:.3f}" for m, e in zip(columns.mean(axis=0), errors, strict=True))


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=300)
    parser.add_argument("--edits", nargs="+", choices=list(EDITS), default=list(EDITS))
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    edits, each_seed = zip(*product(chosen.edits, seeds), strict=True)
    with ProcessPoolExecutor(chosen.processes) as pool:
        results = [result for some in pool.map(searches, edits, each_seed) for result in some]
    for edit in chosen.edits:
        print(f"{edit}: mean simple regret after {', '.join(map(str, AFTER))} evaluations")
        for sources in SOURCES:
            print(f"  sources {sources:7} {line([r[3] for r in results if (r[0], r[2]) == (edit, sources)])}")


if __name__ == "__main__":
    main()
