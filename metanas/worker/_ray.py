"""An engine on a Ray cluster: one long-lived actor a worker, each with a process in which it evaluates."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas._version import __version__
from metanas.errors import MetanasError
from metanas.trial import EpochReport, Job, Result, Status
from metanas.worker._engine import Ended, Engine, Event, Reported, Started, cancelled_unbegun, check_submit
from metanas.worker._ray_cluster import Cluster, needs_of, room
from metanas.worker._ray_link import Link
from metanas.worker._ray_node import NodeWorker
from metanas.worker._ray_options import RayOptions
from metanas.worker._ray_parcel import Parcel, code_parcel, data_parcel, data_path, pack, unpack

_log = logging.getLogger(__name__)

_MAX_START_DEATHS = 3
"""Deaths during start-up, in a row, after which a worker is not tried again: the fourth would die as well."""
_MAX_GIVEN = 3
"""Workers that may die with a job before they have said that they began it; then it is the job that kills them."""
_LOOK_SECONDS = 2.0
"""Between two looks at the cluster's nodes, and at actors that do not answer."""
_OTHERS_SECONDS = 5.0
"""How long the start waits for the other workers when the first is there: they start at the same time."""
_LATER_SECONDS = 600.0
"""How long a search without any worker waits, by default, for nodes to come back."""
_LEAVE_SECONDS = 15.0
"""For all workers together to end before they are killed."""
_MEMORY_SHARE = 0.8
"""Part of a node's memory that its workers may count on together, where they train on its processor."""


@dataclass
class _Task:
    """A job under way."""

    job: Job
    begun: float | None = None
    """Monotonic time at which the worker began it."""
    epochs: int = 0
    """Epochs reported."""
    stop: Status | None = None
    """How it was asked to end."""
    given: int = 0
    """Workers that it was given to."""


@dataclass
class _Seat:
    """A worker's place: the channel to its actor, if there is one, and its job, if any."""

    name: str
    link: Link | None = None
    task: _Task | None = None
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


