"""From raw inputs to what a network reads: fitted on the training part, and kept with the network as JSON.

Images, (n, C, H, W), and sequences, (n, C, L): ``(x - mean) / std`` with one mean and standard deviation a channel.

Tokens, (n, L) ids: texts are split into words in lower case, those seen often enough get an id; 0 is padding, at the
left, and 1 an unknown word. Pairs, (n, 2) ids: of the user and of the item, 0 where the training part did not have it.

Tables, (n, columns) -> (n, F), column by column:

- numeric: ``(x - mean) / std``, a missing value being replaced by ``fill`` (the median) first; and where the training
  part had missing values, one more feature that is 1 where the value is missing and 0 elsewhere;
- categorical: one feature a category, 1 where the text is that category and 0 elsewhere, so that a missing or unknown
  text is all zeros; and the feature for missing values as above.

What is constant in the training part gets no feature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metanas.data._dataset import Array, Column, Dataset, Indices, Kind, Table, Task, Texts, refuse_infinite
from metanas.data._ids import fit_words, known_ids, word_ids
from metanas.errors import DataError, near_miss

MOST_CATEGORIES = 64
"""A column's rarer categories get no feature, so that a column of names or ids cannot blow up the network."""
_LEAST_COUNT = 2
"""A category seen once in training teaches nothing that holds for another row."""
MISSING_TEXTS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "?")
"""Texts that mean a missing value in a CSV file, and in rows to predict for."""
FLAGS = {"true": 1.0, "false": 0.0}
"""Texts of flags, in lower case, as a CSV file and its rows have them."""
_CHUNK = 4096
"""Images that are turned into floats at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPreparation:
    """How a column becomes features."""

    name: str
    """The column."""
    numeric: bool
    """Whether it holds numbers; else texts."""
    fill: float = 0.0
    """Numeric: stands for a missing value (median)."""
    mean: float = 0.0
    """Numeric: subtracted."""
    std: float = 0.0
    """Numeric: divided by; 0 for a constant column, whose value gets no feature."""
    categories: tuple[str, ...] = ()
    """Categorical: the texts that get a feature, in this order."""
    indicator: bool = False
    """Whether a last feature tells missing values."""

    @property
    def n_features(self) -> int:
        """How many features the column becomes."""
        return (int(self.std > 0) if self.numeric else len(self.categories)) + int(self.indicator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """All that it takes to prepare new samples, and to read a network's outputs."""

    kind: Kind
    """What the samples are."""
    task: Task
    """What is predicted."""
    input_shape: tuple[int, ...]
    """Shape of one prepared sample: (C, H, W), (C, L), (F,), or of ids: (L,), or (2,)."""
    vocabulary: tuple[int, ...] = ()
    """How many ids there are: of tokens, or of users and of items; empty where samples are no ids."""
    classes: tuple[str, ...] = ()
    """Names of the outputs of a classification."""
    target_mean: float = 0.0
    """Regression: a network's output times ``target_std`` plus ``target_mean`` is in the target's own unit."""
    target_std: float = 1.0
    """See ``target_mean``."""
    channel_mean: tuple[float, ...] = ()
    """Images and sequences: mean of each channel, in values as read."""
    channel_std: tuple[float, ...] = ()
    """Images and sequences: standard deviation of each channel, 1 for a constant one."""
    columns: tuple[ColumnPreparation, ...] = ()
    """Tables: the columns that get features, in the order of the features. Pairs: the user's and the item's."""
    words: tuple[str, ...] = ()
    """Texts: the words that have an id, from 2 on; empty where the tokens were ids as they were read."""

    def transform(self, inputs: Array | Table | Texts | Sequence[str]) -> NDArray[Any]:
        """Prepare n raw samples: float32, or int64 where they become ids.

        Images are (n, C, H, W) or (n, H, W, C), or (n, H, W) where C is 1; sequences likewise; a table has these
        columns; tokens are texts, or ids (n, L) where they were ids in training. Raises DataError for another shape.
        """
        if isinstance(inputs, Table):
            return _pair_ids(self, inputs) if self.kind == "pairs" else _table_features(self, inputs)
        if self.kind == "tokens":
            return _token_ids(self, inputs)
        channels = _channels_first(_array_of(inputs), self.input_shape).astype(np.float32)
        axes = (-1, *[1] * (channels.ndim - 2))
        channels -= np.array(self.channel_mean, np.float32).reshape(axes)
        channels /= np.array(self.channel_std, np.float32).reshape(axes)
        return channels

    def transform_rows(self, rows: Sequence[Mapping[str, object]]) -> NDArray[Any]:
        """Prepare rows of a table, or pairs, given as mappings from column to value.

        None, NaN, an empty text or one that means missing in a CSV, and a column that a row lacks count as missing;
        columns not known here are ignored.
        Raises DataError for a column that no row has, and for a text where a number is expected.
        """
        return self.transform(_table_of_rows(self.columns, rows))

    def transform_targets(self, targets: Array) -> Array:
        """Class numbers as they are, (n,) int64; quantities standardised, (n,) float32."""
        if self.task == "classification":
            return targets
        scaled: Array = ((targets - self.target_mean) / self.target_std).astype(np.float32)
        return scaled

    def to_json(self) -> dict[str, Any]:
        """The preparation as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preparation:
        """The inverse of :meth:`to_json`, also after a round trip through a JSON file."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        columns = (
            ColumnPreparation(**{**column, "categories": tuple(column["categories"])}) for column in data["columns"]
        )
        values["columns"] = tuple(columns)
        return cls(**values)


