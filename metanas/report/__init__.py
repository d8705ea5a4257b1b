"""Stored trials as things to read: one offline HTML page, and the numbers of ``metanas status``."""

from typing import TYPE_CHECKING

from metanas._lazy import lazy_attributes
from metanas.report._describe import describe_space
from metanas.report._render import render_report
from metanas.report._status import StatusTable, status_table
from metanas.report._summary import DataSummary, DecisionSummary, Objective, RunSummary

if TYPE_CHECKING:
    from metanas.report._drawing import draw_architecture
    from metanas.report._drawing_space import draw_space

__all__ = [
    "DataSummary",
    "DecisionSummary",
    "Objective",
    "RunSummary",
    "StatusTable",
    "describe_space",
    "draw_architecture",
    "draw_space",
    "render_report",
    "status_table",
]

__getattr__ = lazy_attributes(  # matplotlib is slow to import
    __name__,
    {"draw_architecture": "metanas.report._drawing", "draw_space": "metanas.report._drawing_space"},
)
