"""``metanas predict``: new samples of every kind, in files that are not quite like those of the search."""

from __future__ import annotations

import csv
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from metanas._search import start
from metanas.errors import MetanasError
from metanas.study import SearchResult, parse_run_text

Command = Callable[..., tuple[int, str, str]]
PLACES = ("007", "010", "100")


def searched(folder: Path, space: str, data: str, epochs: int = 1) -> SearchResult:
    """A search of one network."""
    text = f"space: {space}\ndata: {data}\nworkers: {{engine: inline}}\nsearch: {{trials: 1, seed: 1}}\n"
    text += f"train: {{epochs: {epochs}}}\n"
    return start(parse_run_text(text, "run.yaml", base=folder), runs=folder / "runs", quiet=True)


def rows(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(out.splitlines()))


def table(path: Path, columns: list[str], count: int = 120) -> None:
    """Customers, whose plan their age and place tell."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for n in range(count):
            age, place = int(rng.integers(20, 70)), PLACES[n % 3]
            known = {"id": f"{n:04}", "age": age, "place": place, "plan": "04" if age + 9 * (n % 3) > 50 else "11"}
            known |= {"prediction": "", "place ": place, "new": n, "spend": f"{age * 1.5:.1f}"}
            writer.writerow([known[name] for name in columns])


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """A table with places that look like numbers, of which one is none."""
    folder = tmp_path_factory.mktemp("plans")
    table(folder / "old.csv", ["age", "place", "id", "plan"])
    text = (folder / "old.csv").read_text()
    (folder / "old.csv").write_text(text.replace(",100,", ",abroad,"))
    return searched(folder, "mlp", "{table: old.csv, target: plan, ignore: [id]}", epochs=20)


def test_rows_of_a_table(plans: SearchResult, tmp_path: Path, command: Command) -> None:
    # Other columns, in another order, and all the places that are left look like numbers.
    table(tmp_path / "new.csv", ["new", "id", "place", "age"])
    assert f"metanas predict {plans.folder.path} SAMPLES" in plans.folder.report.read_text()
    code, out, err = command("predict", plans.folder.path, tmp_path / "new.csv", "--keep", "id")
    assert (code, err) == (0, "")
    found = rows(out)
    assert list(found[0]) == ["id", "prediction"]
    assert [row["id"] for row in found[:3]] == ["0000", "0001", "0002"]
    assert {row["prediction"] for row in found} == {"04", "11"}
    with (tmp_path / "new.csv").open(newline="") as file:
        expected = plans.predict(list(csv.DictReader(file)))
    assert [row["prediction"] for row in found] == expected.tolist()
    code, out, err = command(
        "predict", plans.folder.path, tmp_path / "new.csv", "--proba", "-o", tmp_path / "p" / "p.csv"
    )
    assert (code, out) == (0, "")
    assert f"120 predictions: {tmp_path / 'p' / 'p.csv'}" in err
    found = rows((tmp_path / "p" / "p.csv").read_text())
    assert list(found[0]) == ["prediction", "p(04)", "p(11)"]
    chances = np.array([[float(row["p(04)"]), float(row["p(11)"])] for row in found])
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
    assert [row["prediction"] for row in found] == np.array(["04", "11"])[chances.argmax(1)].tolist()


def test_a_table_that_tells_the_answers_is_a_test(plans: SearchResult, tmp_path: Path, command: Command) -> None:
    table(tmp_path / "new.csv", ["plan", "place", "age"])
    frame = pl.read_csv(tmp_path / "new.csv", infer_schema=False)
    answers = frame["plan"].to_list()
    # One is not known, and one is of a class that the network does not know.
    frame = frame.with_columns(pl.Series("plan", ["", "12", *answers[2:]]))
    frame.write_csv(tmp_path / "new.csv")
    code, out, err = command("predict", plans.folder.path, tmp_path / "new.csv")
    found = [row["prediction"] for row in rows(out)]
    right = np.mean([a == b for a, b in zip(found[1:], ["12", *answers[2:]], strict=True)])
    assert code == 0
    assert right > 0.8
    assert err == f"accuracy {right:.4g} on 119 samples whose answer is known\n"


def test_every_line_is_a_row_however_little_it_tells(plans: SearchResult, tmp_path: Path, command: Command) -> None:
    (tmp_path / "new.csv").write_text("id,age,place\n1,,007\n\n2,NA,\n,,\n NA , ? ,null\n5,,\n")
    code, out, err = command("predict", plans.folder.path, tmp_path / "new.csv", "--keep", "id")
    assert (code, err) == (0, "")
    assert [row["id"] for row in rows(out)] == ["1", "2", "", " NA ", "5"]
    with (tmp_path / "new.csv").open(newline="") as file:
        expected = plans.predict(list(csv.DictReader(file)))
    assert [row["prediction"] for row in rows(out)] == expected.tolist()
    pl.DataFrame(
        {"age": ["31", None], "place": ["007", "010"]}, schema_overrides={"place": pl.Categorical}
    ).write_parquet(tmp_path / "new.parquet")
    code, out, _ = command("predict", plans.folder.path, tmp_path / "new.parquet")
    assert [row["prediction"] for row in rows(out)] == plans.predict(
        [{"age": 31, "place": "007"}, {"place": "010"}]
    ).tolist()
    (tmp_path / "open.csv").write_text('age,place\n31,"007\n')
    code, _, err = command("predict", plans.folder.path, tmp_path / "open.csv")
    assert code == 2
    assert "cannot be read as a table, found unexpected end of data" in err
    (tmp_path / "long.csv").write_text("age,place\n31,007,8\n")
    code, _, err = command("predict", plans.folder.path, tmp_path / "long.csv")
    assert code == 2
    assert "found 3 cells in row 1 under 2 names" in err


def test_flags_and_classes_that_look_like_them(tmp_path: Path, command: Command) -> None:
    lines = [f"{n % 7},{('true', 'false')[n % 2]},{('true', 'false', 'unknown')[n % 3]}" for n in range(60)]
    (tmp_path / "old.csv").write_text("\n".join(["a,flag,known", *lines]))
    result = searched(tmp_path, "mlp", "{table: old.csv, target: known}")
    (tmp_path / "new.csv").write_text("a,flag,known\n1, True,true\n2,0,false\n3,,true\n")
    code, out, err = command("predict", result.folder.path, tmp_path / "new.csv")
    right = np.mean(
        [row["prediction"] == truth for row, truth in zip(rows(out), ["true", "false", "true"], strict=True)]
    )
    assert code == 0
    assert err == f"accuracy {right:.4g} on 3 samples whose answer is known\n"


def test_files_of_a_network_may_be_read_by_whom_the_umask_lets(
    plans: SearchResult, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "new").touch()
    usual = (tmp_path / "new").stat().st_mode
    assert {path.stat().st_mode for path in plans.folder.best.iterdir()} == {usual}
    plans.artefact("weights.safetensors").chmod(0o600)  # as metanas wrote it before
    assert command("export", plans.folder.path, tmp_path / "copy")[0] == 0
    assert {path.stat().st_mode for path in (tmp_path / "copy").iterdir()} == {usual}


def test_predictions_go_where_they_are_sent(plans: SearchResult, tmp_path: Path, command: Command) -> None:
    table(tmp_path / "new.csv", ["age", "place"])
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert command("predict", plans.folder.path, tmp_path / "new.csv", "-o", tmp_path / "link.csv")[0] == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert len(rows((tmp_path / "real.csv").read_text())) == 120
    before = (tmp_path / "new.csv").read_text()
    code, _, err = command("predict", plans.folder.path, tmp_path / "new.csv", "-o", tmp_path / "new.csv")
    assert code == 2
    assert "predictions go to a file of their own" in err
    assert (tmp_path / "new.csv").read_text() == before
    os.mkfifo(tmp_path / "pipe")
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
    reader.start()
    assert command("predict", plans.folder.path, tmp_path / "new.csv", "-o", tmp_path / "pipe")[0] == 0
    reader.join(30)
    assert len(rows(heard[0])) == 120


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        (["age", "place "], (), []),
        (["age", "id"], (), ["new.csv: the file needs every column, found no 'place'"]),
        (["place", "age"], ("--keep", "ids"), ["found no 'ids'"]),
        (["place", "age", "prediction"], ("--keep", "prediction"), ["a column that is kept has another name"]),
        (["place", "age", "id"], ("--keep", "ids"), ["found no 'ids'; did you mean 'id'?"]),
    ],
)
def test_columns_that_are_not_there(
    plans: SearchResult,
    tmp_path: Path,
    command: Command,
    columns: list[str],
    options: tuple[str, ...],
    words: list[str],
) -> None:
    table(tmp_path / "new.csv", columns)
    code, out, err = command("predict", plans.folder.path, tmp_path / "new.csv", *options, "-o", tmp_path / "out.csv")
    assert code == (2 if words else 0)
    assert out == ""
    for word in words:
        assert word in err
    assert (tmp_path / "out.csv").exists() is not bool(words)


def test_samples_that_no_network_of_tables_reads(plans: SearchResult, tmp_path: Path, command: Command) -> None:
    (tmp_path / "new.csv").write_text("age,place\n31,007\nold,010\n")
    code, out, err = command("predict", plans.folder.path, tmp_path / "new.csv")
    assert (code, out) == (2, "")
    assert "column 'age' holds numbers, found 'old' in row 2" in err
    (tmp_path / "none.csv").write_text("age,place\n")
    assert command("predict", plans.folder.path, tmp_path / "none.csv") == (0, "prediction\n", "")
    (tmp_path / "new.txt").write_text("age,place\n31,007\n")
    for name, words in (("new.txt", "the network reads a CSV, TSV or Parquet file"), ("nw.csv", "no such file")):
        code, _, err = command("predict", plans.folder.path, tmp_path / name)
        assert code == 2
        assert words in err
    code, _, err = command("predict", tmp_path / "nowhere", tmp_path / "new.csv")
    assert code == 2
    assert "nowhere" in err


def test_values_and_their_errors(tmp_path: Path, command: Command) -> None:
    table(tmp_path / "old.csv", ["age", "place", "spend"])
    result = searched(tmp_path, "mlp", "{table: old.csv, target: spend}", epochs=20)
    pl.read_csv(tmp_path / "old.csv").write_parquet(tmp_path / "new.parquet")
    code, out, err = command("predict", result.folder.path, tmp_path / "new.parquet")
    values = np.array([float(row["prediction"]) for row in rows(out)])
    truth = pl.read_csv(tmp_path / "old.csv")["spend"].to_numpy()
    r2 = 1 - ((values - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert code == 0
    rmse = ((values - truth) ** 2).mean() ** 0.5
    assert (
        err
        == f"mae {abs(values - truth).mean():.4g}, rmse {rmse:.4g}, r2 {r2:.4g} on 120 samples whose answer is known\n"
    )
    (tmp_path / "odd.csv").write_text("age,place,spend\n31,007,much\n")
    code, out, err = command("predict", result.folder.path, tmp_path / "odd.csv")
    assert (code, len(rows(out))) == (0, 1)
    assert err == "not scored: column 'spend' holds numbers, found 'much' in row 1\n"
    (tmp_path / "one.csv").write_text("age,place,spend\n31,007,40\n")
    code, out, err = command("predict", result.folder.path, tmp_path / "one.csv")
    assert (code, len(rows(out))) == (0, 1)
    assert err.endswith("on 1 sample whose answer is known\n")
    code, _, err = command("predict", result.folder.path, tmp_path / "new.parquet", "--proba")
    assert code == 2
    assert "--proba is for classes" in err
    with pytest.raises(Exception, match="probabilities are of classes"):
        result.predict_proba([{"age": 31, "place": 7}])


def images(folder: Path, size: tuple[int, int], count: int = 6) -> None:
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for n in range(count):
            pixels = np.clip(level + rng.normal(0, 10, (size[1], size[0])), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{n}.png")


def test_folder_of_images(tmp_path: Path, command: Command) -> None:
    images(tmp_path / "old", (12, 10), 30)
    result = searched(tmp_path, "convnet", "{images: old, size: 8}", epochs=6)
    images(tmp_path / "new", (20, 30))
    (tmp_path / "new" / ".hidden.png").write_bytes(b"")
    code, out, err = command("predict", result.folder.path, tmp_path / "new")
    found = rows(out)
    assert code == 0
    assert [row["file"] for row in found] == [f"{name}/{n}.png" for name in ("dark", "light") for n in range(6)]
    right = np.mean([row["prediction"] == row["file"].split("/")[0] for row in found])
    assert err == f"accuracy {right:.4g} on 12 samples whose answer is known\n"
    # One image alone, in colour, of a network that reads grey ones.
    Image.new("RGB", (9, 9), (210, 200, 205)).save(tmp_path / "one.png")
    code, out, err = command("predict", result.folder.path, tmp_path / "one.png")
    assert code == 0
    assert [row["file"] for row in rows(out)] == ["one.png"]
    (tmp_path / "empty").mkdir()
    code, _, err = command("predict", result.folder.path, tmp_path / "empty")
    assert code == 2
    assert "the folder must hold images" in err


def test_arrays(tmp_path: Path, command: Command) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (rng.normal(size=(90, 8, 8)) + y[:, None, None]).astype(np.float32)
    np.savez(tmp_path / "set.npz", x=x, y=y)
    result = searched(tmp_path, "convnet", "set.npz")
    code, out, err = command("predict", result.folder.path, tmp_path / "set.npz")
    assert code == 0
    assert [row["prediction"] for row in rows(out)] == result.predict(x).tolist()
    assert err.startswith("accuracy ")
    np.save(tmp_path / "x.npy", x[:5])
    code, out, err = command("predict", result.folder.path, tmp_path / "x.npy")
    assert (code, err, len(rows(out))) == (0, "", 5)
    np.savez(tmp_path / "holes.npz", x=np.where(np.arange(8) < 1, np.nan, x))
    np.savez(tmp_path / "some.npz", x=x[:3], y=[0, np.nan, 2])
    code, _, err = command("predict", result.folder.path, tmp_path / "some.npz")
    assert code == 0
    assert err.endswith("on 2 samples whose answer is known\n")
    np.savez(tmp_path / "other.npz", images=x)
    np.savez(tmp_path / "small.npz", x=x[:, :4])
    # Images that were searched as an array have no `size`: others are not resized unasked.
    Image.new("L", (9, 9)).save(tmp_path / "one.png")
    for name, words in (
        ("holes.npz", "samples must be finite, found NaN or infinity in 90 of 90, the first is number 1"),
        ("other.npz", "must hold the array x, found images"),
        ("small.npz", "samples must be (n, 1, 8, 8)"),
        ("one.png", "images must be of the size 8x8"),
    ):
        code, _, err = command("predict", result.folder.path, tmp_path / name)
        assert code == 2
        assert words in err


def test_texts_and_pairs(tmp_path: Path, command: Command) -> None:
    lines = [f"{n},{('a good one', 'a bad one')[n % 2]},{('yes', 'no')[n % 2]}" for n in range(60)]
    (tmp_path / "reviews.csv").write_text("\n".join(["id,review,liked", *lines]))
    result = searched(tmp_path, "text_encoder", "{table: reviews.csv, target: liked, text: review}", epochs=4)
    code, out, err = command("predict", result.folder.path, tmp_path / "reviews.csv", "--keep", "id")
    assert code == 0
    assert list(rows(out)[0]) == ["id", "prediction"]
    assert err.startswith("accuracy ")
    lines = [f"{n % 5:03},{n % 7},{(n % 5) - (n % 7)}.5" for n in range(70)]
    (tmp_path / "ratings.csv").write_text("\n".join(["who,what,stars", *lines]))
    result = searched(tmp_path, "two_tower", "{table: ratings.csv, target: stars, user: who, item: what}", epochs=4)
    (tmp_path / "new.csv").write_text("what,who\n3,004\n3,4\n")
    code, out, err = command("predict", result.folder.path, tmp_path / "new.csv")
    assert (code, err) == (0, "")
    known, new = (float(row["prediction"]) for row in rows(out))
    np.testing.assert_allclose([known, new], result.predict([("004", "3"), ("4", "3")]), rtol=1e-5)
    assert known != new, "004 is a user of the search, 4 is none"


def searched_with(module: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a search with an op of one's own: ``Own`` in a module with this code."""
    (folder / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    (folder / "own.yaml").write_text(
        f"space: own\ninput: table\nops: {{own: {{python: '{module}:Own'}}}}\n"
        "network: [{dense: {units: {choice: [4, 8]}}}, own, head]\n"
    )
    table(folder / "old.csv", ["age", "place", "plan"])
    text = "space: own.yaml\ndata: {table: old.csv, target: plan}\nworkers: {engine: inline}\nsearch: {trials: 1}\ntrain: {epochs: 1}\n"
    run = parse_run_text(text, "run.yaml", base=folder)
    return start(run, runs=folder / "runs", quiet=True, allow_python=True).folder.path


def test_modules_of_ones_own(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    doubled = "import torch\n\n\nclass Own(torch.nn.Module):\n    def forward(self, x):\n        return 2 * x\n"
    folder = searched_with("doubled_to_predict", doubled, tmp_path, monkeypatch)
    assert f"metanas predict {folder} SAMPLES --allow-python" in (folder / "report.html").read_text()
    code, _, err = command("predict", folder, tmp_path / "old.csv")
    assert code == 2
    allow = "found doubled_to_predict:Own; pass --allow-python (allow_python=True from Python)"
    assert allow in err
    with pytest.raises(MetanasError, match=re.escape(allow)):
        SearchResult.load(folder).predict([{"age": 30, "place": "007"}])
    code, out, _ = command("predict", folder, tmp_path / "old.csv", "--allow-python")
    assert (code, len(rows(out))) == (0, 120)
    # To copy files no code is needed.
    code, out, err = command("export", folder, tmp_path / "copy")
    assert (code, out) == (0, f"{tmp_path / 'copy'}\n")
    assert "imports doubled_to_predict of yours" in err
    text = (tmp_path / "copy" / "network.py").read_text()
    assert "Needs torch, safetensors and your doubled_to_predict, not metanas." in text


def test_a_module_that_changed_since_the_search_is_told(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled = "import torch\n\n\nclass Own(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    scaled += "        self.scale = torch.nn.Parameter(torch.ones(1))\n\n    def forward(self, x):\n        return self.scale * x\n"
    folder = searched_with("scaled_to_predict", scaled, tmp_path, monkeypatch)
    Own = sys.modules["scaled_to_predict"].Own

    def changed(self: Any) -> None:
        super(Own, self).__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, 1))
        self.shift = torch.nn.Parameter(torch.ones(1))

    monkeypatch.setattr(Own, "__init__", changed)
    code, _, err = command("predict", folder, tmp_path / "old.csv", "--allow-python")
    assert code == 2
    assert "own_module.scale of shape [1, 1], and [1] in the file; own_module.shift, which is not in the file" in err
    assert "restore the code of scaled_to_predict:Own as it was then, or search again" in err
