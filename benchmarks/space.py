"""The search-space language in one run beside peers: speed, and the lines that a user writes.

``--part rates``: architectures a second that are drawn, mutated, one-hot encoded and named (canonical ids, cold), for
three reference spaces; beside them PyGlove, NNI, NePS and Optuna on the same decisions, each in a process and an
environment of its own (``--peer-python nni=.venv-nni/bin/python``). A peer that is not there is said to be absent.

``--part build``: time to build NAS-Bench-201's networks, over that of the same networks written by hand in PyTorch.

``--part load``: time to load a shipped space, count its rows and check its shapes, as ``metanas space validate`` does,
in a fresh process after import; and whether that import brings torch along.

``--part lines``: lines of each reference space's file, beside what peers' users write. A line counts unless it is blank,
a comment or, in Python, part of a docstring.

Rates are of processor time. Prints tables to standard error and JSON to standard output: ``python benchmarks/space.py``.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import tokenize
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metanas.architecture import Architecture, CanonicalIds
from metanas.encoding import OneHot
from metanas.space import SearchSpace, builtin_spaces, find_space, load_space

HERE = Path(__file__).parent
PEERS = ("pyglove", "nni", "neps", "optuna")
SPACES = ("nasbench201", "darts", "mobile")
BATCH = 10_000
"""Rows of a batch."""
REPETITIONS = 7
"""The best of so many counts: what else runs on the machine only makes it slower."""

TARGETS = {
    "sample": {"nasbench201": 500_000, "darts": 100_000},
    "mutate": {"nasbench201": 500_000, "darts": 100_000},
    "one_hot": dict.fromkeys(SPACES[:1], 1_000_000),
    "ids": dict.fromkeys(SPACES[:1], 20_000),
}
"""Least rows a second."""
BUILD_TARGET = 1.5
"""Greatest ratio of building to building by hand."""
LOAD_TARGET_MS = 50


def _best(work: Callable[[], object], repetitions: int = REPETITIONS) -> float:
    """Least processor seconds."""
    times = []
    for _ in range(repetitions):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


# --- rates


def measure_rates(python: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """Rows a second of metanas and of each peer."""
    ours: dict[str, dict[str, float]] = {kind: {} for kind in TARGETS}
    for name in SPACES:
        space = load_space(name)
        rng = np.random.default_rng(0)
        rows = space.sample(BATCH, rng)
        one_hot = OneHot(space)
        one_hot(rows[:1])
        # All of NAS-Bench-201, none of them twice.
        different = space.rows(15_625) if name == "nasbench201" else rows
        works: dict[str, tuple[int, Callable[[], object]]] = {
            "sample": (BATCH, lambda space=space, rng=rng: space.sample(BATCH, rng)),
            "mutate": (BATCH, lambda space=space, rows=rows, rng=rng: space.mutate(rows, rng)),
            "one_hot": (BATCH, lambda one_hot=one_hot, rows=rows: one_hot(rows)),
            "ids": (len(different), lambda space=space, rows=different: _ids(space, rows)),
        }
        for kind, (n, work) in works.items():
            ours[kind][name] = n / _best(work, REPETITIONS)
    met = {
        f"{kind} {name}": ours[kind][name] >= least
        for kind, targets in TARGETS.items()
        for name, least in targets.items()
    }
    peers = {peer: _peer(peer, python.get(peer), seconds) for peer in PEERS}
    return {"met": met, "metanas": ours, "peers": peers}


def _ids(space: SearchSpace, rows: np.ndarray) -> None:
    CanonicalIds(space).of_all(rows)  # cold: it remembers nothing


def _peer(peer: str, python: str | None, seconds: float) -> dict[str, Any]:
    """What a peer's file prints, or why there is nothing."""
    if python is None and peer != "optuna":
        return {"absent": f"no --peer-python {peer}=PATH"}
    command = [python or sys.executable, "-W", "ignore", str(HERE / "peers" / f"{peer}_peer.py"), str(seconds)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"absent": str(error)}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return {"absent": (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]}
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def show_rates(result: dict[str, Any]) -> None:
    _row("rows a second", *SPACES)
    for kind, rates in result["metanas"].items():
        _row(f"metanas, {kind}", *(f"{rates[name]:,.0f}" for name in SPACES))
    for peer, found in result["peers"].items():
        if "absent" in found:
            _row(f"{peer} is absent: {found['absent']}")
            continue
        for kind in ("sample", "mutate"):
            rates = found[kind]
            if rates:
                _row(f"{peer} {found['version']}, {kind}", *(f"{rates[name]:,.0f}" for name in SPACES))


