"""Expected gains against draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metanas.controller._acquisition import expected_gain, promise, shared_promise
from metanas.predictor import Member, Opinion


def opinion(*members: Member) -> Opinion:
    mean = np.asarray(sum(m.weight * m.mean for m in members))
    return Opinion(
        mean=mean, std=members[0].std, noise=members[0].noise, weights=tuple(m.weight for m in members), members=members
    )


def test_the_gain_is_what_draws_come_to() -> None:
    mean, std, noise = np.array([0.0, 1.0, 0.8, 2.0, -1.0]), np.array([0.3, 0.2, 0.5, 0.4, 0.1]), 0.3
    gain = expected_gain(opinion(Member("a", 1.0, mean, std, noise)), np.array([0, 1]))
    rng = np.random.default_rng(0)
    for i, rival, had in ((0, 1.0, 1.0), (1, 0.0, 1.0), (2, 1.0, 1.0), (3, 1.0, 1.0), (4, 1.0, 1.0)):
        truth = mean[i] + std[i] * rng.standard_normal(200_000)
        seen = truth + noise * rng.standard_normal(200_000)
        posterior = mean[i] + std[i] ** 2 / (std[i] ** 2 + noise**2) * (seen - mean[i])
        assert abs(np.maximum(posterior, rival).mean() - had - gain[i]) < 0.003


def test_what_is_known_exactly_gains_nothing_and_experts_are_weighed() -> None:
    seen = np.array([0, 1])
    one = Member("a", 0.25, np.array([0.0, 1.0, 3.0]), np.array([0.0, 0.0, 1.0]), 0.0)
    other = Member("b", 0.75, np.array([0.0, 1.0, -9.0]), np.array([0.0, 0.0, 1.0]), 0.0)
    gain = expected_gain(opinion(one, other), seen)
    assert gain[:2].tolist() == [0, 0]
    assert abs(gain[2] - 0.25 * 2.0085) < 1e-3


def test_what_an_expert_calls_bad_is_no_promise_while_others_are_under_way() -> None:
    # Of the first both expect a little; the second is bad to one of them, and may be anything to the other.
    one = Member("a", 0.4, np.array([0.2, -2.9]), np.array([0.3, 1.5]), 0.1)
    other = Member("b", 0.6, np.array([0.2, 0.0]), np.array([0.3, 1.4]), 0.1)
    spread = np.sqrt(0.4 * one.std**2 + 0.6 * other.std**2 + 0.4 * 0.6 * (one.mean - other.mean) ** 2)
    both = replace(opinion(one, other), std=spread)
    assert promise(both).argmax() == 1
    assert shared_promise(both).argmax() == 0
    assert shared_promise(both) == pytest.approx([0.5, 0.4 * -1.4 + 0.6 * 1.4])
