"""A preparation as Python source, for the file of plain PyTorch that a search leaves."""

from __future__ import annotations

from dataclasses import asdict
from pprint import pformat

from metanas.data._preparation import Preparation

_IMAGE = '''
MEAN = torch.tensor({mean}).view(-1, 1, 1)
STD = torch.tensor({std}).view(-1, 1, 1)


def prepare(images):
    """Raw images (batch, {channels}, height, width), pixel values as in the training data -> the network's input."""
    return (images.float() - MEAN) / STD
'''

_TABLE = '''
COLUMNS = {columns}


def prepare(rows):
    """Rows as mappings from column to value (None, NaN or no entry where missing) -> the network's input."""
    features = []
    for row in rows:
        values = []
        for column in COLUMNS:
            value = row.get(column["name"])
            missing = value is None or value != value
            if not column["numeric"]:
                text = str(value).strip()
                values += [float(not missing and text == category) for category in column["categories"]]
            else:
                missing = missing or abs(float(value)) == float("inf")
                if column["std"] > 0:
                    values.append(((column["fill"] if missing else float(value)) - column["mean"]) / column["std"])
            if column["indicator"]:
                values.append(float(missing))
        features.append(values)
    return torch.tensor(features)
'''


def preparation_source(preparation: Preparation) -> str:
    """Source that defines ``prepare`` (raw samples -> input of the network) and, for classes, ``CLASSES``.

    It needs torch alone, and gives what :meth:`Preparation.transform` gives, up to rounding.
    """
    if preparation.kind == "image":
        text = _IMAGE.format(
            mean=list(preparation.channel_mean), std=list(preparation.channel_std), channels=preparation.input_shape[0]
        )
    else:
        columns = [asdict(column) | {"categories": list(column.categories)} for column in preparation.columns]
        text = _TABLE.format(columns=pformat(columns, width=118, sort_dicts=False))
    if preparation.classes:
        text = f"\nCLASSES = {pformat(list(preparation.classes), width=118, compact=True)}\n{text}"
    return text.strip()
