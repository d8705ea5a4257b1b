"""A preparation as Python source, for the file of plain PyTorch that a search leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pprint import pformat

from metanas.data._preparation import FLAGS, MISSING_TEXTS, Preparation

_CHANNELS = '''
MEAN = torch.tensor({mean}).view({view})
STD = torch.tensor({std}).view({view})


def prepare({what}):
    """Raw {what} (batch, {sizes}), a tensor or an array, {values} as in the training data -> the network's input."""
    {what} = torch.as_tensor({what}).float()
    if len(MEAN) == 1 and {what}.ndim == {axes}:
        {what} = {what}[:, None]
    if {what}.shape[1:] != {shape}:
        raise ValueError(f"{what} must be (batch, {sizes}), found {{tuple({what}.shape)}}")
    return ({what} - MEAN) / STD
'''

_TEXTS = '''
import re

WORDS = {{word: number for number, word in enumerate({words}, 2)}}


def prepare(texts):
    """Texts -> ids (batch, {length}): 0 pads at the left, 1 is an unknown word."""
    if hasattr(texts, "columns") or isinstance(texts, (str, dict)) or not all(isinstance(text, str) for text in texts):
        raise TypeError("prepare takes a list of texts")
    rows = []
    for text in texts:
        ids = [WORDS.get(word, 1) for word in re.findall(r"\\w+|[^\\w\\s]", text.lower())[:{length}]]
        rows.append([0] * ({length} - len(ids)) + ids)
    return torch.tensor(rows, dtype=torch.int64).view(-1, {length})
'''

_IDS = '''
def prepare(ids):
    """Ids of tokens (batch, {length}), a tensor or an array; 0 for those that the training data did not have."""
    ids = torch.as_tensor(ids)
    if ids.shape[1:] != ({length},):
        raise ValueError(f"ids must be (batch, {length}), found {{tuple(ids.shape)}}")
    return torch.where((ids >= 0) & (ids < {known}), ids, 0)
'''

_PAIRS = '''
USERS = {{name: number for number, name in enumerate({users}, 1)}}
ITEMS = {{name: number for number, name in enumerate({items}, 1)}}


def _id(ids, name):
    name = name.item() if hasattr(name, "item") else name
    # Whole numbers may come as floats, from columns with missing values.
    return ids.get(str(name), ids.get(str(name).removesuffix(".0"), 0))


def prepare(pairs):
    """Pairs of a user's and an item's name, or mappings with "user" and "item" -> ids (batch, 2), 0 for those that are new."""
    pairs = [(pair["user"], pair["item"]) if isinstance(pair, dict) else pair for pair in pairs]
    return torch.tensor([[_id(USERS, user), _id(ITEMS, item)] for user, item in pairs], dtype=torch.int64).view(-1, 2)
'''

_TABLE = '''
COLUMNS = {columns}
MISSING = {missing}
FLAGS = {flags}


def prepare(rows):
    """Rows as mappings from column to value (None, NaN, no entry or a text of MISSING where missing) -> the network's input."""
    rows = list(rows)
    for column in COLUMNS:
        if rows and not any(column["name"] in row for row in rows):
            raise ValueError(f"the rows need every column, found no {{column['name']!r}}")
    features = []
    for row in rows:
        values = []
        for column in COLUMNS:
            value = row.get(column["name"])
            missing = value is None or value != value
            if isinstance(value, str):
                value = value.strip()
                missing = value in MISSING and value not in column["categories"]
            if not column["numeric"]:
                text = str(value) if str(value) in column["categories"] else str(value).removesuffix(".0")
                values += [float(not missing and text == category) for category in column["categories"]]
            else:
                value = FLAGS.get(value.lower(), value) if isinstance(value, str) else value
                missing = missing or abs(float(value)) == float("inf")
                if column["std"] > 0:
                    values.append(((column["fill"] if missing else float(value)) - column["mean"]) / column["std"])
            if column["indicator"]:
                values.append(float(missing))
        features.append(values)
    return torch.tensor(features).view(-1, {width})
'''


def preparation_source(preparation: Preparation) -> str:
    """Source that defines ``prepare`` (raw samples -> input of the network) and, for classes, ``CLASSES``.

    It needs nothing but torch, and gives what :meth:`Preparation.transform` gives, up to rounding.
    """
    text = _prepare(preparation)
    if preparation.classes:
        text = f"\nCLASSES = {_listed(preparation.classes)}\n{text}"
    return text.strip()


def _prepare(preparation: Preparation) -> str:
    if preparation.kind in ("image", "sequence"):
        what, values = ("images", "pixel values") if preparation.kind == "image" else ("sequences", "values")
        shape = preparation.input_shape
        return _CHANNELS.format(
            what=what, values=values, mean=list(preparation.channel_mean), std=list(preparation.channel_std),
            view=", ".join(["-1", *["1"] * (len(shape) - 1)]), axes=len(shape), shape=shape, sizes=", ".join(map(str, shape)),
        )  # fmt: skip
    if preparation.kind == "pairs":
        users, items = (_listed(column.categories) for column in preparation.columns)
        return _PAIRS.format(users=users, items=items)
    if preparation.kind == "tokens" and not preparation.words:
        return _IDS.format(length=preparation.input_shape[0], known=preparation.vocabulary[0])
    if preparation.kind == "tokens":
        return _TEXTS.format(words=_listed(preparation.words), length=preparation.input_shape[0])
    columns = [asdict(column) | {"categories": list(column.categories)} for column in preparation.columns]
    return _TABLE.format(
        columns=pformat(columns, width=118, sort_dicts=False), missing=MISSING_TEXTS, flags=FLAGS,
        width=preparation.input_shape[0],
    )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    return pformat(list(names), width=118, compact=True)
