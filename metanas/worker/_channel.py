"""Messages between an engine and its worker processes: one JSON object a line.

To a worker: ``setup`` (first), ``job``, ``cancel``. From it: ``ready`` or ``refused``, then ``started``, ``report``
and ``result`` for each job. NaN and infinities are written as Python's json does (``NaN``, ``Infinity``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def encode(kind: str, body: Mapping[str, Any]) -> bytes:
    """A message as a line of ASCII."""
    return json.dumps({"kind": kind, "body": body}).encode("ascii") + b"\n"


def decode(line: bytes) -> tuple[str, dict[str, Any]]:
    """The kind and body of a message. Raises ValueError for a line that is none, or that was torn."""
    if not line.endswith(b"\n"):
        raise ValueError("torn message")
    message = json.loads(line)
    if not isinstance(message, dict) or not {"kind", "body"} <= message.keys():
        raise ValueError("not a message")
    return message["kind"], message["body"]
