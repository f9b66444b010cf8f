"""Which model serves which use-case, what was spent, and what is set aside for calls under way.

`llm_usage_log` takes rows and gives none back, so money is set aside in it as a ledger does: a row `reserved` of the
most that a call can cost before it, and with the call's own row one `released` of the same sum below zero after it. The
sum over a day is what is spent or may be at any moment. A process that dies in a call leaves its `reserved`: that much
is then gone for the day. Who counts calls leaves those two outcomes out (`CALLS`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg import Connection

from ..pools import Warehouse
from ..tables import written_at

GROUP = "routing"
RESERVED, RELEASED = "reserved", "released"
CALLS = f"outcome NOT IN ('{RESERVED}', '{RELEASED}')"
_COLUMNS = ("usage_id", "event_time", "use_case", "route_id", "model", "location", "user_id", "correlation_id",
            "input_tokens", "output_tokens", "cost", "latency_ms", "outcome", "error")  # fmt: skip
_INSERT = (
    f"INSERT INTO llm_usage_log ({', '.join(_COLUMNS)}) VALUES ({', '.join(f'%({name})s' for name in _COLUMNS)})"
    " ON CONFLICT DO NOTHING"
)
# One user's; or, of calls without a user, those of one use-case.
_SPENT = """SELECT coalesce(sum(cost), 0) AS spent FROM llm_usage_log
 WHERE event_time >= date_trunc('day', %(event_time)s, 'UTC')
   AND event_time < date_trunc('day', %(event_time)s, 'UTC') + interval '1 day'
   AND CASE WHEN %(user_id)s::text IS NULL THEN user_id IS NULL AND use_case = %(use_case)s
            ELSE user_id = %(user_id)s END"""


@dataclass(frozen=True, slots=True)
class Usage:
    """A row of `llm_usage_log`: one call of a model, or money set aside for one. Holds no prompt and no key."""

    usage_id: str
    event_time: datetime
    use_case: str
    route_id: str
    model: str
    location: str
    user_id: str | None
    correlation_id: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    latency_ms: float
    outcome: str
    error: str | None

    def ledger(self, usage_id: str, outcome: str, cost: Decimal) -> Usage:
        """Return the entry that sets `cost` aside for this call, or gives it back."""
        return replace(self, usage_id=usage_id, outcome=outcome, cost=cost, latency_ms=0.0, error=None,
                       input_tokens=None, output_tokens=None)  # fmt: skip


def home_is_known(warehouse: Warehouse) -> bool:
    """Say whether this process can write the log itself: it is at its home, or knows the way there."""
    return written_at(GROUP, warehouse.place) or warehouse.peer_url is not None


def read_chain(warehouse: Warehouse, use_case: str) -> list[dict[str, Any]]:
    """Return the routes of a use-case as rows of `llm_model_routing`, in the order in which they are asked."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            "SELECT r.* FROM llm_fallback_chain c JOIN llm_model_routing r USING (route_id)"
            " WHERE c.use_case = %s ORDER BY c.position",
            (use_case,),
        ).fetchall()


def list_routes(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return every route with `use_cases`: a list of `use-case:position`, empty where no chain names it."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            "SELECT r.*, coalesce(array_agg(c.use_case || ':' || c.position ORDER BY c.use_case)"
            " FILTER (WHERE c.use_case IS NOT NULL), '{}') AS use_cases"
            " FROM llm_model_routing r LEFT JOIN llm_fallback_chain c USING (route_id) GROUP BY r.route_id"
            " ORDER BY r.weight_class DESC, r.route_id"
        ).fetchall()


def read_limit(connection: Connection[dict[str, Any]], tier: str) -> Decimal:
    """Return a tier's dollars per day; 0 where nobody has given it any."""
    row = connection.execute(
        "SELECT value FROM tier_entitlements WHERE tier = %s AND entitlement = 'llm_dollars_per_day'", (tier,)
    ).fetchone()
    value = row["value"] if row else 0
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else Decimal(0)


def read_spent(connection: Connection[dict[str, Any]], call: Usage) -> Decimal:
    """Return what the user of `call` has spent or set aside on its day (UTC)."""
    row = connection.execute(
        _SPENT, {"user_id": call.user_id, "use_case": call.use_case, "event_time": call.event_time}
    ).fetchone()
    assert row is not None
    spent: Decimal = row["spent"]
    return spent


def reserve(warehouse: Warehouse, call: Usage, tier: str, most: Decimal) -> tuple[Decimal, Decimal] | None:
    """Set `most` aside for `call` at the log's home, under its `usage_id`; None where that is done.

    Return (limit, spent) where it is more than what is left. One user's calls are reckoned one after the other,
    whatever process makes them.
    """
    with warehouse.write_pool(GROUP).connection() as connection:
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"llm budget {call.user_id or call.use_case}",)
        )
        limit, spent = read_limit(connection, tier), read_spent(connection, call)
        if spent + most > limit:
            return limit, spent
        connection.execute(_INSERT, asdict(call.ledger(call.usage_id, RESERVED, most)))
    return None


def add_usage(warehouse: Warehouse, rows: Iterable[Usage]) -> None:
    """Write rows at the log's home, in one transaction; one that is there stays as it is."""
    given = [asdict(row) for row in rows]
    if not given:
        return
    with warehouse.write_pool(GROUP).connection() as connection, connection.cursor() as cursor:
        cursor.executemany(_INSERT, given)


def spent_here(warehouse: Warehouse, call: Usage, tier: str) -> tuple[Decimal, Decimal]:
    """Return (limit, spent) by what is known at this place, which may be a minute behind the home."""
    with warehouse.read_pool().connection() as connection:
        return read_limit(connection, tier), read_spent(connection, call)


def read_usage(warehouse: Warehouse, days: int) -> list[dict[str, Any]]:
    """Return calls of the last `days` days (UTC, today included) by day, use-case, route and outcome, newest first.

    day, use_case, route_id, model, location, outcome, calls, input_tokens, output_tokens, cost, latency_ms (median).
    """
    with warehouse.read_pool().connection() as connection:
        found: list[dict[str, Any]] = connection.execute(
            "SELECT (event_time AT TIME ZONE 'UTC')::date AS day, use_case, route_id, model, location, outcome,"
            " count(*) AS calls, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,"
            " sum(cost) AS cost, percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS latency_ms"
            f" FROM llm_usage_log WHERE {CALLS}"
            " AND event_time >= date_trunc('day', clock_timestamp(), 'UTC') - make_interval(days => %s)"
            " GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY day DESC, use_case, route_id, outcome",
            (days - 1,),
        ).fetchall()
    return found
