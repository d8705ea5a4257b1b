"""How an error of the user's is shown."""

from __future__ import annotations

import click

from metanas.errors import MetanasError


def show_error(error: MetanasError) -> int:
    """Print an error, and say the exit code that it asks for."""
    text = str(error)
    click.echo(text if "\n" in text or text.startswith("error") else f"error: {text}", err=True)
    return error.exit_code
