"""From the log to the workers' timeline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metanas.trial import Span, Status, Timeline


def read_timeline(log: Path, *, running: bool = False, now: float | None = None) -> Timeline:
    """What the workers did, by a run folder's log, which a search may be writing.

    With ``running`` the last session goes on, and jobs without an end last until ``now`` (Unix time); otherwise they end,
    lost, with the last that was heard of their session.
    """
    sessions: list[list[dict[str, Any]]] = []
    ended = False
    scored = trained = 0
    ends: dict[str, dict[str, Any]] = {}
    for event in read_events(log):
        if event["event"] == "trial_ended" and "job" in event:
            ends.setdefault(str(event["job"]), event)
        if event["event"] in ("proxies_scored", "proxies_ended"):
            scored = int(event.get("networks", 0))
        if event["event"] == "supernet_reported":
            trained = int(event.get("epoch", 0))
        if event["event"] == "session_began":
            sessions.append([])
            ended = False
        if sessions and not ended:  # of the final training, no limit of the search counts the time
            sessions[-1].append(event)
            ended = event["event"] == "session_ended"
    spans: list[Span] = []
    offset = capacity = 0.0
    for index, events in enumerate(sessions):
        goes_on = running and index == len(sessions) - 1
        last = max([event["time"] for event in events] + ([now] if goes_on and now is not None else []))
        jobs = _spans(events, ends, last, goes_on, offset - events[0]["time"])
        if jobs:
            capacity += int(events[0].get("workers", 1)) * (offset + last - events[0]["time"] - jobs[0].began)
        spans += jobs
        offset += last - events[0]["time"]
    ending = next(
        (str(e.get("reason", "")) for e in (sessions[-1] if sessions else []) if e["event"] == "session_ended"), ""
    )
    return Timeline(
        spans=tuple(spans), seconds=offset, capacity=capacity, ending=ending, scored=scored, trained=trained
    )


def time_so_far(log: Path) -> tuple[float, float]:
    """Seconds of a run's sessions together, each until it ended or was last heard of; and when that was of the last one.

    Zeros where there was none.
    """
    seconds = began = heard = 0.0
    ended = True
    for event in read_events(log):
        if event["event"] == "session_began":
            seconds += heard - began
            began, ended = event["time"], False
        elif ended:  # of the final training, which no limit of the search counts
            continue
        heard, ended = event["time"], event["event"] == "session_ended"
    return seconds + heard - began, heard


def _spans(
    events: list[dict[str, Any]], ends: dict[str, dict[str, Any]], last: float, goes_on: bool, shift: float
) -> list[Span]:
    """The jobs of a session; an end that was found by a later one was at the latest when this one was last heard of."""
    spans = []
    for event in events:
        if event["event"] != "trial_started":
            continue
        end = ends.get(str(event["job"]))
        status = Status(end["status"]) if end else (None if goes_on else Status.LOST)
        spans.append(
            Span(
                worker=str(event["worker"]), trial=int(event["trial"]), job=str(event["job"]),
                began=event["time"] + shift, ended=(min(end["time"], last) if end else last) + shift, status=status,
            )
        )  # fmt: skip
    return spans


def read_events(log: Path) -> Iterator[dict[str, Any]]:
    """The events of a run folder's log, in order; a line that is torn, or none of ours, is passed over."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict) and isinstance(event.get("time"), (int, float)) and "event" in event:
                    yield event
    except OSError:
        return
