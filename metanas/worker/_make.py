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


def make_engine(name: str, setup: Mapping[str, Any], slots: Sequence[Slot], log_dir: Path | None = None) -> Engine:
    """The engine called ``name``: ``local``, or ``inline``, which takes device and threads of the first slot.

    Raises MetanasError for another name, and where the evaluator of ``setup`` is refused at once.
    """

    def inline() -> Engine:
        return InlineEngine(slots[0].setup(setup), device=slots[0].device, threads=slots[0].threads)

    def local() -> Engine:
        return LocalEngine(setup, slots, log_dir=log_dir)

    makers: dict[str, Callable[[], Engine]] = {"inline": inline, "local": local}
    if name not in makers:
        near = difflib.get_close_matches(name, makers, n=1)
        remedy = f"did you mean {near[0]}?" if near else ""
        raise MetanasError(f"an engine is one of {', '.join(makers)}", found=repr(name), remedy=remedy, where="engine")
    return makers[name]()
