"""How an error of the user's is shown."""

from __future__ import annotations

import click

from metanas.errors import MetanasError


def show_error(error: MetanasError) -> int:
    """Print an error, and say the exit code that it asks for."""
    # Of several mistakes each is one.
    for text in map(str, getattr(error, "problems", [error])):
        click.echo(text if text.startswith("error") else f"error: {text}", err=True)
    return error.exit_code
