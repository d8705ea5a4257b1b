"""The command line. Each command is imported when it is called, so that help stays fast."""

from metanas.cli._main import main

__all__ = ["main"]
