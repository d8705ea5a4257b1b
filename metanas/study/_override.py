"""Settings of the command line that go over those of a file."""

from __future__ import annotations

import re
from dataclasses import replace

from metanas.space import LanguageError, MapNode, Mark, Node, Problem, ScalarNode, parse_yaml
from metanas.study._run_file import RunFile
from metanas.study._url import STORAGE_REMEDY, STORAGE_RULE, storage_problem


def with_storage(run: RunFile, url: str | None) -> RunFile:
    """The run file with another storage; itself without one.

    Raises LanguageError if the URL is none.
    """
    if url is None:
        return run
    if url == "default":
        return replace(run, storage=None)
    if found := storage_problem(url):
        mark = Mark("--storage", 1, 1)
        raise LanguageError([Problem(mark, "$.storage", STORAGE_RULE, repr(found), STORAGE_REMEDY)])
    return replace(run, storage=url)


def override(root: Node, setting: str) -> None:
    """Put a setting such as ``search.trials=10`` into a document. Raises LanguageError when it is none."""
    key, equals, text = setting.partition("=")
    mark = Mark(f"--set {key}", 1, 1)
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", key):
        raise LanguageError([Problem(mark, "$", "an override is key=value", setting, "write e.g. search.trials=10")])
    value = parse_yaml(text, mark.file) if text.strip() else ScalarNode(mark, "")
    node, parts = root, key.split(".")
    for part in parts[:-1]:
        if not isinstance(node, MapNode):
            break
        inner = node.entries.get(part)
        if not isinstance(inner, MapNode):
            inner = MapNode(mark)
            node.entries[part], node.key_marks[part] = inner, mark
        node = inner
    if isinstance(node, MapNode):
        node.entries[parts[-1]], node.key_marks[parts[-1]] = value, mark
