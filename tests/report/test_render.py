"""The page: whole, escaped, offline, and there for every search, however it went."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from metanas.report import RunSummary, render_report
from metanas.report._format import big_integer, duration, number, quantity
from metanas.trial import Status, TrialRecord

Trials = Callable[..., list[TrialRecord]]
Summary = Callable[..., RunSummary]
NASTY = "<b onload=x>&\"'$x_1$ \\ ünï 网络 </script>"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


class Page(HTMLParser):
    """Tags in order, checked to nest, and the text."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def count(self, tag: str) -> int:
        return sum(t == tag for t, _ in self.tags)


def test_a_search_is_told_in_full(trials: Trials, summary: Summary) -> None:
    run = summary(
        test_metrics={"accuracy": 0.9861}, drawings={"Trial 18": SVG}, baseline="Logistic regression: 0.9639."
    )
    page = Page(render_report(run, trials(60)))
    for text in ("0.9861", "Logistic regression: 0.9639.", "convnet", "1 × 8 × 8", "sha256:3f2a9c10b7d4",
                 "Against random search", "Importance for accuracy", "R² =", "Trials that failed", "torch 2.13.0",
                 "metanas search runs/digits/run.yaml", "best/network.py", "was not an objective"):  # fmt: skip
        assert text in page.words, text
    assert page.count("svg") == 4
    assert page.count("tr") > 60
    assert "Regret over trials" in page.words
    assert "Learning curves" in page.words


def test_a_repeat_names_the_trial_whose_network_it_trains_again(summary: Summary) -> None:
    rows = [
        TrialRecord(
            number=i, decisions={}, canonical_id=name, status=Status.COMPLETE, values=(0.9,), epochs=3,
            origin="repeat" if i == 7 else "predictor",
        )
        for i, name in ((4, "a"), (5, "b"), (7, "a"))
    ]  # fmt: skip
    page = Page(render_report(summary(predictor="mine, which knows x"), rows))
    assert page.words.count("repeat of trial 4") == 1
    assert "mine, which knows x" in page.words
    assert "epochs" in page.words
    looked_up = Page(render_report(summary(looked_up=True), rows))
    assert "epochs" not in looked_up.words, "a table has none"


@pytest.mark.parametrize(("under_way", "says"), [(True, "1 running"), (False, "1 cut off")])
def test_a_trial_without_an_end_runs_or_was_cut_off(summary: Summary, under_way: bool, says: str) -> None:
    rows = [TrialRecord(number=0, decisions={}, canonical_id="a", status=None)]
    assert says in Page(render_report(summary(under_way=under_way), rows)).words


def test_nothing_comes_from_outside_and_only_our_script_runs(trials: Trials, summary: Summary) -> None:
    text = render_report(summary(drawings={"best": SVG}), trials(30))
    page = Page(text)
    assert "http:" not in text
    assert "https:" not in text
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "base")
        for key in ("src", "href", "xlink:href"):
            value = attributes.get(key)
            assert value is None or value.startswith(("#", "data:image/svg+xml;base64,"))
    script = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert len(script) == 1
    assert base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode() in text
    assert "alert(1)" not in text


def test_texts_of_the_user_stay_texts(trials: Trials, summary: Summary) -> None:
    rows = [
        replace(
            t, message=NASTY if t.message else "", origin=NASTY, decisions={NASTY: NASTY, **t.decisions}, curve=t.curve
        )
        for t in trials(40)
    ]
    run = summary(
        name=NASTY, space=NASTY, space_about=NASTY, objectives=((NASTY, "minimize"), (NASTY + "2", "maximize")),
        strategy=NASTY, versions={NASTY: NASTY}, machine=NASTY, test_metrics={NASTY: 1.0}, drawings={NASTY: SVG},
        artefacts=(NASTY,), baseline=NASTY, command=NASTY, use=NASTY,
        decisions=tuple(replace(d, name=NASTY if d.name == "width" else d.name) for d in summary().decisions),
    )  # fmt: skip
    rows = [replace(t, values=(t.values[0], 2.0)) if t.values else t for t in rows]
    page = Page(render_report(run, rows))
    assert not any("onload" in attributes for _, attributes in page.tags)
    assert page.words.count(NASTY) > 20


