"""Workers killed at random, the coordinator killed and resumed, the disk filled: nothing is lost and nothing doubled."""

import sys
from pathlib import Path

import pytest

from metanas.testing.chaos import torment


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.timeout(600)
def test_every_trial_of_a_tormented_search_ends_exactly_once(tmp_path: Path) -> None:
    done = torment(tmp_path, trials=300, workers=8, seconds=0.2, kill_every=1.0, coordinator_kills=3)
    assert (done.trials, done.coordinator_kills, done.disk_full) == (300, 3, 1)
    assert done.worker_kills >= 5
    assert done.attempts > 300
