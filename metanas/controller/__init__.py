"""Who proposes: strategies that turn what is known of a search into the next architecture. No evaluation, I/O or clock."""

from metanas.controller._bananas import Bananas
from metanas.controller._evolution import Evolution
from metanas.controller._hamming import HammingGP
from metanas.controller._local import LocalSearch
from metanas.controller._meta import Meta
from metanas.controller._models import BoostedTrees, Forest, GaussianProcess
from metanas.controller._random import RandomSearch
from metanas.controller._rgpe import RankingWeightedEnsemble
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
from metanas.controller._supernet import SupernetRanking
from metanas.controller._transfer import SourceProcess, SourceRank, SourceRidge

__all__ = [
    "ENUMERABLE",
    "Accept",
    "Bananas",
    "BoostedTrees",
    "Candidates",
    "Evolution",
    "Forest",
    "GaussianProcess",
    "HammingGP",
    "LocalSearch",
    "Meta",
    "Observation",
    "Proposal",
    "RandomSearch",
    "RankingWeightedEnsemble",
    "Sampler",
    "SourceProcess",
    "SourceRank",
    "SourceRidge",
    "Steering",
    "Strategy",
    "SupernetRanking",
    "rank_observations",
]
