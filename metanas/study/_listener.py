"""What a search tells while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metanas.study._limits import Ending
from metanas.trial import EpochReport, Result, TrialRecord


class Listener:
    """Hears what happens; each method does nothing until overridden. Called from the search's own thread."""

    def began(
        self, *, folder: Path, trials: int | None, time: float | None, spent: float, workers: int, known: int
    ) -> None:
        """The search begins or goes on, with ``known`` evaluations done, and ``spent`` of its seconds gone, before."""

    def constrained(self, plain_share: float, share: float) -> None:
        """Constraints on measures hold for ``plain_share`` of random networks, and for ``share`` of those drawn."""

    def informed(self, tasks: Sequence[str], agreement: float | None, *, trusted: bool, few: float | None) -> None:
        """A predictor knows these tasks of the space, whose mean rank correlation in predicting each other is ``agreement``.

        It is None for one task alone, which nothing was held against; ``trusted`` is whether the search begins by them, and
        ``few`` how many networks of a task it was found on, on average, where they are few.
        """

    def carried_over(self, tasks: tuple[int, int], kept: int, results: int) -> None:
        """So many of all tasks of the predictor are of other spaces; of their results those of networks of this one are kept."""

    def noted(self, text: str) -> None:
        """Something of the data that its user may not have meant."""

    def trial_started(self, record: TrialRecord, worker: str) -> None:
        """A worker has begun a trial."""

    def trial_reported(self, record: TrialRecord, report: EpochReport) -> None:
        """A trial has done an epoch."""

    def trial_ended(self, record: TrialRecord, best: TrialRecord | None) -> None:
        """A trial has ended; ``best`` is the best so far."""

    def draining(self, running: int) -> None:
        """The search was asked to stop, and waits for what runs."""

    def search_ended(self, ending: Ending) -> None:
        """Nothing more is evaluated; the best network may be trained for good now."""

    def proxies_started(self, networks: int) -> None:
        """So many random networks are being scored without training, before the first trial."""

    def proxies_reported(self, done: int) -> None:
        """So many of them are scored."""

    def proxies_ended(self, networks: int) -> None:
        """So many are, and are what the search begins with."""

    def proxies_left(self, message: str) -> None:
        """They cannot be told, so the search does without."""

    def supernet_started(self, epochs: int) -> None:
        """All networks are being trained as one, before the first trial."""

    def supernet_reported(self, report: EpochReport) -> None:
        """An epoch of it is done."""

    def supernet_ended(self, result: Result) -> None:
        """It is trained, and networks are ranked by it; or it failed, and the search does without."""

    def supernet_left(self, agreement: float) -> None:
        """Its ranking and evaluations disagree (Kendall's τ), so the search goes on by evolution."""

    def final_started(self, record: TrialRecord, epochs: int) -> None:
        """The best network is being trained for good."""

    def final_reported(self, report: EpochReport) -> None:
        """It has done an epoch."""

    def final_ended(self, result: Result) -> None:
        """It is trained and tested."""


class Log:
    """The run folder's log: a JSON object a line."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock

    def write(self, event: str, **fields: Any) -> None:
        """Append an event. A log that cannot be written stops no search."""
        line = json.dumps({"time": round(self._clock(), 3), "event": event, **fields}, default=str)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError:
            pass
