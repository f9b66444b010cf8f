"""What users follow: their watchlists, each no longer than its tier gives."""

from __future__ import annotations

from typing import Any

from ..pools import Warehouse
from .users import GROUP, Actor, RefusedChangeError, Row, locked, noted

_ITEM = "w.entity_id, w.note, w.added_at"


def list_items(warehouse: Warehouse, user_id: str, after: str | None, limit: int) -> list[Row]:
    """Return the entities a user follows, by entity_id, those after `after`."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"SELECT {_ITEM} FROM watchlist_items w WHERE w.user_id = %(user)s"
            " AND (%(after)s::text IS NULL OR w.entity_id > %(after)s) ORDER BY w.entity_id LIMIT %(limit)s",
            {"user": user_id, "after": after, "limit": limit},
        ).fetchall()


def put_item(
    warehouse: Warehouse, user_id: str, entity_id: str, note: str | None, actor: Actor
) -> tuple[dict[str, Any], bool]:
    """Follow an entity, or change its note; return (the item, whether it is new).

    `RefusedChangeError`: no such user, disabled, or as many as the tier gives are followed. Two at once do not both
    take the last place.
    """
    with warehouse.write_pool(GROUP).connection() as connection:
        user = locked(connection, user_id)
        changed = connection.execute(
            f"UPDATE watchlist_items w SET note = %s WHERE user_id = %s AND entity_id = %s RETURNING {_ITEM}",
            (note, user_id, entity_id),
        ).fetchone()
        if changed is not None:
            noted(connection, actor, "watchlist.changed", entity_id, {})
            return changed, False
        allowed = int(user["entitlements"].get("watchlist_items", 0))
        used = connection.execute("SELECT count(*) AS n FROM watchlist_items WHERE user_id = %s", (user_id,)).fetchone()
        assert used is not None
        if used["n"] >= allowed:
            words = f"the tier {user['tier']} has {allowed} places on a watchlist, {used['n']} in use"
            raise RefusedChangeError("watchlist-limit", words)
        made = connection.execute(
            "INSERT INTO watchlist_items AS w (user_id, entity_id, note, added_at)"
            f" VALUES (%s, %s, %s, clock_timestamp()) RETURNING {_ITEM}",
            (user_id, entity_id, note),
        ).fetchone()
        assert made is not None
        noted(connection, actor, "watchlist.added", entity_id, {})
        return made, True


def remove_item(warehouse: Warehouse, user_id: str, entity_id: str, actor: Actor) -> bool:
    """Follow an entity no longer; whether it was followed."""
    with warehouse.write_pool(GROUP).connection() as connection:
        gone = connection.execute(
            "DELETE FROM watchlist_items WHERE user_id = %s AND entity_id = %s", (user_id, entity_id)
        ).rowcount
        if gone:
            noted(connection, actor, "watchlist.removed", entity_id, {})
    return bool(gone)
