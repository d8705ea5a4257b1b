"""What the commands on spaces print and write."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metanas.architecture import Architecture
from metanas.space import load_space

Command = Callable[..., tuple[int, str, str]]


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
