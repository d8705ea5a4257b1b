"""Evaluators from a setup."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from metanas.errors import MetanasError
from metanas.evaluator import build_evaluator
from metanas.testing.evaluators import SCRIPTED_SETUP, ScriptedEvaluator


def test_a_dotted_factory_is_called() -> None:
    assert isinstance(build_evaluator(SCRIPTED_SETUP, device="cpu", threads=1), ScriptedEvaluator)


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ({"evaluator": {"python": "a:b"}}, "only where Python code is allowed, found a:b"),
        ({"evaluator": {"python": "a:b"}, "allow_python": "yes"}, "only where Python code is allowed"),
        ({"evaluator": {"python": "no_such.module:B"}, "allow_python": True}, "must be importable.*no_such"),
        ({"evaluator": {"python": "metanas.trial.Job"}, "allow_python": True}, "package.module:Factory, found metanas"),
        ({"evaluator": {"python": "metanas.trial:Jobb"}, "allow_python": True}, "did you mean 'Job'"),
        ({"evaluator": {"python": "metanas.trial:__all__"}, "allow_python": True}, "of type list; define it in"),
        (
            {"evaluator": {"python": "metanas.trial:Job"}, "allow_python": True},
            r"is made by Job\(setup, device=\.\.\., ",
        ),
        ({"evaluator": "trian"}, "found 'trian'; did you mean train"),
        ({}, "an evaluator is train, .table"),
    ],
)
def test_what_is_no_evaluator_is_refused(setup: dict[str, Any], message: str) -> None:
    with pytest.raises(MetanasError, match=message):
        build_evaluator(setup, device="cpu", threads=1)


def test_engines_and_the_way_to_an_evaluator_load_no_torch() -> None:
    program = "import sys, metanas.worker, metanas.evaluator; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0
