"""One network as data: a row of decisions, its graph, identity, shapes and costs. Free of torch."""

from metanas.architecture._architecture import Architecture, Measures, broken_constraint
from metanas.architecture._canonical import Instances, Multiset, summed
from metanas.architecture._count_networks import NetworkCount, count_networks, estimate_networks
from metanas.architecture._dissolve import SUMS, Filling, Made, OpLabel, RowValues
from metanas.architecture._graph import INPUT, OpGraph, OpNode, Walk, chosen_copies, parameters_of
from metanas.architecture._identity import CanonicalIds
from metanas.architecture._layers import Layer, LayerGraph, Module, Modules, Trace
from metanas.architecture._lower import LOWER, lower, lower_merge
from metanas.architecture._rules import RULES, Shape, ShapeError
from metanas.architecture._shape_check import ShapeCheck, check_shapes, has_shapes

__all__ = [
    "INPUT",
    "LOWER",
    "RULES",
    "SUMS",
    "Architecture",
    "CanonicalIds",
    "Filling",
    "Instances",
    "Layer",
    "LayerGraph",
    "Made",
    "Measures",
    "Module",
    "Modules",
    "Multiset",
    "NetworkCount",
    "OpGraph",
    "OpLabel",
    "OpNode",
    "RowValues",
    "Shape",
    "ShapeCheck",
    "ShapeError",
    "Trace",
    "Walk",
    "broken_constraint",
    "check_shapes",
    "chosen_copies",
    "count_networks",
    "estimate_networks",
    "has_shapes",
    "lower",
    "lower_merge",
    "parameters_of",
    "summed",
]