@pytest.mark.parametrize("count", [0, 1, 2, 9, 25])
def test_any_number_of_trials_makes_a_page(count: int, trials: Trials, summary: Summary) -> None:
    page = Page(render_report(summary(), trials(count)))
    assert ("No trial has been run yet" in page.words) == (count == 0)
    assert ("Importance needs 10" in page.words) == (count < 10)


def test_a_search_in_which_all_went_well_makes_a_page(trials: Trials, summary: Summary) -> None:
    complete = [t for t in trials(60, spread=0.05) if t.status is Status.COMPLETE]
    page = Page(render_report(summary(), complete))
    assert "What mattered" in page.words
    assert "stopped early credited" not in page.words


def test_failures_are_grouped_with_reason_and_remedy(summary: Summary) -> None:
    failed = [
        TrialRecord(
            number=i, decisions={}, canonical_id=str(i), status=Status.TOO_LARGE, message=f"needs {i}.5 MB, limit 2 MB"
        )
        for i in range(30)
    ]
    page = Page(render_report(summary(), failed))
    assert "see below why they failed" in page.words
    assert page.words.count("MB, limit 2 MB") == 1
    assert "Add a constraint" in page.words
    assert "and 18 more" in page.words
    assert page.count("svg") == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_count_as_failed(bad: float, trials: Trials, summary: Summary) -> None:
    rows = trials(20)
    rows[0] = replace(rows[0], status=Status.COMPLETE, values=(bad,), curve={1: bad, 2: bad}, metrics={"params": bad})
    page = Page(render_report(summary(best_trial=0), rows))
    assert "not a finite number" in page.words


@pytest.mark.parametrize("objectives", [2, 3])
def test_several_objectives_have_a_front(objectives: int, trials: Trials, summary: Summary) -> None:
    names = (("accuracy", "maximize"), ("params", "minimize"), ("latency_ms", "minimize"))
    page = Page(render_report(summary(objectives=names[:objectives]), trials(50, objectives=objectives)))
    assert "Pareto front" in page.words
    assert "was not an objective" not in page.words
    for name, _ in names[1:objectives]:
        assert f"accuracy against {name}" in page.words


def test_many_trials_stay_small(trials: Trials, summary: Summary) -> None:
    few, many = (render_report(summary(), trials(n, random=500)) for n in (1000, 4000))
    assert "The 500 best of 4,000 trials" in many
    # The table ends, and plots have a mark a trial.
    assert (len(many) - len(few)) / 3000 < 250


def test_plots_are_well_formed_and_the_page_repeats(trials: Trials, summary: Summary) -> None:
    text = render_report(summary(objectives=((NASTY, "maximize"),)), trials(25))
    assert text == render_report(summary(objectives=((NASTY, "maximize"),)), trials(25))
    plots = re.findall(r"<svg .*?</svg>", text, flags=re.DOTALL)
    assert len(plots) == 4
    for plot in plots:
        ElementTree.fromstring(plot.replace("xlink:href", "href"))
        assert "var(--accent)" in plot
        assert "#0102" not in plot


def test_numbers_read_well() -> None:
    assert [number(v) for v in (0.98333333, 61706.0, 1.2e-5, None, float("nan"))] == [
        "0.9833", "61,706", "1.200e-05", "–", "NaN",
    ]  # fmt: skip
    assert [quantity(v) for v in (9482.0, 61706.0, 999_999.0, 1.24e6)] == ["9,482", "61.7 k", "1 M", "1.24 M"]
    assert [duration(v) for v in (0.42, 12.3, 200.0, 3900.0)] == ["0.42 s", "12 s", "3 min 20 s", "1 h 05 min"]
    assert [big_integer(v) for v in (15625, 42 * 10**5000)] == ["15,625", "4.2 × 10⁵⁰⁰¹"]


def test_neither_torch_nor_optuna_nor_plots_are_loaded_early() -> None:
    code = (
        "import sys, metanas.report as r; early = {'matplotlib', 'sklearn', 'jinja2'} & set(sys.modules)\n"
        "run = r.RunSummary(name='a', space='b', data=r.DataSummary(name='c'), objectives=(('x', 'maximize'),),"
        " strategy='s', seed=0)\n"
        "r.render_report(run, []); print(early, {'torch', 'optuna', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "set() set()"
