"""What a person should know of how data are read, where it may not be what they meant."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from metanas.data._dataset import Dataset
from metanas.data._preparation import Preparation

_MOSTLY, _SEVERAL = 0.8, 5
"""Share of a column's texts that are numbers, and how many there must be, for it to be taken for a column of numbers gone wrong."""


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
        others = [text for text in texts if not _is_number(text)]
        if len(texts) >= _SEVERAL and len(texts) - len(others) >= _MOSTLY * len(texts):
            yield f"column {column.name!r} is read as texts, since {_because(texts, others)}"
        elif column.name not in read:
            yield f"column {column.name!r} is not read, since none of its {len(texts):,} texts occurs twice in the training part"


def _because(texts: Sequence[str], others: Sequence[str]) -> str:
    if others:
        return f"{others[0]!r} is no number; empty cells are missing values"
    return f"{next(text for text in texts if ',' in text)!r} has a decimal comma; write points"


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float(text.replace(",", "."))
        return True
    return False
