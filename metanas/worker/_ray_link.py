"""The channel between an engine and an actor on a node: both of its ends.

Both number what they say, and say it again until the other has heard it. So a reply that is lost on the way loses
nothing and doubles nothing. Only JSON crosses; neither end unpickles what the other says.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

Said = tuple[str, dict[str, Any]]
"""Kind and body of a message."""

_WAIT = 5.0
"""Seconds for which an actor that has nothing to say keeps a request: also how old a log in the run folder may be."""
_RETRY = 0.5
"""Seconds between two tries to reach an actor that Ray calls unavailable."""
_REFUSED_PATIENCE = 10.0
"""Seconds for which Ray may call an actor unavailable, after which it counts as dead: a broken connection heals sooner,
and a node that is gone is known to Ray itself only after 40."""
_SILENCE_PATIENCE = 60.0
"""Seconds for which an actor may say nothing at all: a starved node is late, a node without power is silent."""


class NodeEnd:
    """The end on the node. Safe to use from several threads."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Held while commands are obeyed."""
        self._changed = threading.Condition(self.lock)
        self._messages: list[Said] = []
        self._first = 0
        """Number of the first message that the engine is not known to have heard."""
        self._obeyed = 0

    def say(self, kind: str, body: dict[str, Any]) -> None:
        """Have the engine hear something."""
        with self._changed:
            self._messages.append((kind, body))
            self._changed.notify_all()

    def exchange(self, request: bytes, obey: Callable[[str, dict[str, Any]], None], log: Callable[[], str]) -> bytes:
        """``obey`` the commands of a request that are new, and answer with all messages that were not heard yet.

        Waits for a first message as long as the request says. ``log`` is asked for what was logged since.
        """
        message = json.loads(request)
        with self._changed:
            del self._messages[: max(0, message["heard"] - self._first)]
            self._first = max(self._first, message["heard"])
            for number, (kind, body) in enumerate(message["commands"], message["first"]):
                if number == self._obeyed:  # the others have been done before
                    self._obeyed += 1
                    obey(kind, body)
            self._changed.wait_for(lambda: self._messages, message["wait"])
            reply = {"obeyed": self._obeyed, "first": self._first, "messages": self._messages, "log": log()}
            return json.dumps(reply).encode("ascii")


class Link:
    """The end of the engine. Used from one thread."""

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
        self._given_up = False
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
            now = time.monotonic()
            self._broken = self._broken or now
            self._retry_at = now + _RETRY
            self._given_up = now - self._broken > _REFUSED_PATIENCE
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
        if self._given_up or (self.alive and time.monotonic() - self._asked > _WAIT + _SILENCE_PATIENCE):
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
