"""Users, their API keys by hash, and the audit log: all SQL of the group `users` that the API and the command send.

Nothing here has ever seen a key: callers hand in its hash and its prefix. What changes a user or a key is noted in
`user_activity` in the same transaction, so that none is without its note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from signaldelta_assets.correlation import correlation_id
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import new_ulid

from ..pools import Warehouse
from ..tables.users import TIERS

GROUP = "users"
Row = dict[str, Any]

_USER = (
    "u.user_id, u.subject, u.email, u.tier, u.is_admin, u.disabled_at, COALESCE((SELECT"
    " jsonb_object_agg(e.entitlement, e.value) FROM tier_entitlements e WHERE e.tier = u.tier), '{}') AS entitlements"
)
_KEY = (
    "k.api_key_id, k.user_id, k.prefix, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at, k.last_used_at,"
    " k.replaces, k.requests_per_hour"
)
# What changes whenever a key of a prefix, its user, or what the user's tier gives was written to: PostgreSQL numbers
# every version of a row by who wrote it.
VERSION = (
    "(SELECT string_agg(concat_ws('.', vk.xmin, vu.xmin, (SELECT string_agg(e.xmin::text, '.' ORDER BY e.entitlement)"
    " FROM tier_entitlements e WHERE e.tier = vu.tier)), ',' ORDER BY vk.api_key_id)"
    " FROM api_keys vk JOIN users vu USING (user_id) WHERE vk.prefix = {prefix})"
)
# The first of the keys that were rotated into this one: they share what a key is allowed.
_FIRST_KEY = (
    "CASE WHEN k.replaces IS NULL THEN k.api_key_id ELSE (WITH RECURSIVE before AS (SELECT k.api_key_id, k.replaces"
    " UNION ALL SELECT o.api_key_id, o.replaces FROM before b JOIN api_keys o ON o.api_key_id = b.replaces)"
    " SELECT api_key_id FROM before WHERE replaces IS NULL) END"
)
_LIVE = "{0}.revoked_at IS NULL AND ({0}.expires_at IS NULL OR {0}.expires_at > clock_timestamp())"


class RefusedChangeError(SignalDeltaError):
    """A change of a user or key that is not allowed; `reason` names the rule."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, for the note: a user by one of their keys or a token, or the operator at a terminal (no user)."""

    user_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


OPERATOR = Actor(detail={"by": "command"})


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be stored: what is known of its secret is its hash."""

    prefix: str
    key_hash: str
    name: str
    scopes: Sequence[str]
    expires_at: datetime | None = None
    requests_per_hour: int | None = None


def keys_of_prefixes(warehouse: Warehouse, prefixes: Sequence[str]) -> list[Row]:
    """Return the keys with these prefixes, revoked and expired ones too, each with its user and what the tier gives.

    `version`: of all keys of the prefix, for `request_counts.count_all_held`. `first_key_id`: of the keys that were
    rotated into this one.

    Asked at the home where keys are revoked, so that a revocation is seen at the next request, wherever that comes in.
    """
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"SELECT {_KEY}, k.key_hash, {_USER}, {VERSION.format(prefix='k.prefix')} AS version,"
            f" {_FIRST_KEY} AS first_key_id"
            " FROM api_keys k JOIN users u USING (user_id)"
            " WHERE k.prefix = ANY(%s::text[])",
            (list(prefixes),),
        ).fetchall()


def user_of_subject(warehouse: Warehouse, subject: str) -> Row | None:
    """Return the user whom the identity provider calls `subject`, with entitlements; None where there is none."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(f"SELECT {_USER} FROM users u WHERE u.subject = %s", (subject,)).fetchone()


def first_sight(warehouse: Warehouse, subject: str, email: str | None) -> Row:
    """Return the user `subject`, made with the tier `free` where nobody is called so; two at once make one."""
    with warehouse.write_pool(GROUP).connection() as connection:
        made = connection.execute(
            "INSERT INTO users (user_id, subject, email) VALUES (%s, %s, %s) ON CONFLICT (subject) DO NOTHING"
            " RETURNING user_id",
            (new_ulid(), subject, email),
        ).fetchone()
        if made is not None:
            noted(
                connection, Actor(made["user_id"], {"by": "token"}), "user.created", made["user_id"], {"tier": "free"}
            )
        row = connection.execute(f"SELECT {_USER} FROM users u WHERE u.subject = %s", (subject,)).fetchone()
    assert row is not None
    return row


def touch_key(warehouse: Warehouse, key_id: str, seconds: float) -> None:
    """Note that a key is in use, unless that was noted within the last `seconds`."""
    with warehouse.state_pool(GROUP).connection() as connection:
        connection.execute(
            "UPDATE api_keys SET last_used_at = clock_timestamp() WHERE api_key_id = %s AND"
            " (last_used_at IS NULL OR last_used_at < clock_timestamp() - make_interval(secs => %s))",
            (key_id, seconds),
        )


