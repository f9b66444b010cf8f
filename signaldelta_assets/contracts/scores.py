"""ScoreSample: the score of one entity at one moment, with its explanation (scoring.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields


class _Named(Mapping[str, float | str]):
    """Reads a frozen value by name as well as by attribute, as the JSON form of the same explanation does."""

    __slots__ = ()

    def __getitem__(self, name: str) -> float | str:
        if name not in {field.name for field in fields(self)}:  # type: ignore[arg-type]
            raise KeyError(name)
        value: float | str = getattr(self, name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(fields(self))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class FamilyDelta(_Named):
    """What one family contributes: the score minus the score recomputed without it (scoring.md section 15)."""

    magnitude: float
    lean: float
    confidence: float


@dataclass(frozen=True, slots=True)
class FamilyShapley(_Named):
    """What one family adds on average over all orders in which the families could arrive (Shapley 1953), exactly.

    Over the families with evidence the values sum to M, to the alert score M C, and to the legacy score less its 50.
    """

    magnitude: float
    alert_score: float
    legacy_score: float


@dataclass(frozen=True, slots=True)
class Contributor(_Named):
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
