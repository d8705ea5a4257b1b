"""Zero-cost proxies: what an architecture may be worth, told without training it. Torch is loaded when one is computed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from metanas.architecture import Architecture
from metanas.data import Dataset
from metanas.errors import MetanasError
from metanas.space import did_you_mean


@dataclass(frozen=True, slots=True)
class Proxy:
    """A zero-cost proxy. More of it promises a better network; how much, depends on the space."""

    about: str
    """One line on what it computes."""
    source: str
    """The paper."""


PROXIES: Mapping[str, Proxy] = MappingProxyType(
    {
        "synflow": Proxy(
            "logarithm of the sum over all weights of weight times gradient, all of them positive, inputs of ones, no norms",
            "Tanaka et al. 2020, arXiv:2006.05467; Abdelfattah et al. 2021, arXiv:2101.08134",
        ),
        "naswot": Proxy(
            "log-determinant of how often two samples agree on which units are active",
            "Mellor et al. 2021, arXiv:2006.04647v3",
        ),
        "snip": Proxy(
            "sum over all weights of |weight times gradient| of the loss", "Lee et al. 2019, arXiv:1810.02340"
        ),
        "grad_norm": Proxy(
            "sum over all weight tensors of the Euclidean norm of the loss's gradient",
            "Abdelfattah et al. 2021, arXiv:2101.08134",
        ),
        "jacov": Proxy(
            "how little the gradients of the outputs at different samples correlate",
            "Mellor et al. 2020, arXiv:2006.04647v1",
        ),
        "zico": Proxy(
            "sum over weight tensors of log sum of mean over standard deviation of |gradient| between batches",
            "Li et al. 2023, arXiv:2301.11300",
        ),
        "params": Proxy("trainable parameters", ""),
        "flops": Proxy("multiply-adds of one sample, forward", ""),
    }
)
"""By name."""

PROXY_BATCH = 64
"""Samples that a proxy reads at most, as in Abdelfattah et al. 2021."""


def check_proxies(names: Sequence[str]) -> None:
    """Raise MetanasError for a name that is no proxy's."""
    for name in names:
        if name not in PROXIES:
            raise MetanasError(f"no proxy has the name {name!r}", remedy=did_you_mean(name, PROXIES))


def proxy_scores(
    architectures: Sequence[Architecture],
    dataset: Dataset,
    names: Sequence[str],
    *,
    seed: int = 0,
    batch_size: int = PROXY_BATCH,
    device: str = "cpu",
    allow_python: bool = False,
) -> Iterator[dict[str, float | None]]:
    """For each architecture of one space the proxies of these names; None where one has no finite value.

    The initial weights and the samples, ``batch_size`` at most, of the training split, are drawn under ``seed``: the
    same samples for all architectures.

    Raises
    ------
    MetanasError
        For a name that is no proxy's.
    ShapeError
        If a network cannot be built for the data.

    """
    check_proxies(names)
    # Here, because it loads torch.
    scores = importlib.import_module("metanas.evaluator._proxy_scores")
    yield from scores.score(architectures, dataset, names, seed, batch_size, device, allow_python)
