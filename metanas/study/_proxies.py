"""Zero-cost proxies of random networks: what a search begins with where no earlier one tells anything."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from metanas._rng import generator
from metanas.architecture import Architecture
from metanas.controller import FEWEST_PROXIES, Meta
from metanas.evaluator import PROXIES
from metanas.predictor import SpaceModel, encoder_of
from metanas.study._folder import RunFolder, write_atomically
from metanas.study._gate import Gate
from metanas.study._listener import Listener, Log

Score = Callable[[Sequence[Architecture]], Iterator[Mapping[str, float | None]]]
"""Proxies of networks, one after the other."""

_DRAWN = 5
"""Times as many rows are drawn as are scored: some are the same network, or cannot be built."""
_SAVED = 10
"""Networks after which the file is written again."""


def with_proxies(
    strategy: Meta,
    score: Score,
    *,
    folder: RunFolder,
    gate: Gate,
    seed: int,
    listener: Listener,
    log: Log,
    stopped: Callable[[], bool],
    seconds: float | None,
) -> Meta | None:
    """The strategy that knows the proxies of ``strategy.proxies`` networks, or of as many as ``seconds`` suffice for; as it was
    where it knows better, or where they cannot be told, which the listener hears. None when ``stopped`` says so first.

    They lie in the run folder, as far as they are: a search that was stopped goes on with them.
    """
    if not strategy.proxies or (strategy.model is not None and strategy.model.tells):
        return strategy
    rows, values = _kept(folder, strategy.proxies) or (_drawn(gate, strategy.proxies, seed), [])
    if len(values) < len(rows):
        listener.proxies_started(len(rows))
        listener.proxies_reported(len(values))
        end = math.inf if seconds is None else time.monotonic() + seconds
        try:
            for found in score([Architecture(gate.space, tuple(row)) for row in rows[len(values) :]]):
                values.append([found[name] for name in PROXIES])
                listener.proxies_reported(len(values))
                if stopped() or time.monotonic() > end:
                    break
                if len(values) % _SAVED == 0:
                    _save(folder, strategy.proxies, rows, values)
                    log.write("proxies_scored", networks=len(values))  # so that their time counts
        # An op of the user's may fail in any way, and the search can do without.
        except Exception as error:
            return _left(strategy, str(error) or type(error).__name__, listener, log)
        _save(folder, strategy.proxies, rows, values)
        if stopped():
            return None
        if len(values) < min(FEWEST_PROXIES, len(rows)):
            return _left(strategy, f"there was time for {len(values)} of {len(rows)}", listener, log)
        log.write("proxies_ended", networks=len(values))
        listener.proxies_ended(len(values))
    known = np.array(values, dtype=float).reshape(len(values), len(PROXIES))  # None becomes NaN
    proxies = dict(zip(PROXIES, known.T, strict=True))
    scored = np.array(rows[: len(values)], dtype=np.int64)
    return replace(strategy, model=SpaceModel.of_proxies(encoder_of(gate.space), scored, proxies))


def _left(strategy: Meta, message: str, listener: Listener, log: Log) -> Meta:
    log.write("proxies_left", message=message)
    listener.proxies_left(message)
    return strategy


def _drawn(gate: Gate, count: int, seed: int) -> list[list[int]]:
    """Rows of different networks that can be built."""
    found: dict[str, list[int]] = {}
    for row in gate.sample(_DRAWN * count, generator(seed, "proxies")):
        if len(found) == count:
            break
        if not gate.refusal(row):
            found.setdefault(gate.canonical_id(row), [int(value) for value in row])
    return list(found.values())


def _save(folder: RunFolder, asked: int, rows: list[list[int]], values: list[list[float | None]]) -> None:
    data = {"asked": asked, "names": list(PROXIES), "rows": rows, "values": values}
    write_atomically(folder.proxies, json.dumps(data))


def _kept(folder: RunFolder, asked: int) -> tuple[list[list[int]], list[list[float | None]]] | None:
    """Rows and values of the run folder; None where there are none, or of other proxies, or where another number was asked for."""
    try:
        data = json.loads(folder.proxies.read_text(encoding="utf-8"))
        rows = [[int(value) for value in row] for row in data["rows"]]
        values = [[None if value is None else float(value) for value in line] for line in data["values"]]
        same = data["asked"] == asked and data["names"] == list(PROXIES) and len(values) <= len(rows)
        return (rows, values) if same and all(len(line) == len(PROXIES) for line in values) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
