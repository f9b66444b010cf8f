"""What operators ask in figures: runs, jobs, alerts and what models cost. On a connection of the watch (`asking`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import Connection, sql

from signaldelta_assets.warehouse.stores import alerts, routing

from .statement import Row, one, rows

# How long what is over is counted, so that the answer does not grow with the years.
_RECENT = "interval '1 day'"
_DAGSTER_OVER = ("SUCCESS", "FAILURE", "CANCELED")


def _there(connection: Connection[Row], table: str) -> bool:
    found = one(connection, "SELECT to_regclass(%(table)s) IS NOT NULL AS it", {"table": table})
    return bool(found and found["it"])


def run_states(connection: Connection[Row]) -> dict[str, int]:
    """Return Dagster's runs by state, in lower case: all that are not over, and those that ended in the last day.

    Empty where Dagster has no tables here: they are at the place it runs at.
    """
    if not _there(connection, "dagster.runs"):
        return {}
    found = rows(
        connection,
        f"""SELECT status, count(*) AS n FROM dagster.runs WHERE status <> ALL(%(over)s)
            OR update_timestamp > (now() AT TIME ZONE 'UTC') - {_RECENT} GROUP BY 1""",
        {"over": list(_DAGSTER_OVER)},
    )
    return {row["status"].lower(): row["n"] for row in found}


def job_states(connection: Connection[Row]) -> dict[str, int] | None:
    """Return jobs by state, as `run_states` does; None where there is no table of them."""
    if not _there(connection, "jobs"):
        return None
    found = rows(
        connection,
        f"""SELECT state, count(*) AS n FROM jobs
            WHERE finished_at IS NULL OR finished_at > now() - {_RECENT} GROUP BY 1""",
        {},
    )
    return {row["state"]: row["n"] for row in found}


def dead_letters(connection: Connection[Row]) -> int | None:
    """Return how much work failed for good and was not tried again; None where there is no table of it."""
    if not _there(connection, "dead_letters"):
        return None
    found = one(connection, "SELECT count(*) AS n FROM dead_letters WHERE retried_at IS NULL", {})
    return None if found is None else int(found["n"])


def llm_today(connection: Connection[Row]) -> list[Row]:
    """Return today's calls of models (UTC) by use_case, route_id and outcome: calls, input_tokens, output_tokens, cost.

    cost in US dollars; of calls without a price 0.
    """
    return rows(
        connection,
        f"""SELECT use_case, route_id, outcome, count(*) AS calls, coalesce(sum(input_tokens), 0) AS input_tokens,
                   coalesce(sum(output_tokens), 0) AS output_tokens, coalesce(sum(cost), 0)::float8 AS cost
            FROM llm_usage_log WHERE {routing.CALLS} AND event_time >= date_trunc('day', clock_timestamp(), 'UTC')
            GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
        {},
    )


def open_alerts(connection: Connection[Row]) -> list[Row]:
    """Return how many alerts stand open, by kind and severity: kind, severity, n."""
    return rows(
        connection,
        "SELECT kind, severity, count(*) AS n FROM operator_alerts WHERE closed_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2",
        {},
    )


def undelivered_alerts(connection: Connection[Row]) -> Mapping[str, int]:
    """Return how many messages each channel has not taken yet."""
    return alerts.undelivered(connection)


def refused_writes(connection: Connection[Row]) -> int:
    """Return how many writes that came to the wrong home wait to be delivered."""
    found = one(connection, "SELECT count(*) AS n FROM misrouted_writes WHERE delivered_at IS NULL", {})
    assert found is not None
    return int(found["n"])


def schema_of(connection: Connection[Any]) -> str:
    """Return the version of the schema, `empty` for none."""
    there = connection.execute(sql.SQL("SELECT to_regclass('alembic_version') IS NOT NULL AS it")).fetchone()
    if there is None or not there["it"]:
        return "empty"
    found = connection.execute(sql.SQL("SELECT version_num FROM alembic_version")).fetchone()
    return "empty" if found is None else str(found["version_num"])
