"""A search as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from metanas._rng import derive_seed, generator
from metanas.report import _format, _sections
from metanas.report._importance import MIN_TRIALS, decision_importance
from metanas.report._random import compare_with_random, random_line
from metanas.report._status import state, status_table
from metanas.report._summary import RunSummary
from metanas.trial import TrialRecord, best_trial, comparable

_SCRIPT = "sort.js"
_TEMPLATE = "template.html"


def render_report(summary: RunSummary, trials: Sequence[TrialRecord]) -> str:
    """The page as text: one HTML file with its styles, plots and script inside, readable offline and in print.

    Any number of trials will do, none included. All texts are escaped, drawings are embedded as images, and the page's
    own policy keeps a browser from loading or running anything else. The same trials give the same page.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(_format, name) for name in _FILTERS}
    return environment.from_string(_packaged(_TEMPLATE)).render(_context(summary, trials))


_FILTERS = ("number", "quantity", "duration", "big_integer", "scalar", "options", "shortened")


def _context(summary: RunSummary, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """All that the template reads."""
    from markupsafe import Markup

    trials = sorted(trials, key=lambda t: t.number)
    best = next((t for t in trials if t.number == summary.best_trial), None)
    best = best or best_trial(trials, summary.directions)
    rng = generator(summary.seed, "report", "bootstrap")
    script = _packaged(_SCRIPT)
    importance = decision_importance(trials, summary.decisions, derive_seed(summary.seed, "report", "forest"))
    return {
        "run": summary,
        "status": status_table(trials, summary.objectives, under_way=summary.under_way),
        "best": best,
        "finished": len(comparable(trials)),
        "figures": _sections.figures(summary, trials, best),
        "front": _sections.front_members(summary, trials),
        "random": random_line(summary.strategy, trials, compare_with_random(trials, summary.directions[0], rng)),
        "importance": importance,
        "decisions": _sections.decisions_that_mattered(summary, trials, importance),
        "min_trials": MIN_TRIALS,
        "failures": _sections.failures(trials),
        "table": _sections.table(summary, trials, best),
        "state": state,
        "drawings": {caption: _data_uri(svg) for caption, svg in summary.drawings.items()},
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _data_uri(svg: str) -> str:
    """An SVG document as an image: its scripts never run, and its styles and ids stay its own."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _packaged(name: str) -> str:
    return resources.files("metanas.report").joinpath(name).read_text(encoding="utf-8")
