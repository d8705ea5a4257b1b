"""Writes what the documentation reads off the code, and the JSON Schema of the language: ``python docs/reference.py``.

A part of a page stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. A test holds that the files are as this script
would write them.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from metanas.evaluator import COSTS, METHODS, METRICS, PROXIES, RECIPE_OPTIONS, Option, recipe_schema
from metanas.space import ACTIVATIONS, OPS, Op, Parameter, space_schema
from metanas.study import strategy_names
from metanas.study._strategies import NEED_SOURCES, SAMPLERS, STRATEGIES, settings_of
from metanas.tables import BENCHMARKS
from metanas.trial import Status

FOLDER = Path(__file__).parent
_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def ops() -> str:
    """A section for each op; the activations share one."""
    sections = [_op(name, op) for name, op in OPS.items() if name not in ACTIVATIONS]
    names = ", ".join(f"`{name}`" for name in ACTIVATIONS)
    return "\n".join([*sections, f"## Activations\n\nEach is an op without parameters: {names}.\n"])


def _op(name: str, op: Op) -> str:
    text = f"## {name}\n\n{_sentence(op.about)} Example: `{op.example}`.\n"
    if not op.parameters:
        return text + "\nNo parameters.\n"
    rows = [(f"`{key}`", p.kind, _default(p), _range(p), p.about) for key, p in op.parameters.items()]
    return f"{text}\n{_table(('parameter', 'type', 'default', 'values', 'meaning'), rows)}"


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    return "from the input" if parameter.default is None else _value(parameter.default)


def _range(parameter: Parameter) -> str:
    if parameter.kind == "flag":
        return "`true`, `false`"
    if parameter.options:
        # Written once, below the ops, where an op takes any activation.
        return "an activation" if parameter.options == ACTIVATIONS else _names(parameter.options)
    return f"{parameter.low:g} to {parameter.high:.5g}" if parameter.low is not None else ""


def train() -> str:
    """The training options."""
    rows = [(f"`{o.name}`", o.type, _unset(o), _limits(o), o.about) for o in RECIPE_OPTIONS]
    return _table(("key", "type", "default", "values", "meaning"), rows)


def _unset(option: Option) -> str:
    return "see meaning" if option.default is None else _value(option.default)


def _limits(option: Option) -> str:
    if option.choices:
        return _names(option.choices) + (", or `package.module:function`" if option.dotted else "")
    if option.type == "boolean":
        return "`true`, `false`"
    low = "" if option.low is None else f"{'above' if option.low_excluded else 'from'} {option.low:g}"
    high = "" if option.high is None else f"below {option.high:g}"
    return ", ".join(filter(None, (low, high)))


def metrics() -> str:
    """The metrics that an objective may name."""
    rows = [(f"`{name}`", m.direction, ", ".join(m.tasks), m.about) for name, m in METRICS.items()]
    return _table(("metric", "better", "task", "meaning"), rows)


def costs() -> str:
    """The costs that an objective may name."""
    return _table(("cost", "meaning"), [(f"`{name}`", about) for name, about in COSTS.items()])


def proxies() -> str:
    """The proxies that ``metanas evaluate`` computes."""
    return _table(("proxy", "what it computes", "source"), [(f"`{n}`", p.about, p.source) for n, p in PROXIES.items()])


def methods() -> str:
    """The ways to train a supernet."""
    return _table(("method", "what a step runs"), [(f"`{name}`", method.about) for name, method in METHODS.items()])


def strategies() -> str:
    """The names that ``search.strategy`` takes."""
    rows = [(f"`{name}`", *_strategy(name)) for name in strategy_names()]
    return _table(("strategy", "what proposes", "settings and defaults"), rows)


def contestants() -> str:
    """The names that a bench takes besides those of ``search.strategy``."""
    return _table(
        ("strategy", "what proposes", "settings and defaults"), [(f"`{n}`", *_strategy(n)) for n in NEED_SOURCES]
    )


def benchmark_metrics() -> str:
    """What the tables of benchmarks hold."""
    rows = [
        (f"`{name}`", f"`{metric}`", known.direction, known.about)
        for name, benchmark in BENCHMARKS.items()
        for metric, known in benchmark.metrics.items()
    ]
    return _table(("benchmark", "metric", "better", "meaning"), rows)


def _strategy(name: str) -> tuple[str, str]:
    if name not in STRATEGIES:
        return f"`optuna.samplers.{SAMPLERS[name.removeprefix('optuna:')]}`", "arguments of the class"
    about = (STRATEGIES[name].__doc__ or "").partition("\n")[0]
    settings = ", ".join(f"`{setting.name}: {setting.default}`" for setting in settings_of(name))
    return about.rstrip("."), settings or "none"


def statuses() -> str:
    """How a trial can end, and what Optuna calls it."""
    about = _member_docstrings(Path(inspect.getfile(Status)))
    states = {Status.COMPLETE: "COMPLETE", Status.PRUNED: "PRUNED"}
    rows = [(f"`{s.value}`", states.get(s, "FAIL"), about[s.name]) for s in Status if s is not Status.CANCELLED]
    return _table(("status", "state in Optuna", "meaning"), rows)


def _member_docstrings(path: Path) -> dict[str, str]:
    """Docstring of each member of an enumeration in a source file."""
    return dict(
        re.findall(r'^    ([A-Z_]+) = "\w+"\n    """(.*?)\.?"""', path.read_text(encoding="utf-8"), re.MULTILINE)
    )


# --- helpers


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _value(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "ops": ops, "train": train, "metrics": metrics, "costs": costs, "proxies": proxies, "methods": methods, "strategies": strategies, "contestants": contestants,
    "statuses": statuses, "benchmark-metrics": benchmark_metrics,
}  # fmt: skip


def updated(text: str) -> str:
    """The text of a page with its generated parts anew."""
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n{match[3]}", text)


def schema(_: str) -> str:
    """The JSON Schema of the language."""
    return json.dumps(space_schema(recipe_schema()), indent=1) + "\n"


def main() -> None:
    """Rewrite the schema, and every page that has a generated part."""
    files = dict.fromkeys(sorted(FOLDER.glob("*.md")), updated) | {FOLDER / "space.schema.json": schema}
    for file, write in files.items():
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if (new := write(text)) != text:
            file.write_text(new, encoding="utf-8")
            print(f"updated {file.name}")


if __name__ == "__main__":
    main()
