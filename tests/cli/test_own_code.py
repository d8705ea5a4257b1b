"""Searches with Python code of the user's: what they are told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metanas.errors import StudyError
from metanas.study import SearchResult, plan, read_run_file

Command = Callable[..., tuple[int, str, str]]
OWN_OP = """\
space: own
input: table
ops: {own: {python: 'torch.nn:Identity'}}
network: [{dense: {units: {choice: [4, 8]}}}, own, head]
"""


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


def test_commands_on_a_run_with_code_of_ones_own_allow_it(toy: Any, command: Command) -> None:
    run = toy.write(search={"trials": 1})
    _, out, _ = command("search", run, "--runs", toy.folder / "runs", "-q", "--allow-python")
    assert "pass --allow-python (allow_python=True from Python)" in command("search", run)[2]
    (folder,) = (toy.folder / "runs").iterdir()
    assert f"metanas search {folder}/run.yaml --allow-python" in (folder / "report.html").read_text()
    assert f"metanas architecture show {folder}\n" in out, "which imports nothing"
    unfinished = toy.create(search={"trials": 2})
    toy.session(unfinished, stop_after=1)
    assert f"go on with: metanas resume {unfinished.path} --allow-python\n" in command("status", unfinished.path)[1]


@pytest.mark.parametrize(
    ("keys", "needs"),
    [
        ({}, False),
        ({"train": {"loss": "cross_entropy"}}, False),
        ({"train": {"loss": "own_losses:mine"}}, True),
        ({"train": {"loss": {"choice": ["cross_entropy", "own_losses:mine"]}}}, True),
        ({"objective": {"maximize": ["accuracy", "own_metrics:mine"]}}, True),
        ({"space": OWN_OP}, True),
        ({"evaluator": {"python": "fake_evaluator:Fake"}}, True),
    ],
)
def test_what_is_code_of_ones_own(toy: Any, keys: dict[str, Any], needs: bool) -> None:
    run = read_run_file(toy.write(**{"evaluator": "train"} | keys))
    assert plan(run, allow_python=True).needs_python == needs


OWN_EVALUATORS = """
class NoLicence:
    def __init__(self, setup, *, device, threads):
        raise RuntimeError("no licence\\nfor my simulator")

class NoDevice:
    def __init__(self, setup):
        pass

NOT_CALLABLE = 3
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "own_to_start:NoDevise",
            "must have a class or function NoDevise, found nothing of that name; did you mean 'NoDevice'?",
        ),
        ("own_to_start:NOT_CALLABLE", "found a value of type int; define it in own_to_start"),
        ("own_to_start:NoDevice", "found NoDevice(setup): got an unexpected keyword argument 'device'"),
        ("no_such_module:Any", "No module named 'no_such_module'; install its package"),
        ("own_that_fails:Any", "found ZeroDivisionError: division by zero (|own_that_fails.py:2 in <module>)"),
    ],
)
def test_an_evaluator_that_is_none_is_told_before_there_is_a_run_folder(
    toy: Any, command: Command, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.syspath_prepend(toy.folder)
    (toy.folder / "own_to_start.py").write_text(OWN_EVALUATORS)
    (toy.folder / "own_that_fails.py").write_text("import os\n1 / 0\n")
    run = toy.write(evaluator={"python": name}, workers={"engine": "local", "count": 1})
    code, out, err = command("search", run, "--runs", toy.folder / "runs", "-q", "--allow-python")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert all(words in err for words in says.split("|"))
    assert not (toy.folder / "runs").exists()


def test_an_evaluator_that_does_not_start_is_told_in_a_line(
    toy: Any, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(toy.folder)
    (toy.folder / "own_to_start.py").write_text(OWN_EVALUATORS)
    run = toy.write(evaluator={"python": "own_to_start:NoLicence"}, workers={"engine": "local", "count": 1})
    code, _, err = command("search", run, "--runs", toy.folder / "runs", "-q", "--allow-python")
    (line,) = err.splitlines()
    assert code == 2
    assert "the evaluator must start, found RuntimeError: no licence for my simulator (" in line
    assert line.endswith("own_to_start.py:4 in __init__)")
