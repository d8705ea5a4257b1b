"""Places for the nodes of a directed acyclic graph, top to bottom, and courses for its edges around them.

Layers by longest path; a long edge passes through a bend in every layer between; crossings are lowered by the
barycentre heuristic; x by least squares under the order (Sugiyama, Tagawa, Toda 1981). Nodes are given in topological
order.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Point = tuple[float, float]
_BEND_WIDTH, _GAP = 10.0, 16.0
_SWEEPS = 8
_TRIES, _SMALL = 30, 80
_MAX_BENDS = 4000
"""With more bends than this, long edges go straight: the drawing is past reading one by one."""


@dataclass(frozen=True, slots=True)
class Size:
    """How far a node reaches from its axis, and its height."""

    left: float
    right: float
    height: float
    fixed: bool = False
    """Whether the axis stays at 0."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The layout, in points; y grows downwards from 0."""

    nodes: tuple[Point, ...]
    """Axis and upper edge of each node."""
    edges: Mapping[tuple[int, int], tuple[Point, ...]]
    """Course of each edge, from the lower edge of its source to the upper edge of its target."""
    height: float


@dataclass(slots=True)
class _Grid:
    """Items: the nodes, then bends."""

    sizes: list[Size]
    layers: list[list[int]]
    links: set[tuple[int, int]] = field(default_factory=set)
    """Pairs of items in neighbouring layers (or further apart, where bends were given up)."""
    chains: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """The bends of each edge."""


def layered(
    sizes: Sequence[Size], edges: Iterable[tuple[int, int]], *, gap: float = 26.0, shared: bool = True
) -> Placed:
    """Place nodes of these sizes; an edge ``(u, v)`` has ``u < v``. With ``shared``, edges of one source share bends."""
    edges = sorted(set(edges))
    grid = _grid(sizes, edges, shared)
    _order(grid)
    x = _columns(grid)
    layer_of = {item: number for number, layer in enumerate(grid.layers) for item in layer}
    spans = [0.0] * len(grid.layers)
    for u, v in grid.links:
        spans[layer_of[u]] = max(spans[layer_of[u]], abs(x[u] - x[v]))
    tops: list[float] = []
    y = 0.0
    for layer, span in zip(grid.layers, spans, strict=True):
        tops.append(y)
        bottom = y + max(grid.sizes[i].height for i in layer)
        y = bottom + gap + min(0.08 * span, 40.0)  # wide curves need room to turn
    return _placed(grid, x, tops, bottom, len(sizes))


def _placed(grid: _Grid, x: Sequence[float], tops: Sequence[float], height: float, count: int) -> Placed:
    """Courses go straight down beside the nodes of a layer and turn between layers, so that none crosses a node."""
    bottoms = [top + max(grid.sizes[i].height for i in layer) for top, layer in zip(tops, grid.layers, strict=True)]
    layer_of = {item: number for number, layer in enumerate(grid.layers) for item in layer}
    nodes: list[Point] = []
    for i in range(count):
        number = layer_of[i]
        nodes.append((x[i], tops[number] + (bottoms[number] - tops[number] - grid.sizes[i].height) / 2))
    courses = {}
    for (u, v), bends in grid.chains.items():
        start, end = layer_of[u], layer_of[v]
        course = [(x[u], nodes[u][1] + grid.sizes[u].height), (x[u], bottoms[start])]
        for bend in bends:
            course += [(x[bend], tops[layer_of[bend]]), (x[bend], bottoms[layer_of[bend]])]
        course += [(x[v], tops[end]), (x[v], nodes[v][1])]
        courses[u, v] = tuple(p for k, p in enumerate(course) if k == 0 or p != course[k - 1])
    return Placed(tuple(nodes), courses, height)


def _grid(sizes: Sequence[Size], edges: Sequence[tuple[int, int]], shared: bool) -> _Grid:
    depth = [0] * len(sizes)
    for u, v in edges:  # sorted by source, and sources come before targets
        depth[v] = max(depth[v], depth[u] + 1)
    reach = [0] * len(sizes)
    for u, v in edges:
        reach[u] = max(reach[u], depth[v] - depth[u] - 1) if shared else reach[u] + depth[v] - depth[u] - 1
    bent = sum(reach) <= _MAX_BENDS
    layers: list[list[int]] = [[] for _ in range(max(depth, default=0) + 1)]
    for i, d in enumerate(depth):
        layers[d].append(i)
    grid = _Grid(list(sizes), layers)
    trunks: dict[object, list[int]] = {}
    for u, v in edges:
        trunk = trunks.setdefault(u if shared else (u, v), [])
        between = depth[v] - depth[u] - 1 if bent else 0
        while len(trunk) < between:
            grid.sizes.append(Size(_BEND_WIDTH / 2, _BEND_WIDTH / 2, 0.0))
            trunk.append(len(grid.sizes) - 1)
            layers[depth[u] + len(trunk)].append(trunk[-1])
        path = [u, *trunk[:between], v]
        grid.chains[u, v] = path[1:-1]
        grid.links.update(pairwise(path))
    return grid


def _neighbours(grid: _Grid) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    above: dict[int, list[int]] = {i: [] for i in range(len(grid.sizes))}
    below: dict[int, list[int]] = {i: [] for i in range(len(grid.sizes))}
    for u, v in sorted(grid.links):
        above[v].append(u)
        below[u].append(v)
    return above, below


