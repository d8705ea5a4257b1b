import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from metanas.bench import Comparison, gather, read_bench_file, run_bench, summary
from metanas.bench._bench import Bench
from metanas.bench._play import load_task, sources_of
from metanas.bench._report import _page

Write = Callable[..., Path]
Command = Callable[..., tuple[int, str, str]]


def test_a_bench_writes_its_report_and_a_second_one_does_nothing_again(bench_file: Write, command: Command) -> None:
    path = bench_file()
    out = path.parent / "out"
    code, text, _ = command("bench", path, "--out", out, "--processes", 1)
    assert code == 0
    assert "local" in text
    assert "…" not in text, "numbers are whole where there is no terminal"
    page = (out / "report.md").read_text()
    assert "p against the best" in page
    for picture in ("regret.png", "ranks_10.png", "ranks_12.png"):
        assert picture in page
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    assert len((out / "results.csv").read_text().splitlines()) == 1 + 3 * 2 * 2 * 12
    cells = {cell: cell.stat().st_mtime_ns for cell in (out / "cells").iterdir()}
    assert len(cells) == 12
    code, _, said = command("bench", path, "--out", out, "--processes", 1)
    assert code == 0
    assert "12 of 12" in said
    assert {cell: cell.stat().st_mtime_ns for cell in (out / "cells").iterdir()} == cells


def test_the_report_tells_what_tables_hold(bench_file: Write, command: Command) -> None:
    path = bench_file(seeds=1)
    table = path.parent / "set0.csv"
    lines = table.read_text().splitlines()
    cells = [line.split(",") for line in lines[1:4]]
    table.write_text("\n".join([lines[0], *(",".join([*c[:4], "", *c[5:]]) for c in cells), *lines[4:]]) + "\n")
    assert command("bench", path, "--out", path.parent / "out", "--processes", 1)[0] == 0
    page = (path.parent / "out" / "report.md").read_text()
    assert "| set0 | acc, maximize | 63 | 1 | 3 | " in page
    assert "| set1 | acc, maximize | 64 | 0 | 3 | " in page


@pytest.mark.parametrize(("direction", "best"), [("maximize", "87.25"), ("minimize", "71.5")])
def test_the_report_tells_a_tables_best_mean_in_its_own_sign(
    bench_file: Write, command: Command, direction: str, best: str
) -> None:
    path = bench_file(
        tasks=[{"file": "own.csv", "space": "toy.yaml", direction: "acc", "repeat": "seed"}], evaluations=2, seeds=1,
        strategies=["random"],
    )  # fmt: skip
    (path.parent / "own.csv").write_text(
        "a,b,c,seed,acc\np,1,x,0,87\np,1,x,1,87.5\nq,1,x,0,71\nq,1,x,1,72\nr,2,y,0,90\nr,2,y,1,70\n"
    )
    assert command("bench", path, "--out", path.parent / "out", "--processes", 1)[0] == 0
    assert f"| own | acc, {direction} | 3 | 0 | 2 | {best} |" in (path.parent / "out" / "report.md").read_text()


def test_a_table_of_fractions_is_reported_as_closely_as_one_of_percents(bench_file: Write) -> None:
    tasks = _tasks(bench_file)[:2]
    folder = bench_file().parent
    percents = _page(_searched(bench_file(tasks=tasks), folder / "percents"))
    for number in range(2):
        head, *lines = (folder / f"set{number}.csv").read_text().splitlines()
        cells = [line.split(",") for line in lines]
        lines = [",".join([*c[:4], *(f"{float(v) / 100:.6f}" for v in c[4:6]), c[6]]) for c in cells]
        (folder / f"part{number}.csv").write_text("\n".join([head, *lines]) + "\n")
    tasks = [task | {"file": f"part{number}.csv", "name": f"set{number}"} for number, task in enumerate(tasks)]
    comparison = _searched(bench_file(tasks=tasks), folder / "fractions")
    fractions = _page(comparison)
    assert "at most so many points.\n" in percents
    assert "at most so many points. A point is a hundredth" in fractions
    assert "values reach: 0.01 for set0, set1.\n" in fractions
    for title, places in (("After 12", 3), ("Task by task", 3), ("Test value", 2)):
        before, after = _figures(percents, title), _figures(fractions, title)
        assert {len(text.partition(".")[2]) for text in before} == {places}
        assert {len(text.partition(".")[2]) for text in after} == {places + 2}
        assert [float(text) for text in after] == pytest.approx([float(t) / 100 for t in before], abs=0.51e-5)
    near = "## Evaluations to the optimum's neighbourhood"
    assert _section(fractions, near).splitlines()[4:] == _section(percents, near).splitlines()[4:]
    assert len(summary(comparison, 12)[1][1].partition(".")[2]) == 5


def _searched(path: Path, out: Path) -> Comparison:
    return run_bench(read_bench_file(path), out, processes=1)


