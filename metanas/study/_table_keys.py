"""What a run file or a bench file says of a table of results, checked as far as that goes without opening it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from metanas.space import MapNode, Node, ScalarNode, Values, did_you_mean, kind_of
from metanas.tables import BENCHMARKS, OPTIONAL

_OF_BENCHMARKS = ("benchmark", "dataset", "datasets", "metric")
_OF_FILES = ("file", "metric", "maximize", "minimize", *OPTIONAL)


def table_keys(
    values: Values, node: Node, path: str, *, more: Sequence[str] = (), several: bool = False
) -> dict[str, Any]:
    """The keys of a table as JSON values; breaches are noted in ``values.problems``.

    ``more`` are further keys of a file; ``several`` lets a benchmark name ``datasets``, or none for all.
    """
    problems = values.problems
    if not isinstance(node, MapNode):
        problems.add(
            node.mark, path, "a table is {file: results.csv, metric: ...} or {benchmark: ..., dataset: ...}",
            found=kind_of(node),
        )  # fmt: skip
        return {}
    entries = node.entries
    if "benchmark" in entries:
        values.keys(node, path, _OF_BENCHMARKS if several else tuple(k for k in _OF_BENCHMARKS if k != "datasets"))
        return _benchmark(values, node, path, several)
    values.keys(node, path, (*_OF_FILES, *more))
    texts = (key for key in (*_OF_FILES, *more) if key in entries and key != "facts")
    found: dict[str, Any] = {key: values.text(node, path, key) for key in texts}
    if "facts" in entries:
        found["facts"] = _facts(values, entries["facts"], f"{path}.facts")
    if not found.get("file"):
        problems.add(node.mark, path, "a table has a file or a benchmark", remedy="write e.g. {file: results.csv}")
    if sum(bool(found.get(key)) for key in ("metric", "maximize", "minimize")) != 1:
        problems.add(
            node.mark, path, "a table names one metric column, as metric, maximize or minimize",
            remedy="write e.g. {maximize: val_acc}",
        )  # fmt: skip
    return found


def _benchmark(values: Values, node: MapNode, path: str, several: bool) -> dict[str, Any]:
    name = values.text(node, path, "benchmark")
    if name not in BENCHMARKS:
        values.problems.add(
            node.entries["benchmark"].mark, f"{path}.benchmark", f"a benchmark is one of {', '.join(BENCHMARKS)}",
            found=repr(name), remedy=did_you_mean(name, BENCHMARKS),
        )  # fmt: skip
        return {}
    benchmark = BENCHMARKS[name]
    found: dict[str, Any] = {"benchmark": name}
    if "metric" in node.entries:
        found["metric"] = values.text(node, path, "metric")
        if found["metric"] not in benchmark.metrics:
            values.problems.add(
                node.entries["metric"].mark, f"{path}.metric", f"{name} has the metrics {', '.join(benchmark.metrics)}",
                found=repr(found["metric"]), remedy=did_you_mean(found["metric"], benchmark.metrics),
            )  # fmt: skip
    datasets: list[str] = []
    if several and "datasets" in node.entries:
        inner = node.entries["datasets"]
        items = getattr(inner, "items", [])
        datasets = [item.value for item in items if isinstance(item, ScalarNode) and isinstance(item.value, str)]
        if not datasets or len(datasets) != len(items):
            values.problems.add(inner.mark, f"{path}.datasets", "a list of data sets", found=kind_of(inner))
    elif "dataset" in node.entries:
        datasets = [values.text(node, path, "dataset")]
    elif several:
        datasets = list(benchmark.datasets)
    else:
        values.problems.add(
            node.mark, path, "a benchmark's table is of one data set", found="none", remedy=f"add 'dataset: ...', one of {', '.join(benchmark.datasets)}"
        )  # fmt: skip
    for dataset in datasets:
        if dataset not in benchmark.datasets:
            values.problems.add(
                node.mark, path, f"{name} has the data sets {', '.join(benchmark.datasets)}", found=repr(dataset),
                remedy=did_you_mean(dataset, benchmark.datasets),
            )  # fmt: skip
    return found | ({"datasets": datasets} if several else {"dataset": datasets[0] if datasets else ""})


def _facts(values: Values, node: Node, path: str) -> dict[str, float]:
    """What is known of a data set, by name."""
    found: dict[str, float] = {}
    remedy = "write e.g. {samples: 5000, classes: 10, features: 784}"
    if not isinstance(node, MapNode):
        values.problems.add(
            node.mark, path, "facts of a data set are numbers by name", found=kind_of(node), remedy=remedy
        )
        return found
    for name, inner in node.entries.items():
        value = inner.value if isinstance(inner, ScalarNode) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            values.problems.add(
                inner.mark, f"{path}.{name}", "a fact of a data set is a number", found=kind_of(inner), remedy=remedy
            )
            continue
        found[name] = float(value)
    return found
