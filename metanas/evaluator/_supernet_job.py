"""A worker's share of the strategy ``supernet``: train one, rank networks by it, write the ranking."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metanas._rng import derive_seed, generator
from metanas.architecture import ShapeError
from metanas.data import Dataset, Preparation, Tensors
from metanas.evaluator._checkpoint import Checkpoint
from metanas.evaluator._forward import is_out_of_memory, on_device
from metanas.evaluator._losses import build_loss
from metanas.evaluator._recipe import Recipe
from metanas.evaluator._supernet_methods import METHODS
from metanas.evaluator._supernet_policy import Policy
from metanas.evaluator._supernet_ranking import Ranking, rank
from metanas.evaluator._supernet_training import SupernetTraining, supernet_batch
from metanas.network import Supernet, user_modules
from metanas.space import SearchSpace
from metanas.trial import EpochReport, Job, Result, Status

RANKING_FILE = "ranking.json"
_SLOTS = 2
_LOOKED_AT = 16
"""Random networks whose greatest memory is that of a training which runs one at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a worker has at hand."""

    space: SearchSpace
    """Of the networks."""
    dataset: Dataset
    """Of the search."""
    preparation: Preparation
    """Of its samples."""
    tensors: Tensors
    """Its parts, on the device."""
    device: torch.device
    """Where to train."""
    memory_limit: int | None
    """Bytes that a training may take."""
    allow_python: bool
    """Whether modules and losses of the user's may be imported."""
    settings: Mapping[str, Any]
    """``method`` and ``candidates``."""


def run_supernet_job(job: Job, report: Callable[[EpochReport], Status | None], now: Situation) -> Result:
    """Train for ``job.epochs`` and write the ranking into ``job.output``; a failure is a status."""
    started = time.perf_counter()
    name = now.settings.get("method", "spos")
    method = METHODS[name]
    space, preparation, seed = now.space, now.preparation, job.seed
    recipe = Recipe.from_mapping(
        space.recipe_of(space.sample(1, generator(seed, "recipe"))[0]), allow_python=now.allow_python
    )
    loss = build_loss(
        recipe.loss, task=now.dataset.task, label_smoothing=recipe.label_smoothing, allow_python=now.allow_python
    )
    supernet = Supernet(
        space, preparation.input_shape, now.dataset.n_outputs, preparation.vocabulary, partial=method.partial,
        modules=user_modules if now.allow_python else None, seed=derive_seed(seed, "weights") % 2**32,
    )  # fmt: skip
    batch = supernet_batch(recipe, len(now.tensors.train.targets))
    needed = memory_needed(supernet, mixes=method.paths in ("softmax", "dirichlet"), batch_size=batch)
    if now.memory_limit is not None and needed > now.memory_limit:
        return Result(
            job_id=job.id, status=Status.TOO_LARGE, metrics={"memory": float(needed)},
            message=f"the supernet would take about {needed / 2**20:,.0f} MiB, more than the "
            f"{now.memory_limit / 2**20:,.0f} MiB that a worker has",
            remedy="use the method spos or gdas, which run one network at a time, or lower train.batch_size",
        )  # fmt: skip
    policy = Policy(space, method, hard=supernet.hard, seed=derive_seed(seed, "policy"))
    train, validation = on_device(now.device, now.tensors.train), on_device(now.device, now.tensors.validation)
    identity = {
        "space": space.text,
        "settings": dict(space.settings),
        "seed": seed,
        "epochs": job.epochs,
        "method": name,
    }

    def send(epoch: int, metrics: dict[str, float]) -> Status | None:
        seconds = time.perf_counter() - started
        return report(EpochReport(job_id=job.id, epoch=epoch, metrics=metrics, seconds=seconds))

    def enough() -> bool:
        return job.seconds is not None and time.perf_counter() - started > job.seconds

    ranking: Ranking | None = None
    with torch.random.fork_rng(devices=[now.device] if now.device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "supernet"))
        try:
            training = SupernetTraining(
                supernet, policy, recipe=recipe, loss=loss, train=train, validation=validation, seed=derive_seed(seed, "batches"),
            )  # fmt: skip
            file = Checkpoint(Path(job.checkpoint) / "supernet.safetensors", identity) if job.checkpoint else None
            progress = training.run(job.epochs, report=send, checkpoint=file, enough=enough)
            if progress.status is Status.COMPLETE:
                plain = build_loss(recipe.loss, task=now.dataset.task, allow_python=now.allow_python)
                ranking = rank(
                    supernet, policy, validation, plain, progress, count=int(now.settings.get("candidates", 200)),
                    batch_size=recipe.batch_for(len(train[1])), seed=derive_seed(seed, "candidates") % 2**32, method=name,
                    early=progress.epochs < job.epochs,
                )  # fmt: skip
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return Result(
                job_id=job.id,
                status=Status.OUT_OF_MEMORY,
                message="no memory left for the supernet",
                remedy="use the method spos or gdas",
            )
    status, message = progress.status, ""
    metrics = {"train_loss": progress.losses[-1]} if progress.losses else {}
    if ranking is not None:
        Path(job.output).mkdir(parents=True, exist_ok=True)
        ranking.write(Path(job.output) / RANKING_FILE)
        metrics |= {"candidates": float(len(ranking.rows)), "collapsed": float(ranking.collapsed)}
        if ranking.losses:
            metrics["loss"] = ranking.losses[0]
    elif status is Status.DIVERGED:
        message = "the supernet's training loss became NaN or infinite"
    return Result(
        job_id=job.id, status=status, metrics=metrics, epochs=progress.epochs, seconds=time.perf_counter() - started,
        message=message, remedy="lower train.lr" if message else "",
    )  # fmt: skip


def memory_needed(supernet: Supernet, *, mixes: bool, batch_size: int) -> int:
    """Bytes of a training step by count: of a mixture of all, or of the largest of some networks by themselves."""
    if mixes:
        return supernet.memory(batch_size, optimizer_slots=_SLOTS)
    found = [0]
    for row in supernet.space.sample(_LOOKED_AT, np.random.default_rng(0)):
        try:
            found.append(supernet.memory(batch_size, row, optimizer_slots=_SLOTS))
        except ShapeError:
            continue
    return max(found)
