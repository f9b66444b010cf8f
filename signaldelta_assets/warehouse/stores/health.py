"""How collection is: every collector's last runs, whether one is going on, hangs or died, what stands refused.

Whether a run lives is never taken from a clean end. A live one says so every few seconds (`collection.running`) and
holds an advisory lock, which the server drops with its connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import Connection

from signaldelta_assets.timeline import last_fire

from ..tables import written_at
from . import quarantine

# A live run says so every 5 seconds. Without a word for this long it has stopped: dead where its lock is gone too.
SILENT_SECONDS = 20.0
# A run that lives and does nothing for this long hangs. Together with the beat it shows within a minute.
IDLE_SECONDS = 45.0
# A scheduled run may take this long before its collector counts as late.
GRACE_SECONDS = 1800.0

_RUNS = """
SELECT run.collector, collector_run_id, collection_mode, window_start, window_end, status,
       started_at, finished_at, heartbeat_at, progress_at, documents_read, records_written, records_known,
       records_quarantined, error,
       extract(epoch FROM clock_timestamp() - coalesce(heartbeat_at, started_at))::float8 AS silent_seconds,
       extract(epoch FROM clock_timestamp() - coalesce(progress_at, started_at))::float8 AS idle_seconds,
       EXISTS (
         SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (l.classid::bigint << 32 | l.objid::bigint)
               = hashtextextended('collector_run:' || collector_run_id, 0)
       ) AS locked
