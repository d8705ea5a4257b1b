"""Commands whose files cannot be written: what is told, and that nothing half made is left."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metanas.study import RunFolder, write_atomically

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
        says = "init writes into a folder" if arguments[0] == "init" else "the file must be readable or writable"
        assert f"taken: {says}, found " in err
    assert (tmp_path / "taken").read_text() == "mine"
    assert command("space", "draw", "mlp", "-o", tmp_path / "new" / "mlp.svg")[0] == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mlp.svg"]


def test_two_writers_of_a_file_do_not_tear_it(tmp_path: Path) -> None:
    path, size = tmp_path / "report.html", 100_000

    def write(letter: str) -> None:
        for _ in range(100):
            write_atomically(path, letter * size)

    write("a")
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, letter) for letter in "ab"]
        while not all(writer.done() for writer in writers):
            assert path.read_text() in ("a" * size, "b" * size)
        for writer in writers:
            writer.result()
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_writers_left_of_a_file_is_removed_in_time(tmp_path: Path) -> None:
    parts = [tmp_path / f".info.json.{name}.part" for name in ("0123abcd", "4567abcd")]
    other = tmp_path / ".other.json.0123abcd.part"
    for part in (*parts, other):
        part.write_text("half")
    for part in (parts[0], other):
        os.utime(part, (0, 0))
    write_atomically(tmp_path / "info.json", "{}")
    assert sorted(tmp_path.iterdir()) == sorted([parts[1], other, tmp_path / "info.json"])
