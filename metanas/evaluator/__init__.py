"""What an architecture is worth: trained, or scored by a user's own evaluator.

Nothing here loads torch until an evaluator that trains is built.
"""

from metanas.evaluator._build import build_evaluator
from metanas.evaluator._protocol import Evaluator

__all__ = ["Evaluator", "build_evaluator"]
