"""The workers of a search on a Ray cluster: how many, on which nodes, with what share of them."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas._version import __version__
from metanas.errors import MetanasError
from metanas.trial import Job
from metanas.worker._ray_cluster import Cluster, needs_of, room
from metanas.worker._ray_link import Link
from metanas.worker._ray_node import NodeWorker
from metanas.worker._ray_options import RayOptions
from metanas.worker._ray_parcel import Parcel, code_parcel, data_parcel, data_path, pack
from metanas.worker._task import Task

_LEAVE_SECONDS = 15.0
"""For all workers together to end before they are killed."""
_MEMORY_SHARE = 0.8
"""Part of a node's memory that its workers may count on together, where they train on its processor."""


@dataclass
class Seat:
    """A worker's place: the channel to its actor, if there is one, and its job, if any."""

    name: str
    link: Link | None = None
    task: Task | None = None
    deaths: int = 0
    """Deaths during start-up since a process last got ready."""
    running: bool = False
    """Whether its process has been started, as far as we know."""
    ready: bool = False
    """Whether its evaluator has been built."""
    node: str = ""
    """Ray's id of its node."""
    host: str = ""
    """The node's name."""
    shared: bool = True
    """Whether its node sees the run folder."""
    memory: int | None = None
    """Bytes of the device's memory that are its own; None for no known limit."""

    @property
    def alive(self) -> bool:
        """Whether its actor has answered and not died since."""
        return self.link is not None and self.link.alive

    def has_room(self, job: Job) -> bool:
        """Whether a job's estimated memory is its own."""
        return self.memory is None or job.memory <= self.memory


