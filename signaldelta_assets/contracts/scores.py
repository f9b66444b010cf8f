"""ScoreSample: the score of one entity at one moment, with its explanation (scoring.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FamilyDelta:
    """What one family contributes: the score minus the score recomputed without it (scoring.md section 15)."""

    magnitude: float
    lean: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Contributor:
    """What one event contributes to the magnitude: M minus M recomputed without it."""

    event_id: str
    delta_magnitude: float


@dataclass(frozen=True, slots=True)
class ScoreSample:
    """All figures of `scoring.md` for one entity at one moment. Without evidence: zeros, and UNKNOWN = 1."""

    evidence: float
    effective_families: float
    magnitude: float
    lean: float
    confidence: float
    quality: float
    diversity: float
    ordering: float
    chain_probabilities: Mapping[str, float]
    n_events: int
    legacy_score: float
    verdict: str
    family_deltas: Mapping[str, FamilyDelta]
    top_contributors: tuple[Contributor, ...]
