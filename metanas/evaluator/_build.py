"""From a setup, which is JSON, to the evaluator that it describes."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any, cast

from metanas.errors import MetanasError
from metanas.evaluator._own import import_factory
from metanas.evaluator._protocol import Evaluator


def build_evaluator(setup: Mapping[str, Any], *, device: str, threads: int) -> Evaluator:
    """The evaluator of ``setup["evaluator"]``: ``"train"``, or ``{"python": "package.module:Factory"}``.

    A factory is called as ``Factory(setup, device=device, threads=threads)``, and only if ``setup["allow_python"]``
    is true. ``device`` is ``"cpu"`` or ``"cuda:0"``; ``threads`` is how many CPU threads the evaluator may use.

    Raises MetanasError where there is no such evaluator or the factory cannot be imported.
    """
    kind = setup.get("evaluator")
    if isinstance(kind, Mapping) and isinstance(kind.get("python"), str):
        if setup.get("allow_python") is not True:
            raise MetanasError(
                "an evaluator of your own runs only where Python code is allowed",
                found=kind["python"],
                remedy="allow it if you trust this code",
                where="evaluator",
            )
        return cast(Evaluator, import_factory(kind["python"])(setup, device=device, threads=threads))
    if kind == "train":
        # Here, because it loads torch.
        training = importlib.import_module("metanas.evaluator._training_evaluator")
        return cast(Evaluator, training.TrainingEvaluator.from_setup(setup, device=device, threads=threads))
    if isinstance(kind, Mapping) and isinstance(kind.get("table"), Mapping):
        from metanas.evaluator._table_evaluator import TableEvaluator

        return TableEvaluator.from_setup(setup)
    near = difflib.get_close_matches(str(kind), ["train", "table", "python"], n=1)
    raise MetanasError(
        "an evaluator is train, {table: ...} or {python: package.module:Factory}",
        found=repr(kind),
        remedy=f"did you mean {near[0]}?" if near else "",
        where="evaluator",
    )
