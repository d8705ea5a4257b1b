"""An engine on a Ray cluster: one long-lived actor a worker, each with a process in which it evaluates."""

from __future__ import annotations

import logging
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metanas.errors import MetanasError
from metanas.trial import Job, Result, Status
from metanas.worker._engine import Ended, Engine, Event, cancelled_unbegun, check_submit
from metanas.worker._ray_cluster import Cluster
from metanas.worker._ray_crew import Crew, Seat
from metanas.worker._ray_link import Link
from metanas.worker._ray_options import RayOptions
from metanas.worker._ray_parcel import unpack
from metanas.worker._task import MAX_START_DEATHS, Task, no_start, remedy_of_death

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
"""Between two looks at the cluster's nodes, and at actors that do not answer."""
_OTHERS_SECONDS = 5.0
"""How long the start waits for the other workers when the first is there: they start at the same time."""
_LATER_SECONDS = 600.0
"""How long a search without any worker waits, by default, for nodes to come back."""


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
        self._temporary = tempfile.TemporaryDirectory(prefix="metanas-ray-") if log_dir is None else None
        self._log_dir = log_dir or Path(self._temporary.name if self._temporary else "")
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._queue: deque[Task] = deque()
        """Jobs that no worker has."""
        self._happened: deque[Event] = deque()
        self._failure: MetanasError | None = None
        self._closed = False
        self._capacity = 0
        """What it was when the engine was closed."""
        self._looked = 0.0
        self._empty_since: float | None = time.monotonic()
        self._crew: Crew | None = None
        self._cluster = Cluster(self._options)
        try:
            self._crew = Crew(self._cluster, setup, self._options, self._log_dir)
            self._begin(self._crew)
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
        return self._crew.needs.gpus if self._crew is not None else 0.0

    def submit(self, job: Job) -> None:
        running = {task.job.id for task in self._tasks()}
        check_submit(job, closed=self._closed, free=self.free, running=running)
        self._queue.append(Task(job))
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
                seat.link.send("cancel", seat.task.ask_to_end(status))

    def go_on(self, job_id: str, epoch: int) -> None:
        for seat in self._seats:
            if seat.task is not None and seat.task.job.id == job_id and seat.link is not None:
                seat.link.send("go_on", {"job_id": job_id, "epoch": epoch})

    def close(self, kill: bool = False) -> None:
        if self._closed:
            return
        self._capacity, self._closed = self.capacity, True
        try:
            if self._crew is not None:
                self._crew.stop(kill)
        finally:
            self._queue.clear()
            if self._crew is not None:
                self._crew.forget()
            self._cluster.close()
            if self._temporary is not None:
                self._temporary.cleanup()

    # --- hearing

    def _begin(self, crew: Crew) -> None:
        """Start the workers, and wait for those that have room."""
        crew.resize()
        deadline: float | None = None
        while self._failure is None and not (deadline is not None and time.monotonic() >= deadline):
            self._listen(0.2)
            alive = len(crew.alive)
            if alive and alive >= min(len(crew.seats), crew.room):
                break
            if alive and deadline is None:
                deadline = time.monotonic() + _OTHERS_SECONDS
        if self._failure is not None:
            raise self._failure

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

    def _take(self, seat: Seat, ref: Any) -> None:
        link, errors = seat.link, self._cluster.ray.exceptions
        if link is None or self._crew is None:
            return
        try:
            messages, log = link.take(ref)
        except errors.RayActorError as error:
            self._bury_actor(seat, str(error))
            return
        except errors.RayError as error:
            self._fail(MetanasError("an actor must do its work", found=str(error).strip()[-2000:], where=seat.name))
            return
        self._crew.write_log(seat, log)
        for kind, body in messages:
            try:
                self._handle(self._crew, seat, link, kind, body)
            except MetanasError as error:
                self._fail(error)

    def _look(self) -> None:
        """Notice nodes that came or went, and actors that do not answer."""
        crew = self._crew
        if crew is None:
            return
        self._looked = time.monotonic()
        crew.nodes = self._cluster.nodes()
        for seat in crew.seats:
            if seat.link is not None and not seat.link.check():
                self._bury_actor(seat, "it does not answer")
            elif seat.alive and seat.node and seat.node not in crew.nodes:
                self._bury_actor(seat, "its node is gone")
        if self._failure is None:
            crew.resize()
        if crew.alive:
            self._empty_since = None
            return
        if self._empty_since is None:
            self._empty_since = time.monotonic()
            _log.warning("no worker is left; the search waits for the cluster")
        if time.monotonic() - self._empty_since > (self._options.wait or _LATER_SECONDS):
            self._fail(crew.no_room())

    def _handle(self, crew: Crew, seat: Seat, link: Link, kind: str, body: dict[str, Any]) -> None:
        task = seat.task
        if kind == "hello":
            crew.greet(seat, link, body)
        elif kind == "missing":
            crew.supply(link, body["keys"])
        elif kind == "ready":
            seat.ready, seat.deaths = True, 0
        elif kind == "refused":  # trying again would not help
            self._fail(MetanasError(**body))
        elif kind == "dead":
            self._bury_process(seat, body)
        elif task is not None and (event := task.hear(kind, body, seat.name)) is not None:
            if isinstance(event, Ended):
                if not self._collect(seat, link, task, event.result):
                    return
                seat.task = None
            self._happened.append(event)

    # --- jobs

    @property
    def _seats(self) -> list[Seat]:
        return [] if self._crew is None else self._crew.seats

    def _tasks(self) -> list[Task]:
        return [*self._queue, *(seat.task for seat in self._seats if seat.task is not None)]

    def _dispatch(self) -> None:
        """Give each job in the queue to an idle worker that has the memory for it."""
        for task in list(self._queue):
            idle = [seat for seat in self._seats if seat.alive and seat.task is None and seat.node]
            if not idle:
                return
            # The smallest that has room, so that the large ones stay free for what needs them; ready ones first.
            fitting = sorted(
                (seat for seat in idle if seat.has_room(task.job)), key=lambda seat: (not seat.ready, seat.memory or 0)
            )
            if not fitting and not self._holds(task):
                fitting = [max(idle, key=lambda seat: seat.memory or 0)]  # it will refuse it, and say so
            if fitting:
                self._queue.remove(task)
                self._give(fitting[0], task)

    def _holds(self, task: Task) -> bool:
        """Whether a job waits for a busy worker with more memory than the idle ones have."""
        alive = [seat for seat in self._seats if seat.alive]
        if any(seat.has_room(task.job) for seat in alive if seat.task is None):
            return False
        return any(seat.has_room(task.job) for seat in alive) and any(seat.task is None for seat in alive)

    def _give(self, seat: Seat, task: Task) -> None:
        assert seat.link is not None
        seat.task = task
        task.given += 1
        if not seat.running:
            seat.link.send("begin", {})
            seat.running = True
        seat.link.send("job", task.job.to_json())

    def _collect(self, seat: Seat, link: Link, task: Task, result: Result) -> bool:
        """Fetch what a final training left on a node that does not see the run folder; False if its actor died."""
        if task.job.output and not seat.shared and result.status is Status.COMPLETE:
            try:
                archive = self._cluster.ray.get(link.actor.collect.remote(task.job.id))
            except self._cluster.ray.exceptions.RayError as error:
                self._bury_actor(seat, str(error))
                return False
            Path(task.job.output).mkdir(parents=True, exist_ok=True)
            unpack([archive], Path(task.job.output))
        return True

    # --- deaths

    def _bury_process(self, seat: Seat, body: Mapping[str, Any]) -> None:
        """A worker's process has died; its actor lives and starts another when there is a job."""
        seat.running = False
        if not seat.ready:
            seat.deaths += 1
            if seat.task is not None:
                seat.task.given = 0  # it is not the job's fault
            if seat.deaths >= MAX_START_DEATHS:
                self._fail(no_start(seat.deaths, body["exit"], body["tail"], seat.name))
        seat.ready = False
        log = f"{self._log_dir / seat.name}.log" if self._temporary is None else ""
        self._release(seat, f"{seat.name} died ({body['exit']})", remedy_of_death(log, body["killed"]))

    def _bury_actor(self, seat: Seat, why: str) -> None:
        """An actor, or its node, has died or does not answer. It is killed in any case, before its job is given on."""
        if not seat.alive:
            seat.deaths += 1
            if seat.deaths >= MAX_START_DEATHS:
                self._fail(
                    MetanasError(
                        "a worker must start", where=seat.name, remedy="every node needs the same metanas and Python",
                        found=f"{seat.deaths} actors that died at once: {why.strip()[-2000:]}",
                    )
                )  # fmt: skip
        if self._crew is not None:
            self._crew.drop(seat)
        reason = why.strip().splitlines()[-1][:300] if why.strip() else "Ray does not say why"
        self._release(seat, f"{seat.name} died with its actor on {seat.host} ({reason})", "see Ray's logs on that node")
        self._looked = 0.0  # hire another at once, if there is room

    def _release(self, seat: Seat, message: str, remedy: str) -> None:
        """End the job of a dead worker as lost, or let another one begin it."""
        task, seat.task = seat.task, None
        if task is None:
            return
        end = task.bereaved(message, remedy)
        if end is None:
            self._queue.appendleft(task)
        else:
            self._happened.append(end)

    def _fail(self, error: MetanasError) -> None:
        self._failure = self._failure or error
