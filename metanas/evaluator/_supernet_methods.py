"""How a supernet is trained: small parts that combine, and the combinations that papers name. Torch is not needed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Paths = Literal["uniform", "fair", "gumbel", "softmax", "dirichlet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetMethod:
    """What runs in a step, and what is learned of the decisions."""

    about: str
    """One line, with the paper."""
    paths: Paths
    """Which networks a step runs: one at random (``uniform``), one of a group in which every option has its turn
    (``fair``), one drawn by learned weights (``gumbel``), or a mixture of all, by these weights or by a draw from a
    Dirichlet distribution."""
    order: int = 1
    """2: the weights of the decisions see where a step of the network's weights leads (DARTS, equation 7)."""
    partial: int = 1
    """A mixture of modules sees one in so many channels; the others pass (PC-DARTS)."""
    beta: float = 0.0
    """Weight at the end of the training of the decay of the decisions' weights (β-DARTS)."""
    stops: bool = False
    """Whether the weights of an op stop learning where training and validation data pull apart (OLES)."""

    @property
    def learns(self) -> bool:
        """Whether decisions have weights that are learned."""
        return self.paths not in ("uniform", "fair")


METHODS: Mapping[str, SupernetMethod] = MappingProxyType(
    {
        "spos": SupernetMethod(about="a random network a step (Guo et al. 2020)", paths="uniform"),
        "fair": SupernetMethod(about="random networks in groups where each option occurs once (Chu et al. 2021)", paths="fair"),
        "darts": SupernetMethod(about="a mixture, first order (Liu et al. 2019)", paths="softmax"),
        "darts_second": SupernetMethod(about="a mixture, second order (Liu et al. 2019)", paths="softmax", order=2),
        "gdas": SupernetMethod(about="one network a step, drawn by learned weights (Dong & Yang 2019)", paths="gumbel"),
        "pc_darts": SupernetMethod(about="a mixture on a quarter of the channels (Xu et al. 2020)", paths="softmax", partial=4),
        "drnas": SupernetMethod(about="a mixture drawn from a Dirichlet distribution (Chen et al. 2021)", paths="dirichlet"),
        "beta_darts": SupernetMethod(about="DARTS with β-decay (Ye et al. 2022)", paths="softmax", beta=50.0),
        "oles": SupernetMethod(about="DARTS whose ops stop early (Jiang et al. 2023)", paths="softmax", stops=True),
    }
)  # fmt: skip
"""By name. Other combinations are made by :class:`SupernetMethod`."""
