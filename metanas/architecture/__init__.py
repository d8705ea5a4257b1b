"""One network as data: a row of decisions, its graph, identity, shapes and costs. Free of torch."""

from metanas.architecture._architecture import Architecture, Measures, broken_constraint
from metanas.architecture._count_networks import NetworkCount, count_networks, estimate_networks
from metanas.architecture._graph import OpGraph, OpNode
from metanas.architecture._identity import CanonicalIds
from metanas.architecture._layers import Layer, LayerGraph, Module, Modules
from metanas.architecture._lower import LOWER, lower
from metanas.architecture._rules import RULES, Shape, ShapeError
from metanas.architecture._shape_check import ShapeCheck, check_shapes, has_shapes

__all__ = [
    "LOWER",
    "RULES",
    "Architecture",
    "CanonicalIds",
    "Layer",
    "LayerGraph",
    "Measures",
    "Module",
    "Modules",
    "NetworkCount",
    "OpGraph",
    "OpNode",
    "Shape",
    "ShapeCheck",
    "ShapeError",
    "broken_constraint",
    "check_shapes",
    "count_networks",
    "estimate_networks",
    "has_shapes",
    "lower",
]
