"""Benches: strategies times tasks times seeds, on tables of results, to one comparison.

No run folder and no worker is needed: a cell of a bench is a loop in memory over a strategy's proposals, whose
evaluations are counted reads of the target's table.
"""

from metanas.bench._bench import Bench, Comparison, run_bench
from metanas.bench._gather import gather
from metanas.bench._leave_out import search_regrets
from metanas.bench._play import Cell, play
from metanas.bench._read import parse_bench_text, read_bench_file
from metanas.bench._report import summary, write_report
from metanas.bench._scores import mean_ranks
from metanas.bench._spec import BenchFile, Contestant, Sources, TaskSpec

__all__ = [
    "Bench",
    "BenchFile",
    "Cell",
    "Comparison",
    "Contestant",
    "Sources",
    "TaskSpec",
    "gather",
    "mean_ranks",
    "parse_bench_text",
    "play",
    "read_bench_file",
    "run_bench",
    "search_regrets",
    "summary",
    "write_report",
]
