"""How many rows a table of decisions has, exactly.

Decisions are taken in order. What a later condition or constraint still needs to know of an earlier decision is
its class of values; the count is carried per combination of such classes (a frontier), so that stages that do
not depend on each other multiply and nothing is enumerated.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from metanas.space._constraints import Constraint, EdgeLimit
from metanas.space._template import Decision

MAX_STATES = 500_000
"""Combinations carried at once; beyond this the count is given up."""
MAX_VISITED = 5_000_000
"""Combinations looked at in all, some ten seconds: many decisions under many combinations are as bad as too many of these."""
MAX_EFFECTS = 3_000_000
"""Work spent on finding the values that are the same to a constraint: combinations times decisions named and characters."""


def count_rows(
    table: Sequence[Decision], constraints: Sequence[Constraint] = (), limits: Sequence[EdgeLimit] = ()
) -> int | None:
    """Number of rows, under those constraints that speak of decisions alone; None when that is out of reach."""
    rules = [c for c in constraints if not c.measures]
    last_use = _last_uses(table, rules)
    due: dict[int, list[Constraint]] = defaultdict(list)
    for rule in rules:
        due[max(rule.decisions.values(), default=0)].append(rule)
    effects, work = [], 0
    for rule in rules:
        combinations = math.prod(table[column].size for column in rule.decisions.values())
        work += combinations * (len(rule.decisions) + len(rule.text))
        effects.append(_effects(table, rule) if work <= MAX_EFFECTS else {})
    tests = _tests(table)
    live: list[int] = []
    # Of each state: the classes of the live decisions, then how many edges of each limited cell are there.
    states: dict[tuple[int, ...], int] = {(0,) * len(limits): 1}
    free, visited = 1, 0
    for column, decision in enumerate(table):
        bounded = [k for k, limit in enumerate(limits) if column in limit.columns]
        matters = last_use[column] > column or bool(bounded)
        if not (matters or decision.when or column in due):
            # It multiplies all states alike, however many there are.
            free *= decision.size
            continue
        classes = _classes(table, column, tests[column], rules, effects) if matters else []
        groups = _groups(decision, classes, matters)
        place = {c: k for k, c in enumerate(live)}
        when = [[(place[parent], allowed) for parent, allowed in clause] for clause in decision.when]
        visited += len(states)
        if visited > MAX_VISITED:
            return None
        new: dict[tuple[int, ...], int] = defaultdict(int)
        for state, count in states.items():
            values, edges = state[: len(live)], state[len(live) :]
            if when and not any(all(state[k] in allowed for k, allowed in clause) for clause in when):
                new[*values, -1, *edges] += count
                continue
            for group, size in groups.items():
                there = tuple(n + (k in bounded and group == 1) for k, n in enumerate(edges))
                if all(there[k] <= limits[k].most for k in bounded):
                    new[*values, group, *there] += count * size
            if len(new) > MAX_STATES:
                return None
        live.append(column)
        states = _project(_allowed(new, live, due[column], table), live, last_use, column)
        live = [c for c in live if last_use[c] > column]
        states = _forget_full(states, len(live), limits, column)
    return free * sum(states.values())


def _groups(decision: Decision, classes: Sequence[int], matters: bool) -> dict[int, int]:
    """Size of each class of values; one class when nothing later depends on the value."""
    if not matters:
        return {0: decision.size}
    if decision.values == (False, True):
        return {0: 1, 1: 1}
    return dict(Counter(classes))


def _forget_full(
    states: dict[tuple[int, ...], int], n_live: int, limits: Sequence[EdgeLimit], column: int
) -> dict[tuple[int, ...], int]:
    """Edges of a cell need no count after its last one."""
    ended = {n_live + k for k, limit in enumerate(limits) if max(limit.columns, default=-1) == column}
    if not ended:
        return states
    merged: dict[tuple[int, ...], int] = defaultdict(int)
    for state, count in states.items():
        merged[tuple(0 if k in ended else n for k, n in enumerate(state))] += count
    return merged


def _last_uses(table: Sequence[Decision], rules: Sequence[Constraint]) -> list[int]:
    last = [-1] * len(table)
    for column, decision in enumerate(table):
        for clause in decision.when:
            for parent, _ in clause:
                last[parent] = max(last[parent], column)
    for rule in rules:
        end = max(rule.decisions.values(), default=0)
        for column in rule.decisions.values():
            # The constraint is evaluated just after its last decision, which must be live then.
            last[column] = max(last[column], end + (column == end))
    return last


def _tests(table: Sequence[Decision]) -> list[set[frozenset[int]]]:
    """For each decision, the sets of its values that conditions ask for."""
    tests: list[set[frozenset[int]]] = [set() for _ in table]
    for decision in table:
        for clause in decision.when:
            for parent, allowed in clause:
                tests[parent].add(allowed)
    return tests


def _classes(
    table: Sequence[Decision],
    column: int,
    tests: set[frozenset[int]],
    rules: Sequence[Constraint],
    effects: Sequence[Mapping[int, Sequence[bytes]]],
) -> list[int]:
    """For each value, a representative with the same effect on all that comes later."""
    size = table[column].size
    told: list[Sequence[object]] = []
    for rule, effect in zip(rules, effects, strict=True):
        if column in rule.decisions.values():
            told.append(effect.get(column) or range(size))
    told += [[value in allowed for value in range(size)] for allowed in sorted(tests, key=sorted)]
    first: dict[tuple[object, ...], int] = {}
    return [first.setdefault(tuple(one[value] for one in told), value) for value in range(size)]


def _effects(table: Sequence[Decision], rule: Constraint) -> Mapping[int, Sequence[bytes]]:
    """For each decision of a constraint and each of its values, what it says under all values of the others."""
    columns = list(rule.decisions.values())
    sizes = [table[column].size for column in columns]
    rows = np.indices(sizes, dtype=np.int64).reshape(len(sizes), math.prod(sizes)).T
    truth = _holds(rule, rows, columns, table).reshape(sizes)
    return {c: [part.tobytes() for part in np.moveaxis(truth, axis, 0)] for axis, c in enumerate(columns)}


def _holds(
    rule: Constraint, rows: npt.NDArray[np.int64], columns: Sequence[int], table: Sequence[Decision]
) -> npt.NDArray[np.bool_]:
    """Which rows of these columns satisfy a constraint; all columns of a long table would fill the memory."""
    place = {column: k for k, column in enumerate(columns)}
    narrow = replace(rule, decisions={name: place[column] for name, column in rule.decisions.items()})
    return narrow.holds(rows, [table[column] for column in columns])


def _allowed(
    states: dict[tuple[int, ...], int], live: list[int], rules: list[Constraint], table: Sequence[Decision]
) -> dict[tuple[int, ...], int]:
    if not rules or not states:
        return states
    rows = np.asarray(list(states), dtype=np.int64).reshape(len(states), -1)[:, : len(live)]
    keep = np.logical_and.reduce([_holds(rule, rows, live, table) for rule in rules])
    return {key: count for (key, count), kept in zip(states.items(), keep, strict=True) if kept}


def _project(
    states: dict[tuple[int, ...], int], live: list[int], last_use: list[int], column: int
) -> dict[tuple[int, ...], int]:
    """Forget decisions that nothing later reads."""
    keep = [k for k, c in enumerate(live) if last_use[c] > column]
    if len(keep) == len(live):
        return states
    merged: dict[tuple[int, ...], int] = defaultdict(int)
    for state, count in states.items():
        merged[(*(state[k] for k in keep), *state[len(live) :])] += count
    return merged
