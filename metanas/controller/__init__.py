"""Who proposes: strategies that turn what is known of a search into the next architecture. No evaluation, I/O or clock."""

from metanas.controller._ascent import Archive, Ascent
from metanas.controller._bananas import Bananas
from metanas.controller._climb import climb
from metanas.controller._critic import (
    CountedCritic,
    Critic,
    DifferentiableCritic,
    ProcessCritic,
    confidence_bound,
    log_improvement,
)
from metanas.controller._evolution import Evolution
from metanas.controller._hamming import HammingGP
from metanas.controller._layout import Layout
from metanas.controller._learner import Learner
from metanas.controller._local import LocalSearch
from metanas.controller._meta import FEWEST_PROXIES, Meta
from metanas.controller._models import BoostedTrees, Forest, GaussianProcess
from metanas.controller._policy import Policy
from metanas.controller._random import RandomSearch
from metanas.controller._rgpe import RankingWeightedEnsemble
from metanas.controller._steering import Steering
from metanas.controller._strategy import (
    ENUMERABLE,
    Accept,
    Candidates,
    Filter,
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
    "FEWEST_PROXIES",
    "Accept",
    "Archive",
    "Ascent",
    "Bananas",
    "BoostedTrees",
    "Candidates",
    "CountedCritic",
    "Critic",
    "DifferentiableCritic",
    "Evolution",
    "Filter",
    "Forest",
    "GaussianProcess",
    "HammingGP",
    "Layout",
    "Learner",
    "LocalSearch",
    "Meta",
    "Observation",
    "Policy",
    "ProcessCritic",
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
    "climb",
    "confidence_bound",
    "log_improvement",
    "rank_observations",
]
