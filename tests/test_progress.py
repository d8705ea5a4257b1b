"""What a search tells while it runs: a live display on a terminal, lines elsewhere."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from metanas import _progress
from metanas._progress import LiveProgress, PlainProgress, duration, make_progress, number
from metanas.study import Listener
from metanas.trial import EpochReport, Result, Status, TrialRecord

OBJECTIVES = (("accuracy", "maximize"), ("params", "minimize"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (12.4, "12s"), (59.6, "1m00s"), (200, "3m20s"), (3725, "1h02m"), (90_000, "25h00m"), (-3, "0s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.98123, "0.9812"), (12345.0, "12,345"), (1.0, "1"), (0.0, "0"), (2.5, "2.5"), (1e-7, "1e-07")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_a_reader_that_leaves_ends_no_search() -> None:
    class Gone(StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    progress = PlainProgress(_progress._Display(file=Gone()), OBJECTIVES, 3)
    progress.trial_ended(record(0), None)
    progress.trial_ended(record(1), None)
    assert progress.done == 2
    assert progress.console.quiet


def record(trial: int, **fields: Any) -> TrialRecord:
    settings: dict[str, Any] = {"status": Status.COMPLETE, "values": (0.9, 1234.0), "epochs": 3, "seconds": 4.0}
    return TrialRecord(number=trial, decisions={}, **{"canonical_id": f"n{trial}"} | settings | fields)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [0.0]
    monkeypatch.setattr(_progress, "_now", lambda: now[0])
    return now


def tell(progress: Listener, clock: list[float]) -> None:
    """A search of four, of which one was known, with a duplicate and a failure."""
    best = record(1)
    failed = record(3, status=Status.OUT_OF_MEMORY, values=None, message="no memory; lower train.batch_size")
    progress.began(folder=Path("runs/a"), trials=4, time=None, workers=2, known=1)
    progress.trial_started(record(1, status=None, values=None), "worker-0")
    progress.trial_reported(record(1, status=None), EpochReport(job_id="t1-a0", epoch=2, metrics={}))
    clock[0] = 10.0
    progress.trial_ended(best, best)
    progress.trial_ended(record(2, duplicate_of=1, seconds=0.0), best)
    progress.trial_ended(failed, best)
    progress.draining(1)
    progress.final_started(best, 12)
    progress.final_reported(EpochReport(job_id="final-t1", epoch=1, metrics={}))
    progress.final_ended(Result(job_id="final-t1", status=Status.COMPLETE))


def test_plain_lines(clock: list[float]) -> None:
    out = StringIO()
    tell(PlainProgress(Console(file=out, width=40), OBJECTIVES, 3), clock)
    best = "best accuracy 0.9, params 1,234 (trial 1)"
    assert out.getvalue().splitlines() == [
        "Searching 4 architectures with 2 workers, 1 of them done before. Run folder: runs/a",
        f"[2/4] trial 1: accuracy 0.9, params 1,234 (3 epochs, 4s); {best}; 20s left",
        f"[2/4] trial 2: accuracy 0.9, params 1,234 (the network of trial 1); {best}; 20s left",
        f"[3/4] trial 3: out of memory (no memory; lower train.batch_size); {best}; 5s left",
        "Stopping: 1 trial is finishing. Press Ctrl-C again to stop at once.",
        "Training the network of trial 1 on training and validation data for 12 epochs.",
    ]


def test_lines_of_repeats_and_of_results_that_are_looked_up(clock: list[float]) -> None:
    for epochs, told in ((3, ("3 epochs, 4s", "trial 1 again, 3 epochs, 4s")), (None, ("4s", "trial 1 again, 4s"))):
        out = StringIO()
        progress = PlainProgress(Console(file=out), OBJECTIVES[:1], epochs)
        for each in (1, 2):
            progress.trial_ended(record(each, values=(0.9,), canonical_id="a"), None)
        progress.trial_ended(record(3, values=(0.9,), seconds=0.0), None)
        last = "" if epochs is None else " (3 epochs, 0s)"
        assert out.getvalue().splitlines() == [
            f"[1] trial 1: accuracy 0.9 ({told[0]})", f"[2] trial 2: accuracy 0.9 ({told[1]})", f"[3] trial 3: accuracy 0.9{last}",
        ]  # fmt: skip


def test_one_of_a_kind_is_singular(clock: list[float]) -> None:
    out = StringIO()
    progress = PlainProgress(Console(file=out), OBJECTIVES[:1], 1)
    progress.began(folder=Path("runs/a"), trials=1, time=None, workers=1, known=0)
    progress.trial_ended(record(1, values=(0.9,), epochs=1), None)
    progress.final_started(record(1), 1)
    assert out.getvalue().splitlines() == [
        "Searching 1 architecture with 1 worker. Run folder: runs/a",
        "[1/1] trial 1: accuracy 0.9 (1 epoch, 4s)",
        "Training the network of trial 1 on training and validation data for 1 epoch.",
    ]


def test_live_display(clock: list[float]) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    progress = LiveProgress(console, OBJECTIVES, 3)
    progress.began(folder=Path("runs/a"), trials=4, time=None, workers=2, known=0)
    progress.trial_started(record(0, status=None, values=None), "worker-0")
    for trial in range(1, 11):
        progress.trial_started(record(trial, status=None, values=None), f"worker-{trial}")
    progress.trial_reported(record(0, status=None), EpochReport(job_id="t0-a0", epoch=2, metrics={}))
    clock[0] = 10.0
    progress.trial_ended(record(1), record(1))
    progress.trial_ended(record(2, duplicate_of=1), record(1))
    console.print(progress._view())
    shown = out.getvalue()
    for words in (
        "1/4", "about 30s left", "best so far: accuracy 0.9, params 1,234 (trial 1)", "1 proposal was a network already known",
        "trial 0", "epoch 2/3", "and 1 more",
    ):  # fmt: skip
        assert words in shown, words
    progress.final_started(record(1), 12)
    progress.final_reported(EpochReport(job_id="final-t1", epoch=5, metrics={}))
    console.print(progress._view())
    assert "training the best (trial 1)" in out.getvalue()
    assert "5/12" in out.getvalue()
    progress.final_ended(Result(job_id="final-t1", status=Status.COMPLETE))
    assert not progress.live.is_started
    progress.close()


def test_a_budget_of_time_tells_what_is_left(clock: list[float]) -> None:
    progress = PlainProgress(Console(file=StringIO()), OBJECTIVES, 3)
    progress.began(folder=Path("a"), trials=None, time=60.0, workers=1, known=0)
    clock[0] = 45.0
    assert progress.left == 15
    again = PlainProgress(Console(file=StringIO()), OBJECTIVES, 3)
    again.began(folder=Path("a"), trials=None, time=60.0, spent=50.0, workers=1, known=4)
    assert again.left == 10, "earlier sessions count"
    clock[0] = 99.0
    assert progress.left == 0


def test_the_pace_of_trials_is_counted_from_the_end_of_a_supernet(clock: list[float]) -> None:
    progress = PlainProgress(Console(file=StringIO()), OBJECTIVES, 3)
    progress.began(folder=Path("a"), trials=3, time=None, workers=1, known=0)
    clock[0] = 90.0
    progress.supernet_ended(Result(job_id="supernet", status=Status.COMPLETE, metrics={"candidates": 5}))
    clock[0] = 92.0
    progress.trial_ended(record(0), record(0))
    assert progress.left == 4


def test_which_display_is_chosen() -> None:
    assert type(make_progress(OBJECTIVES, 3, quiet=True)) is Listener
    assert type(make_progress(OBJECTIVES, 3)) is PlainProgress, "tests have no terminal"
