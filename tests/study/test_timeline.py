"""From the log to what the workers did."""

import json
from pathlib import Path
from typing import Any

import pytest

from metanas.study import read_timeline
from metanas.study._timeline import time_so_far
from metanas.trial import Status


def write(path: Path, *events: tuple[float, str, dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps({"time": t, "event": kind, **more}) + "\n" for t, kind, more in events))
    return path


def started(time: float, trial: int, worker: str, job: str) -> tuple[float, str, dict[str, Any]]:
    return time, "trial_started", {"trial": trial, "job": job, "worker": worker}


def ended(time: float, trial: int, job: str, status: str = "complete") -> tuple[float, str, dict[str, Any]]:
    return time, "trial_ended", {"trial": trial, "job": job, "status": status, "seconds": 1.0}


EVENTS = (
    (1000.0, "session_began", {"workers": 2}),
    started(1002.0, 0, "worker-0", "a"),
    started(1004.0, 1, "worker-1", "b"),
    ended(1010.0, 0, "a"),
    # Killed here; the next session begins an hour later.
    (4600.0, "session_began", {"workers": 2}),
    started(4601.0, 1, "worker-0", "c"),
    ended(4605.0, 1, "c", "pruned"),
    started(4605.0, 2, "worker-0", "d"),
)


def test_sessions_are_joined_and_what_was_cut_off_is_lost(tmp_path: Path) -> None:
    timeline = read_timeline(write(tmp_path / "log.jsonl", *EVENTS))
    assert [(s.worker, s.trial, s.began, s.ended, s.status) for s in timeline.spans] == [
        ("worker-0", 0, 2, 10, Status.COMPLETE),
        ("worker-1", 1, 4, 10, Status.LOST),
        ("worker-0", 1, 11, 15, Status.PRUNED),
        ("worker-0", 2, 15, 15, Status.LOST),
    ]
    assert timeline.seconds == 15
    assert timeline.capacity == 2 * 8 + 2 * 4
    assert timeline.utilisation == pytest.approx((8 + 6 + 4) / 24)
    assert timeline.running == []


def test_a_result_that_a_later_session_found_belongs_to_the_one_that_made_it(tmp_path: Path) -> None:
    found = ended(4600.5, 1, "b")
    timeline = read_timeline(write(tmp_path / "log.jsonl", *EVENTS[:5], found, *EVENTS[5:]))
    assert [(s.trial, s.began, s.ended, s.status) for s in timeline.spans][:2] == [
        (0, 2, 10, Status.COMPLETE),
        (1, 4, 10, Status.COMPLETE),
    ]
    assert timeline.seconds == 15


def test_a_search_that_goes_on_has_jobs_under_way(tmp_path: Path) -> None:
    timeline = read_timeline(write(tmp_path / "log.jsonl", *EVENTS), running=True, now=4610.0)
    (running,) = timeline.running
    assert (running.job, running.began, running.ended) == ("d", 15, 20)


def test_time_so_far_is_that_of_sessions_and_not_of_what_comes_after(tmp_path: Path) -> None:
    assert time_so_far(tmp_path / "none.jsonl") == (0, 0)
    log = write(tmp_path / "log.jsonl", (900.0, "proxy", {}), *EVENTS)
    assert time_so_far(log) == (15, 4605)
    log = write(log, *EVENTS, (4607.0, "session_ended", {}), (4660.0, "final_ended", {}))
    assert time_so_far(log) == (17, 4607)
    assert read_timeline(log).seconds == 17


@pytest.mark.parametrize(
    "text", ["", "torn", '{"event": "trial_started"}\n[1]\n"x"\n\xff\n', '{"time": 1, "event": "x"}\n']
)
def test_a_log_that_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.jsonl").write_text(text)
    for path in (tmp_path / "log.jsonl", tmp_path / "missing"):
        timeline = read_timeline(path)
        assert (list(timeline.spans), timeline.utilisation) == ([], None)


def test_a_search_leaves_its_timeline_in_status_and_report(toy: Any, command: Any) -> None:
    from metanas._search import write_report

    folder = toy.create(search={"trials": 6}, workers={"engine": "local", "count": 2})
    toy.session(folder, stop_after=3)
    toy.session(folder)
    timeline = read_timeline(folder.log)
    assert sorted({span.trial for span in timeline.spans}) == list(range(6))
    assert {span.worker for span in timeline.spans} <= {"worker-0", "worker-1"}
    code, out, _ = command("status", folder.path, "--json")
    table = json.loads(out)
    assert (code, table["running"], table["owner"]) == (0, [], None)
    assert 0 < table["utilisation"] <= 1
    assert "What the workers did" in write_report(folder).read_text()
