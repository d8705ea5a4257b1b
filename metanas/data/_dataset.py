"""A data set in memory, as it was read: nothing is scaled or imputed yet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metanas.errors import DataError

Kind = Literal["image", "sequence", "tokens", "table", "pairs"]
Task = Literal["classification", "regression"]
Array = NDArray[Any]
Indices = NDArray[np.int64]

KINDS: tuple[Kind, ...] = ("image", "sequence", "tokens", "table", "pairs")
TASKS: tuple[Task, ...] = ("classification", "regression")
DEFAULT_FRACTION = 0.2


@dataclass(frozen=True, slots=True)
class Column:
    """What a column of a table holds."""

    name: str
    """Its name in the file."""
    categories: tuple[str, ...] | None = None
    """The distinct texts of a categorical column, sorted; None for a numeric one."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows of mixed columns, stored by column."""

    columns: tuple[Column, ...]
    """What each column holds."""
    data: tuple[Array, ...]
    """One array a column, each (n,): numbers as floats with NaN where missing, categories as integers that index
    ``Column.categories`` with -1 where missing."""

    def __len__(self) -> int:
        return len(self.data[0]) if self.data else 0

    def take(self, indices: Indices) -> Table:
        """The rows at ``indices``."""
        return Table(self.columns, tuple(values[indices] for values in self.data))


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Texts, one a sample."""

    values: tuple[str, ...]
    """As they were read."""

    def __len__(self) -> int:
        return len(self.values)

    def take(self, indices: Indices) -> Texts:
        """The texts at ``indices``."""
        return Texts(tuple(self.values[i] for i in indices.tolist()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Inputs and targets, and what they mean."""

    name: str
    """For people: the built-in name or the file's stem."""
    kind: Kind
    """Which networks can read it."""
    task: Task
    """What is to be predicted."""
    inputs: Array | Table | Texts
    """Images (n, C, H, W), uint8 or float32; sequences (n, C, L), float32; tokens as n texts or as ids (n, L), int64;
    a table of n rows; pairs as a table of two columns of texts, the user's and the item's."""
    targets: Array
    """(n,): int64 class numbers, or float64 values."""
    classes: tuple[str, ...] = ()
    """Names of the classes, by number; empty for a regression."""
    test_indices: Indices | None = None
    """Rows that the source sets apart for testing; None where the split chooses them."""
    test_fraction: float = DEFAULT_FRACTION
    """Part of all samples that a split keeps for testing; without meaning when ``test_indices`` is given."""
    validation_fraction: float = DEFAULT_FRACTION
    """Part of what testing leaves that a split keeps for validation."""
    notes: tuple[str, ...] = ()
    """What of the source was left out that its user may have meant to be read, in words."""

    @property
    def n_samples(self) -> int:
        """How many samples there are, test samples included."""
        return len(self.targets)

    @property
    def n_outputs(self) -> int:
        """How many numbers a network returns for a sample: one a class, or 1."""
        return len(self.classes) if self.task == "classification" else 1

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of a table; empty for images."""
        return self.inputs.columns if isinstance(self.inputs, Table) else ()

    def take(self, indices: Indices) -> Array | Table | Texts:
        """The inputs at ``indices``."""
        return self.inputs.take(indices) if isinstance(self.inputs, Table | Texts) else self.inputs[indices]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the contents in hexadecimal: equal for equal data on every platform, whatever the name."""
        digest = hashlib.sha256()
        _feed_text(digest, self.kind, self.task, *self.classes)
        if isinstance(self.inputs, Table):
            for column, values in zip(self.inputs.columns, self.inputs.data, strict=True):
                _feed_text(digest, column.name, *(column.categories or ()))
                _feed_array(digest, values)
        elif isinstance(self.inputs, Texts):
            _feed_text(digest, *self.inputs.values)
        else:
            _feed_array(digest, self.inputs)
        _feed_array(digest, self.targets)
        if self.test_indices is not None:
            _feed_array(digest, self.test_indices)
        return digest.hexdigest()


def _feed_text(digest: Any, *texts: str) -> None:
    for text in (str(len(texts)), *texts):
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)


def _feed_array(digest: Any, values: Array) -> None:
    little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    _feed_text(digest, little.dtype.str, str(little.shape))
    digest.update(little.reshape(-1).view(np.uint8).data)


def refuse_infinite(x: Array, what: str, where: str = "") -> None:
    """Raise DataError if a value of the samples (n, ...), called ``what``, is NaN or infinite, saying how many and the first."""
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = ~np.isfinite(x.reshape(len(x), -1)).all(axis=1)
        found = f"NaN or infinity in {int(bad.sum())} of {len(x)}, the first is number {int(bad.argmax()) + 1}"
        raise DataError(f"{what} must be finite", found=found, where=where, remedy="remove or repair these")
