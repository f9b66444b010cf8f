"""The score: one pure kernel for live scoring, backtests and explanations, and the model document it obeys.

The contract is the design's page `scoring.md`. Frames of signal events go in, columns of figures come out; the
same events, model and moment give the same bits on every grid, thread count and processor. Nothing here reads a
clock, an environment variable or a file, and availability is decided before: `available_time` is a given column.
"""

from ..contracts import ScoreSample
from .defaults import check_affinities, default_model
from .engine import score, score_grid, warm_up
from .errors import ScoringInputError, ScoringModelError
from .model import FamilySpec, ScoringModel, SignalSpec

__all__ = [
    "FamilySpec",
    "ScoreSample",
    "ScoringInputError",
    "ScoringModel",
    "ScoringModelError",
    "SignalSpec",
    "check_affinities",
    "default_model",
    "score",
    "score_grid",
    "warm_up",
]
