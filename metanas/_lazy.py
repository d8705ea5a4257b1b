"""Imports that wait until they are needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from metanas.errors import MissingDependencyError


def optional_import(module: str, *, extra: str = "", package: str = "") -> Any:
    """Import ``module``, or raise an error that holds the line that installs it.

    ``extra`` names one of metanas' own extras; ``package`` a package outside them.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise
        line = f"pip install 'metanas[{extra}]'" if extra else f"pip install {package or module}"
        raise MissingDependencyError(
            f"this needs the package {package or module.partition('.')[0]}", remedy=f"install it with: {line}"
        ) from error


def lazy_attributes(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A module ``__getattr__`` (PEP 562) that imports ``names`` (attribute -> module) on first use."""

    def getattr_(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(importlib.import_module(names[name]), name)

    return getattr_
