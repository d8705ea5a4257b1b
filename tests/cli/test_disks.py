"""Commands whose files cannot be written: what is told, and that nothing half made is left."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from metanas.study import RunFolder

Command = Callable[..., tuple[int, str, str]]


def test_a_final_training_that_fails_says_why_and_is_tried_again(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.yaml").write_text(
        "space: mlp\ndata: wine\nworkers: {engine: inline}\ntrain: {epochs: 1}\nsearch: {trials: 1}\n"
    )

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("metanas.evaluator._training_evaluator.write_artefacts", full)
        code, out, err = command("search", tmp_path / "run.yaml", "--runs", tmp_path / "runs", "-q")
    (folder,) = (tmp_path / "runs").iterdir()
    assert code == 3
    (line,) = [line for line in (out + err).splitlines() if line.startswith("The final training failed: ")]
    assert "No space left on device" in line
    assert line.endswith(f"Try again with: metanas resume {folder}")
    assert command("resume", folder, "-q")[0] == 0
    assert (folder / "best" / "weights.safetensors").exists()


def test_a_disk_that_is_full_before_a_search_begins_leaves_no_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "run.yaml").write_text("space: mlp\ndata: wine\nsearch: {trials: 1}\n")
    monkeypatch.setattr(RunFolder, "write_info", full)
    code, _, err = command("search", tmp_path / "run.yaml", "--runs", tmp_path / "runs")
    assert code == 2
    assert "No space left on device; free some space, and try again" in err
    assert not list((tmp_path / "runs").iterdir())


def test_files_that_cannot_be_written_are_told(command: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    for arguments in (("init", tmp_path / "taken"), ("space", "draw", "mlp", "-o", tmp_path / "taken" / "mlp.svg")):
        code, _, err = command(*arguments)
        assert code == 2
        assert "taken: the file must be readable or writable, found " in err
    assert (tmp_path / "taken").read_text() == "mine"
    assert command("space", "draw", "mlp", "-o", tmp_path / "new" / "mlp.svg")[0] == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mlp.svg"]
