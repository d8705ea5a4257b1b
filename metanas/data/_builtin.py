"""The data sets that come with scikit-learn: no download."""

from __future__ import annotations

from metanas.data._arrays import from_arrays
from metanas.data._dataset import Dataset

BUILTIN_NAMES = ("breast_cancer", "diabetes", "digits", "iris", "wine")
"""``digits`` are images; ``diabetes`` is a table with a quantity as target, the others are tables with classes."""


def load_builtin(name: str, *, task: str | None) -> Dataset:
    """Load one of :data:`BUILTIN_NAMES`. Raises DataError for a task that does not suit it."""
    import sklearn.datasets

    source = getattr(sklearn.datasets, f"load_{name}")()
    classes = [str(text) for text in source.get("target_names", ())]
    where = f"built-in data {name!r}"
    if name == "digits":
        return from_arrays(source.images, source.target, where=where, name=name, task=task, classes=classes)
    columns = [str(text) for text in source.feature_names]
    return from_arrays(source.data, source.target, where=where, name=name, task=task, columns=columns, classes=classes)
