"""A toy search: a space of 256 architectures, a table of 60 rows, and an evaluator that does not train."""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metanas.study import Listener, Outcome, RunFolder, Search, create_run, plan, read_run, read_run_file, run_session
from metanas.trial import TrialRecord

FAKES = Path(__file__).parent / "fakes"

# Background jobs of a shell ignore Ctrl-C, and so would all that tests start from there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TOY_SPACE = """\
space: toy
language: 1
input: table
let:
  x1: {choice: [1, 2, 3, 4]}
  x2: {choice: [1, 2, 3, 4]}
  x3: {choice: [1, 2, 3, 4]}
  x4: {choice: [1, 2, 3, 4]}
network:
  - dense: {units: $x1}
  - dense: {units: $x2}
  - dense: {units: $x3}
  - dense: {units: $x4}
  - head
"""


class StopAfter(Listener):
    """Stops its search when so many more trials have ended."""

    def __init__(self, trials: int | None) -> None:
        self.left = trials
        self.search: Search | None = None

    def trial_ended(self, record: TrialRecord, best: TrialRecord | None) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                assert self.search is not None
                self.search.stop()


@dataclass
class Toy:
    """Files of a toy search in ``folder``, and what a test does with them."""

    folder: Path

    def write(self, space: str = TOY_SPACE, **keys: Any) -> Path:
        """A run file; ``keys`` replace its own."""
        (self.folder / "space.yaml").write_text(space)
        settings = {
            "name": "toy", "space": "space.yaml", "data": "data.npz", "evaluator": {"python": "fake_evaluator:Fake"},
            "workers": {"engine": "inline"}, "fidelity": {"epochs": 2}, "search": {"trials": 8},
        }  # fmt: skip
        path = self.folder / "run.yaml"
        path.write_text(json.dumps(settings | keys))  # JSON is YAML
        return path

    def create(self, space: str = TOY_SPACE, **keys: Any) -> RunFolder:
        """A run folder in which nothing has been searched yet."""
        run = read_run_file(self.write(space, **keys))
        return create_run(plan(run, allow_python=True), self.folder / "runs")

    def session(self, folder: RunFolder, *, stop_after: int | None = None, **options: Any) -> Outcome:
        """One session in a run folder."""
        listener = StopAfter(stop_after)

        def begin(search: Search) -> None:
            listener.search = search

        return run_session(folder, allow_python=True, listener=listener, on_search=begin, **options)

    def search(self, space: str = TOY_SPACE, **keys: Any) -> tuple[Outcome, list[TrialRecord]]:
        """A whole search, and its trials as the folder holds them."""
        folder = self.create(space, **keys)
        outcome = self.session(folder)
        return outcome, trials_of(folder)


def trials_of(folder: RunFolder) -> list[TrialRecord]:
    """The trials in a run folder, by number."""
    return [record for _, record in sorted(read_run(folder)[2].records.items())]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKES), *filter(None, sys.path)]))
    monkeypatch.delenv("FAKE", raising=False)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(60, 3)), y=np.repeat(["a", "b"], 30))
    return Toy(tmp_path)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Tell the fake evaluator what to do."""

    def give(**what: Any) -> None:
        monkeypatch.setenv("FAKE", json.dumps(what))

    return give


@pytest.fixture
def trials() -> Callable[[RunFolder], list[TrialRecord]]:
    """Read the trials of a run folder."""
    return trials_of


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, standard output, standard error."""
    from metanas.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metanas", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        code = exit_.value.code
        assert isinstance(code, int)
        return code, out, err

    return run