FROM collector_status s CROSS JOIN LATERAL (
  -- The newest; but one that is going on is not hidden by a later one. Each part has an index of its own.
  SELECT * FROM (
    (SELECT 0 AS place, r.* FROM collector_runs r WHERE r.collector = s.collector AND r.status = 'running'
     ORDER BY started_at DESC, collector_run_id DESC LIMIT 1)
    UNION ALL
    (SELECT 1 AS place, r.* FROM collector_runs r WHERE r.collector = s.collector
     ORDER BY started_at DESC, collector_run_id DESC LIMIT 1)
  ) either ORDER BY place LIMIT 1
) run
"""


def run_state(
    run: Mapping[str, Any], *, silent_seconds: float = SILENT_SECONDS, idle_seconds: float = IDLE_SECONDS
) -> str:
    """Return the state of a run row: running, hung, dead, complete or failed.

    `run` has status, silent_seconds, idle_seconds and locked. A process that was stopped keeps its lock and is silent:
    it hangs. One that was killed has lost it.
    """
    if run["status"] != "running":
        return str(run["status"])
    if run["silent_seconds"] > silent_seconds:
        return "hung" if run["locked"] else "dead"
    return "hung" if run["idle_seconds"] > idle_seconds else "running"


def collector_health(
    connection: Connection[dict[str, Any]],
    *,
    silent_seconds: float = SILENT_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
) -> list[dict[str, Any]]:
    """Return how every collector is, by name: the columns of `collector_status` and

    - `state`: that of the newest run (`run_state`), `never` without one; `run`: that run's row, None without one;
    - `age_seconds` since the last success; `due_at`, when its schedule last asked for one; `late`, whether it is
      overdue by more than `GRACE_SECONDS`;
    - `open_quarantined` records and `reasons`, why they stand refused.

    At the home that has copies of these rows, their moments are another clock's and the locks are not here: there no
    run is dead or hung, nothing is late, and an age is not known. Ask where collectors write.
    """
    now = connection.execute("SELECT clock_timestamp() AS now, (SELECT place FROM this_home) AS place").fetchone()
    assert now is not None
    copied = not written_at("collection", now["place"] or "one")
    runs = {row["collector"]: row for row in connection.execute(_RUNS).fetchall()}
    refused = quarantine.open_by_reason(connection)
    found = []
    for row in connection.execute("SELECT * FROM collector_status ORDER BY collector").fetchall():
        run = runs.get(row["collector"])
        state = "never"
        if run is not None:
            here = run_state(run, silent_seconds=silent_seconds, idle_seconds=idle_seconds)
            state = str(run["status"]) if copied else here
        reasons = refused.get(row["collector"], [])
        found.append(
            row
            | (_UNKNOWN if copied else freshness(row["schedule"], row["last_success_at"], now["now"]))
            | {
                "state": state,
                "run": run,
                "open_quarantined": sum(reason["records"] for reason in reasons),
                "reasons": reasons,
            }
        )
    return found


_UNKNOWN: dict[str, Any] = {"age_seconds": None, "due_at": None, "late": False}


def freshness(schedule: str | None, last_success_at: datetime | None, now: datetime) -> dict[str, Any]:
    """Return age_seconds, due_at and late of a collector with `schedule`: a cron line and its time zone, else UTC.

    It is late where the schedule asked for a run that should be done by now, and nothing succeeded since. Without a
    schedule nothing is ever due.
    """
    age = None if last_success_at is None else (now - last_success_at).total_seconds()
    due = None
    if schedule:
        fields = schedule.split()
        due = last_fire(" ".join(fields[:5]), " ".join(fields[5:]) or "UTC", now, grace_seconds=GRACE_SECONDS)
    late = due is not None and (last_success_at is None or last_success_at < due)
    return {"age_seconds": age, "due_at": due, "late": late}


def troubles(row: Mapping[str, Any]) -> list[str]:
    """Return in words what is wrong with a collector (a row of `collector_health`), nothing where it is well.

    Being late counts where it collects live: an archive is collected when somebody asks.
    """
    found = []
    if row["consecutive_failures"]:
        found.append(f"{row['consecutive_failures']} failures in a row")
    if row["state"] == "dead":
        found.append(f"run {row['run']['collector_run_id']} died: no heartbeat since {row['run']['heartbeat_at']}")
    if row["state"] == "hung":
        found.append(f"run {row['run']['collector_run_id']} hangs: no progress since {row['run']['progress_at']}")
    if row["late"] and row["run"] is not None and row["run"]["collection_mode"] == "live":
        found.append(f"late: due at {row['due_at'].isoformat()}, last success {row['last_success_at']}")
    return found


def feeds(connection: Connection[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return per collector and source type: documents that gave records or refusals, records, refusals by reason.

    Keys: collector, source_type, documents, records, entities, refused, open, reasons ({"field: expected": records}).
    """
    return connection.execute(
        f"""
        WITH held AS (
          SELECT collector, source_type, count(*) AS records, count(DISTINCT entity_id) AS entities
          FROM raw_records GROUP BY 1, 2
        ), bodies AS (
          SELECT collector, source_type, count(body_hash) AS documents
          FROM (SELECT collector, source_type, body_hash FROM raw_records
                UNION SELECT collector, source_type, body_hash FROM quarantined_records) either
          GROUP BY 1, 2
        ), reasons AS (
          SELECT q.collector, q.source_type, q.field || ': expected ' || q.expected AS reason, count(*) AS refused,
                 count(*) FILTER (WHERE {quarantine.IS_OPEN}) AS open
          FROM quarantined_records q {quarantine.LAST_WORD} GROUP BY 1, 2, 3
        ), refused AS (
          SELECT collector, source_type, sum(refused)::bigint AS refused, sum(open)::bigint AS open,
                 jsonb_object_agg(reason, refused) AS reasons
          FROM reasons GROUP BY 1, 2
        )
        SELECT collector, source_type, documents, coalesce(records, 0) AS records,
               coalesce(entities, 0) AS entities, coalesce(refused, 0) AS refused, coalesce(open, 0) AS open,
               coalesce(reasons, '{{}}') AS reasons
        FROM bodies LEFT JOIN held USING (collector, source_type) LEFT JOIN refused USING (collector, source_type)
        ORDER BY collector, source_type
        """
    ).fetchall()
