"""What commands print and write."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from metanas.architecture import Architecture
from metanas.space import load_space
from metanas.study import RunFolder

Command = Callable[..., tuple[int, str, str]]


# --- search, resume, status, report, export


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


# --- init


def _pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for label, level in (("cats", 60), ("dogs", 180)):
        (folder / label).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(rng.integers(level - 40, level + 40, (8, 8, 3)).astype(np.uint8)).save(
                folder / label / f"{number}.png"
            )


def _started(command: Command, folder: Path, *arguments: object) -> dict[str, Any]:
    """Init in a folder, a short search with what it wrote, and the run file."""
    code, out, err = command("init", folder, *arguments)
    assert code == 0, err
    assert (
        out
        == f"Wrote {folder / 'space.yaml'} and {folder / 'run.yaml'}. Search with:\n  metanas search {folder / 'run.yaml'}\n"
    )
    assert command("space", "validate", folder / "space.yaml")[0] == 0
    settings = dict(yaml.safe_load((folder / "run.yaml").read_text()))
    sets = [f"--set={key}" for key in ("search.trials=1", "fidelity.epochs=1", "workers={engine: inline}")]
    code, out, err = command("search", folder / "run.yaml", "--runs", folder / "runs", "-q", *sets)
    assert code == 0, err
    assert "On the test data" in out
    return settings


def test_init_for_images(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _pictures(tmp_path / "METRIC DATA")
    settings = _started(command, Path("a"), "--data", "METRIC DATA")
    assert settings["data"] == str(tmp_path / "METRIC DATA")
    assert settings["objective"] == {"maximize": "accuracy"}


def test_init_takes_a_mapping_as_the_other_commands_do(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _pictures(tmp_path / "photos")
    settings = _started(command, Path("a"), "--data", "{images: photos/, size: [6, 4], test: 0.25}")
    assert settings["data"] == {"images": str(tmp_path / "photos"), "size": [6, 4], "test": 0.25}
    rows = "".join(f"{n},{'ab'[n % 2]},{n % 7}\n" for n in range(60))
    (tmp_path / "people.tsv").write_text("age,no,'yes: so'\n".replace(",", "\t") + rows.replace(",", "\t"))
    settings = _started(command, Path("b"), "--data", "{table: people.tsv, ignore: ['no']}", "--target", "'yes: so'")
    expected = {"table": str(tmp_path / "people.tsv"), "ignore": ["no"], "target": "'yes: so'"}
    assert settings["data"] == expected
    code, _, err = command("init", "c", "--data", "{images: photos/, sizes: 32}")
    assert code == 2
    assert "'size'" in err
    assert not Path("c").exists()
    assert command("init", "d", "--data", "{name: wine}")[0] == 0
    assert "data: {name: wine}\n" in Path("d", "run.yaml").read_text()


def test_init_says_a_command_that_can_be_pasted(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "my search"
    said = command("init", folder)[1]
    assert said.endswith(f"  metanas search '{folder / 'run.yaml'}'\n")


def test_init_for_a_table(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{n},{'ab'[n % 2]},{n * 1.5 + n % 3}\n" for n in range(60))
    (tmp_path / "people.csv").write_text("age,no,yes: income\n" + rows)
    settings = _started(command, Path("b"), "--data", "people.csv", "--target", "yes: income")
    assert settings["data"] == {"table": str(tmp_path / "people.csv"), "target": "yes: income"}
    assert settings["objective"] == {"maximize": "r2"}
    settings = _started(command, Path("c"), "--data", "people.csv", "--target", "no")
    assert settings["data"]["target"] == "no"
    assert settings["objective"] == {"maximize": "accuracy"}


def test_init_overwrites_nothing_and_checks_the_data(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert (
        command("init", "file")[2]
        == "error: file: init writes into a folder, found a file; give the name of a folder\n"
    )
    assert command("init", "a")[0] == 0
    before = (tmp_path / "a" / "run.yaml").read_text()
    assert "data: digits" in before
    code, _, err = command("init", "a", "--data", "wine")
    assert code == 2
    assert "init writes new files only" in err
    assert (tmp_path / "a" / "run.yaml").read_text() == before
    code, _, err = command("init", "b", "--data", "wines")
    assert code == 2
    assert "'wine'" in err
    assert not (tmp_path / "b").exists()


def test_names_that_are_not_unicode_are_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # As Python reads "ü" where the locale has no UTF-8.
    folder = Path("b\udcc3\udcbc")
    _pictures(folder)
    code, _, err = command("init", "a", "--data", folder)
    assert code == 2
    assert r"--data: names and paths are to be Unicode, found " in err
    assert r"b\udcc3\udcbc; set a locale of UTF-8" in err
    assert command("init", "a", "--data", "people.csv", "--target", folder)[0] == 2
    assert not Path("a").exists()
    assert command("init", "a")[0] == 0
    _pictures(Path("a", "pictures"))
    Path("a", "run.yaml").write_text(json.dumps({"space": "convnet", "data": "pictures"}))
    Path("a").rename(folder / "a")
    code, _, err = command("search", folder / "a" / "run.yaml", "-q")
    assert code == 2
    assert "names and paths are to be Unicode" in err
    assert not list(tmp_path.glob("runs/*"))


# --- space


def test_space_validate(command: Command) -> None:
    code, out, _ = command("space", "validate", "nasbench201", "convnet", "--data", "digits")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("nasbench201: valid, 6 decisions, 15,625 rows; every network")
    assert all(line.endswith("can be built for samples of shape [1, 8, 8]") for line in lines)
    assert command("space", "validate", "nasbench_graph")[:2] == (
        0,
        "nasbench_graph: valid, 5 decisions, 59,040 rows\n",
    )
    assert command("space", "validate", "text_encoder", "--input", "7")[1].endswith("samples of shape [7]\n")


def test_sampled_rows_without_a_path_are_marked(command: Command, tmp_path: Path) -> None:
    space = load_space("nasbench101")
    arguments = ("space", "sample", "nasbench101", "-n", "20")
    drawn = json.loads(command(*arguments, "--json")[1])
    graphs = [Architecture.from_values(space, row["decisions"]).graph for row in drawn]
    assert [row["path"] for row in drawn] == [graph.output is not None for graph in graphs]
    marked = [
        line.endswith("(no path leads from input to output: never proposed)")
        for line in command(*arguments)[1].splitlines()
    ]
    assert marked == [not row["path"] for row in drawn]
    assert {True, False} == set(marked)
    one = tmp_path / "one.json"
    one.write_text(json.dumps(drawn[marked.index(True)]))
    assert "no path leads from input to output" in command("architecture", "show", one, "--space", "nasbench101")[1]
    _, _, err = command("architecture", "show", one, "--space", "nasbench101", "--data", "digits")
    assert "found no such path" in err
    assert "none" not in err
    assert json.loads(command("space", "sample", "mlp_classification", "--json")[1])[0]["path"]


def test_space_sample_and_count(command: Command) -> None:
    code, out, _ = command("space", "sample", "mlp", "-n", "3", "--seed", "5", "--json")
    assert code == 0
    drawn = json.loads(out)
    assert len(drawn) == 3
    assert json.loads(command("space", "sample", "mlp", "-n", "3", "--seed", "5", "--json")[1]) == drawn
    assert json.loads(command("space", "sample", "mlp", "-n", "3", "--seed", "6", "--json")[1]) != drawn
    assert command("space", "sample", "mlp", "-n", "3", "--seed", "5")[1].split()[0] == drawn[0]["canonical_id"]
    assert command("space", "count", "mlp")[1] == "rows: 1,440\n"
    counts = json.loads(command("space", "count", "mlp", "--networks", "--json")[1])
    assert counts["space"] == "mlp"
    assert counts["rows"] == 1440
    assert 1 <= counts["networks"] <= 1440


def test_a_space_of_thousands_of_digits(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text(
        "space: long\nnetwork: [{repeat: {repeat: {conv: {out: {int: [1, 9000]}}}, times: 200, share: false}, "
        "times: 6, share: false}, head]\n"
    )
    assert command("space", "count", file)[1] == "rows: about 10^4745\n"
    counts = json.loads(command("space", "count", file, "--json")[1])
    assert len(counts["rows"]) == 4746
    assert counts["rows_log10"] == pytest.approx(4745.09, abs=0.01)
    assert "rows    about 10^4745\n" in command("space", "show", file)[1]
    assert "1200 decisions, about 10^4745 rows" in command("space", "validate", file)[1]


def test_space_list_and_show(command: Command) -> None:
    code, out, _ = command("space", "list")
    assert code == 0
    assert {"convnet", "mlp", "mobile", "nasbench201"} <= {line.split()[0] for line in out.splitlines()}
    code, out, _ = command("space", "show", "mlp")
    assert code == 0
    assert "width" in out
    assert "body" in out


@pytest.mark.parametrize("more", [[], ["--sample", "3"]])
def test_space_draw(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("space", "draw", "mlp", *more)[:2] == (0, "mlp.svg\n")
    assert "<svg" in (tmp_path / "mlp.svg").read_text()
    assert command("space", "draw", "mlp", "-o", "a.png", *more)[:2] == (0, "a.png\n")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_space_profile(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(
        "space: small\ninput: table\nnetwork: [{dense: {units: {choice: [4, 8]}}}, head]\n"
        "constraints: ['params <= 60', 'params <= 5']\n"
    )
    code, out, _ = command("space", "profile", str(file), "--data", "iris")
    assert code == 0
    assert out.startswith("small on iris: 2 rows\n")
    assert "training step" in out
    assert "a search would refuse to start" in out
    found = json.loads(command("space", "profile", str(file), "--data", "iris", "--json")[1])
    params = found["measures"]["params"]
    assert (params["smallest"], params["largest"]) == (35, 67)
    assert params["median"] in (35, 51, 67)
    assert found["constraints"]["params <= 5"] == 0
    assert set(found["training_step"]) == {"smallest", "median", "largest"}
