"""Architectures as arrays of numbers. Free of torch."""

from metanas.encoding._one_hot import OneHot

__all__ = ["OneHot"]
