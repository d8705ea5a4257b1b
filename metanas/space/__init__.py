"""The search-space language: space files, tables of decisions, sampling, counting, constraints. Free of torch."""

from metanas.space._constraints import MEASURES, Constraint, EdgeLimit, excluding
from metanas.space._diff import SpaceDiff, diff_spaces
from metanas.space._diff_network import Difference
from metanas.space._lint import lint_space
from metanas.space._load import builtin_spaces, find_space, load_space, parse_space_text, read_space, settings_syntax
from metanas.space._ops import ACTIVATIONS, OPS, Op, Parameter, signature
from metanas.space._parse_values import Values, kind_of, parse_value
from metanas.space._problems import LanguageError, Mark, Problem, Problems, did_you_mean
from metanas.space._schema import space_schema, value_schema
from metanas.space._size import size_json, size_log10, size_text
from metanas.space._space import Rows, SearchSpace
from metanas.space._syntax import ValueSyntax
from metanas.space._template import (
    FLOAT_LEVELS,
    Branches,
    Cell,
    CellEdge,
    CellNode,
    Chain,
    Computed,
    Copies,
    Decided,
    Decision,
    Fixed,
    OpSite,
    Switch,
    Template,
    Value,
    columns_read,
    decisions_in,
    ops_in,
    parts_of_cell,
    templates_in,
    value_under,
)
from metanas.space._unmet import check_some_row
from metanas.space._yaml import ListNode, MapNode, Node, Scalar, ScalarNode, parse_yaml, plain, read_text

__all__ = [
    "ACTIVATIONS",
    "FLOAT_LEVELS",
    "MEASURES",
    "OPS",
    "Branches",
    "Cell",
    "CellEdge",
    "CellNode",
    "Chain",
    "Computed",
    "Constraint",
    "Copies",
    "Decided",
    "Decision",
    "Difference",
    "EdgeLimit",
    "Fixed",
    "LanguageError",
    "ListNode",
    "MapNode",
    "Mark",
    "Node",
    "Op",
    "OpSite",
    "Parameter",
    "Problem",
    "Problems",
    "Rows",
    "Scalar",
    "ScalarNode",
    "SearchSpace",
    "SpaceDiff",
    "Switch",
    "Template",
    "Value",
    "ValueSyntax",
    "Values",
    "builtin_spaces",
    "check_some_row",
    "columns_read",
    "decisions_in",
    "did_you_mean",
    "diff_spaces",
    "excluding",
    "find_space",
    "kind_of",
    "lint_space",
    "load_space",
    "ops_in",
    "parse_space_text",
    "parse_value",
    "parse_yaml",
    "parts_of_cell",
    "plain",
    "read_space",
    "read_text",
    "settings_syntax",
    "signature",
    "size_json",
    "size_log10",
    "size_text",
    "space_schema",
    "templates_in",
    "value_schema",
    "value_under",
]
