"""Structural features of networks, read off their canonical graphs.

Dead edges are cut and identities contracted before anything is counted, so networks that are equal have equal
features. What is counted: op instances by kind, paths from input to output by the ops on them (White et al. 2021,
*BANANAS*, section 3.1, counts instead of bits), kinds by depth and by degree, and numbers of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from metanas.architecture import INPUT, Instances

_MAX_PATHS = 400
"""Distinct paths of one scope that are followed; what is beyond shows in the counts of kinds."""
_MAX_DEPTH = 6
"""Depths and degrees from here on share a feature."""


@lru_cache(maxsize=200_000)
def features_of(graph: Instances | None) -> dict[str, float]:
    """Features of one scope by name."""
    if graph is None:
        return {"cut": 1.0}
    found: Counter[str] = Counter()
    paths: list[Counter[tuple[str, ...]]] = [Counter({(): 1})]
    deepest, nearest = [0], [0]
    readers = [0] * len(graph.labels)
    for v in range(1, len(graph.labels)):
        label = graph.labels[v]
        sources = [pair for port in graph.ports[v] for pair in port]
        for source, count in sources:
            readers[source] += count
        arriving = _summed([(paths[source], count) for source, count in sources])
        paths.append(Counter({(*path, label): count for path, count in arriving.items()}))
        deepest.append(1 + max(deepest[source] for source, _ in sources))
        nearest.append(1 + min(nearest[source] for source, _ in sources))
        fan_in = sum(count for _, count in sources)
        found[f"op {label}"] += 1
        found[f"depth {min(deepest[v], _MAX_DEPTH)} {label}"] += 1
        found[f"near {min(nearest[v], _MAX_DEPTH)} {label}"] += 1
        found[f"in {min(fan_in, _MAX_DEPTH)} {label}"] += 1
        found["edges"] += fan_in
    for source, count in graph.output:
        readers[source] += count
    for v in range(1, len(graph.labels)):
        found[f"out {min(readers[v], _MAX_DEPTH)} {graph.labels[v]}"] += 1
    through = _summed([(paths[source], count) for source, count in graph.output])
    for path, count in through.items():
        found["path " + " > ".join(path)] += count
        found[f"length {min(len(path), 2 * _MAX_DEPTH)}"] += count
    found["paths"] += sum(through.values())
    found["nodes"] += len(graph.labels) - 1
    found["longest"] += max(deepest[source] for source, _ in graph.output)
    found["shortest"] += min(nearest[source] for source, _ in graph.output)
    found["from input"] += readers[INPUT]
    found["to output"] += sum(count for _, count in graph.output)
    return {name: float(count) for name, count in found.items()}


def _summed(parts: Sequence[tuple[Counter[tuple[str, ...]], int]]) -> Counter[tuple[str, ...]]:
    total: Counter[tuple[str, ...]] = Counter()
    for paths, count in parts:
        for path, times in paths.items():
            total[path] += count * times
    if len(total) > _MAX_PATHS:
        return Counter(dict(sorted(total.items(), key=lambda item: (-item[1], item[0]))[:_MAX_PATHS]))
    return total
