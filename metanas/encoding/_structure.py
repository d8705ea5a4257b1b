"""Structural features of networks, read off their canonical graphs.

Dead edges are cut and identities contracted before anything is counted, so networks that are equal have equal
features: op instances by kind, by depth, height and degree, and by the kinds that read them; paths from input to output by
the ops on them (White et al. 2021, *BANANAS*, section 3.1, counts instead of bits); what a path holds of each kind at most,
at least and on average, and how much of the output comes by way of it; and numbers of the whole.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import mul

from metanas.architecture import INPUT, Instances

_MAX_PATHS = 400
"""Distinct paths of one scope that are followed; what is beyond shows in the counts of kinds."""
_MOST = 6
"""Depths, heights and degrees from here on share a feature."""
_PLACES = "depth", "near", "in", "out", "height", "low"
"""Of a node: the longest and the shortest way from the input, what it reads and what reads it, and likewise the ways to the
output."""

Features = dict[str, float]
Found = defaultdict[str, float]
Reads = Sequence[Sequence[tuple[int, int]]]
"""Of each node, the nodes it reads and how often; the output comes last."""


def features_of(graph: Instances | None) -> Features:
    """Features of one scope, those that are not zero."""
    if graph is None:
        return {"cut": 1.0}
    reads = [*([pair for port in ports for pair in port] for ports in graph.ports), graph.output]
    found: Found = defaultdict(float)
    _count_nodes(found, graph.labels, reads)
    _count_paths(found, graph.labels, reads)
    _look_at_paths(found, graph.labels, reads)
    # Rounded, so that what is the same for all networks does not vary by rounding. Names are shared by all graphs.
    return {sys.intern(name): round(float(value), 9) for name, value in found.items() if value}


def _count_nodes(found: Found, labels: Sequence[str], reads: Reads) -> None:
    """Op instances by where they lie, who reads whom, and how much of the output comes by way of each kind."""
    end = len(labels)
    deepest, nearest = [0] * end, [0] * end
    for v in range(1, end):
        deepest[v] = 1 + max(deepest[source] for source, _ in reads[v])
        nearest[v] = 1 + min(nearest[source] for source, _ in reads[v])
    highest, lowest = [0] * (end + 1), [end + 1] * (end + 1)
    lowest[end] = 0
    readers = [0] * end
    # What arrives at a node comes in equal parts from all that it reads, one as often as it is read.
    flow = [0.0] * end + [1.0]
    for v in range(end, 0, -1):
        fan_in = sum(count for _, count in reads[v])
        for source, count in reads[v]:
            highest[source] = max(highest[source], 1 + highest[v])
            lowest[source] = min(lowest[source], 1 + lowest[v])
            readers[source] += count
            flow[source] += flow[v] * count / fan_in
            if source != INPUT:
                found[f"edge {labels[source]} > {labels[v] if v < end else 'output'}"] += count
    for v in range(1, end):
        fan_in = sum(count for _, count in reads[v])
        label = labels[v]
        numbers = deepest[v], nearest[v], fan_in, readers[v], highest[v], lowest[v]
        for place, number in zip(_PLACES, numbers, strict=True):
            bounded = number if number < _MOST else _MOST
            found[f"{place} {bounded} {label}"] += 1
            found[f"{place} {bounded}"] += 1
        found[f"op {label}"] += 1
        found["edges"] += fan_in
        found[f"flow {label}"] += flow[v]
    found["nodes"] += end - 1
    found["longest"] += highest[INPUT] - 1
    found["shortest"] += lowest[INPUT] - 1
    found["from input"] += readers[INPUT]
    found["to output"] += sum(count for _, count in reads[end])
    found["flow of input"] += flow[INPUT]


def _count_paths(found: Found, labels: Sequence[str], reads: Reads) -> None:
    """Paths by the ops on them, and by their lengths."""
    paths: list[Counter[tuple[str, ...]]] = [Counter({(): 1})]
    for v in range(1, len(labels)):
        arriving = _summed([(paths[source], count) for source, count in reads[v]])
        paths.append(Counter({(*path, labels[v]): count for path, count in arriving.items()}))
    through = _summed([(paths[source], count) for source, count in reads[-1]])
    for path, count in through.items():
        found["path " + " > ".join(path)] += count
        found[f"length {min(len(path), 2 * _MOST)}"] += count
    found["paths"] += sum(through.values())


def _look_at_paths(found: Found, labels: Sequence[str], reads: Reads) -> None:
    """Of each kind: the most, fewest and mean instances on a path, and the share of paths that hold one.

    Of all paths, in one pass: each node needs only what is known of those it reads.
    """
    kinds = sorted(set(labels[1:]))
    places = {kind: place for place, kind in enumerate(kinds)}
    none = [0] * len(kinds)
    # Of the paths to each node: how many; of each kind the most and the fewest on one, instances on all, and paths without.
    known = [(1, none, none, none, [1] * len(kinds))]
    for v in range(1, len(reads)):
        parts = [known[source] for source, _ in reads[v]]
        if len(parts) == 1 and reads[v][0][1] == 1:  # the commonest case, by far
            total = parts[0][0]
            most, fewest, instances, without = (numbers.copy() for numbers in parts[0][1:])
        else:
            totals, mosts, fewests, all_instances, withouts = zip(*parts, strict=True)
            times = [count for _, count in reads[v]]
            total = sum(map(mul, times, totals))
            most = [*map(max, zip(*mosts, strict=True))]
            fewest = [*map(min, zip(*fewests, strict=True))]
            instances = [sum(map(mul, times, numbers)) for numbers in zip(*all_instances, strict=True)]
            without = [sum(map(mul, times, numbers)) for numbers in zip(*withouts, strict=True)]
        if v < len(labels):
            here = places[labels[v]]
            most[here] += 1
            fewest[here] += 1
            instances[here] += total
            without[here] = 0
        known.append((total, most, fewest, instances, without))
    total, most, fewest, instances, without = known[-1]
    for place, kind in enumerate(kinds):
        found[f"most {kind}"] = most[place]
        found[f"fewest {kind}"] = fewest[place]
        found[f"mean {kind}"] = instances[place] / total
        found[f"through {kind}"] = 1 - without[place] / total


def _summed(parts: Sequence[tuple[Counter[tuple[str, ...]], int]]) -> Counter[tuple[str, ...]]:
    total: Counter[tuple[str, ...]] = Counter()
    for paths, count in parts:
        for path, times in paths.items():
            total[path] += count * times
    if len(total) > _MAX_PATHS:
        return Counter(dict(sorted(total.items(), key=lambda item: (-item[1], item[0]))[:_MAX_PATHS]))
    return total
