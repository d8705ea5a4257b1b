"""The evaluator that looks results up in a table. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from metanas.errors import MetanasError
from metanas.space import SearchSpace, parse_space_text, settings_syntax
from metanas.tables import OPTIONAL, ResultTable, load_benchmark, read_table, with_metric
from metanas.trial import EpochReport, Job, Result, Status


def table_of(spec: Mapping[str, Any], space: SearchSpace, *, base: Path, direction: str) -> ResultTable:
    """The table that a run file's ``evaluator: {table: …}`` names; ``direction`` is its objective's.

    Raises
    ------
    MetanasError
        If it cannot be read, or is none of the space's.

    """
    if "benchmark" not in spec:
        options = {key: spec[key] for key in OPTIONAL if key in spec}
        metric = spec.get("metric") or spec.get("maximize") or spec.get("minimize")
        return read_table(
            base / Path(spec["file"]).expanduser(), space=space, metric=metric, direction=direction, **options
        )
    table = load_benchmark(spec["benchmark"], spec["dataset"])
    ours = [(d.name, tuple(d.values)) for d in space.decisions]
    if ours != [(d.name, tuple(d.values)) for d in table.space.decisions]:
        raise MetanasError(
            "a benchmark's table is of its own space", found=f"the space {space.name}", where="space",
            remedy=f"write 'space: {table.space.name}'",
        )  # fmt: skip
    return with_metric(table, spec["metric"], direction) if "metric" in spec else table


class TableEvaluator:
    """Looks an architecture's metrics up: means over its repeats. Its seconds are those of the table."""

    def __init__(self, table: ResultTable) -> None:
        self.table = table

    @classmethod
    def from_setup(cls, setup: Mapping[str, Any]) -> Self:
        """The evaluator that a study describes in JSON: ``evaluator``, ``space``, ``base``, ``direction``."""
        described = setup["space"]
        space = parse_space_text(described["text"], described["file"], train=settings_syntax(described["train"]))
        return cls(table_of(setup["evaluator"]["table"], space, base=Path(setup["base"]), direction=setup["direction"]))

    def evaluate(self, job: Job, report: Callable[[EpochReport], Status | None]) -> Result:
        """See :meth:`metanas.evaluator.Evaluator.evaluate`."""
        place = int(self.table.index(self.table.space.to_row(job.decisions)[None])[0])
        if place < 0:
            return Result(
                job_id=job.id, status=Status.FAILED, message=f"the table {self.table.name} has no such architecture",
                remedy="add its row, or constrain the space to what the table has", seconds=0.0,
            )  # fmt: skip
        metrics = {
            name: float(np.nanmean(values[place]))
            for name, values in self.table.metrics.items()
            if np.isfinite(values[place]).any()
        }
        seconds = 0.0 if self.table.seconds is None else float(np.nan_to_num(self.table.seconds[place]))
        stop = report(EpochReport(job_id=job.id, epoch=job.epochs, metrics=metrics, seconds=seconds))
        status = Status.COMPLETE if stop is None else stop
        return Result(job_id=job.id, status=status, metrics=metrics, epochs=job.epochs, seconds=seconds)
