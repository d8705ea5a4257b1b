"""The evaluator that trains: architecture and data -> metrics; and the final training, with its artefacts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from metanas._rng import derive_seed
from metanas.architecture import Architecture, LayerGraph, Measures, ShapeError
from metanas.data import Dataset, Tensors, augmentation, fit_preparation, load_dataset, split, to_device
from metanas.errors import DataError
from metanas.evaluator._artefacts import write_artefacts
from metanas.evaluator._checkpoint import Checkpoint
from metanas.evaluator._costs import COSTS
from metanas.evaluator._meter import evaluate
from metanas.evaluator._recipe import Recipe
from metanas.evaluator._supernet_job import Situation, run_supernet_job
from metanas.evaluator._training import TrainingOutcome, train
from metanas.network import Network, build_network, user_modules
from metanas.space import SearchSpace, parse_space_text, settings_syntax
from metanas.trial import EpochReport, Job, Purpose, Result, Status

Send = Callable[[EpochReport], Status | None]

_LATENCY_RUNS = 30
"""Forward passes timed; their median is little moved by a pause of the machine."""


class TrainingEvaluator:
    """Trains networks of one space on one data set, which it keeps on its device."""

    def __init__(
        self,
        space: SearchSpace,
        dataset: Dataset,
        *,
        split_seed: int,
        metrics: Sequence[str],
        device: str = "cpu",
        memory_limit: int | None = None,
        allow_python: bool = False,
        supernet: Mapping[str, Any] | None = None,
    ) -> None:
        self.space = space
        self.dataset = dataset
        self.metrics = tuple(metrics)
        self.device = torch.device(device)
        self.memory_limit = memory_limit
        self.allow_python = allow_python
        self.supernet = dict(supernet or {})
        self.splits = split(dataset, seed=split_seed)
        self.preparation = fit_preparation(dataset, self.splits.train)
        self._tensors: dict[Purpose, Tensors] = {}

    @classmethod
    def from_setup(cls, setup: Mapping[str, Any], *, device: str, threads: int) -> Self:
        """The evaluator that a study describes in JSON: ``space``, ``data``, ``seed``, ``metrics``, ``memory_limit``,
        ``allow_python``, ``supernet``.
        """
        torch.set_num_threads(threads)
        space, data = setup["space"], setup["data"]
        dataset = load_dataset(data["spec"], base=Path(data["base"]))
        expected = data.get("fingerprint")
        if expected and dataset.fingerprint != expected:
            raise DataError(
                "the data must stay as they were when the search began",
                found=f"fingerprint {dataset.fingerprint[:12]} instead of {expected[:12]}",
                remedy="restore the data, or start a new search",
                where=dataset.name,
            )
        return cls(
            parse_space_text(
                space["text"],
                space["file"],
                train=settings_syntax(space["train"]),
                allow_python=bool(setup.get("allow_python")),
            ),
            dataset,
            split_seed=setup["seed"],
            metrics=setup["metrics"],
            device=device,
            memory_limit=setup.get("memory_limit"),
            allow_python=bool(setup.get("allow_python")),
            supernet=setup.get("supernet"),
        )

    def evaluate(self, job: Job, report: Send) -> Result:
        """Train the job's network; see :class:`~metanas.evaluator.Evaluator`."""
        if job.purpose is Purpose.SUPERNET:
            return run_supernet_job(job, report, self._situation())
        started = time.perf_counter()
        architecture = Architecture.from_values(self.space, job.decisions)
        recipe = Recipe.from_mapping(architecture.recipe, allow_python=self.allow_python)
        try:
            layers = architecture.layers(
                self.preparation.input_shape,
                self.dataset.n_outputs,
                self.preparation.vocabulary,
                modules=user_modules if self.allow_python else None,
            )
        except ShapeError as error:
            return Result(job_id=job.id, status=Status.INVALID, message=str(error), remedy=error.remedy)
        if self._target_scale is not None and layers.layers[layers.output].kind != "Linear":
            # The target's scale has to fold into the last layer; and a standardised target takes any value.
            message = f"a regression's network must end in its head, found {layers.layers[layers.output].kind} after it"
            return Result(job_id=job.id, status=Status.INVALID, message=message, remedy="put 'head' last in the space")
        batch_size = recipe.batch_for(len(self.splits.train))
        measures = Measures.of(layers, batch_size=batch_size, optimizer=recipe.optimizer)
        if self.memory_limit is not None and measures.memory > self.memory_limit:
            return self._too_large(job, measures)
        network = build_network(layers, seed=derive_seed(job.seed, "weights"))
        outcome = self._train(network, job, recipe, report, measures.to_json())
        metrics = {**outcome.metrics, **measures.to_json()}
        if outcome.status.has_value and "latency_ms" in self.metrics:
            metrics["latency_ms"] = latency_ms(network, layers, self.device)
        if job.purpose is Purpose.FINAL and outcome.status is Status.COMPLETE:
            metrics |= self._finish(network, layers, architecture, job, recipe)
        return Result(
            job_id=job.id,
            status=outcome.status,
            metrics=metrics,
            epochs=outcome.epochs,
            seconds=time.perf_counter() - started,
            message=outcome.message,
            remedy=outcome.remedy,
        )

    def step_seconds(self, architecture: Architecture, *, steps: int, threads: int) -> float:
        """Median wall time of ``steps`` training steps of a full batch on ``threads`` threads, after one to warm up.

        Raises ShapeError where the network cannot be built.
        """
        recipe = Recipe.from_mapping(architecture.recipe, allow_python=self.allow_python)
        modules = user_modules if self.allow_python else None
        layers = architecture.layers(
            self.preparation.input_shape, self.dataset.n_outputs, self.preparation.vocabulary, modules=modules
        )
        inputs, targets = self._data(Purpose.SEARCH).train
        batch = recipe.batch_for(len(targets))
        ends = [time.perf_counter()]

        def report(epoch: int, metrics: dict[str, float]) -> None:
            ends.append(time.perf_counter())

        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            # An epoch of one batch is one step.
            train(
                build_network(layers, seed=0), (inputs[:batch], targets[:batch]), None, recipe=recipe, epochs=steps + 1,
                task=self.dataset.task, metrics=(), device=self.device, seed=0, report=report,
                target_scale=self._target_scale, allow_python=self.allow_python,
            )  # fmt: skip
        finally:
            torch.set_num_threads(before)
        return float(statistics.median(np.diff(ends)[1:])) if len(ends) > 2 else float("nan")

    def _train(
        self, network: Network, job: Job, recipe: Recipe, report: Send, costs: Mapping[str, float]
    ) -> TrainingOutcome:
        started = time.perf_counter()
        data = self._data(job.purpose)

        def send(epoch: int, metrics: dict[str, float]) -> Status | None:
            return report(
                # With the costs, which may be objectives.
                EpochReport(
                    job_id=job.id, epoch=epoch, metrics={**metrics, **costs}, seconds=time.perf_counter() - started
                )
            )

        return train(
            network,
            data.train,
            data.validation,
            recipe=recipe,
            epochs=job.epochs,
            task=self.dataset.task,
            metrics=self._measured,
            device=self.device,
            seed=job.seed,
            report=send,
            target_scale=self._target_scale,
            augment=augmentation(recipe.augment_for(job.epochs), self.preparation),
            allow_python=self.allow_python,
            checkpoint=_checkpoint(job),
        )

    def _situation(self) -> Situation:
        return Situation(
            space=self.space, dataset=self.dataset, preparation=self.preparation, tensors=self._data(Purpose.SEARCH),
            device=self.device, memory_limit=self.memory_limit, allow_python=self.allow_python, settings=self.supernet,
        )  # fmt: skip

    def _data(self, purpose: Purpose) -> Tensors:
        """The parts on the device; one purpose at a time, so that the data are there once."""
        if purpose not in self._tensors:
            self._tensors.clear()
            final = purpose is Purpose.FINAL
            splits = self.splits.final() if final else self.splits
            # Prepared as in the search also for the final training: same input shape, same network.
            self._tensors[purpose] = to_device(self.dataset, splits, self.preparation, self.device, test=final)
        return self._tensors[purpose]

    @property
    def _measured(self) -> list[str]:
        return [name for name in self.metrics if name not in COSTS]

    @property
    def _target_scale(self) -> tuple[float, float] | None:
        regression = self.dataset.task == "regression"
        return (self.preparation.target_mean, self.preparation.target_std) if regression else None

    def _finish(
        self, network: Network, layers: LayerGraph, architecture: Architecture, job: Job, recipe: Recipe
    ) -> dict[str, float]:
        """Test once, and write what the user keeps. Metrics of the test split are named ``test_…``."""
        test = self._data(Purpose.FINAL).test
        assert test is not None
        measured = evaluate(
            network,
            test,
            recipe=recipe,
            task=self.dataset.task,
            metrics=self._measured,
            device=self.device,
            target_scale=self._target_scale,
            allow_python=self.allow_python,
        )
        if self._target_scale is not None:
            in_original_unit(network, *self._target_scale)
        tested = {f"test_{name}": value for name, value in measured.items()}
        write_artefacts(Path(job.output), network.cpu(), layers, architecture, self.preparation, tested)
        return tested

    def _too_large(self, job: Job, measures: Measures) -> Result:
        assert self.memory_limit is not None
        return Result(
            job_id=job.id,
            status=Status.TOO_LARGE,
            metrics=measures.to_json(),
            message=f"training would take about {_mebibytes(measures.memory)}, "
            f"more than the {_mebibytes(self.memory_limit)} that a worker has",
            remedy=f"lower train.batch_size, or add the constraint 'memory <= {self.memory_limit:.0f}'",
        )


