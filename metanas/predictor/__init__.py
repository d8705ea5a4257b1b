"""The meta-learned performance predictor: what earlier tasks say of the networks of a space, and how far to trust it.

Free of torch and Optuna. The sources' smoothed results, a prior mean and kernels whose scales were learned by leaving
each source out in turn; adapted to a new data set in closed form.
"""

from metanas.predictor._belief import Belief, Expert, Member, Opinion
from metanas.predictor._carry import carried_over
from metanas.predictor._curves import full_losses
from metanas.predictor._evaluate import Judgement, judge, knowing_others, left_out
from metanas.predictor._field import MOST, Encodings, Field
from metanas.predictor._judge import NORMAL_80, deviations, rank_correlation
from metanas.predictor._parts import similarity_weights
from metanas.predictor._places import (
    NO_PREDICTOR,
    SHIPPED,
    find_predictor,
    is_shipped,
    model_for,
    place_for,
    predictor_names,
    shipped_folder,
)
from metanas.predictor._predictor import Predictor, same_space
from metanas.predictor._source import Source
from metanas.predictor._space_model import FEW, UNTAUGHT_EXPERT, SpaceModel, encoder_of
from metanas.predictor._store import check_place, load_model, load_predictor, read_card, save_predictor, updating
from metanas.predictor._warp import Warp, normal_scores

__all__ = [
    "FEW",
    "MOST",
    "NORMAL_80",
    "NO_PREDICTOR",
    "SHIPPED",
    "UNTAUGHT_EXPERT",
    "Belief",
    "Encodings",
    "Expert",
    "Field",
    "Judgement",
    "Member",
    "Opinion",
    "Predictor",
    "Source",
    "SpaceModel",
    "Warp",
    "carried_over",
    "check_place",
    "deviations",
    "encoder_of",
    "find_predictor",
    "full_losses",
    "is_shipped",
    "judge",
    "knowing_others",
    "left_out",
    "load_model",
    "load_predictor",
    "model_for",
    "normal_scores",
    "place_for",
    "predictor_names",
    "rank_correlation",
    "read_card",
    "same_space",
    "save_predictor",
    "shipped_folder",
    "similarity_weights",
    "updating",
]
