"""What a fresh process loads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_HEAVY = ("torch", "optuna", "sklearn", "matplotlib", "polars", "pandas", "scipy")
_RUN = """
import json, sys
sys.argv = ["metanas", *sys.argv[1:]]
from metanas.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def loaded(*arguments: str, cwd: Path) -> set[str]:
    run = subprocess.run([sys.executable, "-c", _RUN, *arguments], capture_output=True, text=True, cwd=cwd)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["search", "--help"], ["resume", "--help"], ["space", "--help"]]
)
def test_help_loads_next_to_nothing(arguments: list[str], tmp_path: Path) -> None:
    modules = loaded(*arguments, cwd=tmp_path)
    assert not modules & {*_HEAVY, "numpy", "networkx", "rich", "yaml", "jinja2"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["space", "list"], ["space", "validate", "mobile"], ["space", "show", "nasbench201"], ["space", "sample", "convnet"],
        ["space", "count", "mlp"], ["space", "draw", "convnet", "-o", "a.svg"],
    ],
)  # fmt: skip
def test_spaces_load_neither_torch_nor_optuna(arguments: list[str], tmp_path: Path) -> None:
    assert not loaded(*arguments, cwd=tmp_path) & {"torch", "optuna", "sklearn", "polars"}


def test_the_package_loads_lazily_and_has_what_it_lists() -> None:
    script = """
import sys, metanas
assert not {"torch", "optuna", "numpy"} & set(sys.modules), "import metanas"
for name in metanas.__all__:
    assert getattr(metanas, name) is not None, name
try:
    metanas.serch
except AttributeError as error:
    assert "serch" in str(error)
else:
    raise AssertionError
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_strategies_and_the_run_file_load_no_torch() -> None:
    script = "import sys, metanas.controller, metanas.study; assert 'torch' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
