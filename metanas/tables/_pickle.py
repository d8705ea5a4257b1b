"""Opening the pickles of benchmark packages without running anything that they name."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from metanas.errors import DataError

_ALLOWED = {("numpy", "dtype"), ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")}
"""All that the known files name besides plain containers: numpy's float of eight bytes."""


def read_plain_pickle(path: Path) -> Any:
    """The dicts, lists, texts and numbers in a pickle.

    Raises
    ------
    DataError
        If the file cannot be read, or holds anything else.

    """
    try:
        with path.open("rb") as file:
            return _Plain(file).load()
    except (
        OSError,
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        IndexError,
    ) as error:
        raise DataError(
            "a benchmark's file holds plain numbers and texts", found=str(error), where=str(path),
            remedy="install the package again, from its official index",
        ) from error  # fmt: skip


class _Plain(pickle.Unpickler):
    """Resolves nothing but numpy's scalars; every other name is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"the name {module}.{name}")
        return np.dtype if name == "dtype" else _scalar

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a persistent id")


def _scalar(dtype: Any, data: bytes) -> float:
    """What ``numpy.core.multiarray.scalar`` makes of eight bytes: written here, so that no object dtype gets through."""
    if not isinstance(data, bytes) or dtype != np.dtype("f8"):
        raise pickle.UnpicklingError("a numpy scalar other than a float of eight bytes")
    return float(np.frombuffer(data, dtype="<f8", count=1)[0])
