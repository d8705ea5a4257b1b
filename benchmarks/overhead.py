"""What metanas costs on top of the work itself.

``--part training``: time per sample of metanas' training loop over that of a loop written by hand, for the same
networks on the same tensors, with the same optimizer, schedule, memory layout and validation. Both run in turn in one
process on one thread, which never waits, so that its processor time is what an idle machine would need; a repetition
gives one ratio, and their median counts.

``--part study``: time from asking for a trial to its told result when the evaluation itself is free, for whole
searches with the default storage: proposal, checks, a worker process and back, three writes to the study.

Prints a table to standard error and JSON to standard output: ``python benchmarks/overhead.py --part training``.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metanas.evaluator._recipe import Recipe
from metanas.evaluator._training import Data, train
from metanas.study import Listener, create_run, parse_run_text, plan, run_session
from metanas.testing.evaluators import SCRIPTED_SETUP
from metanas.trial import TrialRecord

TRAINING_TARGET = 1.05
"""Greatest ratio of the training loop to the one written by hand."""
STUDY_TARGET_MS = 25
"""Longest time from ask to told of a trial whose evaluation is free."""
STUDY_TRIALS = 200


@dataclass(frozen=True)
class Case:
    """A network and synthetic data to train it on."""

    name: str
    network: nn.Module
    shape: tuple[int, ...]
    """Of one sample."""
    samples: int
    """To train on; a quarter as many are measured after each epoch."""
    epochs: int


class Cnn(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stem = self._conv(channels, width, 1)
        self.body = nn.Sequential(self._conv(width, 2 * width, 2), self._conv(2 * width, 2 * width, 1))
        self.tail = self._conv(2 * width, 4 * width, 2)
        self.head = nn.Linear(4 * width, 10)

    @staticmethod
    def _conv(inputs: int, outputs: int, stride: int) -> nn.Module:
        conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.tail(self.body(self.stem(images))).mean((2, 3)))


def training_cases() -> list[Case]:
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return [
        Case("cnn, 32 x 32 images", Cnn(3, 16), (3, 32, 32), 768, 1),
        Case("cnn, 8 x 8 images", Cnn(1, 16), (1, 8, 8), 1408, 4),
        Case("mlp, 30 columns", mlp, (30,), 1408, 40),
    ]


def train_by_hand(network: nn.Module, data: Data, validation: Data, recipe: Recipe, epochs: int) -> None:
    """A plain loop that does what metanas' does, as one would write it for this one network."""
    inputs, labels = data
    is_image = inputs.ndim == 4
    if is_image:
        network = network.to(memory_format=torch.channels_last)
    matrices = [weight for weight in network.parameters() if weight.ndim > 1]
    vectors = [weight for weight in network.parameters() if weight.ndim == 1]
    groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.peak_lr, fused=True)
    steps = epochs * math.ceil(len(labels) / recipe.batch_size)
    warmup = recipe.warmup * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, (1 + math.cos(math.pi * max(step - warmup, 0) / (steps - warmup))) / 2),
    )
    for _ in range(epochs):
        network.train()
        total = torch.zeros(())
        for rows in torch.randperm(len(labels)).split(recipe.batch_size):
            batch, targets = inputs[rows], labels[rows]
            if is_image:
                batch = batch.contiguous(memory_format=torch.channels_last)
            loss = nn.functional.cross_entropy(network(batch), targets, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(targets)
        assert math.isfinite(total.item() / len(labels))
        network.eval()
        with torch.inference_mode():
            batches = validation[0].split(4 * recipe.batch_size)
            if is_image:
                batches = [batch.contiguous(memory_format=torch.channels_last) for batch in batches]
            outputs = torch.cat([network(batch) for batch in batches])
            (outputs.argmax(1) == validation[1]).double().mean().item()


def train_by_metanas(network: nn.Module, data: Data, validation: Data, recipe: Recipe, epochs: int) -> None:
    outcome = train(
        network,
        data,
        validation,
        recipe=recipe,
        epochs=epochs,
        task="classification",
        metrics=["accuracy"],
        device="cpu",
        seed=0,
    )
    assert outcome.epochs == epochs, outcome


def measure_training(repetitions: int) -> dict[str, Any]:
    """The ratio of each case, and whether all meet the target."""
    torch.set_num_threads(1)
    cases = {case.name: _measure_case(case, repetitions) for case in training_cases()}
    met = all(case["ratio"] <= TRAINING_TARGET for case in cases.values())
    return {"target": TRAINING_TARGET, "met": met, "repetitions": repetitions, "cases": cases}


def _measure_case(case: Case, repetitions: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def data(samples: int) -> Data:
        inputs = torch.randn(samples, *case.shape, generator=generator)
        return inputs, torch.randint(10, (samples,), generator=generator)

    parts, recipe = (data(case.samples), data(case.samples // 4)), Recipe(batch_size=128)
    loops = [train_by_hand, train_by_metanas]
    for loop in loops:  # Once each to warm up.
        loop(copy.deepcopy(case.network), *parts, recipe, 1)
    times: dict[Any, list[float]] = {loop: [] for loop in loops}
    for repetition in range(repetitions):
        # Each goes first in turn, so that neither has the better half of a slow spell.
        for loop in loops if repetition % 2 else reversed(loops):
            network = copy.deepcopy(case.network)
            started = time.process_time()
            loop(network, *parts, recipe, case.epochs)
            times[loop].append((time.process_time() - started) / (case.epochs * case.samples) * 1e6)
    ratios = [ours / theirs for theirs, ours in zip(*times.values(), strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return {
        "ratio": round(ratio, 4),
        "ratio_quartiles": [round(low, 4), round(high, 4)],
        "hand_written_us_per_sample": round(statistics.median(times[train_by_hand]), 2),
        "metanas_us_per_sample": round(statistics.median(times[train_by_metanas]), 2),
    }


def show_training(result: dict[str, Any]) -> None:
    print(f"{'training':<24}{'by hand':>12}{'metanas':>12}{'ratio':>8}   half of the ratios", file=sys.stderr)
    for name, case in result["cases"].items():
        hand, ours = case["hand_written_us_per_sample"], case["metanas_us_per_sample"]
        low, high = case["ratio_quartiles"]
        row = f"{name:<24}{hand:>9.1f} us{ours:>9.1f} us{case['ratio']:>8.3f}   {low:.3f} to {high:.3f}"
        print(row, file=sys.stderr)
    verdict = "met" if result["met"] else "missed"
    print(f"time per sample; at most {result['target']} wanted: {verdict}", file=sys.stderr)


def measure_study(repetitions: int) -> dict[str, Any]:
    """Seconds a trial of whole searches, one worker process, so that one trial is under way at a time."""
    cases: dict[str, Any] = {}
    for space in ("convnet", "mobile"):
        for strategy in ("random", "evolution"):
            walls, cpus = zip(
                *(_search_once(space, strategy, seed) for seed in range(max(1, repetitions // 7))), strict=True
            )
            cases[f"{space}, {strategy}"] = {
                "wall_ms": round(statistics.median(walls), 2), "coordinator_cpu_ms": round(statistics.median(cpus), 2),
            }  # fmt: skip
    met = all(case["wall_ms"] <= STUDY_TARGET_MS for case in cases.values())
    return {"target_ms": STUDY_TARGET_MS, "met": met, "trials": STUDY_TRIALS, "cases": cases}


class _Clock(Listener):
    """Times from the first trial's start to the last one's end: without the start of the worker."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def trial_ended(self, record: TrialRecord, best: TrialRecord | None) -> None:
        self.times.append((time.perf_counter(), time.process_time()))


def _search_once(space: str, strategy: str, seed: int) -> tuple[float, float]:
    """Milliseconds a trial: of wall time, and of the coordinator's processor time."""
    settings = {
        "space": space, "data": "digits", "objective": {"maximize": "value"}, "workers": 1, "fidelity": {"epochs": 1},
        "search": {"strategy": strategy, "trials": STUDY_TRIALS, "seed": seed},
        "evaluator": SCRIPTED_SETUP["evaluator"],
    }  # fmt: skip
    run = parse_run_text(json.dumps(settings), "<benchmark>", base=Path.cwd())
    clock = _Clock()
    with tempfile.TemporaryDirectory() as runs:
        folder = create_run(plan(run, allow_python=True), Path(runs))
        run_session(folder, listener=clock, allow_python=True)
    (wall, cpu), (last_wall, last_cpu) = clock.times[0], clock.times[-1]
    trials = len(clock.times) - 1
    return 1e3 * (last_wall - wall) / trials, 1e3 * (last_cpu - cpu) / trials


def show_study(result: dict[str, Any]) -> None:
    print(f"{'free evaluation':<24}{'wall':>12}{'coordinator':>14}", file=sys.stderr)
    for name, case in result["cases"].items():
        print(f"{name:<24}{case['wall_ms']:>9.1f} ms{case['coordinator_cpu_ms']:>11.1f} ms", file=sys.stderr)
    verdict = "met" if result["met"] else "missed"
    print(
        f"a trial of {result['trials']}; at most {result['target_ms']} ms of wall time wanted: {verdict}",
        file=sys.stderr,
    )


PARTS: dict[str, tuple[Callable[[int], dict[str, Any]], Callable[[dict[str, Any]], None]]] = {
    "training": (measure_training, show_training),
    "study": (measure_study, show_study),
}
"""By name: measures with so many repetitions, and shows what it measured."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--repetitions", type=int, default=21, help="pairs of runs a case (default: 21)")
    arguments = parser.parse_args()
    names = list(PARTS) if arguments.part == "all" else [arguments.part]
    results: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__}
    for name in names:
        measure, show = PARTS[name]
        results[name] = measure(arguments.repetitions)
        show(results[name])
    print(json.dumps(results, indent=2))
    return 0 if all(results[name]["met"] for name in names) else 1


if __name__ == "__main__":
    raise SystemExit(main())
