"""Ranking networks by what they lose on validation data with the weights of a supernet."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from metanas._rng import generator
from metanas.architecture import Architecture, CanonicalIds, Measures, ShapeError, broken_constraint
from metanas.data import batches
from metanas.evaluator._forward import Data, laid_out
from metanas.evaluator._losses import Loss
from metanas.evaluator._supernet_policy import Policy
from metanas.evaluator._supernet_training import SupernetProgress
from metanas.network import Supernet
from metanas.space import Rows

_ROUNDS, _PARENTS = 3, 10
"""Of mutations after the first draw, and of what: Guo et al. 2020 evolve likewise, with more of both."""
_SAMPLES = 2000
"""Validation samples that a network is scored on at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Networks by their loss with shared weights, best first."""

    rows: list[list[int]]
    """Rows of the space."""
    losses: list[float]
    """The loss of each."""
    epochs: int
    """Epochs that the supernet was trained."""
    free_shares: list[float | None]
    """After each epoch, the weight of options without weights of their own."""
    method: str = ""
    """Name of the method that it was trained by."""
    asked: int = 0
    """How many networks were to be ranked."""
    collapsed: int = 0
    """The epoch after which the collapse alarm went off; 0 for never."""
    early: bool = False
    """Whether its time was over before all epochs that were asked for."""

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def shared_loss(supernet: Supernet, row: npt.NDArray[np.int64], data: Data, loss: Loss, *, batch_size: int) -> float:
    """The loss of a row's network on ``data`` with shared weights; NaN where it cannot be built."""
    supernet.eval()
    total = 0.0
    try:
        with torch.no_grad():
            for inputs, targets in batches(*data, batch_size=batch_size, generator=None):
                outputs = supernet(laid_out(inputs), row)
                outputs = outputs.reshape_as(targets) if targets.is_floating_point() else outputs
                total += float(loss(outputs, targets)) * len(targets)
    except ShapeError:
        return float("nan")
    return total / len(data[1])


def rank(
    supernet: Supernet, policy: Policy, validation: Data, loss: Loss, progress: SupernetProgress, *, count: int, batch_size: int, seed: int,
    method: str = "", early: bool = False,
) -> Ranking:  # fmt: skip
    """About ``count`` different networks that may be built: draws by the policy, and mutations of the best of them."""
    space, rng = supernet.space, np.random.default_rng(seed)
    # Data may come class by class, and the first samples, or a batch, would be of a few classes alone.
    chosen = torch.from_numpy(generator(seed, "samples").permutation(len(validation[1]))[:_SAMPLES])
    chosen = chosen.to(validation[1].device)
    data = validation[0][chosen], validation[1][chosen]
    # Batch statistics of all samples at once are the steadiest; but no more than a training has room for.
    size = max(batch_size, min(len(data[1]), 4 * batch_size))
    names = CanonicalIds(space)
    found: dict[str, tuple[float, npt.NDArray[np.int64]]] = {}

    def add(rows: Rows, most: int) -> None:
        for row in rows:
            if len(found) >= most:
                return
            name = names.of(row)
            if name not in found and space.satisfies(row[None])[0] and _allowed(supernet, row, batch_size):
                value = shared_loss(supernet, row, data, loss, batch_size=size)
                if np.isfinite(value):
                    found[name] = (value, row)

    first = max(1, count // (_ROUNDS + 1))
    add(policy.draw(4 * first, rng), first)
    for turn in range(_ROUNDS):
        if not found:
            break
        best = np.array([row for _, row in sorted(found.values(), key=lambda pair: pair[0])[:_PARENTS]])
        add(space.mutate(best[rng.integers(len(best), size=4 * first)], rng), first * (turn + 2))
    order = sorted(found.values(), key=lambda pair: pair[0])
    return Ranking(
        rows=[[int(v) for v in row] for _, row in order], losses=[value for value, _ in order], epochs=progress.epochs,
        free_shares=[share if share == share else None for share in progress.free_shares], collapsed=progress.collapsed,
        method=method, asked=count, early=early,
    )  # fmt: skip


def _allowed(supernet: Supernet, row: npt.NDArray[np.int64], batch_size: int) -> bool:
    """Whether a network can be built and meets the constraints of its space."""
    architecture = Architecture(supernet.space, tuple(int(v) for v in row))
    try:
        layers = architecture.layers(
            supernet.input_shape, supernet.outputs, supernet.vocabulary, modules=supernet.modules_of_user
        )
    except ShapeError:
        return False
    return broken_constraint(supernet.space, architecture, Measures.of(layers, batch_size=batch_size)) is None
