"""One network as data: a row of decisions, its graph, identity, shapes and costs. Free of torch."""

from metanas.architecture._architecture import Architecture, Measures, broken_constraint
from metanas.architecture._canonical import Instances
from metanas.architecture._count_networks import NetworkCount, count_networks, estimate_networks
from metanas.architecture._graph import INPUT, OpGraph, OpNode, Walk, chosen_copies
from metanas.architecture._identity import CanonicalIds, Dissolved, Filling, Labels
from metanas.architecture._layers import Layer, LayerGraph, Module, Modules
from metanas.architecture._lower import LOWER, lower
from metanas.architecture._rules import RULES, Shape, ShapeError

__all__ = [
    "INPUT",
    "LOWER",
    "RULES",
    "Architecture",
    "CanonicalIds",
    "Dissolved",
    "Filling",
    "Instances",
    "Labels",
    "Layer",
    "LayerGraph",
    "Measures",
    "Module",
    "Modules",
    "NetworkCount",
    "OpGraph",
    "OpNode",
    "Shape",
    "ShapeError",
    "Walk",
    "broken_constraint",
    "chosen_copies",
    "count_networks",
    "estimate_networks",
    "lower",
]
