"""The pages say what is so: examples load, links lead somewhere, tables and figures are those of the code."""

import importlib.util
import inspect
import re
import runpy
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import metanas
from metanas.architecture import Architecture
from metanas.bench import parse_bench_text
from metanas.data import BUILTIN_NAMES, load_dataset
from metanas.errors import DataError, MetanasError
from metanas.space import LanguageError, MapNode, parse_space_text, parse_yaml
from metanas.study import RunFile, SearchResult, parse_run_text, plan
from metanas.testing.samples import SAMPLES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[Any]:
    """The code blocks of a language in all pages, each with the page and line that it stands at."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            place = f"{page.name}:{text[: match.start()].count(chr(10)) + 1}"
            found.append(pytest.param(match[1], id=place))
    return found


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_examples_load(text: str, tmp_path: Path) -> None:
    root = parse_yaml(text, "example")
    assert isinstance(root, MapNode)
    if "tabular" in root.entries:
        assert parse_space_text(text).size
    elif "network" in root.entries or "extends" in root.entries:
        build_all(text)
    elif "tasks" in root.entries:
        tables_only = "strategies" not in root.entries
        assert parse_bench_text(text, "bench.yaml", base=tmp_path, tables_only=tables_only).tasks
    else:
        check_run(text, tmp_path)


def build_all(text: str) -> None:
    """Every option of every decision is built once."""
    space = parse_space_text(text)
    built = 0
    for row in space.covering_rows(np.random.default_rng(0)):
        architecture = Architecture(space, tuple(int(v) for v in row))
        if architecture.graph.output is not None:
            shape, vocabulary = SAMPLES[space.input]
            assert architecture.layers(shape, 10, vocabulary).params > 0
            built += 1
    assert built
    assert len(space.sample(5, np.random.default_rng(0))) == 5


def check_run(text: str, folder: Path) -> None:
    run = parse_run_text(text, "run.yaml", base=folder)
    if isinstance(run.evaluator, dict) and "table" in run.evaluator:
        return
    if run.data in BUILTIN_NAMES or (isinstance(run.data, dict) and "name" in run.data):
        # The README's run file names the space file beside it, which is an example of its own.
        if isinstance(run.evaluator, dict):
            with pytest.raises(MetanasError, match="my_module:MyEvaluator must be importable"):
                plan(run, allow_python=True)
        elif not run.space.endswith(".yaml"):
            plan(run, allow_python=True)
    else:
        with pytest.raises(DataError, match="there is no such file or folder"):
            load_dataset(run.data, base=folder)


def test_the_defaults_are_those_that_the_page_writes_out() -> None:
    first, second, *_ = (str(block.values[0]) for block in blocks("yaml") if str(block.id).startswith("run-file.md"))
    short, long = (parse_run_text(text, "run.yaml", base=Path()) for text in (first, second))
    for field in fields(RunFile):
        assert getattr(short, field.name) == getattr(long, field.name), field.name


@pytest.mark.parametrize("key", ["", "search.", "train.", "fidelity."])
def test_every_key_of_a_run_file_is_on_its_page(key: str) -> None:
    """Asked of the reader itself, which lists the known keys where none is near."""
    with pytest.raises(LanguageError) as raised:
        parse_run_text("space: mlp\ndata: wine\n", "run.yaml", base=Path(), sets=[f"{key}qqqqqqqq=1"])
    (problem,) = raised.value.problems
    known = problem.remedy.removeprefix("use one of ").split(", ")
    assert known
    assert all(f"`{name}`" in page("run-file.md") for name in known)


@pytest.mark.parametrize("text", blocks("python"))
def test_python_examples_compile(text: str) -> None:
    compile(text, "example", "exec")


def test_the_example_of_spaces_in_python_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = (str(block.values[0]) for block in blocks("python") if "space.sample(" in str(block.values[0]))
    (tmp_path / "example.py").write_text(text)
    runpy.run_path(str(tmp_path / "example.py"))
    assert "stage1.times" in capsys.readouterr().out


def test_every_argument_and_attribute_is_on_the_page_of_python() -> None:
    text = page("python.md")
    for function in (metanas.search, metanas.resume):
        for name in inspect.signature(function).parameters:
            assert re.search(rf"\b{name}\b", text), name
    for name in vars(SearchResult):
        if not name.startswith("_") and name != "load":
            assert f"| `{name}" in text, name


@pytest.mark.parametrize("source", PAGES, ids=lambda path: path.name)
def test_links_are_relative_and_lead_somewhere(source: Path) -> None:
    text = re.sub(r"```.*?```", "", source.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        assert "://" not in link, link
        target = (source.parent / path).resolve() if path else source
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}, link


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_up_to_date() -> None:
    module = reference()
    seen = []
    for path in sorted((ROOT / "docs").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        assert module.updated(text) == text, f"run: python docs/reference.py ({path.name})"
        seen += re.findall(r"<!-- generated: ([\w-]+) -->", text)
    assert sorted(seen) == sorted(module.PARTS)
    schema = ROOT / "docs" / "space.schema.json"
    assert schema.read_text(encoding="utf-8") == module.schema(""), "run: python docs/reference.py"


def test_figures_are_those_of_the_code() -> None:
    from metanas.data import _images, _preparation, _targets
    from metanas.evaluator import _recipe
    from metanas.space import (
        MEASURES,
        _expression,
        _load,
        _parse_cells,
        _parse_modules,
        _parse_values,
        _problems,
        _resolve,
        _resolve_cells,
        _resolve_values,
        _template,
        _yaml,
    )
    from metanas.worker import _devices

    limits = page("language.md").partition("## Limits")[2]
    for value in (
        _yaml.MAX_BYTES, _yaml.MAX_NODES, _yaml.MAX_DEPTH, _resolve.MAX_NESTING, _parse_modules.MAX_REPEATS, _parse_cells.MAX_NODES,
        _resolve_values.MAX_DECISIONS, _parse_values.MAX_LEVELS, _resolve_values.MAX_STEPS, _resolve_values.MAX_LETS, _expression.MAX_LENGTH,
        _expression.MAX_NESTING, _resolve_cells.MAX_READS, _load._MAX_EXTENDS,
    ):  # fmt: skip
        assert re.search(rf"\| {value:,}\b", limits), value
    for text, name in [
        (f"{_template.FLOAT_LEVELS:,} points", "language.md"),
        (f"up to {_problems.Problems.LIMIT},", "language.md"),
        *((f"| `{measure}` |", "language.md") for measure in MEASURES),
        (f"of {_recipe.AUGMENTED_EPOCHS} epochs", "run-file.md"),
        (f"at most {_devices._MAX_AUTO_CPU_WORKERS}.", "run-file.md"),
        (f"from 1 to {_devices.MOST_WORKERS:,}", "run-file.md"),
        (f"the {_preparation.MOST_CATEGORIES} most frequent", "data.md"),
        (f"at most {_targets.MOST_INTEGER_CLASSES} different ones, each with {_targets.SAMPLES_A_CLASS}", "data.md"),
        *((f"| `{built_in}` |", "data.md") for built_in in BUILTIN_NAMES),
    ]:
        assert text in " ".join(page(name).split()), text
    kinds = {suffix.strip(".") for suffix in _images.IMAGE_SUFFIXES} - {"jpg", "tif"}
    assert kinds <= set(re.findall(r"\w+", page("data.md").lower()))


def test_exit_codes_are_those_of_the_command_line() -> None:
    from metanas.cli._main import EXIT_INTERRUPTED, EXIT_NO_NETWORK

    rows = re.findall(r"^\| (\d+) \|", page("run-folder.md"), re.MULTILINE)
    assert [int(row) for row in rows] == [0, 1, metanas.MetanasError.exit_code, EXIT_NO_NETWORK, EXIT_INTERRUPTED]
