"""What `init` writes, and that it starts a search."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

Command = Callable[..., tuple[int, str, str]]


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
