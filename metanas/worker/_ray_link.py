"""The engine's end of the channel to one actor; see :mod:`metanas.worker._ray_node` for the other."""

from __future__ import annotations

import json
import time
from typing import Any

from metanas.worker._ray_node import Said

_WAIT = 5.0
"""Seconds for which an actor that has nothing to say keeps a request: also how old a log in the run folder may be."""
_RETRY = 0.5
"""Seconds between two tries to reach an actor that Ray calls unavailable."""
_REFUSED_PATIENCE = 10.0
"""Seconds for which Ray may call an actor unavailable, after which it counts as dead: a broken connection heals sooner,
and a node that is gone is known to Ray itself only after 40."""
_SILENCE_PATIENCE = 60.0
"""Seconds for which an actor may say nothing at all: a starved node is late, a node without power is silent."""


class Link:
    """Says and hears each message once, whatever gets lost between. Used from one thread."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self.actor = actor
        """Ray's handle."""
        self.alive = False
        """Whether it has ever answered."""
        self._ray = ray
        self._heard = 0
        self._commands: list[Said] = []
        self._first = 0
        """Number of the first command that the actor is not known to have obeyed."""
        self._poll: Any = None
        self._push: Any = None
        self._asked = 0.0
        self._broken: float | None = None
        """Monotonic time since when the actor is unavailable."""
        self._retry_at = 0.0
        self._ask()

    @property
    def refs(self) -> list[Any]:
        """What to wait for."""
        return [ref for ref in (self._poll, self._push) if ref is not None]

    def send(self, kind: str, body: dict[str, Any]) -> None:
        """Have the actor do something; it will, unless it dies."""
        self._commands.append((kind, body))
        self._advance()

    def take(self, ref: Any) -> tuple[list[Said], str]:
        """New messages, and what was added to the log, of one of :attr:`refs` that is there.

        Raises what Ray raises when the actor has died, or its method has.
        """
        if ref == self._poll:
            self._poll = None
        elif ref == self._push:
            self._push = None
        else:
            return [], ""
        try:
            reply = json.loads(self._ray.get(ref))
        except self._ray.exceptions.ActorUnavailableError:
            # Not death: what it has not heard, or we have not, is said again.
            self._broken = self._broken or time.monotonic()
            self._retry_at = time.monotonic() + _RETRY
            return [], ""
        self.alive, self._broken = True, None
        del self._commands[: max(0, reply["obeyed"] - self._first)]
        self._first = max(self._first, reply["obeyed"])
        new = [(kind, body) for kind, body in reply["messages"][max(0, self._heard - reply["first"]) :]]
        self._heard = max(self._heard, reply["first"] + len(reply["messages"]))
        self._advance()
        return new, reply["log"]

    def check(self) -> bool:
        """Try again what failed. False when it failed for so long that the actor must be given up."""
        now = time.monotonic()
        if self._broken is not None and now - self._broken > _REFUSED_PATIENCE:
            return False
        if self.alive and now - self._asked > _WAIT + _SILENCE_PATIENCE:
            return False
        self._advance()
        return True

    def _advance(self) -> None:
        """One request waits at the actor for news; another one brings commands meanwhile."""
        if self._broken is not None and time.monotonic() < self._retry_at:
            return
        if self._poll is None:
            self._ask()
        elif self._commands and self._push is None and self.alive:
            self._push = self._exchange(0.0)

    def _ask(self) -> None:
        self._asked = time.monotonic()
        # The first, and the first after a failure, only finds out whether somebody is there.
        self._poll = self._exchange(_WAIT if self.alive and self._broken is None else 0.0)

    def _exchange(self, wait: float) -> Any:
        request = {"heard": self._heard, "first": self._first, "commands": self._commands, "wait": wait}
        return self.actor.exchange.remote(json.dumps(request).encode("ascii"))
