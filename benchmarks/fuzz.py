"""Damaged space files against the loader: each must give a space, or an error that names its place.

``python benchmarks/fuzz.py`` loads 100,000 damaged copies of the shipped spaces, and of files that are hostile on
purpose, in one process a core. A fault is any other exception, more than a second of processor time, or memory beyond
500 MB; files with faults are written to ``--keep`` so that they can become tests. Exit code 1 if there are any.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import yaml

from metanas.errors import ConstraintError
from metanas.space import (
    OPS,
    LanguageError,
    SearchSpace,
    builtin_spaces,
    find_space,
    parse_space_text,
    parse_yaml,
    plain,
)
from metanas.testing.damage import SNIPPETS, places

SECONDS = 1.0
"""Processor time of loading one file."""
USE_SECONDS = 20.0
"""Of drawing from it, which looks long for a row where constraints leave next to none."""
MEGABYTES = 500
"""Memory of the process beyond what it has after import."""
BATCH = 250

HOSTILE = [
    "space: a\nlet: &a [*a]\nnetwork: *a\n",
    "a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b]\nnetwork: [*c, *c, *c]\n",
    "space: a\nnetwork: " + "[" * 3000 + "]" * 3000 + "\n",
    "space: a\nnetwork: " + "{residual: " * 500 + "relu" + "}" * 500 + "\n",
    "space: a\nnetwork: !!python/object/apply:os.system ['true']\n",
    "space: a\nblocks: {m: {depth: 12, choice: {a: relu, b: [{new: m}, {new: m}, {new: m}]}}}\nnetwork: [{new: m}, head]\n",
    "space: a\nblocks: {m: {choice: [relu, {new: n}]}, n: {depth: 9, choice: [bn, {new: m}, {parallel: [{new: n}, {new: n}]}]}}\nnetwork: [{new: n}, head]\n",
    "space: a\nnetwork: [{repeat: {repeat: {repeat: {conv: {out: {choice: [1, 2]}}}, times: 200, share: false}, times: 200, share: false}, times: 200, share: false}, head]\n",
    "space: a\nnetwork: [{graph: {nodes: 64, every_edge: {choice: [none, relu, bn]}}}, {graph: {nodes: 64, every_edge: optional}}, head]\n",
    "space: a\nnetwork: [{graph: {steps: 16, inputs: [before, previous], each_step: {inputs: 8, op: {choice: [relu, bn]}}}}, head]\n",
    "space: a\nlet: {w: {float: [1e-300, 1e300], log: true}, v: '$w * $w * $w', u: '$v ** 9'}\nnetwork: [{conv: {out: $v}}, head]\n",
    "space: a\nlet: {w: {int: [0, 10000]}, v: {int: [0, 10000]}}\nnetwork: [{conv: {out: '$w * $v + 1'}}, head]\n",
    "space: a\ntabular: {a: {int: [0, 10000]}, b: {int: [0, 10000]}, c: {int: [0, 10000]}}\nconstraints: ['a + b + c == 7', 'a * b == c']\n",
    "space: a\nnetwork: [head]\nconstraints: ['" + "(" * 400 + "1" + ")" * 400 + " < 2', '" + "not " * 200 + "true', '1" + " + 1" * 240 + " > 0']\n",
    "space: a\nextends: a\nnetwork: [head]\n",
    "space: \"\\ud800\\u0000\"\nnetwork: [head]\n",
]  # fmt: skip
"""Recursion, aliases, nesting, tags, products of decisions, arithmetic."""

PARTS: list[Any] = [
    0, -1, 1, 3, 200, 10**29, 1e308, float("nan"), float("inf"), None, True, "", "a b", "$w", "$w * 1e300 * 1e300", "$w / 0", "$n - 5",
    [], {}, [1], ["relu"], {"choice": [1, 2]}, {"choice": []}, {"choice": {"a": "relu", "b": "bn"}}, {"int": [1, 3]}, {"int": [1, 10000]},
    {"float": [0, 1]}, {"float": [-1e308, 1e308]}, {"new": "motif"}, {"new": "cell"}, {"repeat": "relu", "times": 200}, {"optional": "relu"},
    {"repeat": {"conv": {"out": {"choice": [4, 8]}}}, "times": {"int": [0, 200]}, "share": False}, {"graph": {"nodes": 64, "every_edge": "optional"}},
    "n / 0 < 1", "params <= 0", "not true", "none", "identity", "\u00b2", "\N{LATIN SMALL LIGATURE FI}", *OPS,
]  # fmt: skip
WRAPS = [
    "choice",
    "optional",
    "residual",
    "new",
    "relu",
    "repeat",
    "parallel",
    "graph",
    "id",
    "prior",
    "depth",
    "first",
]


def files() -> list[str]:
    """The texts that are damaged."""
    return [*(find_space(name)[1] for name in builtin_spaces()), *HOSTILE]


def damaged(texts: list[str], rng: random.Random) -> str:
    """A copy of a text with one to three injuries, to its characters or to its values."""
    text = rng.choice(texts)
    if rng.random() < 0.5:
        return _cut(text, rng)
    try:
        tree = plain(parse_yaml(text, "f"))
    except LanguageError:
        return _cut(text, rng)
    for _ in range(rng.randint(1, 3)):
        found = places(tree)
        container, key = rng.choice(found)
        kind = rng.randrange(4)
        if kind == 0:
            source, name = rng.choice(found)
            container[key] = copy.deepcopy(source[name])
        elif kind == 1:
            container[key] = copy.deepcopy(rng.choice(PARTS))
        elif kind == 2 and len(container) > 1:
            del container[key]
        else:
            container[key] = {rng.choice(WRAPS): container[key]}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _cut(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(0, len(text))
        end = start + rng.choice([0, 0, 1, 3, 6, 40])
        other = rng.randint(0, len(text))
        piece = rng.choice([*SNIPPETS, text[other : other + rng.randint(1, 60)], "".join(rng.choices(SNIPPETS, k=8))])
        text = text[:start] + piece + text[end:]
    return text


class _Slow(BaseException):
    """Raised by the timer; no handler of ours takes it for an error of the file."""


def _alarm(_: int, __: FrameType | None) -> None:
    raise _Slow


def limited(action: Callable[[], str], seconds: float) -> tuple[str, float]:
    """What an action says, or ``fault: …``, and its processor seconds."""
    began = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        said = action()
    except _Slow:
        said = f"fault: more than {seconds:g} s"
    except BaseException as error:  # whatever it is, it is a fault
        said = f"fault: {type(error).__name__}: {traceback.format_exc(limit=-3)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return said, time.process_time() - began


def outcome(text: str) -> tuple[str, float]:
    """What loading a file gave, and its processor seconds. Where it is a space, two of its rows are drawn and changed."""
    loaded: list[SearchSpace] = []

    def load() -> str:
        try:
            loaded.append(parse_space_text(text, "f"))
        except LanguageError as error:
            placed = error.problems and all(str(problem).startswith("f:") for problem in error.problems)
            return "error" if placed else "fault: an error without its place"
        return "space"

    def use() -> str:
        rng = np.random.default_rng(0)
        try:
            rows = loaded[0].sample(2, rng)
        except ConstraintError:
            return "space"
        assert (loaded[0].to_row(loaded[0].to_values(rows[0])) == rows[0]).all()
        loaded[0].mutate(rows, rng)
        return "space"

    said, seconds = limited(load, SECONDS)
    return (limited(use, USE_SECONDS)[0] if loaded else said), seconds


def batch(seed: int) -> tuple[Counter[str], float, float, list[tuple[str, str]]]:
    """Outcomes, longest time and highest memory (MB) of a batch, and the files with faults."""
    signal.signal(signal.SIGPROF, _alarm)
    texts, rng = files(), random.Random(seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: Counter[str] = Counter()
    faults, longest, highest = [], 0.0, 0.0
    cases = [*HOSTILE, *texts] if seed == 0 else []
    for text in [*cases, *(damaged(texts, rng) for _ in range(BATCH - len(cases)))]:
        said, seconds = outcome(text)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        if grown > max(highest, MEGABYTES) and not said.startswith("fault"):
            said = f"fault: {grown:.0f} MB"
        highest = max(highest, grown)
        outcomes[said.partition(":")[0]] += 1
        longest = max(longest, seconds)
        if said.startswith("fault"):
            faults.append((text, said))
    return outcomes, longest, highest, faults


def main() -> int:
    """Run the batches and print what came of them."""
    parser = argparse.ArgumentParser(description="Load damaged space files.")
    parser.add_argument("--files", type=int, default=100_000, help="how many (default 100,000)")
    parser.add_argument("--seed", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="folder for files with faults")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + -(-options.files // BATCH))
    outcomes: Counter[str] = Counter()
    longest = highest = 0.0
    faults: list[tuple[str, str]] = []
    # A process a batch, so that memory is counted anew.
    with multiprocessing.get_context("spawn").Pool(options.processes, maxtasksperchild=4) as pool:
        for done, (some, seconds, megabytes, found) in enumerate(pool.imap_unordered(batch, seeds), start=1):
            outcomes += some
            longest, highest = max(longest, seconds), max(highest, megabytes)
            for text, said in found:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{len(faults):04}.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
                faults.append((text, said))
                print(f"{options.keep / f'{len(faults) - 1:04}.yaml'}: {said}", file=sys.stderr)
            if sys.stderr.isatty():
                print(f"\r{done * BATCH:,} of {len(seeds) * BATCH:,}", end="", file=sys.stderr)
    total = sum(outcomes.values())
    report = {
        "files": total, "spaces": outcomes["space"], "errors": outcomes["error"], "faults": outcomes["fault"],
        "longest_seconds": round(longest, 3), "most_memory_mb": round(highest, 1),
    }  # fmt: skip
    if options.json:
        print(json.dumps(report))
    else:
        print(
            f"{total:,} files: {outcomes['space']:,} spaces, {outcomes['error']:,} errors, {outcomes['fault']:,} faults; "
            f"at most {longest:.2f} s of processor time and {highest:.0f} MB a process"
        )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