class Crew:
    """The seats of a search. Knows nothing of jobs but their size."""

    def __init__(self, cluster: Cluster, setup: Mapping[str, Any], options: RayOptions, log_dir: Path) -> None:
        """Raises MetanasError where no worker would ever fit and none is waited for."""
        self.seats: list[Seat] = []
        self._cluster = cluster
        self._setup = dict(setup)
        self._options = options
        self._log_dir = log_dir
        self._made = 0
        self._parcels: dict[str, list[Any]] = {}
        self._search = secrets.token_hex(8)
        self._marker = log_dir / f".{self._search}"
        self.nodes = cluster.nodes()
        """Ray's id of each node that lives -> its resources."""
        self.needs = needs_of(options, self.nodes, setup.get("memory_limit"))
        """What Ray reserves for a worker."""
        if not room(self.needs, self.nodes) and options.wait is None:
            raise self.no_room()
        self._marker.write_text(self._search, encoding="utf-8")

    @property
    def alive(self) -> list[Seat]:
        """The seats whose actors live."""
        return [seat for seat in self.seats if seat.alive]

    @property
    def room(self) -> int:
        """How many workers the nodes have room for."""
        return room(self.needs, self.nodes)

    def resize(self) -> None:
        """As many seats as asked for, or as fit; only those whose actor waits for room are given up."""
        target = self._options.count or self.room
        for seat in [seat for seat in reversed(self.seats) if not seat.alive]:
            if len(self.seats) > target:
                self.drop(seat)
                self.seats.remove(seat)
        while len(self.seats) < target:
            self.seats.append(Seat(f"worker-{self._made}"))
            self._made += 1
        for seat in self.seats:
            if seat.link is None:
                self._hire(seat)

    def drop(self, seat: Seat) -> None:
        """Kill a seat's actor, dead or not."""
        if seat.link is not None:
            with contextlib.suppress(Exception):  # Ray's own, of which there are many for what is dead already
                self._cluster.ray.kill(seat.link.actor)
        seat.link, seat.running, seat.ready, seat.node = None, False, False, ""

    def greet(self, seat: Seat, link: Link, hello: Mapping[str, Any]) -> None:
        """Tell a new actor what to start, now that its node is known. Raises MetanasError for another metanas there."""
        if hello["version"] != __version__:
            raise MetanasError(
                "every node needs the same metanas", found=f"{hello['version']} on {hello['host']}, {__version__} here",
                where=seat.name,
            )  # fmt: skip
        seat.node, seat.host, seat.shared = hello["node"], hello["host"], hello["shared"]
        resources = self.nodes.get(seat.node) or self._cluster.nodes().get(seat.node, {})
        sharing = max(1, self.needs.fit(resources))
        threads = int(self._options.cpus_per_trial or 1)
        if self.needs.gpus and self._options.cpus_per_trial is None:
            threads = int(resources.get("CPU", 1)) // sharing
        if self.needs.gpus:
            memory = hello["gpu_memory"] and int(hello["gpu_memory"] * min(1.0, self.needs.gpus))
        else:
            memory = self.needs.memory or int(resources.get("memory", 0) * _MEMORY_SHARE) // sharing or None
        seat.memory = memory
        data = data_path(self._setup)
        link.send("start", {
            "setup": self._setup, "threads": max(1, threads), "memory": memory,
            "path": [str(Path(entry).absolute()) for entry in sys.path], "data": None if data is None else str(data),
            "code": not self._cluster.private and code_parcel(self._setup) is not None,
        })  # fmt: skip
        seat.running = True
        self.write_log(seat, f"# {seat.name} on {seat.host}, {self.needs}, {max(1, threads)} threads\n")

    def supply(self, link: Link, keys: list[str]) -> None:
        """Send an actor the parcels that its node has not."""
        for key in keys:
            link.actor.unpack.remote(key, self._pieces(key))

    def write_log(self, seat: Seat, text: str) -> None:
        """Add to the log of a worker in the run folder."""
        if text:
            with contextlib.suppress(OSError), (self._log_dir / f"{seat.name}.log").open("a", encoding="utf-8") as log:
                log.write(text)

    def stop(self, kill: bool) -> None:
        """End all processes, then all actors; both are gone on return."""
        ray = self._cluster.ray
        links = [(seat, seat.link) for seat in self.seats if seat.link is not None]
        stops = {link.actor.stop.remote(kill): seat for seat, link in links if link.alive}
        with contextlib.suppress(Exception):
            for ref in ray.wait(list(stops), num_returns=len(stops), timeout=_LEAVE_SECONDS)[0] if stops else []:
                with contextlib.suppress(Exception):
                    self.write_log(stops[ref], ray.get(ref).decode())
        for _, link in links:
            with contextlib.suppress(Exception):
                ray.kill(link.actor)
        ends = [ref for _, link in links if link.alive for ref in [link.actor.exchange.remote(b"")]]
        with contextlib.suppress(Exception):  # each fails when its actor is dead
            ray.wait(ends, num_returns=len(ends), timeout=_LEAVE_SECONDS)
        self.seats.clear()
        self._parcels.clear()

    def forget(self) -> None:
        """Remove what showed the nodes that they see the run folder."""
        with contextlib.suppress(OSError):
            self._marker.unlink()

    def no_room(self) -> MetanasError:
        """The error when no node has room for a worker."""
        kinds = ("CPU", "GPU", "memory")
        nodes = self.nodes.values()
        have = "; ".join(", ".join(f"{r[k]:g} {k}" for k in kinds if r.get(k)) or "nothing" for r in nodes)
        return MetanasError(
            f"a worker ({self.needs}) must fit on a node of the cluster", found=have or "no node",
            remedy="lower gpus_per_trial, cpus_per_trial or memory_per_trial; or say 'wait: 10m' if nodes are to come",
            where="workers",
        )  # fmt: skip

    def _hire(self, seat: Seat) -> None:
        needs = self.needs
        hello = {"search": self._search, "marker": str(self._marker.absolute()), "text": self._search}
        options = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "max_concurrency": 4, "max_restarts": 0}
        if needs.memory:
            options["memory"] = needs.memory
        # Over all nodes: two workers of one node share its memory's bandwidth.
        actor = self._cluster.ray.remote(NodeWorker).options(scheduling_strategy="SPREAD", **options)
        seat.link = Link(self._cluster.ray, actor.remote(json.dumps(hello).encode("ascii")))
        seat.running = seat.ready = False

    def _pieces(self, key: str) -> list[Any]:
        """A parcel in Ray's object store, from which each node takes it once; put there when a node first asks."""
        if key not in self._parcels:
            parcel: Parcel | None = data_parcel(self._setup) if key == "data" else code_parcel(self._setup)
            self._parcels[key] = [self._cluster.ray.put(piece) for piece in pack(parcel.files if parcel else ())]
        return self._parcels[key]
