"""Modules of the user's: imported by name where that is allowed, and measured without data."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from metanas.architecture import LayerGraph, Module, Shape, ShapeError
from metanas.errors import MetanasError


def user_modules(path: str, shape: Shape, arguments: Mapping[str, Any]) -> Module:
    """What the module ``package.module:Class`` makes of samples of ``shape``: built and run on the meta device.

    Its keyword arguments are those of the space file and, where its constructor takes one, ``shape``: the shape of a
    sample. FLOPs are not known and count as 0.

    Raises
    ------
    ShapeError
        If it cannot be built so, or does not take such samples.
    MetanasError
        If it cannot be imported.

    """
    return _measured(path, shape, tuple(sorted(arguments.items())))


@lru_cache(maxsize=4096)
def _measured(path: str, shape: Shape, arguments: tuple[tuple[str, Any], ...]) -> Module:
    try:
        with torch.device("meta"), torch.no_grad():
            module = user_module(path, {**dict(arguments), **shape_argument(path, shape)})
            result = module.eval()(torch.zeros(2, *shape))
    except MetanasError:
        raise
    except Exception as error:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments)
        raise ShapeError(
            f"{path}({given}) takes samples of shape {list(shape)}", found=f"{type(error).__name__}: {error}",
            remedy="it must build and run on torch's meta device",
        ) from error  # fmt: skip
    if not isinstance(result, torch.Tensor) or result.ndim < 2 or result.shape[0] != 2:
        raise ShapeError(f"{path} returns a tensor (batch, ...)", found=str(getattr(result, "shape", type(result))))
    params = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    return Module(tuple(result.shape[1:]), params, 0)


def user_paths(graph: LayerGraph) -> list[str]:
    """Modules of the user's in a network, each ``package.module:Class``."""
    return sorted({layer.kind for layer in graph.layers if ":" in layer.kind})


def user_class(path: str) -> Any:
    """The class ``package.module:Class``. Raises MetanasError if it cannot be imported."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise MetanasError(
            f"the module {path} must be importable", found=str(error), where="ops",
            remedy="install its package, or start metanas in the folder that holds it with PYTHONPATH=.",
        ) from error  # fmt: skip


def user_module(path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a module of the user's."""
    module = user_class(path)(**arguments)
    if not isinstance(module, nn.Module):
        raise MetanasError(f"{path} must be a torch.nn.Module", found=type(module).__name__, where="ops")
    return module


def shape_argument(path: str, shape: Shape) -> dict[str, Shape]:
    """``{"shape": shape}`` where the constructor asks for it."""
    import inspect

    parameters = inspect.signature(user_class(path)).parameters
    return {"shape": shape} if "shape" in parameters else {}
