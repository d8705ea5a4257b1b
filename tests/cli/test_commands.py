"""What the commands on searches print and write: search, status, report, export."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from metanas.study import RunFolder

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A search of two small networks, trained."""
    from metanas._search import start
    from metanas.study import parse_run_text

    text = json.dumps({
        "name": "wine", "space": "mlp", "data": "wine", "workers": {"engine": "inline"}, "fidelity": {"epochs": 2},
        "search": {"trials": 2, "seed": 1},
    })  # fmt: skip
    folder = tmp_path_factory.mktemp("finished")
    return start(parse_run_text(text, "run.yaml", base=folder), runs=folder, quiet=True).folder


def test_search_prints_the_result_and_where_it_lies(toy: Any, command: Command) -> None:
    code, out, err = command("search", toy.write(search={"trials": 3}), "--runs", toy.folder / "r", "--allow-python")
    (folder,) = (toy.folder / "r").iterdir()
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("Best on validation: accuracy 0.")
    assert lines[-1] == f"Report:             {folder / 'report.html'}"
    progress = err.splitlines()
    assert progress[0] == f"Searching 3 architectures with 1 worker. Run folder: {folder}"
    assert [line.split(":")[0] for line in progress[1:]] == ["[1/3] trial 0", "[2/3] trial 1", "[3/3] trial 2"]
    assert "; best accuracy 0." in progress[3]
    code, out, err = command("resume", folder, "--allow-python", "--set", "search.trials=4")
    assert code == 0
    assert "3 of them done before" in err
    assert "[4/4] trial 3" in err


def test_the_memory_of_a_training_is_limited_by_a_flag_that_the_run_folder_keeps(toy: Any, command: Command) -> None:
    run = toy.write(search={"trials": 1})
    options = ("--runs", toy.folder / "r", "--allow-python", "-q")
    assert command("search", run, *options, "--max-memory", "3GB", "--set", "search.max_memory=1GB")[0] == 0
    (folder,) = (toy.folder / "r").iterdir()
    assert yaml.safe_load((folder / "run.yaml").read_text())["search"]["max_memory"] == 3 * 2**30
    assert command("resume", folder, "--allow-python", "-q", "--max-memory", "512MB")[0] == 0
    assert yaml.safe_load((folder / "run.yaml").read_text())["search"]["max_memory"] == 512 * 2**20
    code, _, err = command("search", run, *options, "--max-memory", "much")
    assert code == 2
    assert "must be a size such as 4GB or 512MB" in err


def test_a_search_whose_time_is_up_before_a_trial_ends(toy: Any, command: Command) -> None:
    run = toy.write(search={"time": 0.001})
    code, _, err = command("search", run, "--runs", toy.folder / "r", "--allow-python", "-q")
    (folder,) = (toy.folder / "r").iterdir()
    assert code == 3
    assert f"No trial came to its end; give it more with: metanas resume {folder}" in err
    code, out, _ = command("status", folder)
    assert code == 0
    assert "Finished: the time is up." in out


def test_search_as_json(toy: Any, command: Command) -> None:
    run = toy.write(search={"trials": 3}, objective={"maximize": "accuracy", "minimize": "params"})
    code, out, err = command("search", run, "--runs", toy.folder / "r", "--allow-python", "--json", "--quiet")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert result["trials"] == 3
    assert set(result["best"]["values"]) == {"accuracy", "params"}
    assert set(result["best"]["decisions"]) == {"x1", "x2", "x3", "x4"}
    assert result["final"] is None
    assert Path(result["report"]).is_file()
    assert RunFolder.open(Path(result["run"]))


def test_a_trained_network_is_told_of(finished: RunFolder, command: Command) -> None:
    code, out, _ = command("resume", finished.path, "-q")
    assert code == 0
    lines = dict(line.split(":", 1) for line in out.splitlines())
    assert list(lines) == ["Best on validation", "Chosen", "On the test data", "Network", "Report"]
    assert "accuracy " in lines["On the test data"]
    assert lines["Network"].strip().startswith(str(finished.best / "network.py"))
    code, out, _ = command("resume", finished.path, "-q", "--json")
    assert set(json.loads(out)["final"]) >= {"test_accuracy", "params"}


def test_status(finished: RunFolder, command: Command) -> None:
    code, out, _ = command("status", finished.path)
    assert code == 0
    assert out.startswith("Evaluations: 2 of 2; trials: 2 complete; duplicates: 0\nBest so far: accuracy ")
    assert "A trial takes " in out
    assert "Finished. On the test data: accuracy " in out
    code, out, _ = command("status", finished.path, "--json")
    table = json.loads(out)
    assert (table["run"], table["budget"], table["evaluations"], table["trials"]) == (str(finished.path), 2, 2, 2)
    assert table["counts"] == {"complete": 2}
    assert set(table["values"]) == {"accuracy"}
    assert table["final"]["test_accuracy"] > 0


def test_status_of_a_search_that_was_stopped_tells_how_to_go_on(
    finished: RunFolder, command: Command, tmp_path: Path
) -> None:
    stopped = tmp_path / "a run"
    shutil.copytree(finished.path, stopped)
    shutil.rmtree(stopped / finished.best.name)
    run_file = stopped / finished.run_file.name
    run_file.write_text(run_file.read_text().replace("trials: 2", "trials: 3"))
    code, out, _ = command("status", stopped)
    assert code == 0
    assert "Evaluations: 2 of 3" in out
    assert f"go on with: metanas resume '{stopped}'" in out


def test_report_is_written_anew(finished: RunFolder, command: Command) -> None:
    finished.report.write_text("old")
    code, out, _ = command("report", finished.path)
    assert (code, out) == (0, f"{finished.report}\n")
    page = finished.report.read_text()
    assert "wine" in page
    # The copy in the folder knows what the command line set; the file that was given need not.
    assert f"metanas search {finished.run_file}" in page


def test_export(finished: RunFolder, command: Command, tmp_path: Path) -> None:
    code, out, _ = command("export", finished.path, tmp_path / "out")
    assert (code, out) == (0, f"{tmp_path / 'out'}\n")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"network.py", "weights.safetensors", "architecture.json", "preparation.json"}
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (finished.best / name).read_bytes()
    code, _, err = command("export", finished.path, tmp_path / "out")
    assert code == 2
    assert "must be a new or empty folder" in err
    code, _, err = command("export", finished.path, tmp_path / "b", "--format", "tflite")
    assert code == 2
    assert "onnx" in err


def test_a_full_disk_leaves_no_half_export(
    finished: RunFolder, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name.startswith("weights"):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        code, _, err = command("export", finished.path, tmp_path / "out")
    assert code == 2
    assert "No space left on device; free some space" in err
    assert not list((tmp_path / "out").iterdir())
    assert command("export", finished.path, tmp_path / "out")[0] == 0


def test_export_of_an_unfinished_search(toy: Any, command: Command) -> None:
    folder = toy.create(evaluator="train", search={"trials": 2})
    toy.session(folder, stop_after=1)
    for kind in ("pytorch", "onnx"):
        code, _, err = command("export", folder.path, toy.folder / "out", "--format", kind)
        assert code == 2
        assert f"metanas resume {folder.path}" in err
        assert not (toy.folder / "out").exists()
