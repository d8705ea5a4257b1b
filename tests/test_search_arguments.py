"""What a search from Python takes as its arguments, and says of what it does not take."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metanas
from metanas._search import _keep_arrays


def search(folder: Path, **options: Any) -> None:
    metanas.search(
        **{"space": "mlp", "data": "wine", "trials": 3, "runs": folder / "runs", "progress": False} | options
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"space": "mlpp"}, "'mlp'"),
        ({"data": (np.zeros((3, 2)), np.zeros(3), 1)}, r"a pair \(x, y\)"),
        ({"data": {"table": object()}}, r"data\.table: .* numbers, texts, paths, lists and mappings, found object"),
        ({"strategy": {"local": {"steps": {3}}}}, r"strategy\.local\.steps: .* found set"),
        ({"train": {"lr": [1e-3, 1j]}}, r"train\.lr\[1\]: .* found complex"),
        ({"data": {"table": Path("people.csv"), "target": "rent"}}, r"people\.csv"),
        ({"strategy": "evoluton"}, "'evolution'"),
        ({"train": {"batchsize": 3}}, "'batch_size'"),
        ({"trials": 0}, "trials"),
        ({"retries": -1}, "retries"),
        ({"evaluator": {"python": "a:b"}}, "allow"),
        ({"evaluator": {"python": "__main__:Ev"}, "allow_python": True}, "found __main__:Ev; put it into a module"),
        ({"objective": {"maximize": "__main__:own"}, "allow_python": True}, "found __main__:own; put it into a module"),
        ({"train": {"loss": "__main__:loss"}, "allow_python": True}, "found __main__:loss; put it into a module"),
        ({"name": "a/b", "data": (np.eye(30), np.arange(30.0))}, "a name is letters, digits, _ and -, found 'a/b'"),
        ({"space": metanas.load_space("mlp")}, "the loaded space mlp; give its file"),
        ({"constraints": "parms <= 1e6"}, "the name 'parms'; did you mean 'params'"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(metanas.MetanasError, match=words):
        search(tmp_path, **options)
    assert not list(tmp_path.glob("runs/*/"))


def test_arrays_whose_writing_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.eye(30), np.arange(30.0)
    whole = np.savez_compressed

    def cut(file: Any, **arrays: Any) -> None:
        file.write(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", cut)
    with pytest.raises(metanas.MetanasError, match=r"runs: .*found No space left on device; free some space"):
        search(tmp_path, data=(x, y))
    assert not list((tmp_path / "runs").iterdir())
    monkeypatch.setattr(np, "savez_compressed", whole)
    path = _keep_arrays((x, y), tmp_path / "runs", "search")
    for left in (b"", path.read_bytes()[:-30]):
        path.write_bytes(left)
        assert _keep_arrays((x, y), tmp_path / "runs", "search") == path
        np.testing.assert_array_equal(np.load(path)["x"], x)


def test_runs_that_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(metanas.MetanasError, match="the file must be readable or writable, found File exists; check"):
        search(tmp_path, data=(np.eye(30), np.arange(30.0)))


def test_names_too_long_for_a_file_are_none() -> None:
    long = "x" * 300
    with pytest.raises(metanas.MetanasError, match="no built-in space has the name"):
        metanas.load_space(long)
    with pytest.raises(metanas.MetanasError, match="this must be a run folder"):
        metanas.SearchResult.load(long)