def fit_preparation(dataset: Dataset, indices: Indices) -> Preparation:
    """Fit on the samples at ``indices``, which should be those to train on. Raises DataError if no column varies."""
    target_mean, target_std = 0.0, 1.0
    if dataset.task == "regression":
        targets = dataset.targets[indices]
        target_mean = float(targets.mean())
        target_std = _spread(target_mean, float(targets.std())) or 1.0
    common: dict[str, Any] = {
        "kind": dataset.kind,
        "task": dataset.task,
        "classes": dataset.classes,
        "target_mean": target_mean,
        "target_std": target_std,
    }
    if isinstance(dataset.inputs, Texts):
        words, length = fit_words(dataset.inputs.take(indices).values)
        return Preparation(**common, input_shape=(length,), vocabulary=(len(words) + 2,), words=words)
    if not isinstance(dataset.inputs, Table):
        shape = dataset.inputs.shape[1:]
        if dataset.kind == "tokens":
            known = int(dataset.inputs[indices].max()) + 1
            return Preparation(**common, input_shape=shape, vocabulary=(known,))
        mean, std = _channel_statistics(dataset.inputs, indices)
        return Preparation(**common, input_shape=shape, channel_mean=mean, channel_std=std)
    if dataset.kind == "pairs":
        ids = tuple(
            _fit_ids(column, values[indices])
            for column, values in zip(dataset.inputs.columns, dataset.inputs.data, strict=True)
        )
        sizes = tuple(len(column.categories) + 1 for column in ids)
        return Preparation(**common, input_shape=(2,), vocabulary=sizes, columns=ids)
    fitted = [
        _fit_numeric(column.name, values[indices])
        if column.categories is None
        else _fit_categorical(column.name, column.categories, values[indices])
        for column, values in zip(dataset.inputs.columns, dataset.inputs.data, strict=True)
    ]
    columns = tuple(column for column in fitted if column.n_features)
    if not columns:
        found = f"none in {len(indices)} rows"
        remedy = "give columns that tell the rows apart"
        raise DataError("a column must vary in the training part", found=found, where=dataset.name, remedy=remedy)
    return Preparation(**common, input_shape=(sum(column.n_features for column in columns),), columns=columns)


