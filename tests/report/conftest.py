"""An odd space, and made-up searches that look like real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metanas.report import DataSummary, DecisionSummary, RunSummary
from metanas.space import SearchSpace, parse_space_text
from metanas.trial import Status, TrialRecord

ODD = """
space: "a < b & c > d"
language: 1
input: image
about: "An odd one: <b>bold</b> & more."
let: {w: {choice: [8, 16]}}
network:
  - conv_bn: {out: "max($w, 12) * 2", kernel: {int: [1, 40]}}
  - graph:
      nodes: 5
      edges:
        0->1: {choice: {p: relu, q: {conv_bn: {kernel: 3}}, cut: none}}
        0->2: {conv_bn: {kernel: {choice: [1, 3]}}}
        1->3: {choice: {p: relu, q: {conv_bn: {kernel: 3}}, cut: none}}
        2->3: identity
        0->4: {optional: {conv_bn: {kernel: 5}}}
        3->4: [bn, relu]
  - {parallel: [identity, {conv: {kernel: 3}}, [relu, {choice: [tanh, gelu]}]], merge: mean}
  - global_pool
  - head
constraints: ["params <= 1e6"]
train: {lr: {float: [1e-4, 1e-1], log: true}}
"""
DECISIONS = (
    DecisionSummary(name="width", kind="choice", values=(8, 16, 24, 32)),
    DecisionSummary(name="stage1.times", kind="int", values=(1, 4)),
    DecisionSummary(name="stage1.kernel", kind="choice", values=(3, 5, 7)),
    DecisionSummary(name="stage1.block", kind="choice", values=("conv", "residual", "mbconv")),
    DecisionSummary(name="stage1.block.mbconv.expand", kind="choice", values=(2, 4, 6)),
    DecisionSummary(name="stage2.block", kind="choice", values=("conv", "residual", "mbconv")),
    DecisionSummary(name="stage2.se", kind="choice", values=(True, False)),
    DecisionSummary(name="train.lr", kind="float", values=(1e-4, 1e-1)),
)
FAILURES = {
    Status.DIVERGED: "the loss became NaN in epoch {}; lower train.lr",
    Status.OUT_OF_MEMORY: "the device had no memory left for a batch of 128 after {} MB",
    Status.TOO_LARGE: "the network needs {} MB, the limit is 2,000 MB",
}


def fake_trials(
    n: int, *, objectives: int = 1, seed: int = 0, random: int | None = 12, epochs: int = 12, spread: float = 0.004
) -> list[TrialRecord]:
    """``n`` trials, the first ``random`` drawn at random and the rest like the best so far; None notes no origin."""
    rng = np.random.default_rng(seed)
    trials: list[TrialRecord] = []
    known: dict[str, int] = {}
    for number in range(n):
        decisions = _sample(rng)
        guided = number >= (random or 12)
        if guided:
            good = [t for t in trials if t.values]
            parent = max(rng.choice(len(good), min(5, len(good)), replace=False), key=lambda i: good[i].values[0])
            keep = {k: v for k, v in good[parent].decisions.items() if rng.random() < 0.8}
            decisions = {k: v for k, v in (decisions | keep).items() if k in decisions}
        trial = _trial(number, decisions, known, rng, objectives, epochs, spread, guided, random is not None)
        if trial.duplicate_of is not None:
            first = trials[trial.duplicate_of]
            trial = replace(
                trial, status=first.status, values=first.values, metrics=first.metrics, curve=first.curve,
                epochs=first.epochs, message=first.message,
            )  # fmt: skip
        trials.append(trial)
    return trials


def _sample(rng: np.random.Generator) -> dict[str, Any]:
    decisions: dict[str, Any] = {}
    for d in DECISIONS:
        if d.name == "stage1.block.mbconv.expand" and decisions["stage1.block"] != "mbconv":
            continue
        if d.kind == "choice":
            decisions[d.name] = d.values[rng.integers(len(d.values))]
        elif d.kind == "int":
            decisions[d.name] = int(rng.integers(1, 5))
        else:
            decisions[d.name] = float(10 ** rng.uniform(-4, -1))
    return decisions


def _trial(
    number: int, decisions: dict[str, Any], known: dict[str, int], rng: np.random.Generator, objectives: int,
    epochs: int, spread: float, guided: bool, origins: bool,
) -> TrialRecord:  # fmt: skip
    identity = repr(sorted((k, v) for k, v in decisions.items() if k != "train.lr"))
    width, times = decisions["width"], decisions["stage1.times"]
    params = float(900 * width * (1 + times) * (1.7 if decisions["stage2.block"] == "conv" else 1))
    off = abs(np.log10(decisions["train.lr"]) + 2.2)
    accuracy = 0.985 - 0.006 * off**2 - 0.22 / width + 0.012 * (decisions["stage2.block"] == "mbconv")
    accuracy = float(np.clip(accuracy + 0.003 * times + rng.normal(0, spread), 0.1, 0.993))
    base = {
        "number": number, "decisions": decisions, "canonical_id": identity, "started": 1.7e9 + 4 * number,
        "ended": 1.7e9 + 4 * number + 6, "origin": ("evolution" if guided else "random") if origins else "",
    }  # fmt: skip
    if rng.random() < 0.08:
        status = list(FAILURES)[rng.integers(3)]
        message = FAILURES[status].format(rng.integers(1, 9999))
        failed = known.setdefault(identity, number)
        return TrialRecord(
            **base,
            status=status,
            message=message,
            epochs=2,
            seconds=1.3,
            duplicate_of=failed if failed != number else None,
        )
    pruned = rng.random() < 0.2
    done = epochs // 4 if pruned else epochs
    curve = {
        e: accuracy - (accuracy - 0.1) * float(np.exp(-e / 1.9)) + rng.normal(0, 0.001) for e in range(1, epochs + 1)
    }
    curve = {e: v for e, v in curve.items() if e <= done}
    metrics = {"params": params, "flops": params * 41, "accuracy": curve[done]}
    values = (curve[done], params, params * 4e-6 * (1 + rng.random()))[:objectives]
    first = known.setdefault(identity, number)
    return TrialRecord(
        **base, status=Status.PRUNED if pruned else Status.COMPLETE, values=values, metrics=metrics, curve=curve,
        epochs=done, seconds=0.0 if first != number else 0.5 * done + params / 2e5,
        duplicate_of=first if first != number else None,
    )  # fmt: skip


def fake_summary(**changes: Any) -> RunSummary:
    """A run on the digits, with ``changes`` to its fields."""
    return RunSummary(**{
        "name": "digits", "space": "convnet", "space_about": "A small image space that suits a CPU.",
        "space_size": 5 * 10**13,
        "data": DataSummary(
            name="digits", task="classification, 10 classes", shape=(1, 8, 8),
            samples={"train": 1077, "validation": 360, "test": 360}, fingerprint="sha256:3f2a9c10b7d4",
        ),
        "objectives": (("accuracy", "maximize"),), "strategy": "evolution", "seed": 0, "trials": 60,
        "versions": {"metanas": "0.1.0", "torch": "2.13.0", "optuna": "5.0.0"}, "machine": "2 CPU cores, Linux",
        "seconds": 143.2, "workers": 2, "decisions": DECISIONS, "command": "metanas search runs/digits/run.yaml",
        "artefacts": ("best/architecture.json", "best/weights.safetensors", "best/network.py"),
    } | changes)  # fmt: skip


@pytest.fixture
def odd() -> SearchSpace:
    """A space with a bit of everything, and names that want escaping."""
    return parse_space_text(ODD)


@pytest.fixture
def trials() -> Callable[..., list[TrialRecord]]:
    """Makes trials: see :func:`fake_trials`."""
    return fake_trials


@pytest.fixture
def summary() -> Callable[..., RunSummary]:
    """Makes a summary: see :func:`fake_summary`."""
    return fake_summary
