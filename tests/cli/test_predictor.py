"""``metanas predictor``, and searches that start from one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metanas.predictor import shipped_folder
from metanas.study import RunFolder, plan, read_run, read_run_file

Command = Callable[..., tuple[int, str, str]]

SPACE = """\
space: kitchen
language: 1
input: table
tabular: {a: {choice: [p, q, r, s]}, b: {choice: [1, 2, 3, 4, 5]}, c: {choice: [on, off]}}
"""


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A space, tables of three data sets that differ a little, and a bench file that names them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "kitchen.yaml").write_text(SPACE)
    rng = np.random.default_rng(0)
    for name, tilt in (("x", 0.0), ("y", 0.2), ("z", 0.4)):
        lines = ["a,b,c,acc"]
        for i, a in enumerate("pqrs"):
            for b in range(1, 6):
                for k, c in enumerate(("on", "off")):
                    value = 60 - 3 * i + (1 - 2 * tilt) * b - 2 * k + 0.1 * rng.standard_normal()
                    lines.append(f"{a},{b},{c},{value:.3f}")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    bench_file(tmp_path, "tables.yaml", ["x.csv", "y.csv"])
    return tmp_path


def bench_file(folder: Path, name: str, files: list[str]) -> None:
    tables = [{"file": file, "space": "kitchen.yaml", "maximize": "acc"} for file in files]
    (folder / name).write_text(json.dumps({"bench": "b", "tasks": tables, "strategies": ["meta"]}))


def run_file(folder: Path, table: str, **search: Any) -> Path:
    path = folder / "run.yaml"
    settings = {
        "name": "k", "space": "kitchen.yaml", "evaluator": {"table": {"file": f"{table}.csv", "metric": "acc"}},
        "objective": {"maximize": "acc"}, "workers": {"engine": "inline"}, "search": {"trials": 8, **search},
    }  # fmt: skip
    path.write_text(json.dumps(settings))
    return path


def test_a_predictor_from_tables_helps_a_search_and_learns_from_it(kitchen: Path, command: Command) -> None:
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
    kitchen: Path, command: Command
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


def test_copies_of_a_run_are_one_task(kitchen: Path, command: Command) -> None:
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


def test_a_search_says_how_far_its_predictor_can_be_trusted(kitchen: Path, command: Command) -> None:
    rng = np.random.default_rng(1)
    lines = (kitchen / "x.csv").read_text().splitlines()
    for name in ("u", "v"):
        shuffled = [
            f"{line.rpartition(',')[0]},{value}" for line, value in zip(lines[1:], rng.permutation(40), strict=True)
        ]
        (kitchen / f"{name}.csv").write_text("\n".join([lines[0], *shuffled]) + "\n")
    for name, files, says in (
        ("one", ["x.csv"], "knows x; how far one task can be trusted is not known."),
        ("noise", ["u.csv", "v.csv"], "so the search begins without them."),
    ):
        bench_file(kitchen, f"{name}.yaml", files)
        assert command("predictor", "fit", "--from", f"{name}.yaml", "-o", name)[0] == 0
        assert says in command("search", run_file(kitchen, "z"), "--predictor", name, "--runs", name)[2]
    for known, few in (("12", " on 12 networks each"), ("30", "")):
        command("predictor", "fit", "--from", "tables.yaml", "-o", f"of{known}", "--known", known)
        err = command("search", run_file(kitchen, "z"), "--predictor", f"of{known}", "--runs", f"of{known}")[2]
        assert re.search(rf"with a Kendall's tau of \d\.\d\d{few}\.", err)
        assert ("(0 on 12 networks, others on fewer)" in command("predictor", "show", f"of{known}")[1]) == bool(few)


def test_a_card_tells_no_rank_correlation_after_more_results_than_there_are(kitchen: Path, command: Command) -> None:
    command("predictor", "fit", "--from", "tables.yaml", "-o", "cook", "--known", "30")
    card = json.loads(command("predictor", "show", "cook", "--json")[1])
    assert [list(taus) for taus in card["card"][0]["rank_correlation"].values()] == [["0", "10"], ["0", "10"]]


def test_a_predictor_knows_nothing_of_costs(kitchen: Path, command: Command) -> None:
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


def test_tasks_are_left_out_in_turn(kitchen: Path, command: Command) -> None:
    options = ("--from", "tables.yaml", "--known", "30", "--seeds", "1")
    code, out, err = command("predictor", "evaluate", *options, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [(Path(each["task"]).stem, each["results"]) for each in found] == [
        (name, n) for name in "xy" for n in (0, 10, 20)
    ]
    assert found[0]["tau"] > 0.6
    assert set(found[1]["covered"]) == {"0.5", "0.8", "0.95"}
    assert found[0]["regret"] is None
    assert all(each["regret"] >= 0 and each["plain_regret"] >= 0 for each in found if each["results"] in (10, 20))
    assert "mean" in command("predictor", "evaluate", *options)[1]
    without = json.loads(command("predictor", "evaluate", *options, "--searches", "0", "--json")[1])
    assert [each["regret"] for each in without] == [None] * 6
    assert [each["tau"] for each in without] == [each["tau"] for each in found]


def test_a_predictor_is_judged_on_other_tasks_than_those_it_knows(kitchen: Path, command: Command) -> None:
    bench_file(kitchen, "first.yaml", ["x.csv"])
    command("predictor", "fit", "--from", "first.yaml", "-o", "cook")
    bench_file(kitchen, "all.yaml", ["x.csv", "z.csv"])
    options = ("--from", "all.yaml", "--predictor", "cook", "--seeds", "1", "--searches", "0", "--json")
    found = {
        (each["task"], each["results"]): each["tau"]
        for each in json.loads(command("predictor", "evaluate", *options)[1])
    }
    assert found["z", 0] > 0.6
    assert found["x", 0] == 0, "of itself it is told nothing"
    command("predictor", "update", "cook", "--from", "tables.yaml")
    again = {
        (each["task"], each["results"]): each["tau"]
        for each in json.loads(command("predictor", "evaluate", *options)[1])
    }
    assert again["x", 0] > 0.6, "y tells of it"


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


def test_a_predictor_abstains_from_other_spaces_and_is_for_meta_alone(kitchen: Path, command: Command) -> None:
    command("predictor", "fit", "--from", "tables.yaml", "-o", "./cook", "--known", "30")
    assert (kitchen / "cook" / "predictor.json").is_file()
    run = run_file(kitchen, "z")
    (kitchen / "kitchen.yaml").write_text(SPACE.replace("[on, off]", "[hot, cold]"))
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


def test_tasks_of_few_results_are_judged_before_the_first_of_them_alone(kitchen: Path, command: Command) -> None:
    for name in "xy":
        lines = (kitchen / f"{name}.csv").read_text().splitlines()
        (kitchen / f"{name}.csv").write_text("\n".join(lines[:15]) + "\n")
    code, out, _ = command("predictor", "evaluate", "--from", "tables.yaml", "--seeds", "1")
    assert code == 0
    assert out.splitlines()[-1].startswith("Intervals and searches take 20 results of a task or more")


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


def test_a_search_goes_on_with_what_its_predictor_knew_when_it_began(kitchen: Path, command: Command) -> None:
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


def test_facts_of_tables_reach_the_card_and_the_search(kitchen: Path, command: Command) -> None:
    tables = [
        {"file": f"{name}.csv", "space": "kitchen.yaml", "maximize": "acc", "facts": {"samples": samples}}
        for name, samples in (("x", 100), ("y", 900))
    ]
    (kitchen / "tables.yaml").write_text(json.dumps({"tasks": tables, "strategies": ["meta"]}))
    assert command("predictor", "fit", "--from", "tables.yaml", "-o", "cook")[0] == 0
    card = json.loads(command("predictor", "show", "cook", "--json")[1])
    assert [task["facts"] for task in card["card"][0]["tasks"]] == [{"samples": 100}, {"samples": 900}]
    table = {"file": "z.csv", "metric": "acc", "name": "kitchen on Sundays", "facts": {"samples": 500}}
    command("search", run_file(kitchen, "z"), "-q", "--runs", "runs", "--set", f"evaluator.table={json.dumps(table)}")
    (run,) = (kitchen / "runs").iterdir()
    data = json.loads((run / "info.json").read_text())["data"]
    assert (data["name"], data["facts"]) == ("kitchen on Sundays", {"samples": 500})


def test_a_name_is_a_name_and_a_path_a_path(kitchen: Path, command: Command) -> None:
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


def test_a_table_is_known_under_any_name(kitchen: Path, command: Command) -> None:
    tables = [{"file": "x.csv", "space": "kitchen.yaml", "maximize": "acc", "name": "flat"},
              {"file": "y.csv", "space": "kitchen.yaml", "maximize": "acc"}]  # fmt: skip
    (kitchen / "named.yaml").write_text(json.dumps({"tasks": tables}))
    assert command("predictor", "fit", "--from", "named.yaml", "-o", "cook", "--known", "30")[0] == 0
    model = plan(read_run_file(run_file(kitchen, "x", predictor="cook"))).model
    assert model is not None
    assert [source.name for source in model.sources] == ["y"]
    bench_file(kitchen, "one.yaml", ["x.csv"])
    assert command("predictor", "fit", "--from", "one.yaml", "-o", "same")[0] == 0
    code, _, err = command("search", run_file(kitchen, "x"), "--predictor", "same")
    assert code == 2
    assert "knows something else than this table, found x, of the same results" in err
    options = ("--seeds", "1", "--searches", "0", "--json")
    one = json.loads(command("predictor", "evaluate", "--from", "one.yaml", "--predictor", "cook", *options)[1])
    named = json.loads(command("predictor", "evaluate", "--from", "named.yaml", "--predictor", "cook", *options)[1])
    assert one[0]["tau"] == pytest.approx(named[0]["tau"], abs=0.1)


def test_what_is_no_origin_is_named(kitchen: Path, command: Command) -> None:
    code, _, err = command("predictor", "fit", "--from", "runs/nope", "-o", "cook")
    assert code == 2
    assert "found nothing at 'runs/nope'; give the folder that a search made" in err
    code, _, err = command("predictor", "fit", "--from", run_file(kitchen, "x"), "-o", "cook")
    assert code == 2
    assert "found a run file; give the folder of its run" in err


def test_a_space_with_an_option_more_is_searched_with_what_is_known(kitchen: Path, command: Command) -> None:
    command("predictor", "fit", "--from", "tables.yaml", "-o", "cook", "--known", "30")
    (kitchen / "kitchen.yaml").write_text(SPACE.replace("[on, off]", "[never, on, off]"))
    file = run_file(kitchen, "z", trials=6)
    code, _, err = command("search", file, "--predictor", "cook", "--runs", "runs")
    assert code == 0, err
    assert "The predictor knows x and y" in err.replace("x, y", "x and y")
    assert "They are of another version of the space; 60 of 60 results are of networks of this one." in err
    (run,) = (kitchen / "runs").iterdir()
    out = command("predictor", "show", f"{run}/predictor")[1]
    assert "the networks of this space, of 30 results in another version of it" in out
    assert command("resume", run, "-q", "--set", "search.trials=9")[0] == 0
    # In a space with an option less a part of them counts.
    (kitchen / "kitchen.yaml").write_text(SPACE.replace("[p, q, r, s]", "[p, q, r]"))
    lines = (kitchen / "z.csv").read_text().splitlines(keepends=True)
    (kitchen / "z.csv").write_text("".join(line for line in lines if not line.startswith("s,")))
    code, _, err = command("search", file, "--predictor", "cook", "--runs", "less")
    assert code == 0, err
    kept = re.search(r"They are of another .*; (\d+) of 60 results", err)
    assert kept is not None
    assert 20 < int(kept[1]) < 60


def test_two_updates_at_once_lose_nothing(kitchen: Path, command: Command) -> None:
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
