"""The default file: its writer is killed at any moment, its disk is filled, and what was acknowledged stays."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metanas.errors import StudyError
from metanas.study import Ending, RunFolder
from metanas.study._journal import open_journal
from metanas.trial import Status

_WRITER = """
import sys
from pathlib import Path
from metanas.space import parse_space_text
from metanas.study import Trials
from metanas.study._journal import open_journal
from metanas.trial import Result, Status
space = parse_space_text(Path(sys.argv[2]).read_text())
trials = Trials(open_journal(Path(sys.argv[1])), "study", space, [("value", "maximize")])
rows = space.rows(256)
print("open", len(trials.records), flush=True)
while True:
    record = trials.create(rows[len(trials.records) % 256], origin="random", canonical_id="x")
    trials.report(record.number, 1, {"value": 0.5})
    trials.finish(record.number, Result(job_id=f"t{record.number}", status=Status.COMPLETE, metrics={"value": 1.0}))
    print(record.number, flush=True)
"""


def test_a_writer_that_is_killed_at_any_moment_loses_nothing_that_it_acknowledged(toy: Any, tmp_path: Path) -> None:
    rng = random.Random(3)
    toy.write()
    journal, told = tmp_path / "study.journal", -1
    acknowledged: set[int] = set()
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(journal), str(toy.folder / "space.yaml")], stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        first = writer.stdout.readline()
        assert first.startswith("open")
        assert int(first.split()[1]) >= told + 1
        time.sleep(rng.uniform(0.05, 0.2))
        writer.kill()
        lines = writer.communicate()[0].split("\n")[:-1]
        assert writer.returncode == -signal.SIGKILL
        # A trial that was under way at a kill is not among them, whatever came after it.
        acknowledged.update(map(int, lines))
        told = max(acknowledged, default=-1)
        # Half of the times a torn line on top, as a power cut leaves it.
        if rng.random() < 0.5:
            content = journal.read_bytes()
            journal.write_bytes(content + content[: rng.randrange(1, content.index(b"\n"))])
        storage = open_journal(journal)
        trials = storage.get_all_trials(storage.get_study_id_from_name("study"), deepcopy=False)
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert len(trials) > told
        assert all(trials[n].state.name == "COMPLETE" and trials[n].values == [1.0] for n in acknowledged)
    assert told > 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if not hasattr(os, "getuid") or os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a file system here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_filled_again_and_again(toy: Any, trials: Any, small_disk: Path) -> None:
    folder = toy.create(search={"trials": 40}, fidelity={"epochs": 3})
    folder = RunFolder(folder.path.rename(toy.folder / "run"))
    place = small_disk / "run"
    subprocess.run(["cp", "-r", str(folder.path), str(place)], check=True)
    folder = RunFolder.open(place)
    rng = random.Random(1)
    toy.session(folder, stop_after=2)
    kept = trials(folder)
    full = 0
    for _ in range(6):
        filler = small_disk / "filler"
        left = os.statvfs(small_disk)
        # Pages of 4 KiB: the file's own last page decides where in a line the disk ends.
        room = 4096 * rng.randrange(1, 4)
        filler.write_bytes(b"\0" * max(0, left.f_bavail * left.f_frsize - room))
        try:
            toy.session(folder, stop_after=8)
        except StudyError as error:
            full += "the disk must have room for the study" in str(error)
        filler.unlink()
        # What was told before is still there, whatever the last line looks like.
        found = {trial.number: trial for trial in trials(folder) if trial.status is not None}
        for trial in kept:
            assert found[trial.number] == trial
        kept = list(found.values())
    assert full >= 3
    assert toy.session(folder).ending is Ending.TRIALS
    assert [trial.number for trial in trials(folder)] == list(range(40))
    assert {trial.status for trial in trials(folder)} == {Status.COMPLETE}
    for trial in kept:
        assert trial in trials(folder)
