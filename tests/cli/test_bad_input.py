"""Input that cannot be used: exit code 2, a message that names place and remedy, and nothing left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Command = Callable[..., tuple[int, str, str]]

MLP = "space: mine\ninput: table\nnetwork: [{dense: {units: {choice: [4, 8]}}}, head]\n"
CONV = "space: mine\ninput: image\nnetwork: [{conv_bn_act: {out: 4}}, global_pool, head]\n"
UNEQUAL = """\
space: mine
input: image
network:
  - conv_bn_act: {out: 4}
  - parallel: [{conv: {out: 4, stride: 2}}, {conv: {out: 8}}]
    merge: sum
  - global_pool
  - head
"""
SPACES = {
    "unknown op": (MLP.replace("dense", "dens"), ["space.yaml:3:12:", "'dens'", "did you mean 'dense'?"]),
    "wrong type": (MLP.replace("[4, 8]", "[4, wide]"), ["space.yaml:3:", "units", "'wide'"]),
    "unknown parameter": (MLP.replace("units", "unit"), ["space.yaml:3:", "did you mean 'units'?"]),
    "duplicate key": (MLP + "input: table\n", ["space.yaml:4:1:", "'input' again (first at line 2)", "remove or rename"]),
    "unknown key": (MLP + "inputs: table\n", ["space.yaml:4:1:", "'inputs'", "did you mean 'input'?"]),
    "cyclic block": (
        "space: mine\ninput: table\nblocks: {a: [b], b: [{dense: {units: 3}}, a]}\nnetwork: [a, head]\n",
        ["space.yaml:3:", "a"],
    ),
    "no YAML": ("space: [", ["space.yaml:2:1:", "must be YAML", "brackets"]),
    "no network": ("space: mine\ninput: table\n", ["space.yaml:1:1:", "add 'network: [...]'"]),
    "Python": ("space: !!python/object/apply:os.system [ls]\n", ["space.yaml:1:8"]),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{n},{'ab'[n % 2]},{n * 0.5},{'no' if n % 3 else 'yes'}\n" for n in range(60))
    (tmp_path / "people.csv").write_text("age,city,income,label\n" + rows)
    (tmp_path / "space.yaml").write_text(MLP)
    (tmp_path / "run.yaml").write_text(
        "space: space.yaml\ndata: {table: people.csv, target: label}\nsearch: {trials: 1}\n"
    )
    return tmp_path


def refused(command: Command, folder: Path, *arguments: object) -> str:
    """The message of a command that refuses its input."""
    before = sorted(folder.rglob("*"))
    code, out, err = command(*arguments)
    assert (code, out) == (2, ""), err
    assert "Traceback" not in err
    assert sorted(folder.rglob("*")) == before, "nothing is left behind"
    return err


@pytest.mark.parametrize("what", SPACES)
def test_space_files(command: Command, folder: Path, what: str) -> None:
    text, words = SPACES[what]
    (folder / "space.yaml").write_text(text)
    for arguments in (("space", "validate", "space.yaml"), ("search", "run.yaml", "-q")):
        message = refused(command, folder, *arguments)
        for word in words:
            assert word in message, arguments


def test_a_cycle_is_shown(command: Command, folder: Path) -> None:
    (folder / "space.yaml").write_text(SPACES["cyclic block"][0])
    message = refused(command, folder, "space", "validate", "space.yaml")
    assert "a -> b -> a" in message


def test_all_mistakes_at_once(command: Command, folder: Path) -> None:
    (folder / "space.yaml").write_text(MLP.replace("dense", "dens") + "tain: {}\n")
    assert len(refused(command, folder, "space", "validate", "space.yaml").splitlines()) == 2
    (folder / "run.yaml").write_text("space: space.yaml\ndata: 3\nserch: {}\nworkers: many\n")
    lines = refused(command, folder, "search", "run.yaml").splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["error", f"run.yaml:{at}"] for at in ("2:7", "3:1", "4:10")]
    (folder / "space.yaml").write_text(MLP)
    (folder / "run.yaml").write_text(
        "space: space.yaml\ndata: iris\ntrain: {lr: {choice: [-1, 2]}, loss: 'own:mine', clip: -3}\n"
    )
    lines = refused(command, folder, "search", "run.yaml").splitlines()
    assert len(lines) > 1
    assert all(line.startswith("error: run.yaml") for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [("space", "validate", "space.yaml", "--data", "digits"), ("search", "run.yaml", "-q", "--set", "data=digits")],
)
def test_shapes_that_cannot_merge(command: Command, folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "space.yaml").write_text(UNEQUAL)
    message = refused(command, folder, *arguments)
    assert "4" in message
    assert "8" in message
    assert "parallel" in message or "merge" in message
    assert "[4, 4, 4]" in message
    assert "[8, 8, 8]" in message


def test_one_option_that_cannot_be_built_is_found_by_validate(command: Command, folder: Path) -> None:
    (folder / "space.yaml").write_text(
        UNEQUAL.replace("stride: 2", "stride: 1").replace("out: 8", "out: {choice: [4, 8]}")
    )
    for arguments in (
        ("space", "validate", "space.yaml", "--data", "digits"),
        ("space", "validate", "space.yaml"),
        ("space", "validate", "space.yaml", "--input", "1,8,8"),
        ("search", "run.yaml", "-q", "--set", "data=digits"),
    ):
        message = refused(command, folder, *arguments)
        assert "space.yaml:5:5: $.network[1]: the branches of a sum have equal shapes" in message
        assert "from parallel.conv (line 5)" in message
        assert "from parallel.conv_2 (line 5)" in message
        assert "when parallel.conv_2.out=8" in message
    (folder / "space.yaml").write_text(
        (folder / "space.yaml").read_text() + 'constraints: ["parallel.conv_2.out != 8"]\n'
    )
    code, out, _ = command("space", "validate", "space.yaml", "--data", "digits")
    text = "every network can be built for samples of shape [1, 8, 8]"
    assert (code, out) == (0, f"space.yaml: valid, 1 decisions, 1 rows; {text}\n")


def test_data_of_a_command_may_be_a_mapping_as_in_a_run_file(command: Command, folder: Path) -> None:
    (folder / "dot.csv").write_text("a,b,t\n" + "".join(f"{n}.5,{'xyz'[n % 3]},{n % 2}\n" for n in range(60)))
    given = ("--data", "{table: dot.csv, target: t}")
    code, out, _ = command("space", "validate", "mlp", *given)
    assert code == 0
    assert "every network can be built for samples of shape [4]" in out
    assert command("evaluate", "mlp", "--proxy", "synflow", "--count", "2", *given)[0] == 0
    message = refused(command, folder, "space", "profile", "mlp", "--data", "{table: dot.csv, targe: t}")
    assert "did you mean 'target'?" in message
    assert "must be YAML" in refused(command, folder, "space", "profile", "mlp", "--data", "{table: dot.csv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "8,8"], ["the shape of image data is CHANNELS,HEIGHT,WIDTH", "'8,8'"]),
        (["--input", "1,8,0"], ["the shape of image data is CHANNELS,HEIGHT,WIDTH"]),
        (["--data", "wine"], ["the space and the data are of one kind", "table data"]),
        (["--data", "digits", "--input", "1,8,8"], ["--data or --input, not both"]),
    ],
)
def test_samples_that_no_space_can_be_validated_for(
    command: Command, folder: Path, arguments: list[str], words: list[str]
) -> None:
    (folder / "space.yaml").write_text(CONV)
    message = refused(command, folder, "space", "validate", "space.yaml", *arguments)
    assert all(word in message for word in words)


def test_a_tabular_space_has_no_shapes(command: Command, folder: Path) -> None:
    (folder / "space.yaml").write_text("space: t\ninput: table\ntabular: {a: {choice: [p, q]}}\n")
    message = refused(command, folder, "space", "validate", "space.yaml", "--data", "iris")
    assert "a tabular space has no networks whose shapes could be checked" in message
    (folder / "one.json").write_text('{"space": "t", "decisions": {"a": "p"}}')
    message = refused(command, folder, "architecture", "show", "one.json", "--space", "space.yaml", "--data", "iris")
    assert "a tabular space has no networks to build" in message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{table: poeple.csv, target: label}", ["no such file", "poeple.csv", "people.csv"]),
        ("{table: people.csv, target: lable}", ["lable", "'label'"]),
        ("{table: people.csv, target: label, ignore: [ctiy]}", ["ctiy", "'city'"]),
        ("{table: one.csv, target: label}", ["class"]),
        ("{table: nan.csv, target: income, task: regression}", ["income"]),
        ("{table: empty.csv, target: label}", ["empty.csv"]),
        ("digit", ["'digits'"]),
        ("missing/", ["missing"]),
        ("{arrays: nan.npz}", ["NaN"]),
        ("{arrays: people.npz}", ["people.npz"]),
        ("digits", ["the space and the data are of one kind", "input: image"]),
        ("diabetes\nobjective: {maximize: accuracy}", ["accuracy", "r2"]),
        ("wine\nobjective: {minimize: rmse}", ["rmse", "accuracy"]),
    ],
)
def test_data(command: Command, folder: Path, data: str, words: list[str]) -> None:
    text = (folder / "people.csv").read_text()
    (folder / "one.csv").write_text(text.replace("yes", "no"))
    (folder / "nan.csv").write_text(text.replace("a,5.0,", "a,NaN,"))
    (folder / "empty.csv").write_text("")
    np.savez(folder / "nan.npz", x=np.ones((40, 3)), y=np.array([np.nan, *range(39)]))
    (folder / "people.npz").write_text(text)
    (folder / "run.yaml").write_text(f"space: space.yaml\ndata: {data}\n")
    message = refused(command, folder, "search", "run.yaml", "-q")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["constraints=[params <= 3]"],
            ["'params <= 3'", "none of 2 tried", "the smallest values seen were params 30", "relax them"],
        ),
        (["constraints=[parms <= 3]"], ["parms", "params", "--set constraints"]),
        (["constraints=[params <= ]"], ["params <="]),
        (["search.strategy=evoluton"], ["--set search.strategy:1:1", "'evolution'"]),
        (["search.strategy=optuna:tp"], ["'optuna:tpe'"]),
        (["search.strategy={optuna:tpe: {seeed: 3}}"], ["seeed", "search.strategy"]),
        (["objective=accurcy"], ["no metric has the name 'accurcy'", "'accuracy'"]),
        (["search.trials=0"], ["--set search.trials:1:1: $.search.trials: must be a whole number from 1, found"]),
        (["search.trails=3"], ["did you mean 'trials'?"]),
        (["train.lr=-1"], ["lr is a number above 0"]),
        (["train.lr={float: [1e-1, 1e-4]}"], ["$.train.lr"]),
        (["train.loss=my_losses:huber"], ["--allow-python", "my_losses:huber"]),
        (["evaluator={python: 'my_evaluators:Mine'}"], ["--allow-python", "my_evaluators:Mine"]),
        (["space=convnett"], ["'convnet'"]),
        (["space=other.yaml"], ["other.yaml"]),
        (["storage=nowhere"], ["storage is default, or a URL"]),
    ],
)
def test_settings(command: Command, folder: Path, settings: list[str], words: list[str]) -> None:
    sets = [part for setting in settings for part in ("--set", setting)]
    message = refused(command, folder, "search", "run.yaml", "-q", *sets)
    for word in words:
        assert word in message


def test_files_and_folders_that_are_not_there(command: Command, folder: Path) -> None:
    assert "missing.yaml" in refused(command, folder, "search", "missing.yaml")
    assert "spce.yaml" in refused(command, folder, "space", "validate", "spce.yaml")
    for words in (["resume"], ["status"], ["report"]):
        assert "must be a run folder" in refused(command, folder, *words, folder)
        assert "no such folder" in refused(command, folder, *words, folder / "runs" / "x")
    assert "must be a run folder" in refused(command, folder, "export", folder, folder / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serch"], "Did you mean 'search'?"),
        (["dance"], "There is no command 'dance'"),
        (["search"], "Missing argument"),
        (["search", "run.yaml", "--sett", "a=b"], "--set"),
        (["space", "sample", "mlp", "-n", "0"], "0"),
        (["space", "draw", "mlp", "-o", "a.jpg"], ".svg or .png"),
        (["space", "show", "mpl"], "'mlp'"),
    ],
)
def test_wrong_commands(command: Command, folder: Path, arguments: list[str], words: str) -> None:
    assert words in refused(command, folder, *arguments)


def test_earlier_results_stay_whole(toy: Any, command: Command, trials: Any) -> None:
    folder = toy.create(search={"trials": 4})
    toy.session(folder, stop_after=3)
    before = trials(folder)
    settings = folder.run_file.read_text()
    for setting in (
        "search.trials=0", "search.strategy=evoluton", "constraints=[params <= 3]", "objective={minimize: params}",
        "objective={maximize: f1}", "data=digits",
    ):  # fmt: skip
        code, _, err = command("resume", folder.path, "--allow-python", "-q", "--set", setting)
        assert folder.run_file.read_text() == settings
        assert code == 2, err
        assert trials(folder) == before
    assert command("resume", folder.path, "-q")[0] == 2, "Python code is allowed by each command anew"
    toy.session(folder)
    assert trials(folder)[:3] == before
