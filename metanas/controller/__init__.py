"""Who proposes: strategies that turn what is known of a search into the next architecture. No evaluation, I/O or clock."""

from metanas.controller._evolution import Evolution
from metanas.controller._local import LocalSearch
from metanas.controller._random import RandomSearch
from metanas.controller._steering import Steering
from metanas.controller._strategy import (
    ENUMERABLE,
    Accept,
    Candidates,
    Observation,
    Proposal,
    Sampler,
    Strategy,
    rank_observations,
)

__all__ = [
    "ENUMERABLE",
    "Accept",
    "Candidates",
    "Evolution",
    "LocalSearch",
    "Observation",
    "Proposal",
    "RandomSearch",
    "Sampler",
    "Steering",
    "Strategy",
    "rank_observations",
]
