"""How long a search took that goes on."""

import pytest

from metanas.study._limits import seconds_spent
from metanas.trial import TrialRecord


def trial(number: int, started: float | None, ended: float | None) -> TrialRecord:
    return TrialRecord(number=number, decisions={}, canonical_id="", status=None, started=started, ended=ended)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], 0),
        ([(1000, 1010)], 10),
        ([(1000, 1010), (1010, 1030)], 30),
        # Side by side, one within another, and in whatever order.
        ([(1000, 1010), (1005, 1020)], 20),
        ([(1000, 1100), (1010, 1020), (1090, 1110)], 110),
        ([(1005, 1020), (1000, 1010)], 20),
        # What passed between trials is not of the search: it may have stood still.
        ([(1000, 1010), (1040, 1050), (9000, 9001)], 21),
        ([(1000, 1010), (1020, None), (None, None)], 10),
    ],
)
def test_the_time_of_earlier_sessions_is_the_union_of_their_trials(
    times: list[tuple[float | None, float | None]], expected: float
) -> None:
    assert seconds_spent([trial(number, *each) for number, each in enumerate(times)]) == expected
