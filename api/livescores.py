"""Latest scores for many who ask at once: those who follow them, and those whose requests come in together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg import Connection

from signaldelta_assets.warehouse import Warehouse

from . import queries
from .formats import in_zulu
from .live import Feed, State
from .pointintime import Clocks
from .reading import glancing
from .together import Together

# A stream names what it was told of each entity in every event's id.
MOST_ENTITIES = 50
# The statement for several takes as long to plan as some for one do together.
_FEW = 3


def score_feed(warehouse: Warehouse, *, every_seconds: float = 1.0, most: int = 256) -> Feed:
    """Return the feed of latest scores by entity_id, of any models: of one moment the one written last."""

    def read(entities: frozenset[str]) -> Mapping[str, State]:
        with glancing(warehouse) as view:
            shown = _shown(view.connection, sorted(entities), Clocks(view.settled, view.settled), {})
        return {one: State(orjson.loads(in_zulu(text.encode())), event="score") for one, text in shown.items()}

    return Feed(read, every_seconds=every_seconds, most=most)


@dataclass(frozen=True, slots=True)
class Question:
    """Whose latest score, as of when, by which models (the filters of `queries.latest_scores_of`, as items)."""

    entity_id: str
    as_of: datetime | None
    known_as_of: datetime | None
    models: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The score as JSON, None where there is none, and the clocks it was asked by."""

    shown: str | None
    clocks: Clocks


def latest_scores(warehouse: Warehouse) -> Together[Question, Found]:
    """Return where requests for the latest score of an entity wait together; those of one clock are one question."""

    def serve(asked: Sequence[Question]) -> list[Found | Exception]:
        with glancing(warehouse) as view:
            entities: dict[tuple[Clocks, tuple[tuple[str, str | None], ...]], list[str]] = {}
            places = [(Clocks.of(one.as_of, one.known_as_of, view.settled), one.models) for one in asked]
            for one, place in zip(asked, places, strict=True):
                entities.setdefault(place, []).append(one.entity_id)
            shown = {
                (clocks, models): _shown(view.connection, list(dict.fromkeys(names)), clocks, dict(models))
                for (clocks, models), names in entities.items()
            }
        return [Found(shown[place].get(one.entity_id), place[0]) for one, place in zip(asked, places, strict=True)]

    return Together("scores", serve)


def _shown(
    connection: Connection[dict[str, Any]], entity_ids: Sequence[str], clocks: Clocks, models: Mapping[str, str | None]
) -> dict[str, str]:
    """Return the latest scores as JSON by entity."""
    columns, moments = f"s.entity_id, {queries.SCORE_SHOWN}", (clocks.as_of, clocks.known_as_of)
    if len(entity_ids) > _FEW:
        rows = queries.latest_scores_of(connection, entity_ids, models, *moments, columns)
    else:
        found = [queries.latest_score(connection, one, models, *moments, columns) for one in entity_ids]
        rows = [row for row in found if row is not None]
    return {row["entity_id"]: row["shown"] for row in rows}
