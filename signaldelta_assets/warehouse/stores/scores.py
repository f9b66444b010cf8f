"""Live scores: samples with their explanations, and the narrow history of what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from signaldelta_assets.contracts import ScoreSample
from signaldelta_assets.versioning import canonical_json

from .. import partitions
from ..bulk import copy_new
from ..pools import Warehouse
from .revisions import lock

_FIGURES = ("evidence", "effective_families", "magnitude", "lean", "confidence", "quality", "diversity", "ordering",
            "n_events", "legacy_score", "verdict")  # fmt: skip
_MODELS = """scoring_model_hash = %(scoring)s AND latency_model_hash = %(latency)s
    AND definitions_hash = %(definitions)s"""
_KEPT = "magnitude, lean, confidence, legacy_score, verdict"
# Of the samples offered, and of the next one after each, those that differ from the one before.
_HISTORY = f"""
WITH offered AS (SELECT * FROM unnest(%(entities)s::text[], %(moments)s::timestamptz[]) AS o (entity_id, at)),
touched AS (
  SELECT * FROM offered
  UNION SELECT o.entity_id, following.at FROM offered o JOIN LATERAL (
    SELECT at FROM score_samples s WHERE s.entity_id = o.entity_id AND s.at > o.at AND {_MODELS} ORDER BY at LIMIT 1
  ) following ON true)
INSERT INTO score_history (entity_id, at, scoring_model_hash, latency_model_hash, definitions_hash, {_KEPT})
SELECT entity_id, at, scoring_model_hash, latency_model_hash, definitions_hash, {_KEPT}
FROM touched JOIN score_samples AS sample USING (entity_id, at) LEFT JOIN LATERAL (
  SELECT ROW({_KEPT}) AS kept FROM score_samples s
  WHERE s.entity_id = touched.entity_id AND s.at < touched.at AND {_MODELS} ORDER BY s.at DESC LIMIT 1
) AS before ON true
WHERE {_MODELS} AND before.kept IS DISTINCT FROM ROW({_KEPT})
ON CONFLICT DO NOTHING"""


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
    """Store `scores`, and a history row wherever a stored sample differs from the entity's sample before it.

    A sample that is there already (same entity, moment and models) is left as it is. The history is made from what
    is stored, never from a score that was not kept; a sample put between two others also makes the later one new.
    """
    ordered = sorted(scores, key=lambda score: (score.entity_id, score.at))
    hashes = (scoring_model_hash, latency_model_hash, definitions_hash)
    columns = ("entity_id", "at", "scoring_model_hash", "latency_model_hash", "definitions_hash", "input_hash",
               *_FIGURES, "chain_probabilities", "family_deltas", "top_contributors")  # fmt: skip
    days = {score.at.astimezone(UTC).date() for score in ordered}
    for table in ("score_samples", "score_history"):
        partitions.ensure(warehouse, table, days)
    with warehouse.write_pool("signals").connection() as connection:
        lock(connection, f"score_history:{scoring_model_hash}")
        offered, written = copy_new(
            connection, "score_samples", columns, (_sample_row(score, hashes) for score in ordered)
        )
        params = {
            "entities": [score.entity_id for score in ordered],
            "moments": [score.at for score in ordered],
            "scoring": scoring_model_hash,
            "latency": latency_model_hash,
            "definitions": definitions_hash,
        }
        changed = connection.execute(_HISTORY, params).rowcount
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