def _channel_statistics(images: Array, indices: Indices) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of the (n, C, ...) samples at ``indices``, two passes in float64."""
    chunks = [indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK)]
    axes = (0, *range(2, images.ndim))
    count = len(indices) * math.prod(images.shape[2:])
    mean = sum(images[chunk].sum(axis=axes, dtype=np.float64) for chunk in chunks) / count
    centre = np.reshape(mean, (-1, *[1] * (images.ndim - 2)))
    square = sum(((images[chunk] - centre) ** 2).sum(axis=axes) for chunk in chunks) / count
    std = [_spread(level, math.sqrt(value)) or 1.0 for level, value in zip(mean, square, strict=True)]
    return tuple(mean.tolist()), tuple(std)


def _spread(mean: float, std: float) -> float:
    """A standard deviation; 0 where it is within the rounding errors of the mean, and so none, or no finite number."""
    return std if std > 1e-9 * abs(mean) and math.isfinite(std) else 0.0


def _fit_numeric(name: str, values: Array) -> ColumnPreparation:
    """Fit on (n,) numbers with NaN where missing."""
    missing = np.isnan(values)
    known = values[~missing].astype(np.float64)
    if not len(known):
        return ColumnPreparation(name=name, numeric=True)
    fill = float(np.median(known))
    filled = np.where(missing, fill, values.astype(np.float64))
    mean = float(filled.mean())
    std = _spread(mean, float(filled.std()))
    return ColumnPreparation(name=name, numeric=True, fill=fill, mean=mean, std=std, indicator=len(known) < len(values))


def _fit_categorical(name: str, categories: Sequence[str], codes: Array) -> ColumnPreparation:
    """Fit on (n,) indices of ``categories``, -1 where missing. Categories are kept by count, then listed in order."""
    counts = np.bincount(codes[codes >= 0], minlength=len(categories))
    frequent = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    kept = tuple(categories[i] for i in sorted(frequent) if _LEAST_COUNT <= counts[i] < len(codes))
    n_missing = int((codes < 0).sum())
    return ColumnPreparation(name=name, numeric=False, categories=kept, indicator=0 < n_missing < len(codes))


def _fit_ids(column: Column, codes: Array) -> ColumnPreparation:
    """Every name that the training part has, in the order of the data."""
    assert column.categories is not None
    present = np.unique(codes[codes >= 0])
    return ColumnPreparation(
        name=column.name, numeric=False, categories=tuple(column.categories[code] for code in present)
    )


def _pair_ids(preparation: Preparation, pairs: Table) -> NDArray[np.int64]:
    """The (n, 2) ids of pairs, whose columns may stand in any order."""
    places = {column.name: place for place, column in enumerate(pairs.columns)}
    ids = np.zeros((len(pairs), 2), np.int64)
    for number, column in enumerate(preparation.columns):
        place = places[column.name]
        known = {text: number for number, text in enumerate(column.categories, 1)}
        # One more for -1: a missing name.
        of_code = np.array([*(known.get(text, 0) for text in pairs.columns[place].categories or ()), 0], np.int64)
        ids[:, number] = of_code[pairs.data[place]]
    return ids


def _token_ids(preparation: Preparation, samples: Array | Texts | Sequence[str]) -> NDArray[np.int64]:
    (length,) = preparation.input_shape
    if preparation.words:
        texts = samples.values if isinstance(samples, Texts) else samples
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise DataError("samples are texts", found=type(samples).__name__, remedy="give a list of texts")
        return word_ids(list(texts), preparation.words, length)
    ids = _array_of(samples)
    if ids.ndim != 2 or ids.shape[1] != length or ids.dtype.kind not in "iu":
        found = f"shape {ids.shape}, type {ids.dtype}"
        raise DataError(f"ids of tokens must be (n, {length})", found=found, remedy="pad or cut the samples")
    if (ids < 0).any():
        raise DataError("ids of tokens are not below 0", found=f"{ids.min()}", remedy="number them as for the search")
    return known_ids(ids.astype(np.int64), preparation.vocabulary[0])


def _table_features(preparation: Preparation, table: Table) -> NDArray[np.float32]:
    """The (n, F) features of a table, which may have its columns in any order and more of them."""
    places = {column.name: place for place, column in enumerate(table.columns)}
    # Fortran order makes each feature one run of memory while it is filled.
    features = np.zeros((len(table), *preparation.input_shape), np.float32, order="F")
    start = 0
    for column in preparation.columns:
        source, values = table.columns[places[column.name]], table.data[places[column.name]]
        block = features[:, start : start + column.n_features]
        start += column.n_features
        if column.numeric:
            missing = np.isnan(values)
            if column.std:
                block[:, 0] = (np.where(missing, column.fill, values) - column.mean) / column.std
        else:
            missing = values < 0
            codes = {text: code for code, text in enumerate(source.categories or ())}
            for place, text in enumerate(column.categories):
                if text in codes:
                    block[:, place] = values == codes[text]
        if column.indicator:
            block[:, -1] = missing
    return np.ascontiguousarray(features)


def _table_of_rows(columns: Sequence[ColumnPreparation], rows: Sequence[Mapping[str, object]]) -> Table:
    given = {name: None for row in rows for name in row}
    data, found = [], []
    for column in columns:
        if rows and column.name not in given:
            remedy = near_miss(column.name, given) or "add it, with None where it is not known"
            raise DataError("the rows need every column", found=f"no {column.name!r}", remedy=remedy)
        values = [row.get(column.name) for row in rows]
        if column.numeric:
            data.append(np.array([_number(value, column.name, n) for n, value in enumerate(values)], np.float64))
            found.append(Column(column.name))
        else:
            codes = {text: code for code, text in enumerate(column.categories)}
            unknown = len(codes)
            texts = ["" if value is None or value != value else str(value).strip() for value in values]
            missing = dict.fromkeys(MISSING_TEXTS, -1)
            data.append(
                np.array([codes.get(t, codes.get(_as_whole(t), missing.get(t, unknown))) for t in texts], np.int32)
            )
            found.append(Column(column.name, column.categories))
    return Table(tuple(found), tuple(data))


def _as_whole(text: str) -> str:
    """A whole number that was read as a float, as it is in a column with missing values, without its point."""
    return text.removesuffix(".0")


def _number(value: object, name: str, row: int) -> float:
    if isinstance(value, str):
        value = value.strip()
        value = None if value in MISSING_TEXTS else FLAGS.get(value.lower(), value)
    if value is None:
        return math.nan
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        rule = f"column {name!r} holds numbers"
        raise DataError(rule, found=repr(value), where=f"row {row + 1}", remedy="give a number or None") from error
    return number if math.isfinite(number) else math.nan


def _array_of(samples: Any) -> Array:
    try:
        array = np.asarray(samples)
    except ValueError as error:
        # The rule of numpy, whose words are of inhomogeneous shapes.
        raise DataError(
            "samples are of one size", found="some that differ", remedy="pad, cut or resize them"
        ) from error
    if array.dtype.kind not in "biuf":
        raise DataError("samples are numbers", found=f"type {array.dtype}", remedy="give an array of numbers")
    refuse_infinite(array, "samples")
    return array


def _channels_first(images: Array, shape: tuple[int, ...]) -> Array:
    """Images or sequences as (n, C, ...), where ``shape`` is (C, ...)."""
    channels, *sizes = shape
    if images.shape[1:] == shape:
        return images
    if images.shape[1:] == (*sizes, channels):
        return np.moveaxis(images, -1, 1)
    if images.shape[1:] == tuple(sizes) and channels == 1:
        return images[:, None]
    expected = ", ".join(map(str, shape))
    found = f"shape {images.shape}"
    raise DataError(f"samples must be (n, {expected})", found=found, remedy="bring them to this size")
