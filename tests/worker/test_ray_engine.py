"""The engine on a private Ray cluster of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from metanas.testing.engine_contract import ProcessEngineContract
from metanas.worker import Engine
from metanas.worker._ray import RayEngine
from metanas.worker._ray_cluster import Cluster
from metanas.worker._ray_options import RayOptions

pytest.importorskip("ray", reason="the package ray is not installed (extra ray)")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Cluster]:
    """One cluster for all engines of this file, which find that the process is connected to it."""
    cluster = Cluster(RayOptions(address="local", count=2))
    yield cluster
    cluster.close()


class TestRayEngine(ProcessEngineContract):
    def make_engine(self, setup: Mapping[str, Any], workers: int, folder: Path) -> Engine:
        # One: an actor takes over a second to start, and what several do together test_ray_cluster.py shows.
        return RayEngine(setup, RayOptions(count=1), log_dir=folder)
