"""The pure evaluation engine: a score grid and labeled events in, figures with intervals and nulls out.

Here live the protocol, the alert rule, matching, every metric, calibration, the cluster bootstrap and the nulls. No
I/O, no clock and no randomness but from the protocol's stored seeds ever does.
"""

from .alerts import alerts_from_grid
from .engine import calibrated_grid, evaluate
from .inputs import EvaluationInputError
from .protocol import EvaluationProtocol, EvaluationProtocolError, MinimumDataset
from .report import Evaluation

__all__ = [
    "Evaluation",
    "EvaluationInputError",
    "EvaluationProtocol",
    "EvaluationProtocolError",
    "MinimumDataset",
    "alerts_from_grid",
    "calibrated_grid",
    "evaluate",
]