def list_keys(warehouse: Warehouse, user_id: str | None = None, prefix: str | None = None) -> list[Row]:
    """Return keys without their hashes, newest first: of one user or of all, those whose prefix begins so."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"SELECT {_KEY}, {_LIVE.format('k')} AS live FROM api_keys k"
            " WHERE (%(user)s::text IS NULL OR k.user_id = %(user)s)"
            " AND (%(prefix)s::text IS NULL OR starts_with(k.prefix, %(prefix)s)) ORDER BY k.api_key_id DESC",
            {"user": user_id, "prefix": prefix},
        ).fetchall()


def create_key(warehouse: Warehouse, user_id: str, key: NewKey, actor: Actor) -> Row:
    """Store a key and return its row. `RefusedChangeError`: no such user, disabled, or all keys of the tier in use."""
    with warehouse.write_pool(GROUP).connection() as connection:
        user = locked(connection, user_id)
        # A key that has been replaced and still works for a while takes no place of its own.
        used = connection.execute(
            f"SELECT count(*) AS n FROM api_keys k WHERE k.user_id = %s AND {_LIVE.format('k')} AND NOT EXISTS"
            f" (SELECT FROM api_keys n WHERE n.replaces = k.api_key_id AND {_LIVE.format('n')})",
            (user_id,),
        ).fetchone()
        allowed = int(user["entitlements"].get("api_keys", 0))
        assert used is not None
        if used["n"] >= allowed:
            raise RefusedChangeError("key-limit", f"the tier {user['tier']} has {allowed} API keys, {used['n']} in use")
        return _store(connection, user_id, key, None, actor)


def rotate_key(
    warehouse: Warehouse,
    user_id: str,
    key_id: str,
    key: NewKey,
    overlap: float,
    actor: Actor,
    *,
    scopes: Sequence[str] | None = None,
) -> Row | None:
    """Store `key` in the place of `key_id`, which is valid for `overlap` seconds more; None where there is no such.

    Name, scopes, expiry and limit are the old key's. `RefusedChangeError` where the old key is not live, where it was
    rotated already or replaces one that is still valid (a place has two valid keys at most), or where it has a scope
    that is not among `scopes`, those of whoever asks.
    """
    with warehouse.write_pool(GROUP).connection() as connection:
        locked(connection, user_id)
        old = connection.execute(
            f"SELECT {_KEY}, {_LIVE.format('k')} AS live, EXISTS (SELECT FROM api_keys o WHERE {_LIVE.format('o')} AND"
            " (o.replaces = k.api_key_id OR o.api_key_id = k.replaces)) AS overlapping"
            " FROM api_keys k WHERE api_key_id = %s AND user_id = %s",
            (key_id, user_id),
        ).fetchone()
        if old is None:
            return None
        if not old["live"]:
            raise RefusedChangeError("key-not-valid", "a key that is revoked or has expired cannot be rotated")
        if scopes is not None and not set(old["scopes"]) <= set(scopes):
            raise RefusedChangeError("key-scopes", f"this key has scopes beyond {', '.join(scopes)}")
        if old["overlapping"]:
            raise RefusedChangeError("key-overlap", "the last rotation of this key still overlaps: revoke one of both")
        connection.execute(
            "UPDATE api_keys SET expires_at = least(expires_at, clock_timestamp() + make_interval(secs => %s))"
            " WHERE api_key_id = %s",
            (overlap, key_id),
        )
        same = NewKey(key.prefix, key.key_hash, old["name"], old["scopes"], old["expires_at"], old["requests_per_hour"])
        return _store(connection, user_id, same, key_id, actor)


def revoke_key(warehouse: Warehouse, key_id: str, actor: Actor, user_id: str | None = None) -> bool:
    """Revoke a key, of this user alone where one is named; whether there is such a key. Again changes nothing."""
    with warehouse.write_pool(GROUP).connection() as connection:
        row = connection.execute(
            "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, clock_timestamp())"
            " WHERE api_key_id = %(key)s AND (%(user)s::text IS NULL OR user_id = %(user)s) RETURNING user_id",
            {"key": key_id, "user": user_id},
        ).fetchone()
        if row is not None:
            noted(connection, actor, "key.revoked", key_id, {"owner": row["user_id"]})
    return row is not None


def create_user(
    warehouse: Warehouse,
    *,
    tier: str,
    admin: bool,
    email: str | None,
    name: str | None,
    subject: str | None,
    actor: Actor,
) -> str:
    """Make a user; return its id. `RefusedChangeError` for an unknown tier or a subject that is taken."""
    _known(tier)
    user_id = new_ulid()
    with warehouse.write_pool(GROUP).connection() as connection:
        made = connection.execute(
            "INSERT INTO users (user_id, subject, email, display_name, tier, is_admin) VALUES (%s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (subject) DO NOTHING",
            (user_id, subject, email, name, tier, admin),
        )
        if not made.rowcount:
            raise RefusedChangeError("subject-taken", "there is a user with this subject already")
        noted(connection, actor, "user.created", user_id, {"tier": tier, "is_admin": admin})
    return user_id


def first_admin(warehouse: Warehouse, key: NewKey) -> str | None:
    """Make an administrator with a key where nobody is one; return the user's id, None where there is one."""
    with warehouse.write_pool(GROUP).connection() as connection:
        # Two that start at once: the second waits here, and then sees the first's.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('signaldelta first administrator', 0))")
        if connection.execute("SELECT FROM users WHERE is_admin LIMIT 1").fetchone() is not None:
            return None
        user_id = new_ulid()
        connection.execute(
            "INSERT INTO users (user_id, display_name, tier, is_admin) VALUES (%s, 'administrator', 'research', true)",
            (user_id,),
        )
        noted(connection, OPERATOR, "user.created", user_id, {"tier": "research", "is_admin": True})
        _store(connection, user_id, key, None, OPERATOR)
    return user_id


