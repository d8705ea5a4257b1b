"""How long a training step takes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence

from metanas.architecture import Architecture
from metanas.data import Dataset


def step_seconds(
    architectures: Sequence[Architecture],
    dataset: Dataset,
    *,
    seed: int,
    steps: int,
    threads: int = 1,
    allow_python: bool = False,
) -> Iterator[float]:
    """For each architecture of one space, the median wall seconds of a training step on ``threads`` threads of the CPU; NaN
    when it fails.

    With the batch size and recipe of a search on ``dataset``, split under ``seed``; ``steps`` are timed after one that
    is not.
    """
    # Here, because it loads torch.
    training = importlib.import_module("metanas.evaluator._training_evaluator")
    space = architectures[0].space
    evaluator = training.TrainingEvaluator(space, dataset, split_seed=seed, metrics=(), allow_python=allow_python)
    for architecture in architectures:
        yield evaluator.step_seconds(architecture, steps=steps, threads=threads)
