"""Run file -> search: the loop that proposes, evaluates and records, and the folder that keeps it all.

The only package that imports Optuna.
"""

from metanas.study._create import create_run, resolved
from metanas.study._experience import task_of_run
from metanas.study._final import read_choice, read_final, read_final_failure
from metanas.study._folder import ARTEFACTS, RunFolder, environment, write_atomically
from metanas.study._kept_predictor import predictor_line
from metanas.study._keys import Keys, named_settings
from metanas.study._lease import Lease, owner_of, owner_of_study
from metanas.study._limits import Ending
from metanas.study._listener import Listener
from metanas.study._loop import Search
from metanas.study._memory import MemorySampler
from metanas.study._override import override, with_storage
from metanas.study._plan import Plan, plan
from metanas.study._profile import SpaceProfile, profile_space
from metanas.study._result import SearchResult
from metanas.study._run_file import RunFile
from metanas.study._run_reader import parse_run_text, read_run_file
from metanas.study._sampler import MetaSampler, suggest
from metanas.study._session import Outcome, read_run, run_session
from metanas.study._storage import disk_errors
from metanas.study._strategies import make_strategy, strategy_names, strategy_problem, takes_facts, takes_sources
from metanas.study._table_keys import table_keys
from metanas.study._timeline import read_timeline
from metanas.study._trials import Trials

__all__ = [
    "ARTEFACTS",
    "Ending",
    "Keys",
    "Lease",
    "Listener",
    "MemorySampler",
    "MetaSampler",
    "Outcome",
    "Plan",
    "RunFile",
    "RunFolder",
    "Search",
    "SearchResult",
    "SpaceProfile",
    "Trials",
    "create_run",
    "disk_errors",
    "environment",
    "make_strategy",
    "named_settings",
    "override",
    "owner_of",
    "owner_of_study",
    "parse_run_text",
    "plan",
    "predictor_line",
    "profile_space",
    "read_choice",
    "read_final",
    "read_final_failure",
    "read_run",
    "read_run_file",
    "read_timeline",
    "resolved",
    "run_session",
    "strategy_names",
    "strategy_problem",
    "suggest",
    "table_keys",
    "takes_facts",
    "takes_sources",
    "task_of_run",
    "with_storage",
    "write_atomically",
]
