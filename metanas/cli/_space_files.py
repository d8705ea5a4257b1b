"""``metanas space schema``, ``lint`` and ``diff``: help with writing space files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from metanas.space import SpaceDiff

_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.command()
def schema() -> None:
    """Print the language as a JSON Schema, for editors."""
    from metanas.evaluator import recipe_schema
    from metanas.space import space_schema

    click.echo(json.dumps(space_schema(recipe_schema()), indent=1))


@click.command()
@click.argument("spaces", metavar="SPACE...", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="End with exit code 1 where there are suggestions.")
@_JSON
def lint(spaces: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Suggest what could be said more simply in space files."""
    from metanas.space import lint_space

    found = {name: lint_space(name, allow_python=True) for name in spaces}
    if as_json:
        rows = [
            {
                "file": p.mark.file, "line": p.mark.line, "column": p.mark.column, "path": p.path, "rule": p.rule,
                "found": p.found, "suggestion": p.remedy,
            }
            for problems in found.values() for p in problems
        ]  # fmt: skip
        click.echo(json.dumps(rows, indent=2))
    else:
        for name, problems in found.items():
            click.echo("\n".join(map(str, problems)) if problems else f"{name}: nothing to simplify")
    return int(strict and any(found.values()))


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@_JSON
def diff(first: str, second: str, as_json: bool) -> None:
    """Compare two spaces: decisions, networks, constraints, training, size."""
    from metanas.space import diff_spaces, load_space

    found = diff_spaces(load_space(first, allow_python=True), load_space(second, allow_python=True))
    click.echo(json.dumps(found.to_json(), indent=2) if as_json else _text(found))


def _text(found: SpaceDiff) -> str:
    if found.same:
        return "The spaces are the same."
    lines = [f"{key}: {old} -> {new}" for key, (old, new) in found.keys.items()]
    lines += _section("decisions", found.removed, found.added, found.changed)
    if found.network:
        lines.append("network:")
    for one in found.network:
        if one.before and one.after:
            lines += [f"  ~ {one.place}: {one.before}", f"    {' ' * len(one.place)}  {one.after}"]
        else:
            lines.append(f"  {'-' if one.before else '+'} {one.place}: {one.before or one.after}")
    lines += _section(
        "constraints", dict.fromkeys(found.constraints[0], ""), dict.fromkeys(found.constraints[1], ""), {}
    )
    recipe = found.recipe
    lines += _section(
        "train",
        {name: old for name, (old, new) in recipe.items() if not new},
        {name: new for name, (old, new) in recipe.items() if not old},
        {name: pair for name, pair in recipe.items() if all(pair)},
    )
    return "\n".join(lines)


def _section(
    title: str, removed: Mapping[str, str], added: Mapping[str, str], changed: Mapping[str, tuple[str, str]]
) -> list[str]:
    lines = [f"  - {name}" + (f": {text}" if text else "") for name, text in removed.items()]
    lines += [f"  + {name}" + (f": {text}" if text else "") for name, text in added.items()]
    for name, (old, new) in changed.items():
        lines += [f"  ~ {name}: {old}", f"    {' ' * len(name)}  {new}"]
    return [f"{title}:", *lines] if lines else []
