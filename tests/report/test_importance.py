"""Importance finds what was put in, and keeps quiet where there is nothing to find."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from metanas.report import DecisionSummary
from metanas.report._importance import INACTIVE, decision_importance, option_means
from metanas.report._values import full_values
from metanas.trial import Status, TrialRecord

OP = DecisionSummary(name="op", kind="choice", values=("conv", "pool"))
KERNEL = DecisionSummary(name="op.conv.kernel", kind="choice", values=(3, 5, 7))
RATE = DecisionSummary(name="rate", kind="float", values=(0.0, 1.0))
USELESS = DecisionSummary(name="useless", kind="choice", values=(True, False))
DECISIONS = (USELESS, RATE, KERNEL, OP)


def records(n: int, *, signal: float = 1.0, noise: float = 0.05) -> list[TrialRecord]:
    """Values that depend on ``rate`` and, more weakly, on a kernel that only exists for ``conv``."""
    rng = np.random.default_rng(1)
    made = []
    for i in range(n):
        decisions = {"op": ("conv", "pool")[rng.integers(2)], "rate": float(rng.random()), "useless": bool(i % 2)}
        if decisions["op"] == "conv":
            decisions["op.conv.kernel"] = int(rng.choice([3, 5, 7]))
        value = signal * (decisions["rate"] + 0.1 * (decisions.get("op.conv.kernel") == 7)) + rng.normal(0, noise)
        made.append(
            TrialRecord(number=i, decisions=decisions, canonical_id=str(i), status=Status.COMPLETE, values=(value,))
        )
    return made


def test_what_matters_is_found_in_order() -> None:
    found = decision_importance(records(200), DECISIONS, seed=0)
    assert found is not None
    assert found.r2 > 0.8
    assert list(found.drops)[:2] == ["rate", "op.conv.kernel"]
    assert abs(found.drops["useless"]) < 0.02


def test_noise_explains_nothing() -> None:
    found = decision_importance(records(100, signal=0.0), DECISIONS, seed=0)
    assert found is not None
    assert found.r2 < 0.1


def test_the_same_seed_gives_the_same_answer() -> None:
    assert decision_importance(records(30), DECISIONS, 7) == decision_importance(records(30), DECISIONS, 7)


def test_too_few_or_equal_values_give_no_answer() -> None:
    assert decision_importance(records(9), DECISIONS, 0) is None
    assert decision_importance([replace(t, values=(0.5,)) for t in records(30)], DECISIONS, 0) is None
    assert decision_importance(records(30), (), 0) is None
    copies = [replace(t, canonical_id="same") for t in records(30)]
    assert decision_importance(copies, DECISIONS, 0) is None


def test_option_means_cover_every_trial_once_and_name_inactive() -> None:
    trials = records(60)
    kernels = option_means(trials, KERNEL, maximise=True)
    assert [m.option for m in kernels] == ["3", "5", "7", INACTIVE]
    assert sum(m.count for m in kernels) == 60
    sevens = [t.values[0] for t in trials if t.values and t.decisions.get("op.conv.kernel") == 7]
    assert kernels[2].mean == pytest.approx(np.mean(sevens))
    assert kernels[2].best == max(sevens)
    rates = option_means(trials, RATE, maximise=False)
    assert [m.count for m in rates] == [15, 15, 15, 15]
    assert rates[0].mean < rates[-1].mean
    assert [m.option for m in option_means(trials, USELESS, maximise=True)] == ["true", "false"]


def test_stopped_trials_are_credited_with_the_mean_gain_of_the_others() -> None:
    done = [
        TrialRecord(
            number=i, decisions={}, canonical_id=str(i), status=Status.COMPLETE, values=(end,), curve={1: 0.2, 4: end}
        )
        for i, end in enumerate((0.6, 0.8))
    ]
    cut = TrialRecord(number=2, decisions={}, canonical_id="2", status=Status.PRUNED, values=(0.1,), epochs=1)
    unknown = replace(cut, number=3, epochs=2)
    broken = replace(cut, number=4, values=(math.nan,))
    assert full_values([*done, cut, unknown, broken]) == {0: 0.6, 1: 0.8, 2: pytest.approx(0.6)}
