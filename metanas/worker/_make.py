"""Names of engines, as a run file has them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metanas.errors import MetanasError
from metanas.worker._devices import Slot
from metanas.worker._engine import Engine
from metanas.worker._inline import InlineEngine
from metanas.worker._local import LocalEngine
from metanas.worker._ray_options import RAY_OPTIONS, EngineOption, RayOptions
from metanas.worker._simulated import SimulatedEngine

ENGINE_OPTIONS: Mapping[str, Mapping[str, EngineOption]] = {
    "local": {},
    "inline": {},
    "ray": RAY_OPTIONS,
    "simulated": {},
}
"""Name of an engine -> what it reads of a run file's ``workers``, besides ``engine`` and ``count``."""


def make_engine(
    name: str,
    setup: Mapping[str, Any],
    slots: Sequence[Slot],
    log_dir: Path | None = None,
    *,
    count: int | str = "auto",
    options: Mapping[str, Any] | None = None,
    since: float = 0.0,
) -> Engine:
    """The engine called ``name``.

    ``local`` has a worker a slot; ``inline`` takes device and threads of the first slot; ``ray`` takes ``count``
    workers (``auto`` for as many as there is room for) and its ``options``, and needs no slots; ``simulated`` has ``count`` workers
    in virtual time, which begins now or at ``since``, whichever is later.

    Raises MetanasError for another name, where the evaluator of ``setup`` is refused at once, and where a cluster
    cannot be used.
    """

    def inline() -> Engine:
        return InlineEngine(slots[0].setup(setup), device=slots[0].device, threads=slots[0].threads)

    def local() -> Engine:
        return LocalEngine(setup, slots, log_dir=log_dir)

    def ray() -> Engine:
        from metanas.worker._ray import RayEngine

        workers = count if isinstance(count, int) else None
        return RayEngine(setup, RayOptions.from_mapping(options or {}, count=workers), log_dir=log_dir)

    def simulated() -> Engine:
        return SimulatedEngine(setup, workers=count if isinstance(count, int) else 1, since=since)

    makers: dict[str, Callable[[], Engine]] = {"local": local, "inline": inline, "ray": ray, "simulated": simulated}
    if name not in makers:
        near = difflib.get_close_matches(name, makers, n=1)
        remedy = f"did you mean {near[0]}?" if near else ""
        raise MetanasError(f"an engine is one of {', '.join(makers)}", found=repr(name), remedy=remedy, where="engine")
    return makers[name]()
