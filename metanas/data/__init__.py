"""Data sets: read from where they lie, split, prepared from the training part alone, and put on the device as tensors.

Importing this package is cheap: polars, Pillow, scikit-learn and torch are loaded by the functions that need them.
"""

from typing import TYPE_CHECKING

from metanas._lazy import lazy_attributes
from metanas.data._arrays import dataset_from_arrays
from metanas.data._builtin import BUILTIN_NAMES
from metanas.data._dataset import Column, Dataset, Table, Texts
from metanas.data._load import TABLE_SUFFIXES, absolute_data, data_mapping, load_dataset, spec_errors
from metanas.data._notes import data_notes
from metanas.data._preparation import MISSING_TEXTS, ColumnPreparation, Preparation, fit_preparation
from metanas.data._raw import prepare_raw
from metanas.data._samples import ROLES, Samples, read_samples
from metanas.data._source import preparation_source
from metanas.data._split import Splits, split

if TYPE_CHECKING:
    from metanas.data._tables import read_frame
    from metanas.data._tensors import Augmentation, Part, Tensors, augmentation, batches, to_device

__all__ = [
    "BUILTIN_NAMES",
    "MISSING_TEXTS",
    "ROLES",
    "TABLE_SUFFIXES",
    "Augmentation",
    "Column",
    "ColumnPreparation",
    "Dataset",
    "Part",
    "Preparation",
    "Samples",
    "Splits",
    "Table",
    "Tensors",
    "Texts",
    "absolute_data",
    "augmentation",
    "batches",
    "data_mapping",
    "data_notes",
    "dataset_from_arrays",
    "fit_preparation",
    "load_dataset",
    "preparation_source",
    "prepare_raw",
    "read_frame",
    "read_samples",
    "spec_errors",
    "split",
    "to_device",
]

_TORCH = ("Augmentation", "Part", "Tensors", "augmentation", "batches", "to_device")
__getattr__ = lazy_attributes(
    __name__,
    dict.fromkeys(_TORCH, "metanas.data._tensors") | {"read_frame": "metanas.data._tables"},
)
