"""What trainings that were stopped early say."""

from __future__ import annotations

import numpy as np
import pytest

from metanas.controller import Meta, Observation
from metanas.predictor import full_losses
from metanas.space import parse_space_text

SPACE = "space: s\nlanguage: 1\ninput: table\ntabular: {a: {choice: [p, q, r, s]}, b: {choice: [1, 2, 3, 4]}}\n"


def test_a_stopped_training_is_moved_to_where_the_others_end() -> None:
    curves = [{1: 5.0, 9: 2.0}, {1: 6.0, 9: 3.0}, {1: 7.0, 9: 4.0}, {1: 9.0}]
    losses, doubt = full_losses(np.array([2.0, 3.0, 4.0, 9.0]), curves, np.array([False, False, False, True]))
    assert losses.tolist() == [2.0, 3.0, 4.0, 6.0]
    assert doubt[:3].tolist() == [0, 0, 0]
    assert 0 < doubt[3] < 0.64  # the others' curves agree with their ends, so less than the assumption of 0.6 leaves


def test_without_full_trainings_little_is_known_and_failures_stay() -> None:
    losses, doubt = full_losses(np.array([9.0, np.inf]), [{1: 9.0}, {}], np.array([True, True]))
    assert losses[0] == 9.0
    assert doubt[0] == pytest.approx(0.64)
    assert losses[1] == np.inf


def test_a_stopped_training_teaches_less_than_a_full_one() -> None:
    space = parse_space_text(SPACE)
    rows = space.rows(16)
    values = rows[:, 0] + 0.1 * rows[:, 1]

    def predicted(stopped: bool) -> np.ndarray:
        observations = [
            Observation(
                number=i, row=tuple(map(int, rows[i])), losses=(float(values[i]),), curve={1: float(values[i]), 2: float(values[i])},
            )
            for i in (0, 5, 6, 10)
        ]  # fmt: skip
        last = Observation(number=4, row=tuple(map(int, rows[15])), losses=(9.0,), curve={1: 9.0}, stopped=stopped)
        found = Meta().predict(space, [*observations, last], rows, np.random.default_rng(0))
        assert found is not None
        return found

    # It is last in either case; the more certain that is, the worse its neighbours are thought to be.
    assert predicted(stopped=False)[14] > predicted(stopped=True)[14] > predicted(stopped=True)[0]
