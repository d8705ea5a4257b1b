"""Tables of results: what every architecture of a space, or some of them, came to on a data set. Free of torch.

``n`` architectures, ``r`` repeats of each training.
"""

from metanas.tables._benchmarks import BENCHMARKS, Benchmark, load_benchmark
from metanas.tables._files import OPTIONAL, TableFile, read_table
from metanas.tables._lookup import RowLookup
from metanas.tables._table import ResultTable, TaskData, with_metric

__all__ = [
    "BENCHMARKS",
    "OPTIONAL",
    "Benchmark",
    "ResultTable",
    "RowLookup",
    "TableFile",
    "TaskData",
    "load_benchmark",
    "read_table",
    "with_metric",
]
