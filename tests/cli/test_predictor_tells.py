"""What predictors tell of themselves, and searches of theirs: cards, judgements, tasks, spaces."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metanas.study import plan, read_run_file

Command = Callable[..., tuple[int, str, str]]


def test_a_search_says_how_far_its_predictor_can_be_trusted(
    kitchen: Path, command: Command, bench_file: Callable[..., None], run_file: Callable[..., Path]
) -> None:
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


def test_a_predictor_is_judged_on_other_tasks_than_those_it_knows(
    kitchen: Path, command: Command, bench_file: Callable[..., None]
) -> None:
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


def test_tasks_of_few_results_are_judged_before_the_first_of_them_alone(kitchen: Path, command: Command) -> None:
    for name in "xy":
        lines = (kitchen / f"{name}.csv").read_text().splitlines()
        (kitchen / f"{name}.csv").write_text("\n".join(lines[:15]) + "\n")
    code, out, _ = command("predictor", "evaluate", "--from", "tables.yaml", "--seeds", "1")
    assert code == 0
    assert out.splitlines()[-1].startswith("Intervals and searches take 20 results of a task or more")


def test_facts_of_tables_reach_the_card_and_the_search(
    kitchen: Path, command: Command, run_file: Callable[..., Path]
) -> None:
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


def test_a_table_is_known_under_any_name(
    kitchen: Path, command: Command, bench_file: Callable[..., None], run_file: Callable[..., Path]
) -> None:
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


def test_a_space_with_an_option_more_is_searched_with_what_is_known(
    kitchen: Path, command: Command, run_file: Callable[..., Path], kitchen_space: str
) -> None:
    command("predictor", "fit", "--from", "tables.yaml", "-o", "cook", "--known", "30")
    (kitchen / "kitchen.yaml").write_text(kitchen_space.replace("[on, off]", "[never, on, off]"))
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
    (kitchen / "kitchen.yaml").write_text(kitchen_space.replace("[p, q, r, s]", "[p, q, r]"))
    lines = (kitchen / "z.csv").read_text().splitlines(keepends=True)
    (kitchen / "z.csv").write_text("".join(line for line in lines if not line.startswith("s,")))
    code, _, err = command("search", file, "--predictor", "cook", "--runs", "less")
    assert code == 0, err
    kept = re.search(r"They are of another .*; (\d+) of 60 results", err)
    assert kept is not None
    assert 20 < int(kept[1]) < 60