class RayEngine(Engine):
    """Evaluates on the nodes of a Ray cluster; ``setup`` is JSON as for the local engine.

    A job waits with the engine until a worker has answered that it is there, so a node that starts, or is full, holds
    none up. With ``count`` None there are as many workers as the nodes have room for, and more when nodes join. What
    workers print goes to ``log_dir/worker-N.log``.
    """

    def __init__(
        self, setup: Mapping[str, Any], options: RayOptions | None = None, *, log_dir: Path | None = None
    ) -> None:
        self._options = options or RayOptions()
        self._setup = dict(setup)
        self._temporary = tempfile.TemporaryDirectory(prefix="metanas-ray-") if log_dir is None else None
        self._log_dir = log_dir or Path(self._temporary.name if self._temporary else "")
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._seats: list[_Seat] = []
        self._seats_made = 0
        self._queue: deque[_Task] = deque()
        """Jobs that no worker has."""
        self._happened: deque[Event] = deque()
        self._failure: MetanasError | None = None
        self._closed = False
        self._capacity = 0
        """What it was when the engine was closed."""
        self._looked = 0.0
        self._empty_since: float | None = time.monotonic()
        self._parcels: dict[str, list[Any]] = {}
        self._search = secrets.token_hex(8)
        self._marker = self._log_dir / f".{self._search}"
        self._cluster = Cluster(self._options)
        try:
            self._begin()
        except BaseException:
            self.close(kill=True)
            raise

    # --- the contract

    @property
    def capacity(self) -> int:
        return self._capacity if self._closed else max(1, sum(seat.alive for seat in self._seats))

    @property
    def free(self) -> int:
        if self._closed:
            return 0
        # Jobs too large for whoever is idle leave their place to smaller ones.
        held = min(self.capacity, sum(self._holds(task) for task in self._queue))
        return max(0, self.capacity + held - len(self._tasks()))

    @property
    def gpus(self) -> float:
        return self._needs.gpus

    def submit(self, job: Job) -> None:
        running = {task.job.id for task in self._tasks()}
        check_submit(job, closed=self._closed, free=self.free, running=running)
        self._queue.append(_Task(job))
        self._dispatch()

    def events(self, timeout: float) -> list[Event]:
        if self._closed:
            return []
        deadline = time.monotonic() + timeout
        while True:
            self._listen(0.0 if self._happened else max(0.0, min(deadline - time.monotonic(), _LOOK_SECONDS)))
            if self._happened or self._failure is not None or time.monotonic() >= deadline:
                break
        if self._failure is not None and not self._happened:
            raise self._failure
        events = list(self._happened)
        self._happened.clear()
        return events

    def cancel(self, job_id: str, *, status: Status = Status.CANCELLED) -> None:
        for task in self._queue:
            if task.job.id == job_id:
                self._queue.remove(task)
                self._happened.append(cancelled_unbegun(task.job))
                return
        for seat in self._seats:
            if seat.task is not None and seat.task.job.id == job_id and seat.link is not None:
                seat.task.stop = status
                seat.link.send("cancel", {"job_id": job_id, "status": status})

    def close(self, kill: bool = False) -> None:
        if self._closed:
            return
        self._capacity, self._closed = self.capacity, True
        links = [(seat, seat.link) for seat in self._seats if seat.link is not None]
        try:
            self._stop(links, kill)
        finally:
            self._seats.clear()
            self._queue.clear()
            self._parcels.clear()
            with contextlib.suppress(OSError):
                self._marker.unlink()
            self._cluster.close()
            if self._temporary is not None:
                self._temporary.cleanup()

    # --- workers

    def _begin(self) -> None:
        """Start the workers, and wait for those that have room."""
        self._marker.write_text(self._search, encoding="utf-8")
        nodes = self._cluster.nodes()
        self._needs = needs_of(self._options, nodes, self._setup.get("memory_limit"))
        if not room(self._needs, nodes) and self._options.wait is None:
            raise self._no_room(nodes)
        self._resize(nodes)
        deadline: float | None = None
        while self._failure is None and not (deadline is not None and time.monotonic() >= deadline):
            self._listen(0.2)
            alive = sum(seat.alive for seat in self._seats)
            if alive and alive >= min(len(self._seats), room(self._needs, self._nodes)):
                break
            if alive and deadline is None:
                deadline = time.monotonic() + _OTHERS_SECONDS
        if self._failure is not None:
            raise self._failure

    def _resize(self, nodes: Mapping[str, Mapping[str, float]]) -> None:
        """As many seats as asked for, or as fit; only those whose actor waits for room are given up."""
        self._nodes = nodes
        target = self._options.count or room(self._needs, nodes)
        for seat in [seat for seat in reversed(self._seats) if not seat.alive]:
            if len(self._seats) > target:
                self._drop_actor(seat)
                self._seats.remove(seat)
        while len(self._seats) < target:
            self._seats.append(_Seat(f"worker-{self._seats_made}"))
            self._seats_made += 1
        for seat in self._seats:
            if seat.link is None and self._failure is None:
                self._hire(seat)

    def _hire(self, seat: _Seat) -> None:
        needs = self._needs
        hello = {"search": self._search, "marker": str(self._marker.absolute()), "text": self._search}
        options = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "max_concurrency": 4, "max_restarts": 0}
        if needs.memory:
            options["memory"] = needs.memory
        # Over all nodes: two workers of one node share its memory's bandwidth.
        actor = self._cluster.ray.remote(NodeWorker).options(scheduling_strategy="SPREAD", **options)
        seat.link = Link(self._cluster.ray, actor.remote(json.dumps(hello).encode("ascii")))
        seat.running = seat.ready = False

    def _drop_actor(self, seat: _Seat) -> None:
        if seat.link is not None:
            with contextlib.suppress(Exception):  # Ray's own, of which there are many for what is dead already
                self._cluster.ray.kill(seat.link.actor)
        seat.link, seat.running, seat.ready = None, False, False

    def _stop(self, links: list[tuple[_Seat, Link]], kill: bool) -> None:
        """End all processes, then all actors; both are gone on return."""
        ray = self._cluster.ray
        stops = {link.actor.stop.remote(kill): seat for seat, link in links if link.alive}
        with contextlib.suppress(Exception):
            for ref in ray.wait(list(stops), num_returns=len(stops), timeout=_LEAVE_SECONDS)[0] if stops else []:
                with contextlib.suppress(Exception):
                    self._write_log(stops[ref], ray.get(ref).decode())
        for _, link in links:
            with contextlib.suppress(Exception):
                ray.kill(link.actor)
        ends = [ref for _, link in links if link.alive for ref in [link.actor.exchange.remote(b"")]]
        with contextlib.suppress(Exception):  # each fails when its actor is dead
            ray.wait(ends, num_returns=len(ends), timeout=_LEAVE_SECONDS)

    # --- hearing

    def _listen(self, timeout: float) -> None:
        """Wait for something, and handle all that is there."""
        ray = self._cluster.ray
        owners = {ref: seat for seat in self._seats if seat.link is not None for ref in seat.link.refs}
        if owners:
            ready, _ = ray.wait(list(owners), timeout=timeout)
            if len(owners) > 1 and ready:
                ready, _ = ray.wait(list(owners), num_returns=len(owners), timeout=0)
            for ref in ready:
                self._take(owners[ref], ref)
        elif timeout:
            time.sleep(min(timeout, 0.1))
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look()
        self._dispatch()

    def _take(self, seat: _Seat, ref: Any) -> None:
        link, errors = seat.link, self._cluster.ray.exceptions
        if link is None:
            return
        try:
            messages, log = link.take(ref)
        except errors.RayActorError as error:
            self._bury_actor(seat, str(error))
            return
        except errors.RayError as error:
            self._fail("an actor must do its work", found=str(error).strip()[-2000:], where=seat.name)
            return
        self._write_log(seat, log)
        for kind, body in messages:
            self._handle(seat, link, kind, body)

    def _look(self) -> None:
        """Notice nodes that came or went, and actors that do not answer."""
        self._looked = time.monotonic()
        nodes = self._cluster.nodes()
        for seat in self._seats:
            if seat.link is not None and not seat.link.check():
                self._bury_actor(seat, "it does not answer")
            elif seat.alive and seat.node and seat.node not in nodes:
                self._bury_actor(seat, "its node is gone")
        self._resize(nodes)
        if any(seat.alive for seat in self._seats):
            self._empty_since = None
            return
        if self._empty_since is None:
            self._empty_since = time.monotonic()
            _log.warning("no worker is left; the search waits for the cluster")
        patience = self._options.wait or _LATER_SECONDS
        if time.monotonic() - self._empty_since > patience and self._failure is None:
            self._failure = self._no_room(nodes)

    def _handle(self, seat: _Seat, link: Link, kind: str, body: dict[str, Any]) -> None:
        task = seat.task
        if kind == "hello":
            self._greet(seat, link, body)
        elif kind == "missing":
            for key in body["keys"]:
                link.actor.unpack.remote(key, self._pieces(key))
        elif kind == "ready":
            seat.ready, seat.deaths = True, 0
        elif kind == "refused":  # trying again would not help
            self._failure = self._failure or MetanasError(**body)
        elif kind == "dead":
            self._bury_process(seat, body)
        elif task is None:
            return
        elif kind == "started":
            task.begun = time.monotonic()
            self._happened.append(Started(task.job.id, seat.name))
        elif kind == "report":
            report = EpochReport.from_json(body)
            task.epochs = report.epoch
            self._happened.append(Reported(report))
        elif kind == "result":
            self._finish(seat, link, task, Result.from_json(body))

    def _greet(self, seat: _Seat, link: Link, hello: Mapping[str, Any]) -> None:
        """Tell a new actor what to start, now that its node is known."""
        if hello["version"] != __version__:
            self._fail(
                "every node needs the same metanas", found=f"{hello['version']} on {hello['host']}, {__version__} here",
                where=seat.name,
            )  # fmt: skip
            return
        seat.node, seat.host, seat.shared = hello["node"], hello["host"], hello["shared"]
        resources = self._nodes.get(seat.node) or self._cluster.nodes().get(seat.node, {})
        sharing = max(1, self._needs.fit(resources))
        threads = int(self._options.cpus_per_trial or 1)
        if self._needs.gpus and self._options.cpus_per_trial is None:
            threads = int(resources.get("CPU", 1)) // sharing
        if self._needs.gpus:
            memory = hello["gpu_memory"] and int(hello["gpu_memory"] * min(1.0, self._needs.gpus))
        else:
            memory = self._needs.memory or int(resources.get("memory", 0) * _MEMORY_SHARE) // sharing or None
        seat.memory = memory
        here = self._cluster.private
        data = data_path(self._setup)
        link.send("start", {
            "setup": self._setup, "threads": max(1, threads), "memory": memory, "path": [str(Path(p).absolute()) for p in sys.path],
            "data": str(data) if data is not None else None, "code": not here and code_parcel(self._setup) is not None,
        })  # fmt: skip
        seat.running = True
        self._write_log(seat, f"# {seat.name} on {seat.host}, {self._needs}, {max(1, threads)} threads\n")

    def _pieces(self, key: str) -> list[Any]:
        """A parcel in Ray's object store, from which each node takes it once; put there when a node first asks."""
        if key not in self._parcels:
            parcel: Parcel | None = data_parcel(self._setup) if key == "data" else code_parcel(self._setup)
            self._parcels[key] = [self._cluster.ray.put(piece) for piece in pack(parcel.files if parcel else ())]
        return self._parcels[key]

    # --- jobs

    def _tasks(self) -> list[_Task]:
        return [*self._queue, *(seat.task for seat in self._seats if seat.task is not None)]

    def _dispatch(self) -> None:
        """Give each job in the queue to an idle worker that has the memory for it."""
        for task in list(self._queue):
            idle = [seat for seat in self._seats if seat.alive and seat.task is None and seat.node]
            if not idle:
                return
            # The smallest that has room, so that the large ones stay free for what needs them; ready ones first.
            fitting = sorted(
                (seat for seat in idle if _has_room(seat, task)), key=lambda seat: (not seat.ready, seat.memory or 0)
            )
            if not fitting and not self._holds(task):
                fitting = [max(idle, key=lambda seat: seat.memory or 0)]  # it will refuse it, and say so
            if fitting:
                self._queue.remove(task)
                self._give(fitting[0], task)

    def _holds(self, task: _Task) -> bool:
        """Whether a job waits for a busy worker with more memory than the idle ones have."""
        alive = [seat for seat in self._seats if seat.alive]
        if any(_has_room(seat, task) for seat in alive if seat.task is None):
            return False
        return any(_has_room(seat, task) for seat in alive) and any(seat.task is None for seat in alive)

    def _give(self, seat: _Seat, task: _Task) -> None:
        assert seat.link is not None
        seat.task = task
        task.given += 1
        if not seat.running:
            seat.link.send("begin", {})
            seat.running = True
        seat.link.send("job", task.job.to_json())

    def _finish(self, seat: _Seat, link: Link, task: _Task, result: Result) -> None:
        if task.job.output and not seat.shared and result.status is Status.COMPLETE:
            try:
                archive = self._cluster.ray.get(link.actor.collect.remote(task.job.id))
            except self._cluster.ray.exceptions.RayError as error:
                self._bury_actor(seat, str(error))
                return
            Path(task.job.output).mkdir(parents=True, exist_ok=True)
            unpack([archive], Path(task.job.output))
        seat.task = None
        self._happened.append(Ended(result))

    def _bury_process(self, seat: _Seat, body: Mapping[str, Any]) -> None:
        """A worker's process has died; its actor lives and starts another when there is a job."""
        seat.running = False
        if not seat.ready:
            seat.deaths += 1
            if seat.task is not None:
                seat.task.given = 0  # it is not the job's fault
            if seat.deaths >= _MAX_START_DEATHS:
                self._fail(
                    "a worker must start", found=f"{seat.deaths} deaths in a row, the last with {body['exit']}",
                    remedy=f"the last that it wrote:\n{body['tail'] or '(nothing)'}", where=seat.name,
                )  # fmt: skip
        seat.ready = False
        remedy = f"what it wrote last is in {self._log_dir / seat.name}.log" if self._temporary is None else ""
        if body["killed"]:
            remedy = f"if nobody killed it, memory ran out: use fewer workers; {remedy}".removesuffix("; ")
        self._release(seat, f"{seat.name} died ({body['exit']})", remedy)

    def _bury_actor(self, seat: _Seat, why: str) -> None:
        """An actor, or its node, has died or does not answer. It is killed in any case, before its job is given on."""
        if not seat.alive:
            seat.deaths += 1
            if seat.deaths >= _MAX_START_DEATHS:
                self._fail(
                    "a worker must start", found=f"{seat.deaths} actors that died at once: {why.strip()[-2000:]}",
                    remedy="every node needs the same metanas and Python", where=seat.name,
                )  # fmt: skip
        self._drop_actor(seat)
        host, seat.node = seat.host, ""
        reason = why.strip().splitlines()[-1][:300] if why.strip() else "Ray does not say why"
        self._release(seat, f"{seat.name} died with its actor on {host} ({reason})", "see Ray's logs on that node")
        self._looked = 0.0  # hire another at once, if there is room

    def _release(self, seat: _Seat, message: str, remedy: str) -> None:
        """End the job of a dead worker as lost, or let another one begin it."""
        task, seat.task = seat.task, None
        if task is None:
            return
        if task.stop is not None and task.begun is None:
            self._happened.append(cancelled_unbegun(task.job))
        elif task.begun is None and task.given < _MAX_GIVEN:
            self._queue.appendleft(task)
        else:
            seconds = 0.0 if task.begun is None else time.monotonic() - task.begun
            result = Result(
                job_id=task.job.id, status=Status.LOST, epochs=task.epochs, seconds=seconds, message=message, remedy=remedy
            )  # fmt: skip
            self._happened.append(Ended(result))

    # --- errors and logs

    def _fail(self, rule: str, *, found: str, where: str, remedy: str = "") -> None:
        self._failure = self._failure or MetanasError(rule, found=found, remedy=remedy, where=where)

    def _no_room(self, nodes: Mapping[str, Mapping[str, float]]) -> MetanasError:
        kinds = ("CPU", "GPU", "memory")
        have = "; ".join(", ".join(f"{r[k]:g} {k}" for k in kinds if r.get(k)) or "nothing" for r in nodes.values())
        return MetanasError(
            f"a worker ({self._needs}) must fit on a node of the cluster", found=have or "no node",
            remedy="lower gpus_per_trial, cpus_per_trial or memory_per_trial; or say 'wait: 10m' if nodes are to come",
            where="workers",
        )  # fmt: skip

    def _write_log(self, seat: _Seat, text: str) -> None:
        if text:
            with contextlib.suppress(OSError), (self._log_dir / f"{seat.name}.log").open("a", encoding="utf-8") as log:
                log.write(text)


def _has_room(seat: _Seat, task: _Task) -> bool:
    return seat.memory is None or task.job.memory <= seat.memory
