"""Code of the user's, by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from metanas.errors import MetanasError, describe, near_miss


def import_own(path: str, *, kind: str, where: str) -> Callable[..., Any]:
    """What ``package.module:Name`` names, a class or function; ``kind`` says which of them it should be.

    Raises MetanasError where its module cannot be imported, or has no such thing that can be called.
    """
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ImportError)
        raise MetanasError(
            f"{path} must be importable",
            found=str(error) if missing else describe(error),
            remedy="install its package, or start metanas in the folder that holds it with PYTHONPATH=."
            if missing
            else "",
            where=where,
        ) from error
    own: Any = getattr(module, name, None)
    if not callable(own):
        known = [other for other, value in vars(module).items() if callable(value)]
        raise MetanasError(
            f"{module_name} must have a {kind} {name}",
            found=f"a value of type {type(own).__name__}" if hasattr(module, name) else "nothing of that name",
            remedy=near_miss(name, known) or f"define it in {module_name}",
            where=where,
        )
    function: Callable[..., Any] = own
    return function


def import_factory(path: str, *, where: str = "evaluator") -> Callable[..., Any]:
    """The factory of an evaluator, ``package.module:Factory``.

    Raises MetanasError where there is none, or it is called in another way than evaluators are.
    """
    if not all(path.partition(":")):
        raise MetanasError("an evaluator's path reads package.module:Factory", found=path, where=where)
    factory = import_own(path, kind="class or function", where=where)
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # of code that is not Python
        return factory
    try:
        signature.bind({}, device="cpu", threads=1)
    except TypeError as error:
        name = path.partition(":")[2]
        raise MetanasError(
            f"an evaluator is made by {name}(setup, device=..., threads=...)", found=f"{name}{signature}: {error}",
            remedy="write 'def __init__(self, setup, *, device, threads):'" if inspect.isclass(factory)
            else f"write 'def {name}(setup, *, device, threads):'", where=where,
        ) from error  # fmt: skip
    return factory
