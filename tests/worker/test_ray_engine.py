"""The engine on a private Ray cluster of this machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from metanas.testing.engine_contract import ProcessEngineContract
from metanas.testing.evaluators import SCRIPTED_SETUP
from metanas.worker import Engine
from metanas.worker._ray import RayEngine
from metanas.worker._ray_cluster import Cluster
from metanas.worker._ray_options import RayOptions

if importlib.util.find_spec("ray") is None:  # not imported here: it would not see the token
    pytest.skip("the package ray is not installed (extra ray)", allow_module_level=True)


pytestmark = pytest.mark.timeout(400)  # the first test starts the cluster


@pytest.fixture(scope="module", autouse=True)
def cluster(ray_token: str) -> Iterator[Cluster]:
    """One cluster for all engines of this file, which find that the process is connected to it."""
    # Room for one engine that is kept and one that a test makes.
    cluster = Cluster(RayOptions(address="local", count=2))
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def kept() -> Iterator[list[Engine]]:
    """An engine that tests hand on to each other as long as nothing is under way in it."""
    engines: list[Engine] = []
    yield engines
    for engine in engines:
        engine.close()


class TestRayEngine(ProcessEngineContract):
    @pytest.fixture
    def engine(self, kept: list[Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
        if not kept:
            kept.append(self.make_engine(SCRIPTED_SETUP, 1, tmp_path_factory.mktemp("engine")))
        yield kept[0]
        if kept[0].free < kept[0].capacity:  # jobs are under way, or it is closed
            kept.pop().close(kill=True)

    def make_engine(self, setup: Mapping[str, Any], workers: int, folder: Path) -> Engine:
        # One: an actor takes over a second to start, and what several do together test_ray_cluster.py shows.
        return RayEngine(setup, RayOptions(count=1), log_dir=folder)
