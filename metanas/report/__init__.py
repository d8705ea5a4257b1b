"""Stored trials as things to read: one offline HTML page, and the numbers of ``metanas status``."""

from metanas.report._render import render_report
from metanas.report._status import StatusTable, status_table
from metanas.report._summary import DataSummary, DecisionSummary, Objective, RunSummary

__all__ = [
    "DataSummary",
    "DecisionSummary",
    "Objective",
    "RunSummary",
    "StatusTable",
    "render_report",
    "status_table",
]
