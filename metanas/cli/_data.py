"""The option ``--data``: a name, a path, or a mapping as in a run file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]
Data = str | dict[str, Any]
"""A name or a path, or a mapping: what :func:`metanas.data.load_dataset` takes."""


def data_option(about: str, *, required: bool = False, default: str | None = None) -> Callable[[Command], Command]:
    """The option, whose help begins with what the data are for."""
    return click.option(
        "--data", metavar="DATA", required=required, default=default, show_default=default is not None, callback=_spec,
        help=f"{about}: a built-in name, the path of an .npz file or a folder of images, or a mapping such as "
        "'{table: people.csv, target: income}'.",
    )  # fmt: skip


def _spec(context: click.Context, parameter: click.Parameter, value: str | None) -> Data | None:
    if value is None or not value.lstrip().startswith("{"):
        return value
    from metanas.space import parse_yaml, plain

    mapping: dict[str, Any] = plain(parse_yaml(value, "--data"))
    return mapping
