"""Searches with Python code of the user's: what they are told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metanas.errors import StudyError
from metanas.study import SearchResult

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("fails", [False, True])
def test_a_search_with_an_evaluator_of_ones_own_has_no_network(
    toy: Any, command: Command, orders: Callable[..., None], fails: bool
) -> None:
    orders(**{"raise": fails})
    run = toy.write(search={"trials": 2})
    code, _, err = command("search", run, "--runs", toy.folder / "runs", "-q", "--allow-python")
    assert code == (3 if fails else 0)
    assert ("No architecture got a value in 2 trials." in err) == fails
    (folder,) = (toy.folder / "runs").iterdir()
    report = (folder / "report.html").read_text()
    assert "Not tested yet" not in report
    assert fails or "Measured by an evaluator of your own" in report
    says = f"evaluator of your own trains no network, .*; see its architecture with: metanas architecture show {folder}"
    for use in ("network", "preparation"):
        with pytest.raises(StudyError, match=says):
            getattr(SearchResult.load(folder), use)
    code, _, err = command("export", folder, toy.folder / "exported")
    assert (code, "resume" in err) == (2, False)