def _order(grid: _Grid) -> None:
    """Sort the items of each layer by the mean place of their neighbours; the order with fewest crossings stays.

    Small graphs get more tries, from orders shuffled alike each time.
    """
    above, below = _neighbours(grid)
    best, fewest = [list(layer) for layer in grid.layers], _crossings(grid, below)
    shuffle = random.Random(0).shuffle
    for attempt in range(_TRIES if len(grid.sizes) <= _SMALL else 1):
        if attempt:
            for layer in grid.layers:
                layer.sort()
                shuffle(layer)
        for sweep in range(_SWEEPS):
            if not fewest:
                break
            _sweep(grid, above, below, down=sweep % 2 == 0)
            if (count := _crossings(grid, below)) < fewest:
                best, fewest = [list(layer) for layer in grid.layers], count
    grid.layers[:] = best


def _sweep(grid: _Grid, above: Mapping[int, Sequence[int]], below: Mapping[int, Sequence[int]], *, down: bool) -> None:
    place = {i: k for layer in grid.layers for k, i in enumerate(layer)}
    near = above if down else below
    for layer in grid.layers if down else reversed(grid.layers):
        weight = {i: sum(place[j] for j in near[i]) / len(near[i]) if near[i] else place[i] for i in layer}
        layer.sort(key=weight.__getitem__)
        place.update({i: k for k, i in enumerate(layer)})


def _crossings(grid: _Grid, below: Mapping[int, Sequence[int]]) -> int:
    place = {i: k for layer in grid.layers for k, i in enumerate(layer)}
    total = 0
    for layer in grid.layers:
        seen: list[int] = []
        for i in layer:
            ends = sorted(place[j] for j in below[i])
            total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _columns(grid: _Grid) -> list[float]:
    """Axis of every item: near its neighbours, in the order of its layer, without overlap."""
    above, below = _neighbours(grid)
    count = len(grid.sizes)
    bends = {bend for chain in grid.chains.values() for bend in chain}
    weight = [1e6 if size.fixed else 1e-3 if i in bends else 1.0 for i, size in enumerate(grid.sizes)]
    x = [0.0] * count
    for layer in grid.layers:
        _place_layer(grid, layer, dict.fromkeys(layer, 0.0), weight, x)
    for sweep in range(2 * _SWEEPS):
        down = sweep % 2 == 0
        for layer in grid.layers if down else reversed(grid.layers):
            near = (above if down else below) if sweep < 2 * _SWEEPS - 2 else None
            wish = {}
            for i in layer:
                others = near[i] if near is not None else [*above[i], *below[i]]
                wish[i] = 0.0 if grid.sizes[i].fixed else sum(x[j] for j in others) / len(others) if others else x[i]
            _place_layer(grid, layer, wish, weight, x)
    for _ in range(3):
        _straighten(grid, above, below, bends, x)
    return x


def _straighten(
    grid: _Grid, above: Mapping[int, list[int]], below: Mapping[int, list[int]], bends: set[int], x: list[float]
) -> None:
    """Set runs of items, each the next one's only neighbour, on one axis where their layers leave room."""
    room: dict[int, tuple[int | None, int | None]] = {}
    for layer in grid.layers:
        for k, i in enumerate(layer):
            room[i] = (layer[k - 1] if k else None, layer[k + 1] if k + 1 < len(layer) else None)
    for run in _runs(grid, above, below, bends):
        begin = 0
        while begin < len(run):
            low, high = float("-inf"), float("inf")
            end = begin
            while end < len(run):
                before, after = room[run[end]]
                size = grid.sizes[run[end]]
                lowest = x[before] + grid.sizes[before].right + _GAP + size.left if before is not None else low
                highest = x[after] - grid.sizes[after].left - _GAP - size.right if after is not None else high
                if max(low, lowest) > min(high, highest) + 1e-6:
                    break
                low, high, end = max(low, lowest), min(high, highest), end + 1
            part = run[begin : max(end, begin + 1)]
            if len(part) > 1:
                axis = min(max(sum(x[i] for i in part) / len(part), low), high)
                for i in part:
                    x[i] = axis
            begin += len(part)


def _runs(
    grid: _Grid, above: Mapping[int, list[int]], below: Mapping[int, list[int]], bends: set[int]
) -> list[list[int]]:
    """Longest sequences of items that would look best on one axis; the ends of the graph are left out."""
    after: dict[int, int] = {}
    for u, lower in below.items():
        onward = [v for v in lower if u in bends and v in bends] or lower
        v = onward[0] if len(onward) == 1 else -1
        if v >= 0 and len(above[v]) == 1 and not grid.sizes[u].fixed and not grid.sizes[v].fixed:
            after[u] = v
    runs = []
    for start in sorted(set(after) - set(after.values())):
        run = [start]
        while run[-1] in after:
            run.append(after[run[-1]])
        runs.append(run)
    return runs


def _place_layer(
    grid: _Grid, layer: Sequence[int], wish: Mapping[int, float], weight: Sequence[float], x: list[float]
) -> None:
    """Least squares to the wishes under minimum distances: isotonic regression by pooling neighbours."""
    offsets, offset = [], 0.0
    for k, i in enumerate(layer):
        if k:
            offset += grid.sizes[layer[k - 1]].right + _GAP + grid.sizes[i].left
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for i, shift in zip(layer, offsets, strict=True):
        pool = (wish[i] - shift, weight[i], 1)
        while pools and pools[-1][0] > pool[0]:
            mean, mass, members = pools.pop()
            total = mass + pool[1]
            pool = ((mean * mass + pool[0] * pool[1]) / total, total, members + pool[2])
        pools.append(pool)
    means = [mean for mean, _, members in pools for _ in range(members)]
    for i, mean, shift in zip(layer, means, offsets, strict=True):
        x[i] = mean + shift
