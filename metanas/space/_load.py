"""Space files by path or built-in name -> :class:`SearchSpace`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from metanas.errors import MetanasError
from metanas.space._constraints import check_constraints
from metanas.space._parse import parse_space
from metanas.space._parse_values import parse_value
from metanas.space._problems import Mark, Problems, did_you_mean
from metanas.space._resolve import resolve
from metanas.space._space import SearchSpace
from metanas.space._syntax import ValueSyntax
from metanas.space._yaml import MapNode, parse_yaml, read_text


def load_space(
    space: str | Path,
    *,
    base: Path | None = None,
    train: Mapping[str, ValueSyntax] | None = None,
    constraints: Iterable[tuple[str, Mark, str]] = (),
) -> SearchSpace:
    """Read a search space.

    Parameters
    ----------
    space
        A built-in name (see :func:`builtin_spaces`), or the path of a space file.
    base
        Folder that a relative path is relative to; the current one when not given.
    train, constraints
        Training settings and constraints of a run file, added to those of the space.

    Raises
    ------
    LanguageError
        With every breach of the language in the file.
    MetanasError
        If there is no such file or built-in space.

    """
    file, text = find_space(space, base=base)
    return parse_space_text(text, file, train=train, constraints=constraints)


def parse_space_text(
    text: str,
    file: str = "<text>",
    *,
    train: Mapping[str, ValueSyntax] | None = None,
    constraints: Iterable[tuple[str, Mark, str]] = (),
) -> SearchSpace:
    """A search space from its text; see :func:`load_space`."""
    problems = Problems()
    syntax = parse_space(parse_yaml(text, file), problems)
    if syntax is None or problems.found:
        problems.raise_if_any()
    assert syntax is not None
    syntax.train.update(train or {})
    resolved = resolve(syntax, problems)
    problems.raise_if_any()
    assert resolved is not None
    checked = check_constraints([*syntax.constraints, *constraints], resolved.decisions, problems)
    problems.raise_if_any()
    return SearchSpace(
        name=syntax.name, about=syntax.about, source=syntax.source, input=syntax.input, decisions=resolved.decisions,
        template=resolved.template, recipe=resolved.recipe, constraints=checked, text=text,
    )  # fmt: skip


def settings_syntax(settings: Mapping[str, object]) -> dict[str, ValueSyntax]:
    """Training settings that were read before and are JSON values by now, as :func:`load_space` takes them."""
    problems = Problems()
    root = parse_yaml(json.dumps(settings), "<settings>")
    assert isinstance(root, MapNode)
    parsed = {name: parse_value(node, f"$.train.{name}", problems) for name, node in root.entries.items()}
    problems.raise_if_any()
    return parsed


def find_space(space: str | Path, *, base: Path | None = None) -> tuple[str, str]:
    """Name and text of a space file, built in or not."""
    name = str(space)
    if "/" not in name and "\\" not in name and not name.endswith((".yaml", ".yml")):
        path = _builtin_folder() / f"{name}.yaml"
        if path.is_file():
            return f"{name}.yaml", path.read_text(encoding="utf-8")
        if not ((base or Path()) / name).is_file():
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
