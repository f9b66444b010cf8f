"""Live scores for whoever follows them: one question a second for all entities that anybody follows."""

from __future__ import annotations

from collections.abc import Mapping

from signaldelta_assets.warehouse import Warehouse

from . import queries
from .live import Feed, State
from .reading import glancing
from .schemas.evidence import Score

# A stream names what it was told of each entity in every event's id.
MOST_ENTITIES = 50


def score_feed(warehouse: Warehouse, *, every_seconds: float = 1.0, most: int = 256) -> Feed:
    """Return the feed of latest scores by entity_id, of any models: of one moment the one written last."""

    def read(entities: frozenset[str]) -> Mapping[str, State]:
        with glancing(warehouse) as view:
            rows = queries.latest_scores_of(view.connection, sorted(entities), {}, view.settled, view.settled)
        return {
            row["entity_id"]: State(Score.model_validate(row).model_dump(mode="json"), event="score") for row in rows
        }

    return Feed(read, every_seconds=every_seconds, most=most)
