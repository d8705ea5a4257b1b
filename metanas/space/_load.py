"""Space files by path or built-in name -> :class:`SearchSpace`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from metanas.errors import MetanasError
from metanas.space._constraints import EdgeLimit, check_comparisons, check_constraints
from metanas.space._parse import parse_space
from metanas.space._parse_values import kind_of, parse_value
from metanas.space._problems import LanguageError, Mark, Problem, Problems, did_you_mean
from metanas.space._resolve import resolve
from metanas.space._space import SearchSpace
from metanas.space._syntax import ChoiceValue, Constant, Formula, RangeValue, ValueSyntax
from metanas.space._yaml import MapNode, ScalarNode, parse_yaml, plain, read_text

_MERGED = ("let", "ops", "blocks", "train")
_MAX_EXTENDS = 8


def load_space(
    space: str | Path,
    *,
    base: Path | None = None,
    train: Mapping[str, object] | None = None,
    constraints: Iterable[str | tuple[str, Mark, str]] = (),
    allow_python: bool = False,
) -> SearchSpace:
    """Read a search space.

    Parameters
    ----------
    space
        A built-in name (see :func:`builtin_spaces`), or the path of a space file.
    base
        Folder that a relative path is relative to; the current one when not given.
    train, constraints
        Training settings and constraints, added to those of the space: as a run file has them, or as one was read.
    allow_python
        Whether the file may name modules of the user's, which are then imported when a network is built.

    Raises
    ------
    LanguageError
        With every breach of the language in the file.
    MetanasError
        If there is no such file or built-in space.

    """
    file, text = find_space(space, base=base)
    read = {name: value for name, value in (train or {}).items() if isinstance(value, ValueSyntax)}
    others = {name: value for name, value in (train or {}).items() if name not in read}
    marked = [
        (rule, Mark("<constraints>", 1, 1), f"$.constraints[{number}]") if isinstance(rule, str) else rule
        for number, rule in enumerate(constraints)
    ]
    settings = {**read, **(settings_syntax(others) if others else {})}
    return parse_space_text(text, file, train=settings, constraints=marked, allow_python=allow_python)


def parse_space_text(
    text: str,
    file: str = "<text>",
    *,
    train: Mapping[str, ValueSyntax] | None = None,
    constraints: Iterable[tuple[str, Mark, str]] = (),
    allow_python: bool = False,
) -> SearchSpace:
    """A search space from its text; see :func:`load_space`."""
    problems = Problems()
    root = parse_yaml(text, file)
    if isinstance(root, MapNode) and "extends" in root.entries:
        root = _extended(root, file, [file])
        text = yaml.safe_dump(plain(root), sort_keys=False, allow_unicode=True)
    syntax = parse_space(root, problems, allow_python=allow_python)
    constraints = [*(syntax.constraints if syntax is not None else ()), *constraints]
    check_comparisons(constraints, problems)
    problems.raise_if_any()
    assert syntax is not None
    syntax.train.update(train or {})
    resolved = resolve(syntax, problems)
    problems.raise_if_any()
    assert resolved is not None
    checked = check_constraints(constraints, resolved.decisions, problems)
    problems.raise_if_any()
    return SearchSpace(
        name=syntax.name, about=syntax.about, source=syntax.source, input=syntax.input, decisions=resolved.decisions,
        template=resolved.template, recipe=resolved.recipe, constraints=checked, text=text, settings=_settings_json(train or {}),
        tabular=syntax.network is None,
        limits=tuple(
            EdgeLimit(f"{place or 'the cell'} has at most {most} edges", columns, most)
            for place, columns, most in resolved.limits
        ),
    )  # fmt: skip


def _extended(root: MapNode, file: str, chain: list[str]) -> MapNode:
    """The file laid over the one that it extends: sections are merged name by name, other keys replaced."""
    extends = root.entries["extends"]
    mark, name = extends.mark, extends.value if isinstance(extends, ScalarNode) else None
    if not isinstance(name, str):
        raise LanguageError([Problem(mark, "$.extends", "extends names a space or a space file", kind_of(extends))])
    try:
        below_file, below_text = find_space(name, base=Path(file).parent)
    except MetanasError as error:
        raise LanguageError([Problem(mark, "$.extends", error.rule, str(error.found or ""), error.remedy)]) from error
    if below_file in chain or len(chain) >= _MAX_EXTENDS:
        cycle = " -> ".join([*chain, below_file])
        raise LanguageError([Problem(mark, "$.extends", "a space cannot extend itself, nor by many steps", cycle)])
    below = parse_yaml(below_text, below_file)
    if isinstance(below, MapNode) and "extends" in below.entries:
        below = _extended(below, below_file, [*chain, below_file])
    if not isinstance(below, MapNode):
        return root
    entries, marks = dict(below.entries), dict(below.key_marks)
    if "network" in root.entries or "tabular" in root.entries:
        entries.pop("network", None)
        entries.pop("tabular", None)
    for key, node in root.entries.items():
        if key == "extends":
            continue
        old = entries.get(key)
        if key in _MERGED and isinstance(node, MapNode) and isinstance(old, MapNode):
            node = MapNode(node.mark, old.entries | node.entries, old.key_marks | node.key_marks)
        entries[key], marks[key] = node, root.key_marks[key]
    return MapNode(root.mark, entries, marks)


def read_space(space: str) -> MapNode:
    """The nodes of a valid space file, by name or path, laid over what it extends; each keeps its own place."""
    file, text = find_space(space)
    root = parse_yaml(text, file)
    assert isinstance(root, MapNode)
    return _extended(root, file, [file]) if "extends" in root.entries else root


def settings_syntax(settings: Mapping[str, object]) -> dict[str, ValueSyntax]:
    """Training settings as JSON values, read. Raises MetanasError for anything else."""
    problems = Problems()
    try:
        text = json.dumps(settings)
    except (TypeError, ValueError) as error:
        rule = "training settings are numbers, texts, lists and mappings"
        raise MetanasError(rule, found=str(error), where="train") from error
    root = parse_yaml(text, "<train>")
    assert isinstance(root, MapNode)
    parsed = {name: parse_value(node, f"$.train.{name}", problems) for name, node in root.entries.items()}
    problems.raise_if_any()
    return parsed


def _settings_json(settings: Mapping[str, ValueSyntax]) -> dict[str, Any]:
    """The inverse of :func:`settings_syntax`."""
    return {name: _value_json(value) for name, value in settings.items()}


def _value_json(value: ValueSyntax) -> Any:
    match value:
        case Constant():
            return value.value
        case Formula():
            return value.text
        case ChoiceValue():
            found: dict[str, Any] = {"choice": list(value.values), "prior": list(value.prior)}
        case RangeValue():
            ends = [value.low, value.high]
            found = {"float" if value.real else "int": ends, "step": value.step, "log": value.log}
    return {key: entry for key, entry in (found | {"id": value.id}).items() if entry not in (None, "", [], False)}


def find_space(space: str | Path, *, base: Path | None = None) -> tuple[str, str]:
    """Name and text of a space file, built in or not."""
    name = str(space)
    if "/" not in name and "\\" not in name and not name.endswith((".yaml", ".yml")):
        path = _builtin_folder() / f"{name}.yaml"
        # os.path's, as a name too long for a file is none there, and pathlib's raises.
        if os.path.isfile(path):
            return f"{name}.yaml", path.read_text(encoding="utf-8")
        if not os.path.isfile((base or Path()) / name):
            raise MetanasError(
                f"no built-in space has the name {name!r}", where="space",
                remedy=did_you_mean(name, builtin_spaces()) + " or give the path of a space file",
            )  # fmt: skip
    path = (base or Path()) / name
    return str(path), read_text(path)


def builtin_spaces() -> list[str]:
    """Names of the spaces that come with metanas."""
    return sorted(
        path.name.removesuffix(".yaml") for path in _builtin_folder().iterdir() if path.name.endswith(".yaml")
    )


def _builtin_folder() -> Path:
    """Installed inside the package; in a checkout, beside it."""
    installed = Path(str(resources.files("metanas"))) / "search_spaces"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "search_spaces"
