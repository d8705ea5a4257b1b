"""Every engine passes the suite that is shipped for plug-ins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metanas.testing.engine_contract import EngineContract, ProcessEngineContract
from metanas.worker import Engine, InlineEngine, LocalEngine, SimulatedEngine, plan_slots


class TestInlineEngine(EngineContract):
    def make_engine(self, setup: Mapping[str, Any], workers: int, folder: Path) -> Engine:
        return InlineEngine(setup)


class TestSimulatedEngine(EngineContract):
    def make_engine(self, setup: Mapping[str, Any], workers: int, folder: Path) -> Engine:
        return SimulatedEngine(setup, workers=workers)


class TestLocalEngine(ProcessEngineContract):
    def make_engine(self, setup: Mapping[str, Any], workers: int, folder: Path) -> Engine:
        return LocalEngine(setup, plan_slots(workers, devices=[], cores=2), log_dir=folder)