def _mebibytes(size: float) -> str:
    mib = size / 2**20
    return f"{mib:,.0f} MiB" if mib >= 10 else f"{mib:.2g} MiB"


def _checkpoint(job: Job) -> Checkpoint | None:
    if not job.checkpoint:
        return None
    identity = {
        "decisions": dict(job.decisions), "epochs": job.epochs, "seed": job.seed, "purpose": job.purpose,
        "torch": torch.__version__,
    }  # fmt: skip
    return Checkpoint(Path(job.checkpoint) / "state.safetensors", identity)


def latency_ms(network: nn.Module, layers: LayerGraph, device: torch.device) -> float:
    """Median milliseconds of a forward pass of one sample on ``device``, after a warm-up."""
    dtype = torch.int64 if layers.vocabulary else torch.float32
    sample = torch.zeros(1, *layers.input_shape, dtype=dtype, device=device)
    network.to(device).eval()
    times = []
    with torch.inference_mode():
        for run in range(_LATENCY_RUNS + 5):
            began = time.perf_counter()
            network(sample)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if run >= 5:
                times.append(time.perf_counter() - began)
    return 1e3 * sorted(times)[len(times) // 2]


def in_original_unit(network: Network, mean: float, std: float) -> None:
    """Fold the scale of a regression's target into the last layer, so that outputs are in the target's own unit."""
    last = network.graph.layers[network.graph.output]
    layer = getattr(network, last.name)
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.mul_(std)
        layer.bias.mul_(std).add_(mean)
