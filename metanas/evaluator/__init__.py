"""What an architecture is worth: trained, or scored by a user's own evaluator.

Nothing here loads torch until an evaluator that trains is built.
"""

from metanas.evaluator._build import build_evaluator
from metanas.evaluator._costs import COSTS
from metanas.evaluator._metrics import DEFAULT_METRIC, METRICS, Metric, metric_problem
from metanas.evaluator._own import import_factory
from metanas.evaluator._protocol import Evaluator
from metanas.evaluator._proxies import PROXIES, PROXY_BATCH, Proxy, check_proxies, proxy_scores
from metanas.evaluator._recipe import RECIPE_OPTIONS, Option, Recipe, python_refused, recipe_problems
from metanas.evaluator._recipe_check import check_space_recipe, recipe_names_python, recipe_schema
from metanas.evaluator._step import step_seconds
from metanas.evaluator._supernet_methods import METHODS, SupernetMethod
from metanas.evaluator._table_evaluator import table_of

__all__ = [
    "COSTS",
    "DEFAULT_METRIC",
    "METHODS",
    "METRICS",
    "PROXIES",
    "PROXY_BATCH",
    "RECIPE_OPTIONS",
    "Evaluator",
    "Metric",
    "Option",
    "Proxy",
    "Recipe",
    "SupernetMethod",
    "build_evaluator",
    "check_proxies",
    "check_space_recipe",
    "import_factory",
    "metric_problem",
    "proxy_scores",
    "python_refused",
    "recipe_names_python",
    "recipe_problems",
    "recipe_schema",
    "step_seconds",
    "table_of",
]
