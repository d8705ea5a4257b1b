"""How many rows a table of decisions has, exactly.

Decisions are taken in order. What a later condition or constraint still needs to know of an earlier decision is
its class of values; the count is carried per combination of such classes (a frontier), so that stages that do
not depend on each other multiply and nothing is enumerated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from metanas.space._constraints import Constraint
from metanas.space._template import Decision

MAX_STATES = 500_000
"""Combinations carried at once; beyond this the count is given up."""


def count_rows(table: Sequence[Decision], constraints: Sequence[Constraint] = ()) -> int | None:
    """Number of rows, under those constraints that speak of decisions alone; None when that is out of reach."""
    rules = [c for c in constraints if not c.measures]
    last_use = _last_uses(table, rules)
    due: dict[int, list[Constraint]] = defaultdict(list)
    for rule in rules:
        due[max(rule.decisions.values(), default=0)].append(rule)
    classes = [_classes(table, column, rules) for column in range(len(table))]
    live: list[int] = []
    states: dict[tuple[int, ...], int] = {(): 1}
    for column, decision in enumerate(table):
        groups: dict[int, int] = defaultdict(int)
        for group in classes[column]:
            groups[group] += 1
        if last_use[column] <= column:
            groups = {0: decision.size}
        new: dict[tuple[int, ...], int] = defaultdict(int)
        for state, count in states.items():
            known = dict(zip(live, state, strict=True))
            if _active(decision, known):
                for group, size in groups.items():
                    new[*state, group] += count * size
            else:
                new[*state, -1] += count
        live.append(column)
        states = _project(_allowed(new, live, due[column], table), live, last_use, column)
        live = [c for c in live if last_use[c] > column]
        if len(states) > MAX_STATES:
            return None
    return sum(states.values())


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


def _classes(table: Sequence[Decision], column: int, rules: Sequence[Constraint]) -> list[int]:
    """For each value, a representative with the same effect on all that comes later."""
    size = table[column].size
    if any(column in rule.decisions.values() for rule in rules):
        return list(range(size))
    tests = {allowed for d in table for clause in d.when for parent, allowed in clause if parent == column}
    first: dict[tuple[bool, ...], int] = {}
    ordered = sorted(tests, key=sorted)
    return [first.setdefault(tuple(value in allowed for allowed in ordered), value) for value in range(size)]


def _active(decision: Decision, known: dict[int, int]) -> bool:
    return not decision.when or any(all(known[p] in allowed for p, allowed in clause) for clause in decision.when)


def _allowed(
    states: dict[tuple[int, ...], int], live: list[int], rules: list[Constraint], table: Sequence[Decision]
) -> dict[tuple[int, ...], int]:
    if not rules or not states:
        return states
    keys = list(states)
    rows = np.full((len(keys), len(table)), -1, dtype=np.int64)
    rows[:, live] = np.asarray(keys, dtype=np.int64)
    keep = np.logical_and.reduce([rule.holds(rows, table) for rule in rules])
    return {key: states[key] for key, kept in zip(keys, keep, strict=True) if kept}


def _project(
    states: dict[tuple[int, ...], int], live: list[int], last_use: list[int], column: int
) -> dict[tuple[int, ...], int]:
    """Forget decisions that nothing later reads."""
    keep = [k for k, c in enumerate(live) if last_use[c] > column]
    if len(keep) == len(live):
        return states
    merged: dict[tuple[int, ...], int] = defaultdict(int)
    for state, count in states.items():
        merged[tuple(state[k] for k in keep)] += count
    return merged
