"""``metanas predictor``, and searches that start from one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metanas.predictor import shipped_folder
from metanas.study import RunFolder, plan, read_run, read_run_file

Command = Callable[..., tuple[int, str, str]]


def test_a_predictor_from_tables_helps_a_search_and_learns_from_it(
    kitchen: Path, command: Command, run_file: Callable[..., Path]
) -> None:
    code, out, err = command("predictor", "fit", "--from", "tables.yaml", "-o", "cook", "--known", "30")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "kitchen: 2 tasks"
    code, out, err = command("predictor", "list")
    assert any(line.split()[:2] == ["cook", "kitchen"] for line in out.splitlines())
    code, out, err = command("predictor", "show", "cook")
    assert code == 0
    assert {"x", "y"} <= {line.split()[0] for line in out.splitlines() if line.strip()}
    assert "abstains from spaces that share no networks with these" in out

    code, out, err = command("search", run_file(kitchen, "z"), "--predictor", "cook", "--runs", "runs", "--json", "-q")
    assert code == 0, err
    result = json.loads(out)
    assert result["best"]["decisions"]["a"] == "p"
    said = command("search", run_file(kitchen, "z"), "--predictor", "cook", "--runs", "r")[2]
    assert "The predictor knows x, y, which rank each other's networks with a Kendall's tau of 0." in said
    (run,) = (kitchen / "runs").iterdir()
    assert "strategy: meta" in (run / "run.yaml").read_text()
    assert "predictor: ./predictor" in (run / "run.yaml").read_text()
    assert "<dt>Predictor</dt><dd>cook, which knows x, y</dd>" in (run / "report.html").read_text()

    code, out, err = command("predictor", "update", "cook", "--from", run)
    assert (code, out.splitlines()[0]) == (0, "kitchen: 3 tasks")
    code, out, err = command("predictor", "update", "cook", "--from", run)
    assert (code, out.splitlines()[0]) == (0, "kitchen: 3 tasks")
    card = json.loads(command("predictor", "show", "cook", "--json")[1])
    assert card["card"][0]["tasks"][-1] == {"name": run.name, "results": 8, "facts": {}}


def test_tasks_with_one_name_are_refused_and_one_that_is_named_twice_counts_once(
    kitchen: Path, command: Command, bench_file: Callable[..., None]
) -> None:
    (kitchen / "other").mkdir()
    (kitchen / "other" / "x.csv").write_text((kitchen / "y.csv").read_text())
    bench_file(kitchen, "second.yaml", ["other/x.csv"])
    code, _, err = command("predictor", "fit", "--from", "tables.yaml", "second.yaml", "-o", "cook")
    assert code == 2
    assert "tasks of a predictor have names of their own" in err
    assert str(kitchen / "other" / "x.csv") in err
    assert not (kitchen / "data").exists()
    code, out, err = command("predictor", "fit", "--from", "tables.yaml", "tables.yaml", "-o", "cook")
    assert (code, out.splitlines()[0], err) == (0, "kitchen: 2 tasks", "")


def test_copies_of_a_run_are_one_task(kitchen: Path, command: Command, run_file: Callable[..., Path]) -> None:
    assert command("search", run_file(kitchen, "z"), "-q")[0] == 0
    (run,) = (kitchen / "runs").iterdir()
    copy = shutil.copytree(run, kitchen / "copy")
    code, _, err = command("predictor", "fit", "--from", run, copy, "-o", "cook")
    assert code == 2
    assert "learns from each study once" in err
    assert f"{run.name} in " in err
    assert command("predictor", "fit", "--from", run, "-o", "cook")[0] == 0
    assert command("predictor", "update", "cook", "--from", copy)[0] == 0
    tasks = json.loads(command("predictor", "show", "cook", "--json")[1])["card"][0]["tasks"]
    assert [task["name"] for task in tasks] == [run.name]
    code, _, err = command("predictor", "evaluate", "--from", copy)
    assert code == 2
    assert f"found {run.name} alone; give more tasks, or a --predictor" in err


def test_a_predictor_knows_nothing_of_costs(kitchen: Path, command: Command, run_file: Callable[..., Path]) -> None:
    for name in "xyz":
        lines = (kitchen / f"{name}.csv").read_text().splitlines()
        costs = ["params", *(str(100 * i) for i in range(len(lines) - 1))]
        (kitchen / f"{name}.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(lines, costs, strict=True)) + "\n")
    assert command("predictor", "fit", "--from", "tables.yaml", "-o", "cook")[0] == 0
    small = ("--set", "objective={minimize: params}", "--set", "evaluator.table.metric=params")
    code, _, err = command("search", run_file(kitchen, "z"), "--predictor", "cook", *small, "--runs", "runs")
    assert code == 2
    assert "a predictor tells how good networks are, and not what they cost" in err
    assert command("search", run_file(kitchen, "z"), *small, "--runs", "runs")[0] == 0
    (run,) = (kitchen / "runs").iterdir()
    code, _, err = command("predictor", "update", "cook", "--from", run)
    assert code == 2
    assert "a predictor learns how good networks are" in err
    # Where it is one of two objectives, the other counts, in any order.
    both = ("--set", "objective={minimize: params, maximize: acc}")
    assert command("search", run_file(kitchen, "z"), "--predictor", "cook", *both, "--runs", "two")[0] == 0
    (run,) = (kitchen / "two").iterdir()
    assert command("predictor", "update", "cook", "--from", run)[1].splitlines()[0] == "kitchen: 3 tasks"


def test_an_updated_copy_of_what_is_installed_is_used_by_default(kitchen: Path, command: Command) -> None:
    settings = {
        "name": "k", "space": "nasbench201", "data": "digits", "workers": {"engine": "inline"},
        "search": {"trials": 1}, "fidelity": {"epochs": 1},
    }  # fmt: skip
    (kitchen / "n.yaml").write_text(json.dumps(settings))
    assert default_tasks(kitchen) == ["nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet16_120"]
    own = kitchen / "data" / "metanas" / "predictors" / "benchmarks"
    shutil.copytree(shipped_folder() / "benchmarks", own)
    card = json.loads((own / "predictor.json").read_text())
    (own / "predictor.json").write_text(json.dumps(card).replace("nasbench201/cifar100", "nasbench201/cifar99"))
    assert default_tasks(kitchen)[1] == "nasbench201/cifar99"
    # One that an earlier version wrote is passed over.
    (own / "predictor.json").write_text(json.dumps(card | {"format": 1}))
    assert default_tasks(kitchen)[1] == "nasbench201/cifar100"


def default_tasks(folder: Path) -> list[str]:
    model = plan(read_run_file(folder / "n.yaml")).model
    assert model is not None
    return [source.name for source in model.sources]


def test_a_predictor_that_cannot_be_opened_hides_no_other(kitchen: Path, command: Command) -> None:
    old = kitchen / "data" / "metanas" / "predictors" / "a"
    old.mkdir(parents=True)
    (old / "predictor.json").write_text('{"format": 1, "metanas": "0.1.0"}')
    (old / "arrays.safetensors").write_bytes(b"")
    code, out, _ = command("predictor", "list")
    assert code == 0
    first, second = out.splitlines()
    assert first.split()[0] == "a"
    assert "metanas predictor fit" in first
    assert second.split()[:2] == ["benchmarks", "nasbench201,"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fit", "--from", "nowhere", "-o", "a"), "benchmarks, bench files and run folders"),
        (("fit", "--from", "nasbench201/cifar11", "-o", "a"), "did you mean 'cifar10'"),
        (("fit", "--from", "x.csv", "-o", "a"), "write a bench file"),
        (("fit", "--from", "tables.yaml", "-o", "a b"), "a predictor's name"),
        (("fit", "--from", "tables.yaml", "-o", "none"), "'none' is no name of a predictor"),
        (("fit", "--from", "tables.yaml", "-o", "a", "--known", "some"), "--known"),
        (("show", "nobody"), "no predictor has the name 'nobody'"),
        (("update", "nobody", "--from", "tables.yaml"), "no predictor has the name"),
        (("evaluate", "--predictor", "nobody", "--from", "tables.yaml"), "no predictor has the name"),
        (("evaluate", "--predictor", "benchmarks", "--from", "tables.yaml"), "abstains from spaces"),
    ],
)
def test_what_cannot_be_is_said(kitchen: Path, command: Command, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = command("predictor", *arguments)
    assert code == 2
    assert says in err


def test_a_predictor_abstains_from_other_spaces_and_is_for_meta_alone(
    kitchen: Path, command: Command, run_file: Callable[..., Path], kitchen_space: str
) -> None:
    command("predictor", "fit", "--from", "tables.yaml", "-o", "./cook", "--known", "30")
    assert (kitchen / "cook" / "predictor.json").is_file()
    run = run_file(kitchen, "z")
    (kitchen / "kitchen.yaml").write_text(kitchen_space.replace("[on, off]", "[hot, cold]"))
    for name in "xyz":
        table = kitchen / f"{name}.csv"
        table.write_text(table.read_text().replace("on", "hot").replace("off", "cold"))
    code, _, err = command("search", run, "--predictor", "./cook", "--runs", "runs", "-q")
    assert code == 2
    assert "abstains" in err
    assert "the space kitchen, in which the decision c has other values than the ones it knows" in err
    code, _, err = command("search", run, "--predictor", "none", "--runs", "runs", "-q")
    assert code == 0, err
    code, _, err = command("search", run, "--predictor", "./cook", "--set", "search.strategy=random", "-q")
    assert code == 2
    assert "for the strategy meta" in err


def test_nothing_is_lost_to_a_predictor_of_the_same_name(kitchen: Path, command: Command) -> None:
    (kitchen / "work").mkdir()
    (kitchen / "work" / "thesis.txt").write_text("all of it")
    for name in ("./work", "work/thesis.txt", "./x.csv", "work/../"):
        code, _, err = command("predictor", "fit", "--from", "tables.yaml", "-o", name)
        assert code == 2
        assert "a new or empty folder" in err
    assert (kitchen / "work" / "thesis.txt").read_text() == "all of it"
    (kitchen / "empty").mkdir()
    for name in ("./empty", "cook"):
        assert command("predictor", "fit", "--from", "tables.yaml", "-o", name)[0] == 0
        code, _, err = command("predictor", "fit", "--from", "tables.yaml", "-o", name)
        assert code == 2
        assert "is there already" in err
        assert command("predictor", "fit", "--from", "tables.yaml", "-o", name, "--force")[0] == 0
    # What someone put into a predictor's folder is theirs.
    (kitchen / "empty" / "notes.txt").write_text("mine")
    code, _, err = command("predictor", "update", "./empty", "--from", "tables.yaml")
    assert code == 2
    assert (kitchen / "empty" / "notes.txt").read_text() == "mine"
    assert not list(kitchen.glob(".*-*"))


def test_a_search_goes_on_with_what_its_predictor_knew_when_it_began(
    kitchen: Path, command: Command, run_file: Callable[..., Path]
) -> None:
    command("predictor", "fit", "--from", "tables.yaml", "-o", "cook", "--known", "30")
    file = run_file(kitchen, "z", trials=6)
    assert command("search", file, "--predictor", "cook", "--runs", "whole", "-q", "--set", "search.trials=12")[0] == 0
    assert command("search", file, "--predictor", "cook", "--runs", "runs", "-q")[0] == 0
    (run,), (whole,) = (kitchen / "runs").iterdir(), (kitchen / "whole").iterdir()
    kept = (run / "predictor" / "arrays.safetensors").read_bytes()
    shutil.rmtree(kitchen / "data")
    moved = run.rename(kitchen / "elsewhere")
    assert command("resume", moved, "-q", "--set", "search.trials=12")[0] == 0
    assert (moved / "predictor" / "arrays.safetensors").read_bytes() == kept
    decisions = [
        [t.decisions for _, t in sorted(read_run(RunFolder.open(f))[2].records.items())] for f in (moved, whole)
    ]
    assert decisions[0] == decisions[1]
    assert command("search", moved / "run.yaml", "--runs", "again", "-q")[0] == 0, (
        "the run file of a run is one to start from"
    )

    (moved / "predictor" / "predictor.json").write_text("{")
    code, _, err = command("resume", moved, "-q", "--set", "search.trials=14")
    assert code == 2
    assert "--set search.predictor=NAME" in err
    assert command("report", moved)[0] == 0
    assert command("resume", moved, "-q", "--set", "search.trials=14", "--set", "search.predictor=none")[0] == 0
    assert "predictor: none" in (moved / "run.yaml").read_text()


def test_a_name_is_a_name_and_a_path_a_path(kitchen: Path, command: Command, bench_file: Callable[..., None]) -> None:
    bench_file(kitchen, "one.yaml", ["x.csv"])
    command("predictor", "fit", "--from", "tables.yaml", "-o", "cook", "--known", "30")
    command("predictor", "fit", "--from", "one.yaml", "-o", "./cook", "--known", "30")
    for name, tasks in (("cook", 2), ("./cook", 1), (str(kitchen / "cook"), 1)):
        card = json.loads(command("predictor", "show", name, "--json")[1])
        assert len(card["card"][0]["tasks"]) == tasks
    (kitchen / "cook").rename(kitchen / "other")
    code, _, err = command("predictor", "show", "other")
    assert code == 2
    assert "write ./other for the folder" in err


def test_what_comes_with_metanas_is_not_hidden_by_chance(kitchen: Path, command: Command) -> None:
    code, _, err = command("predictor", "fit", "--from", "tables.yaml", "-o", "benchmarks")
    assert code == 2
    assert "comes with metanas" in err
    assert not (kitchen / "data").exists()
    assert command("predictor", "fit", "--from", "tables.yaml", "-o", "benchmarks", "--force")[0] == 0


def test_what_is_no_origin_is_named(kitchen: Path, command: Command, run_file: Callable[..., Path]) -> None:
    code, _, err = command("predictor", "fit", "--from", "runs/nope", "-o", "cook")
    assert code == 2
    assert "found nothing at 'runs/nope'; give the folder that a search made" in err
    code, _, err = command("predictor", "fit", "--from", run_file(kitchen, "x"), "-o", "cook")
    assert code == 2
    assert "found a run file; give the folder of its run" in err


def test_two_updates_at_once_lose_nothing(kitchen: Path, command: Command, bench_file: Callable[..., None]) -> None:
    bench_file(kitchen, "z.yaml", ["z.csv"])
    bench_file(kitchen, "y.yaml", ["y.csv"])
    bench_file(kitchen, "x.yaml", ["x.csv"])
    assert command("predictor", "fit", "--from", "x.yaml", "-o", "./cook")[0] == 0
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "metanas", "predictor", "update", "./cook", "--from", f"{name}.yaml"],
            stdout=subprocess.DEVNULL,
        )
        for name in "yz"
    ]
    assert [each.wait(120) for each in both] == [0, 0]
    (card,) = json.loads(command("predictor", "show", "./cook", "--json")[1])["card"]
    assert sorted(each["name"] for each in card["tasks"]) == ["x", "y", "z"]