def _section(page: str, title: str) -> str:
    return page[page.index(title) :].partition("\n## ")[0]


def _figures(page: str, title: str) -> list[str]:
    """The cells of a section's table that are regrets or test values: those with a point, no ranks and tests."""
    rows = [line.split(" | ") for line in _section(page, f"## {title}").splitlines() if line.startswith("| ")][2:]
    unit = [row[1:4] if title.startswith("After") else row[1:] for row in rows]
    return [text for row in unit for c in row for text in re.findall(r"[0-9]+\.[0-9]+", c)]


def test_the_report_says_what_only_some_tables_have(bench_file: Write, command: Command) -> None:
    tasks = _tasks(bench_file)
    del tasks[0]["test"], tasks[2]["cost"]
    path = bench_file(tasks=tasks, seeds=1)
    out = path.parent / "out"
    assert command("bench", path, "--out", out, "--processes", 1)[0] == 0
    page = (out / "report.md").read_text()
    assert "no search saw test values. Over set1, set2: the other tables have none." in page
    assert "one after another. Over set0, set1: the other tables have none." in page
    assert "transfer know" not in page
    alone = bench_file(tasks=tasks[:1], seeds=1, strategies=["source_rank", "random"], workers=3)
    assert command("bench", alone, "--out", out, "--processes", 1)[0] == 0
    page = (out / "report.md").read_text()
    assert "3 at once; an evaluation gives the mean over the table's repeats. There are no other data sets" in page
    assert "## Virtual time" in page
    assert "## Test value" not in page


def test_what_cannot_work_is_told_before_anything_runs(bench_file: Write, command: Command) -> None:
    path = bench_file(strategies=["random", "source_rank"])
    (path.parent / "file").write_text("")
    code, _, said = command("bench", path, "--out", path.parent / "file", "--processes", 1)
    assert code == 2
    assert "a bench has a folder for its results" in said
    (path.parent / "other.yaml").write_text("space: o\ninput: table\ntabular: {a: {choice: [p, q, r, s]}}")
    (path.parent / "other.csv").write_text("a,acc\np,1\nq,2\n")
    other = {"file": "other.csv", "space": "other.yaml", "maximize": "acc"}
    path = bench_file(strategies=["random", "source_rank"], sources={"tasks": [other]})
    out = path.parent / "out"
    code, _, said = command("bench", path, "--out", out, "--processes", 1)
    assert code == 2
    assert "source and target have the same decisions, found other for set0" in said
    assert not out.exists()


def test_tasks_of_two_spaces_each_know_those_of_their_own(bench_file: Write, command: Command) -> None:
    path = bench_file()
    (path.parent / "other.yaml").write_text("space: o\ninput: table\ntabular: {a: {choice: [1, 2, 3, 4, 5, 6]}}")
    others = []
    for number in range(2):
        lines = [f"{a},{50 + 2 * a + number}" for a in range(1, 7)]
        (path.parent / f"other{number}.csv").write_text("\n".join(["a,acc", *lines]) + "\n")
        others.append({"file": f"other{number}.csv", "space": "other.yaml", "maximize": "acc"})
    path = bench_file(tasks=[*_tasks(bench_file)[:2], *others], strategies=["source_rank", "random"], evaluations=4)
    bench = read_bench_file(path)
    known = {
        task.name: [source.name for source in sources_of(task, bench.sources, load_task(task).space)]
        for task in bench.tasks
    }
    assert known == {"set0": ["set1"], "set1": ["set0"], "other0": ["other1"], "other1": ["other0"]}
    out = path.parent / "out"
    assert command("bench", path, "--out", out, "--processes", 1, "-q")[0] == 0
    cells = run_bench(bench, out, processes=1).cells
    # The other data set ranks these alike, so the best is tried first.
    assert all(cells["other0", "source_rank", seed].regret[0] == 0 for seed in range(2))


def test_more_seeds_and_strategies_do_what_is_missing_and_a_new_name_nothing(bench_file: Write) -> None:
    first = read_bench_file(bench_file(tasks=_tasks(bench_file)[:1]))
    out = bench_file().parent / "out"
    run_bench(first, out, processes=1)
    more = read_bench_file(
        bench_file(
            tasks=_tasks(bench_file)[:1], seeds=3, strategies=[{"name": "chance", "strategy": "random"}, "local"]
        )
    )
    missing = [spec for spec in Bench(more, out).specs() if Bench(more, out).read(spec) is None]
    assert [(spec.seed, spec.contestant.name) for spec in missing] == [(2, "chance"), (2, "local")]


