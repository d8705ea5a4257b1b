"""Who evaluates: engines that take jobs, tell what happens to them, and return results. Loads no torch."""

from metanas.worker._devices import MOST_WORKERS, Device, Slot, find_devices, plan_slots
from metanas.worker._engine import Ended, Engine, Event, Reported, Started
from metanas.worker._inline import InlineEngine
from metanas.worker._local import LocalEngine
from metanas.worker._make import ENGINE_OPTIONS, make_engine
from metanas.worker._ray_options import EngineOption, RayOptions
from metanas.worker._run import run_job
from metanas.worker._simulated import SimulatedEngine
from metanas.worker._spool import Spooled, all_spooled, drop_spooled, read_spooled, write_spooled

__all__ = [
    "ENGINE_OPTIONS",
    "MOST_WORKERS",
    "Device",
    "Ended",
    "Engine",
    "EngineOption",
    "Event",
    "InlineEngine",
    "LocalEngine",
    "RayOptions",
    "Reported",
    "SimulatedEngine",
    "Slot",
    "Spooled",
    "Started",
    "all_spooled",
    "drop_spooled",
    "find_devices",
    "make_engine",
    "plan_slots",
    "read_spooled",
    "run_job",
    "write_spooled",
]