# --- build


def measure_build() -> dict[str, Any]:
    """The ratio for random networks of NAS-Bench-201 without ``none``, in turn on one thread."""
    import torch

    from metanas.network import build_network

    sys.path.insert(0, str(HERE / "peers"))
    import by_hand

    torch.set_num_threads(1)
    space = load_space("nasbench201")
    rows = space.sample(400, np.random.default_rng(0))
    rows = rows[(rows > 0).all(axis=1)][:31]  # a network by hand does not know what none cuts off
    ratios, hand, ours = [], [], []
    for row in rows:
        values = list(space.to_values(row).values())
        ops = dict(zip(by_hand.EDGES, _in_order(space, values), strict=True))
        started = time.process_time()
        written = by_hand.build(ops)
        middle = time.process_time()
        built = build_network(Architecture(space, tuple(row.tolist())).layers((3, 32, 32), 10))
        ended = time.process_time()
        assert _params(written) == _params(built), "both are the same network"
        hand.append(middle - started)
        ours.append(ended - middle)
        ratios.append((ended - middle) / (middle - started))
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return {
        "met": ratio <= BUILD_TARGET, "target": BUILD_TARGET, "networks": len(rows), "ratio": round(ratio, 3),
        "ratio_quartiles": [round(low, 3), round(high, 3)], "by_hand_ms": round(1e3 * statistics.median(hand), 2),
        "metanas_ms": round(1e3 * statistics.median(ours), 2),
    }  # fmt: skip


def _in_order(space: SearchSpace, values: list[object]) -> list[str]:
    """The operations in the order of the edges written by hand."""
    named = dict(zip((decision.name for decision in space.decisions), values, strict=True))
    return [str(named[f"cell.{a}->{b}"]) for b in range(1, 4) for a in range(b)]


