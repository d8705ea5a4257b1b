"""An Optuna sampler on a study in memory, for searches that leave no trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas._rng import generator
from metanas.space import SearchSpace
from metanas.study._strategies import asks_inactive, make_sampler
from metanas.study._suggest import distribution_of, suggest_row

Row = npt.NDArray[np.int64]


class MemorySampler:
    """Asks and tells a sampler; losses, so less is better."""

    def __init__(self, name: str, options: Mapping[str, Any], space: SearchSpace, *, seed: int) -> None:
        import optuna

        # Optuna would print a line for each study.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._inactive = asks_inactive(name, options)
        self._rng = generator(seed, "inactive")
        self._study = optuna.create_study(sampler=make_sampler(name, options, space, seed % 2**32))
        self._trials: dict[int, optuna.Trial] = {}

    def ask(self) -> tuple[int, Row]:
        """A number to tell by, and the row ``(n_decisions,)`` that the sampler proposes."""
        trial = self._study.ask()
        self._trials[trial.number] = trial
        return trial.number, suggest_row(trial, self._space, inactive=self._inactive)

    def tell(self, number: int, loss: float | None) -> None:
        """What the proposal came to; None for one that was refused."""
        import optuna

        state = optuna.trial.TrialState.COMPLETE if loss is not None else optuna.trial.TrialState.FAIL
        self._study.tell(self._trials.pop(number), loss, state=state)

    def add(self, row: Row, loss: float) -> None:
        """A result that the sampler did not ask for."""
        import optuna

        values = self._space.to_values(row)
        if self._inactive:  # a sampler that knows no conditions must find a value everywhere
            values = {d.name: d.values[int(self._rng.integers(len(d.values)))] for d in self._space.decisions} | values
        distributions = {d.name: distribution_of(d) for d in self._space.decisions if d.name in values}
        self._study.add_trial(optuna.trial.create_trial(params=values, distributions=distributions, value=loss))
