"""The pure evaluation engine: a score grid and labeled events in, figures with intervals and nulls out.

Here live the protocol, the alert rule, matching, every metric, calibration, the cluster bootstrap and the nulls. No
I/O, no clock and no randomness but from the protocol's stored seeds ever does.
"""

from .alerts import alerts_from_grid
from .audit import audit_moments, first_difference
from .comparison import Pair, side_by_side
from .curves import CurvePoint, Operating, PrecisionRecall
from .engine import calibrated_grid, evaluate, minimum_warning, warm_up
from .inputs import EvaluationInputError
from .intervals import Interval
from .multiplicity import benjamini_hochberg, holm
from .protocol import EvaluationProtocol, EvaluationProtocolError, MinimumDataset
from .report import Evaluation, KaplanMeier, Murphy, NullFigure, Quartiles, ReliabilityBin, Section

__all__ = [
    "CurvePoint",
    "Evaluation",
    "EvaluationInputError",
    "EvaluationProtocol",
    "EvaluationProtocolError",
    "Interval",
    "KaplanMeier",
    "MinimumDataset",
    "Murphy",
    "NullFigure",
    "Operating",
    "Pair",
    "PrecisionRecall",
    "Quartiles",
    "ReliabilityBin",
    "Section",
    "alerts_from_grid",
    "audit_moments",
    "benjamini_hochberg",
    "calibrated_grid",
    "evaluate",
    "first_difference",
    "holm",
    "minimum_warning",
    "side_by_side",
    "warm_up",
]
