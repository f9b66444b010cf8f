"""Dagster's event log: what steps and engine said in runs long finished goes; what became of assets stays.

Its tables are Dagster's own, made and changed by its migrations; here is only SQL on them, nothing of Dagster's code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg import sql

from .partitions import owner

DAGSTER_SCHEMA = "dagster"
_RUNS = 200
_FINISHED = ["SUCCESS", "FAILURE", "CANCELED"]
# What is removed is named, never what stays: a kind of event that a later Dagster adds stays. None of these names an
# asset; a row that does stays whatever its kind.
REMOVED = [
    "STEP_OUTPUT", "STEP_INPUT", "STEP_FAILURE", "STEP_START", "STEP_SUCCESS", "STEP_SKIPPED", "STEP_UP_FOR_RETRY",
    "STEP_RESTARTED", "STEP_WORKER_STARTING", "STEP_WORKER_STARTED", "STEP_EXPECTATION_RESULT",
    "RESOURCE_INIT_STARTED", "RESOURCE_INIT_SUCCESS", "RESOURCE_INIT_FAILURE", "OBJECT_STORE_OPERATION",
    "LOADED_INPUT", "HANDLED_OUTPUT", "ENGINE_EVENT", "HOOK_COMPLETED", "HOOK_ERRORED", "HOOK_SKIPPED",
    "LOGS_CAPTURED",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventsPruned:
    """Events removed, or that would be, of how many runs."""

    events: int
    runs: int


def prune_events(url: str, now: datetime, days: int, *, dry_run: bool = False) -> EventsPruned:
    """Remove what steps, engine and loggers said over `days` before `now` in runs that ended before then.

    Every event of an asset or a check, every event of a run as such, and the runs themselves stay. `url`: the database
    whose schema `dagster` is Dagster's; where there is none, nothing is done. In batches of runs, a transaction each.
    """
    limit = now.astimezone(UTC).replace(tzinfo=None) - timedelta(days=days)
    events = runs = 0
    with owner(url) as connection:
        there = connection.execute(
            "SELECT to_regclass(%s) IS NOT NULL AND to_regclass(%s) IS NOT NULL AS there",
            (f"{DAGSTER_SCHEMA}.runs", f"{DAGSTER_SCHEMA}.event_logs"),
        ).fetchone()
        if there is None or not there["there"]:
            return EventsPruned(0, 0)
        condition = sql.SQL(
            'run_id = ANY(%(runs)s) AND asset_key IS NULL AND "timestamp" < %(limit)s'
            " AND (dagster_event_type IS NULL OR dagster_event_type = ANY(%(kinds)s))"
        )
        log = sql.Identifier(DAGSTER_SCHEMA, "event_logs")
        deleting = sql.SQL("DELETE FROM {} WHERE {}").format(log, condition)
        counting = sql.SQL("SELECT run_id FROM {} WHERE {}").format(log, condition)
        last = 0
        while batch := connection.execute(
            sql.SQL(
                "SELECT id, run_id FROM {} WHERE id > %s AND status = ANY(%s) AND update_timestamp < %s"
                " AND (end_time IS NULL OR end_time < extract(epoch FROM %s::timestamp)) ORDER BY id LIMIT {}"
            ).format(sql.Identifier(DAGSTER_SCHEMA, "runs"), sql.Literal(_RUNS)),
            (last, _FINISHED, limit, limit),
        ).fetchall():
            last = batch[-1]["id"]
            values = {"runs": [row["run_id"] for row in batch], "limit": limit, "kinds": REMOVED}
            if dry_run:
                gone = connection.execute(counting, values).fetchall()
            else:
                gone = connection.execute(deleting + sql.SQL(" RETURNING run_id"), values).fetchall()
            events += len(gone)
            runs += len({row["run_id"] for row in gone})
    return EventsPruned(events, runs)
