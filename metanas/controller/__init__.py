"""Who proposes: strategies that turn what is known of a search into the next architecture. No evaluation, I/O or clock."""

from metanas.controller._evolution import Evolution
from metanas.controller._local import LocalSearch
from metanas.controller._random import RandomSearch
from metanas.controller._strategy import Observation, Proposal, Strategy, rank_observations

__all__ = ["Evolution", "LocalSearch", "Observation", "Proposal", "RandomSearch", "Strategy", "rank_observations"]
