"""What a study is: what stays the same as long as it lasts, or its trials could not be compared."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import yaml
from optuna.storages import BaseStorage

from metanas.errors import StudyError
from metanas.study._plan import Plan

_OWN = re.compile(r"\bpython: *['\"]?([A-Za-z_][\w.]*):")
"""Modules of the user's, as spaces and run files name them."""
_CODE = "metanas:code"
"""Attribute of a study: module to the digest of its file."""


def check_identity(storage: BaseStorage, study_id: int, planned: Plan, *, note: bool) -> None:
    """Refuse another search's study: run folders may share one, and so its trials. ``note`` in it what is not known yet.

    Raises
    ------
    StudyError
        If the study is of another search.

    """
    known = storage.get_study_user_attrs(study_id)
    for what, value in _identity(planned).items():
        before = known.get(f"metanas:{what}")
        if before is not None and before != value:
            raise StudyError(
                f"a study keeps its {what}", found=_change(before, value), where="study", remedy="start a new search"
            )
        if before is None and note:
            storage.set_study_user_attr(study_id, f"metanas:{what}", value)


def changed_code(storage: BaseStorage, study_id: int, planned: Plan) -> list[str]:
    """The user's modules whose file is not what it was in the session before; what they are now is noted in the study."""
    found = _OWN.findall(
        "\n".join([planned.space.text, yaml.safe_dump(planned.run.evaluator), yaml.safe_dump(dict(planned.run.train))])
    )
    now = {module: digest for module in sorted({*found}) if (digest := _digest_of_module(module))}
    known = storage.get_study_user_attrs(study_id).get(_CODE, {})
    if now != known:
        storage.set_study_user_attr(study_id, _CODE, now)
    return [module for module, digest in now.items() if known.get(module, digest) != digest]


def _digest_of_module(module: str) -> str:
    """Of the module's file; empty where it has none that can be read."""
    try:
        spec = importlib.util.find_spec(module)
        return _digest(Path(spec.origin).read_text(encoding="utf-8")) if spec is not None and spec.origin else ""
    except (ImportError, ValueError, OSError):
        return ""


def _identity(planned: Plan) -> dict[str, Any]:
    """What stays the same, as JSON values."""
    run = planned.run
    decisions = [(d.name, d.kind, [repr(value) for value in d.values], d.log) for d in planned.space.decisions]
    is_now: dict[str, Any] = {
        "space": _digest(planned.space.text),
        "data": planned.fingerprint,
        # Some may be the run file's. Trials of others could not even be read.
        "decisions": _digest(json.dumps(decisions)),
        # By which the data are split: what chose the earlier trials would be tested on what those were trained on.
        "seed": run.seed,
        # Or a network could be handed out that breaks them.
        "constraints": [text for text, _, _ in run.constraints],
    }
    if planned.splits is not None:
        is_now["split"] = _digest(json.dumps([planned.splits.validation.tolist(), planned.splits.test.tolist()]))
    if isinstance(run.evaluator, dict) and "python" in run.evaluator:
        is_now["evaluator"] = run.evaluator
    if not run.looked_up:
        is_now["training"] = {"epochs": run.rungs[-1]} | {f"train.{key}": value for key, value in run.train.items()}
    return is_now


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _change(before: Any, now: Any) -> str:
    """What of a study is another now, as far as people can read it."""
    if isinstance(before, dict) and isinstance(now, dict):
        key = next(key for key in (*now, *before) if before.get(key) != now.get(key))
        said = [each.get(key, "the default") for each in (now, before)]
        return f"{key} {said[0]} instead of {said[1]}"
    if isinstance(before, list) and isinstance(now, list):
        return f"{', '.join(now) or 'none'} instead of {', '.join(before) or 'none'}"
    return f"{now} instead of {before}" if isinstance(now, int) else "not what it was in its first session"