def _params(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def show_build(result: dict[str, Any]) -> None:
    low, high = result["ratio_quartiles"]
    text = f"{result['by_hand_ms']} ms by hand, {result['metanas_ms']} ms by metanas, ratio {result['ratio']} ({low} to {high})"
    _row(f"building NAS-Bench-201: {text}; at most {result['target']} wanted")


# --- load

_LOAD = """
import gc, json, sys, time
from metanas.cli._space import COLLECT_AFTER
from metanas.space import load_space
from metanas.architecture import check_shapes, has_shapes
gc.set_threshold(COLLECT_AFTER)  # as 'metanas space' does
name, times = sys.argv[1], []
for _ in range(3):
    started = time.process_time()
    space = load_space(name)
    size = space.size
    if has_shapes(space):
        check_shapes(space).raise_if_any()
    times.append(1e3 * (time.process_time() - started))
print(json.dumps({"first": times[0], "again": min(times), "torch": "torch" in sys.modules}))
"""


def measure_load() -> dict[str, Any]:
    """Milliseconds of each shipped space: the first in a process, and again; the best of three processes."""
    cases: dict[str, dict[str, Any]] = {}
    for name in builtin_spaces():
        runs = [
            json.loads(subprocess.run([sys.executable, "-c", _LOAD, name], capture_output=True, check=True).stdout)
            for _ in range(3)
        ]
        cases[name] = {key: round(min(run[key] for run in runs), 1) for key in ("first", "again")}
        cases[name]["torch"] = any(run["torch"] for run in runs)
    met = all(case["first"] <= LOAD_TARGET_MS and not case["torch"] for case in cases.values())
    return {"met": met, "target_ms": LOAD_TARGET_MS, "cases": cases}


def show_load(result: dict[str, Any]) -> None:
    _row("load and check, ms", "first", "again", "torch")
    for name, case in result["cases"].items():
        _row(name, case["first"], case["again"], "imported" if case["torch"] else "no")


# --- lines

EXAMPLES = {
    "nni": {
        "nasbench201": ("nasbench201.py", "modules/nasbench201.py"),
        "darts": ("nasnet.py", "modules/nasnet.py"),
        "mobile": ("mobilenetv3.py",),
    }
}
"""Files that a peer ships as its own example of a space, in :data:`FOLDERS`; its operators are in them."""
FOLDERS = {"nni": "nni/nas/hub/pytorch"}


def measure_lines(python: Mapping[str, str]) -> dict[str, Any]:
    """Lines of the reference spaces, as files of metanas, as functions of ``benchmarks/peers``, and as peers' examples."""
    ours = {name: _count_yaml(find_space(name)[1]) for name in SPACES}
    here = {peer: _definitions(HERE / "peers" / f"{peer}_peer.py") for peer in PEERS}
    theirs: dict[str, Any] = {}
    for peer, examples in EXAMPLES.items():
        folder = _folder(python.get(peer), FOLDERS[peer])
        theirs[peer] = {
            name: sum(_count_python(folder / file) for file in files if (folder / file).is_file())
            for name, files in examples.items()
        } if folder else {"absent": f"no --peer-python {peer}=PATH"}  # fmt: skip
    fewest = all(ours[name] < lines.get(name, 10**9) for lines in theirs.values() for name in SPACES)
    return {"met": fewest, "metanas": ours, "decisions_alone": here, "own_examples": theirs}


def _folder(python: str | None, path: str) -> Path | None:
    if python is None:
        return None
    found = sorted(Path(python).absolute().parents[1].glob(f"lib/python3.*/site-packages/{path}"))
    return found[0] if found else None


def _count_yaml(text: str) -> int:
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def _count_python(path: Path) -> int:
    return len(_code_lines(path))


def _code_lines(path: Path) -> set[int]:
    """Numbers of lines with code: not blank, no comment alone, no docstring."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
    lines: set[int] = set()
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type not in skipped and token.type != tokenize.ENDMARKER:
                lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            lines.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return lines


def _definitions(path: Path) -> dict[str, int]:
    """Lines of the functions or classes that define the reference spaces in a peer's file."""
    code = _code_lines(path)
    return {
        node.name.lower(): len(code & set(range(node.lineno, (node.end_lineno or 0) + 1)))
        for node in ast.parse(path.read_bytes()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.lower() in SPACES
    }


def show_lines(result: dict[str, Any]) -> None:
    _row("lines", *SPACES)
    _row("metanas, the whole space file", *(result["metanas"][name] for name in SPACES))
    for peer, lines in result["own_examples"].items():
        _row(f"{peer}, its own example", *(lines.get(name, "absent") for name in SPACES))
    for peer, lines in result["decisions_alone"].items():
        _row(f"{peer}, the decisions alone", *(lines[name] for name in SPACES))


def _row(title: str, *cells: object) -> None:
    print(f"{title:<34}" + "".join(f"{cell!s:>14}" for cell in cells), file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["rates", "build", "load", "lines", "all"], default="all")
    parser.add_argument(
        "--peer-python", action="append", default=[], metavar="PEER=PATH", help="Python of a peer's environment"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement of a peer (default: 1)")
    arguments = parser.parse_args()
    python = dict(text.split("=", 1) for text in arguments.peer_python)
    if unknown := set(python) - set(PEERS):
        parser.error(f"a peer is one of {', '.join(PEERS)}, found {', '.join(sorted(unknown))}")
    parts: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[dict[str, Any]], None]]] = {
        "rates": (lambda: measure_rates(python, arguments.seconds), show_rates),
        "build": (measure_build, show_build),
        "load": (measure_load, show_load),
        "lines": (lambda: measure_lines(python), show_lines),
    }
    results: dict[str, Any] = {"python": platform.python_version(), "numpy": np.__version__}
    for name in parts if arguments.part == "all" else [arguments.part]:
        measure, show = parts[name]
        results[name] = measure()
        show(results[name])
    print(json.dumps(results, indent=2))
    met = [value for name in parts if name in results for value in _verdicts(results[name]["met"])]
    return 0 if all(met) else 1


def _verdicts(met: bool | Mapping[str, bool]) -> list[bool]:
    return [met] if isinstance(met, bool) else list(met.values())


if __name__ == "__main__":
    raise SystemExit(main())
