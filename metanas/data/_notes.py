"""What a person should know of how data are read, where it may not be what they meant."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from metanas.data._dataset import Dataset
from metanas.data._preparation import Preparation

_MOSTLY, _SEVERAL = 0.8, 5
"""Share of a column's texts that are numbers, and how many there must be, for it to be taken for a column of numbers gone wrong."""

_LOOKED_AT = 1_000
"""Texts by which a column is judged: there may be millions."""


def data_notes(dataset: Dataset, preparation: Preparation) -> Iterator[str]:
    """A sentence for all that a source had and is not read, and for each column of texts that looks like numbers."""
    yield from dataset.notes
    if preparation.kind != "table":
        return
    read = {column.name for column in preparation.columns}
    for column in dataset.columns:
        texts = column.categories or ()
        if len(texts) < 2:
            continue
        if why := _no_numbers(texts):
            yield f"column {column.name!r} is read as texts, since {why}"
        elif column.name not in read:
            yield f"column {column.name!r} is not read, since none of its {len(texts):,} texts occurs twice in the training part"


def _no_numbers(texts: Sequence[str]) -> str:
    """Why texts, most of which are numbers, are not read as such; empty for other texts, and for numbers kept as texts."""
    some = texts[:: max(1, len(texts) // _LOOKED_AT)]
    if len(texts) < _SEVERAL or sum(map(_is_number, some)) < _MOSTLY * len(some):
        return ""
    word = next((text for text in texts if not _is_number(text)), None)
    if word is not None:
        return f"{word!r} is no number; empty cells are missing values"
    comma = next((text for text in texts if "," in text), None)
    return "" if comma is None else f"{comma!r} has a decimal comma; write points"


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float(text.replace(",", "."))
        return True
    return False
