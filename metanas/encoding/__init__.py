"""Architectures as arrays of numbers. Free of torch."""

from metanas.encoding._network_encoder import NetworkEncoder
from metanas.encoding._one_hot import OneHot
from metanas.encoding._ordered import Ordered
from metanas.encoding._structure_encoder import StructureEncoder

__all__ = ["NetworkEncoder", "OneHot", "Ordered", "StructureEncoder"]
