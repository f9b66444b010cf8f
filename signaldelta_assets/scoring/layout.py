"""What the kernel works on: the model as arrays, and which row of which array holds what.

Times are int64 microseconds since the Unix epoch; ages are float64 microseconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]


class Parameters(NamedTuple):
    """A scoring model as arrays. S signals in order of (family, signal id), F families, C chain types."""

    family: Integers  # (S,) index of the signal's family
    decay_rate: Floats  # (S,) half-lives in a microsecond
    coefficient: Floats  # (S,) weight * tier weight
    chain_start: Integers  # (C + 1,) offsets of each chain's positive affinities in the next two
    chain_signal: Integers  # index of the signal, ascending within a chain
    affinity: Floats
    budget: Floats  # (F,)
    precedence: Floats  # (F, F) sign(stage_g - stage_f)
    correlation: Floats  # (F, F)
    min_families: Integers  # (C,)
    cuts: Floats  # (4,)
    evidence_floor: float
    k: float
    theta: float
    quality_exponent: float
    diversity_exponent: float
    ordering_exponent: float
    diversity_half_point: float
    ordering_floor: float
    ordering_tolerance: float  # microseconds
    temperature: float
    unknown_logit: float
    gamma: float


FIGURES = (
    "evidence", "effective_families", "magnitude", "lean", "confidence", "quality", "diversity", "ordering",
    "legacy_score",
)  # fmt: skip
EVIDENCE, EFFECTIVE, MAGNITUDE, LEAN, CONFIDENCE, QUALITY, DIVERSITY, ORDERING, LEGACY = range(9)
# What a family or an event contributes is said of these three figures.
EXPLAINED = ("magnitude", "lean", "confidence")

# Columns of the state after each event.
ANCHOR, WEIGHT, SIGNED, RELIABLE, AGED, OWN = range(6)
STATE_COLUMNS = 6
LAST = OWN  # by lane, what its own weight was matters no more, but when it came does

# Lanes at a time: the rows of one entity's families then stay in the second-level cache.
BLOCK = 256

# Rows of a family (F, 6, lanes): W, D, Q, A, which `budget` turns into B's companions: beta D, beta Q, mean age.
FW, FD, FQ, FA, FB, FBETA = range(6)
FAMILY_ROWS = 6
BELOW_ONE = 1.0 - 2.0**-53
# Rows of the sums over families (9, lanes), and two to work in.
TOTAL, SQUARES, CROSS, LEANING, QUALITIES, CONCORDANCE, PAIRS, WORK, MORE = range(9)
SUM_ROWS = 9
