"""``python -m metanas``."""

from metanas.cli import main

main()