def list_users(warehouse: Warehouse) -> list[Row]:
    """Return all users with the number of their live keys, oldest first."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            "SELECT u.user_id, u.subject, u.email, u.display_name, u.tier, u.is_admin, u.created_at, u.disabled_at,"
            f" (SELECT count(*) FROM api_keys k WHERE k.user_id = u.user_id AND {_LIVE.format('k')}) AS keys"
            " FROM users u ORDER BY u.user_id"
        ).fetchall()


def set_tier(warehouse: Warehouse, user_id: str, tier: str, actor: Actor) -> None:
    """Give a user another tier. `RefusedChangeError` for an unknown user or tier."""
    _known(tier)
    _change_user(warehouse, user_id, "tier = %(tier)s", {"tier": tier}, "user.tier", actor)


def disable_user(warehouse: Warehouse, user_id: str, actor: Actor) -> None:
    """Let a user in no more, by key or token; what they have stays. `RefusedChangeError` for an unknown user."""
    change = "disabled_at = COALESCE(disabled_at, clock_timestamp())"
    _change_user(warehouse, user_id, change, {}, "user.disabled", actor)


def note(warehouse: Warehouse, user_id: str | None, kind: str, subject: str | None, detail: Mapping[str, Any]) -> None:
    """Add a line to the audit log, under the id of the request or run it belongs to."""
    with warehouse.write_pool(GROUP).connection() as connection:
        noted(connection, Actor(user_id), kind, subject, detail)


def activity(warehouse: Warehouse, user_id: str | None = None, limit: int = 100) -> list[Row]:
    """Return the newest lines of the audit log, of one user or of all."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            "SELECT user_id, event_time, kind, subject, detail, correlation_id FROM user_activity"
            " WHERE %(user)s::text IS NULL OR user_id = %(user)s ORDER BY activity_id DESC LIMIT %(limit)s",
            {"user": user_id, "limit": limit},
        ).fetchall()


def _known(tier: str) -> None:
    if tier not in TIERS:
        raise RefusedChangeError("unknown-tier", f"tier: expected one of {', '.join(TIERS)}, found {tier!r}")


def locked(connection: Connection[Row], user_id: str) -> Row:
    """The user, so that what else changes their keys waits: the number of keys is exact."""
    row = connection.execute(f"SELECT {_USER} FROM users u WHERE u.user_id = %s FOR UPDATE", (user_id,)).fetchone()
    if row is None or row["disabled_at"] is not None:
        raise RefusedChangeError("no-user", f"user {user_id}: there is none, or it is disabled")
    return row


def _store(connection: Connection[Row], user_id: str, key: NewKey, replaces: str | None, actor: Actor) -> Row:
    key_id = new_ulid()
    row = connection.execute(
        "INSERT INTO api_keys AS k (api_key_id, user_id, prefix, key_hash, name, scopes, expires_at, replaces,"
        " requests_per_hour) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        f" RETURNING {_KEY}, {_LIVE.format('k')} AS live",
        (key_id, user_id, key.prefix, key.key_hash, key.name, list(key.scopes), key.expires_at, replaces,
         key.requests_per_hour),
    ).fetchone()  # fmt: skip
    assert row is not None
    detail = {"owner": user_id, "prefix": key.prefix, "name": key.name, "scopes": list(key.scopes)}
    kind = "key.created" if replaces is None else "key.rotated"
    noted(connection, actor, kind, key_id, detail | ({} if replaces is None else {"replaces": replaces}))
    return row


def _change_user(
    warehouse: Warehouse, user_id: str, change: str, values: Mapping[str, Any], kind: str, actor: Actor
) -> None:
    with warehouse.write_pool(GROUP).connection() as connection:
        statement = f"UPDATE users SET {change}, updated_at = clock_timestamp() WHERE user_id = %(user)s"
        changed = connection.execute(statement, {"user": user_id, **values})
        if not changed.rowcount:
            raise RefusedChangeError("no-user", f"user {user_id}: there is none")
        noted(connection, actor, kind, user_id, values)


def noted(connection: Connection[Row], actor: Actor, kind: str, subject: str | None, detail: Mapping[str, Any]) -> None:
    """Add a line to the audit log, in the transaction of what it is about."""
    connection.execute(
        "INSERT INTO user_activity (activity_id, user_id, event_time, kind, subject, detail, correlation_id)"
        " VALUES (%s, %s, clock_timestamp(), %s, %s, %s, %s)",
        (new_ulid(), actor.user_id, kind, subject, Jsonb({**actor.detail, **detail}), correlation_id()),
    )
