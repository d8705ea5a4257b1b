"""Which samples train, which validate, which test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metanas._rng import derive_seed
from metanas.data._dataset import Dataset, Indices
from metanas.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Disjoint rows of a data set, each part sorted."""

    train: Indices
    """Rows that networks are trained on, and that the preparation is fitted on."""
    validation: Indices
    """Rows that the search scores networks on."""
    test: Indices
    """Rows that only the final network sees, once."""

    def final(self) -> Splits:
        """The split of the final training: train and validation together, nothing to validate on, the same test."""
        return Splits(np.union1d(self.train, self.validation), self.validation[:0], self.test)


def split(dataset: Dataset, *, seed: int, test: float | None = None, validation: float | None = None) -> Splits:
    """Part the samples, by class where there are classes, so that every part holds every class it can.

    ``test`` is a fraction of all samples, ``validation`` one of those left; by default what the data set says. Test
    samples that the source sets apart are kept, and ``test`` is then ignored.
    The rows depend on the data, the fractions and ``seed`` alone, not on the version of a library.
    """
    test = fraction(dataset.test_fraction if test is None else test, "test")
    validation = fraction(dataset.validation_fraction if validation is None else validation, "validation")
    rows = np.arange(dataset.n_samples)
    if dataset.test_indices is None:
        held = _hold_out(dataset, rows, test, derive_seed(seed, "split", "test"))
    else:
        held = np.isin(rows, dataset.test_indices)
    test_rows, rows = rows[held], rows[~held]
    held = _hold_out(dataset, rows, validation, derive_seed(seed, "split", "validation"))
    return Splits(train=rows[~held], validation=rows[held], test=test_rows)


def fraction(value: object, key: str) -> float:
    """``value`` if it may part samples. Raises DataError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise DataError(
            "must be a fraction between 0 and 1, both excluded",
            found=repr(value),
            where=f"data.{key}",
            remedy="say 0.2",
        )
    return float(value)


def _hold_out(dataset: Dataset, rows: Indices, share: float, seed: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of ``rows`` to hold out, (n,): ``share`` of each class, at least one sample and never all of them.

    The shares are rounded so that their sum is right (largest remainders), ties going to the lower class.
    """
    labels = dataset.targets[rows] if dataset.task == "classification" else np.zeros(len(rows), np.int64)
    counts = np.bincount(labels)
    exact = counts * share
    take = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(take.sum())
    take[np.argsort(take - exact, kind="stable")[:missing]] += 1
    take = np.minimum(np.maximum(take, 1), np.maximum(counts - 1, 0))
    order = np.random.default_rng(seed).permutation(len(rows))
    order = order[np.argsort(labels[order], kind="stable")]
    sorted_labels = labels[order]
    place_in_class = np.arange(len(rows)) - (np.cumsum(counts) - counts)[sorted_labels]
    held = np.zeros(len(rows), np.bool_)
    held[order] = place_in_class < take[sorted_labels]
    return held
