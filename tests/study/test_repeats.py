"""Strategies that have a network trained again, and that know which one to hand out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from metanas.controller import Accept, Observation, Proposal, Strategy
from metanas.space import SearchSpace
from metanas.study import _strategies as strategies
from metanas.study import read_run


@dataclass(frozen=True)
class Twice(Strategy):
    """Each network twice in a row; hands out the second."""

    def propose(
        self, space: SearchSpace, observations: Sequence[Observation], accept: Accept, rng: np.random.Generator
    ) -> Proposal | None:
        number = len(observations)
        if number % 2:
            return Proposal(np.array(observations[-1].row), "repeat", repeat=True)
        return Proposal(np.array([number // 2 % 4, 0, 0, number // 8]), "walk")


def test_a_network_is_trained_again_with_another_seed(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(strategies.STRATEGIES, "twice", Twice)  # type: ignore[arg-type]
    folder = toy.create(search={"strategy": "twice", "trials": 8})
    toy.session(folder)
    trials = [record for _, record in sorted(read_run(folder)[2].records.items())]
    assert len(trials) == 8
    assert all(trial.duplicate_of is None for trial in trials)
    assert len({trial.canonical_id for trial in trials}) == 4
    assert [trial.origin for trial in trials] == ["walk", "repeat"] * 4