def test_a_changed_table_and_a_damaged_cell_are_searched_again(bench_file: Write) -> None:
    bench = read_bench_file(bench_file(tasks=_tasks(bench_file)[:1], seeds=1))
    out = bench_file().parent / "out"
    run_bench(bench, out, processes=1)
    keeper = Bench(bench, out)
    spec = keeper.specs()[0]
    before = keeper.read(spec)
    keeper.path(spec).write_text(keeper.path(spec).read_text()[:50])
    assert keeper.read(spec) is None
    run_bench(bench, out, processes=1)
    assert keeper.read(spec).evaluated == before.evaluated  # type: ignore[union-attr]
    table = Path(bench.tasks[0].file)
    table.write_text(table.read_text().replace("p,1,x,0,", "p,1,x,9,"))
    assert keeper.read(spec) is None


def test_what_another_version_played_is_played_again(bench_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = read_bench_file(bench_file(tasks=_tasks(bench_file)[:1], seeds=1))
    out = bench_file().parent / "out"
    run_bench(bench, out, processes=1)
    keeper = Bench(bench, out)
    assert all(keeper.read(spec) is not None for spec in keeper.specs())
    monkeypatch.setattr("metanas.bench._bench.__version__", "99.0")
    assert all(keeper.read(spec) is None for spec in keeper.specs())


def test_two_tables_of_one_database_are_two_tasks(bench_file: Write) -> None:
    folder = bench_file().parent
    with closing(sqlite3.connect(folder / "all.db")) as database, database:
        for number in range(2):
            head, *lines = (folder / f"set{number}.csv").read_text().splitlines()
            database.execute(
                f"create table set{number} (a text, b integer, c text, seed integer, acc real, test real, seconds real)"
            )
            database.executemany(
                f"insert into set{number} ({head}) values (?, ?, ?, ?, ?, ?, ?)", [line.split(",") for line in lines]
            )
    tasks = [
        {"file": "all.db", "table": f"set{n}", "space": "toy.yaml", "maximize": "acc", "repeat": "seed"}
        for n in range(2)
    ]
    bench = read_bench_file(bench_file(tasks=tasks, strategies=["random"], seeds=1))
    assert [Path(task.name).name for task in bench.tasks] == ["set0", "set1"]
    comparison = run_bench(bench, folder / "out", processes=1)
    assert len(comparison.cells) == 2
    assert [task.name for task in gather([str(folder / "bench.yaml")], known=None)] == ["all/set0", "all/set1"]


def test_a_contestant_may_have_no_sources_or_shuffled_ones(bench_file: Write) -> None:
    strategies = [
        "meta",
        {"name": "alone", "strategy": "meta", "sources": "none"},
        {"name": "shuffled", "strategy": "meta", "sources": "shuffled"},
    ]
    bench = read_bench_file(bench_file(tasks=_tasks(bench_file), strategies=strategies, evaluations=8, seeds=1))
    found = run_bench(bench, bench_file().parent / "out", processes=1)
    evaluated = {(task, name): cell.evaluated for (task, name, _), cell in found.cells.items()}
    tasks = {task for task, _ in evaluated}
    # Sources that do not predict each other are no reason to begin elsewhere than at random.
    assert all(evaluated[task, "shuffled"][:6] == evaluated[task, "alone"][:6] for task in tasks)
    assert all(evaluated[task, "meta"][0] != evaluated[task, "alone"][0] for task in tasks)


def _tasks(bench_file: Write) -> list[dict[str, object]]:
    import yaml

    tasks: list[dict[str, object]] = yaml.safe_load(bench_file().read_text())["tasks"]
    return tasks


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_bench_that_was_stopped_goes_on_and_leaves_no_process(bench_file: Write, how: signal.Signals) -> None:
    path = bench_file(strategies=["optuna:tpe"], evaluations=60, seeds=4)
    out = path.parent / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "metanas", "bench", str(path), "--out", str(out), "--processes", "2"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        _wait(lambda: len(list((out / "cells").glob("*.json"))) >= 1 if out.exists() else False)
        # To the process alone: its workers must notice by themselves.
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
        if how is signal.SIGINT:
            assert process.returncode == 130
            assert "the same command goes on" in said
        _wait(lambda: not _group(process.pid))
    finally:
        for pid in _group(process.pid):
            os.kill(pid, signal.SIGKILL)
    kept = {cell.name: cell.read_bytes() for cell in (out / "cells").glob("*.json")}
    assert 1 <= len(kept) < 12
    assert all(json.loads(content)["cell"]["grid"] for content in kept.values())
    comparison = run_bench(read_bench_file(path), out, processes=1)
    assert len(comparison.cells) == 12
    assert all((out / "cells" / name).read_bytes() == content for name, content in kept.items())


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.05)


def _group(leader: int) -> list[int]:
    """Processes of the group that live; zombies do not."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == leader and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def test_a_search_that_fails_is_named_and_the_others_are_kept(bench_file: Write, command: Command) -> None:
    path = bench_file(strategies=["random", {"optuna:tpe": {"n_startup": 3}}])
    code, _, said = command("bench", path, "--out", path.parent / "out", "--processes", 1)
    assert code == 2
    assert "optuna:tpe on" in said
    assert "n_startup" in said
    assert len(list((path.parent / "out" / "cells").iterdir())) == 6
