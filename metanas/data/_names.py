"""Help with names that are not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A question with the known name nearest to ``name``, or "" if none is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""
