"""Live scores: samples with their explanations, and the narrow history of what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from signaldelta_assets.contracts import ScoreSample
from signaldelta_assets.versioning import canonical_json

from ..bulk import copy_new
from ..pools import Warehouse
from .revisions import lock

_FIGURES = ("evidence", "effective_families", "magnitude", "lean", "confidence", "quality", "diversity", "ordering",
            "n_events", "legacy_score", "verdict")  # fmt: skip
_HISTORY = ("magnitude", "lean", "confidence", "legacy_score", "verdict")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One live score: whose, when, the sample, and the hash of the events it was computed from."""

    entity_id: str
    at: datetime
    sample: ScoreSample
    input_hash: str


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """Samples offered and written, and rows added to the history."""

    offered: int
    written: int
    changed: int


def write_score_samples(
    warehouse: Warehouse,
    scores: Sequence[ScoreRow],
    *,
    scoring_model_hash: str,
    latency_model_hash: str,
    definitions_hash: str,
) -> ScoreCounts:
    """Store `scores`, and a history row wherever the score differs from the entity's row before.

    A sample that is there already (same entity, moment and models) is left as it is.
    """
    ordered = sorted(scores, key=lambda score: (score.entity_id, score.at))
    hashes = (scoring_model_hash, latency_model_hash, definitions_hash)
    columns = ("entity_id", "at", "scoring_model_hash", "latency_model_hash", "definitions_hash", "input_hash",
               *_FIGURES, "chain_probabilities", "family_deltas", "top_contributors")  # fmt: skip
    with warehouse.write("signals") as connection:
        lock(connection, f"score_history:{scoring_model_hash}")
        offered, written = copy_new(
            connection, "score_samples", columns, (_sample_row(score, hashes) for score in ordered)
        )
        before = _before(connection, ordered, scoring_model_hash)
        rows = []
        for score in ordered:
            figures = tuple(getattr(score.sample, name) for name in _HISTORY)
            if before.get(score.entity_id) != figures:
                rows.append((score.entity_id, score.at, scoring_model_hash, *figures))
                before[score.entity_id] = figures
        _, changed = copy_new(connection, "score_history", ("entity_id", "at", "scoring_model_hash", *_HISTORY), rows)
    return ScoreCounts(offered, written, changed)


def _sample_row(score: ScoreRow, hashes: tuple[str, str, str]) -> tuple[Any, ...]:
    sample = score.sample
    deltas = {family: asdict(delta) for family, delta in sample.family_deltas.items()}
    return (
        score.entity_id,
        score.at,
        *hashes,
        score.input_hash,
        *(getattr(sample, name) for name in _FIGURES),
        canonical_json(dict(sample.chain_probabilities)).decode(),
        canonical_json(deltas).decode(),
        canonical_json([asdict(item) for item in sample.top_contributors]).decode(),
    )


def _before(
    connection: Connection[Any], ordered: Sequence[ScoreRow], scoring_model_hash: str
) -> dict[str, tuple[Any, ...]]:
    """The newest history row of each entity before its first new moment."""
    first: Mapping[str, datetime] = {score.entity_id: score.at for score in reversed(ordered)}
    rows = connection.execute(
        "SELECT DISTINCT ON (h.entity_id) h.* FROM score_history AS h "
        "JOIN unnest(%s::text[], %s::timestamptz[]) AS f (entity_id, at) ON f.entity_id = h.entity_id AND h.at < f.at "
        "WHERE h.scoring_model_hash = %s ORDER BY h.entity_id, h.at DESC",
        (list(first), list(first.values()), scoring_model_hash),
    ).fetchall()
    return {row["entity_id"]: tuple(row[name] for name in _HISTORY) for row in rows}
