"""``python -m metanas.cli``."""

from metanas.cli._main import main

main()
