"""The score: one pure kernel for live scoring, backtests and explanations, and the model document it obeys.

The contract is the design's page `scoring.md`. Frames of signal events go in, columns of figures come out; the
same events, model and moment give the same bits on every grid, thread count and processor. Nothing here reads a
clock, an environment variable or a file, and availability is decided before: `available_time` is a given column.
"""

from ..contracts import ScoreSample
from .defaults import check_affinities, default_model
from .errors import ScoringInputError, ScoringModelError
from .explanation import family_shapley, score, warm_up
from .grid import compact_grid, family_counterfactuals, score_again, score_grid, stream_grid
from .model import FamilySpec, ScoringModel, SignalSpec

__all__ = [
    "FamilySpec",
    "ScoreSample",
    "ScoringInputError",
    "ScoringModel",
    "ScoringModelError",
    "SignalSpec",
    "check_affinities",
    "compact_grid",
    "default_model",
    "family_counterfactuals",
    "family_shapley",
    "score",
    "score_again",
    "score_grid",
    "stream_grid",
    "warm_up",
]
