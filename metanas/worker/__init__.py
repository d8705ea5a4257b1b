"""Who evaluates: engines that take jobs, tell what happens to them, and return results. Loads no torch."""

from metanas.worker._devices import Device, Slot, find_devices, plan_slots
from metanas.worker._engine import Ended, Engine, Event, Reported, Started
from metanas.worker._inline import InlineEngine
from metanas.worker._local import LocalEngine
from metanas.worker._make import make_engine

__all__ = [
    "Device",
    "Ended",
    "Engine",
    "Event",
    "InlineEngine",
    "LocalEngine",
    "Reported",
    "Slot",
    "Started",
    "find_devices",
    "make_engine",
    "plan_slots",
]
