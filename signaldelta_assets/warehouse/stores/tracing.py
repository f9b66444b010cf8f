"""What an id leads to, and what belongs to an action: read from our tables and from Dagster's, at one home.

Every function takes a connection of the watch (`watch.asking`): its timeouts are short, and it may read Dagster's
schema. A row without a correlation id of its own is reached through its run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from signaldelta_assets.correlation import RUN_TAG

Rows = Connection[dict[str, Any]]
Row = dict[str, Any]

# Of a backfill of years: what is left out is counted.
MOST_RUNS = 50
MOST_ROWS = 2000
_STEP_EVENTS = (
    "STEP_START", "STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY", "STEP_SKIPPED", "ASSET_CHECK_EVALUATION",
    "PIPELINE_FAILURE", "PIPELINE_CANCELED",
)  # fmt: skip


@dataclass
class Keys:
    """Ids that belong together: of requests, of Dagster's runs, of collectors' runs, of jobs."""

    correlations: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    collector_runs: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)

    def add(self, other: Keys) -> None:
        """Take over what `other` has."""
        self.correlations |= other.correlations
        self.runs |= other.runs
        self.collector_runs |= other.collector_runs
        self.jobs |= other.jobs

    def all(self) -> set[str]:
        """Every id there is."""
        return self.correlations | self.runs | self.collector_runs | self.jobs


@dataclass
class Start:
    """What an id turned out to be, the rows it names, and the keys it leads to."""

    kind: str
    rows: list[Row]
    keys: Keys


def _there(connection: Rows, *tables: str) -> bool:
    found = connection.execute(
        "SELECT bool_and(to_regclass(t) IS NOT NULL) AS it FROM unnest(%s::text[]) t", (list(tables),)
    ).fetchone()
    return bool(found and found["it"])


def _present(*values: Any) -> set[str]:
    return {str(value) for value in values if value is not None}


def starts(connection: Rows, given: str) -> list[Start]:
    """Return what `given` is at this home, as each of the kinds of ids there are; empty where it is none of them."""
    asked = {"id": given}
    found = []

    def named(kind: str, query: str, keys: Any) -> None:
        rows = connection.execute(query, asked).fetchall()
        if rows:
            made = Keys()
            for row in rows:
                made.add(keys(row))
            found.append(Start(kind, rows, made))

    if _there(connection, "dagster.runs", "dagster.run_tags"):
        named("dagster run", "SELECT run_id FROM dagster.runs WHERE run_id = %(id)s",
              lambda row: Keys(runs={row["run_id"]}))  # fmt: skip
        named("correlation id of runs",
              f"SELECT run_id FROM dagster.run_tags WHERE key = '{RUN_TAG}' AND value = %(id)s LIMIT {MOST_RUNS}",
              lambda row: Keys(correlations={given}, runs={row["run_id"]}))  # fmt: skip
    if _there(connection, "jobs"):
        named("job", "SELECT job_id, correlation_id, dagster_run_id FROM jobs"
              " WHERE job_id = %(id)s OR correlation_id = %(id)s",
              lambda row: Keys(_present(row["correlation_id"]), _present(row["dagster_run_id"]), jobs={row["job_id"]}),
              )  # fmt: skip
    for kind, table in (("request", "user_activity"), ("model call", "llm_usage_log"),
                        ("refused write", "misrouted_writes")):  # fmt: skip
        named(kind, f"SELECT correlation_id FROM {table} WHERE correlation_id = %(id)s LIMIT 1",
              lambda row: Keys({row["correlation_id"]}))  # fmt: skip
    named("collector run", "SELECT collector_run_id, dagster_run_id FROM collector_runs"
          " WHERE collector_run_id = %(id)s",
          lambda row: Keys(runs=_present(row["dagster_run_id"]), collector_runs={row["collector_run_id"]}))  # fmt: skip
    named("backtest run", "SELECT run_id, run_hash, dagster_run_id FROM backtest_runs"
          " WHERE %(id)s IN (run_id, run_hash, spec_hash)",
          lambda row: Keys(runs=_present(row["dagster_run_id"])))  # fmt: skip
    for kind, query in _EVIDENCE.items():
        named(kind, query, lambda row: Keys())
    return found


_RECORD = (
    "raw_record_id, source_type, entity_id, event_time, observed_time, ingest_time, partition_date, collector_run_id,"
    " source_url"
)
_EVIDENCE = {
    "raw record": f"SELECT {_RECORD} FROM raw_records WHERE raw_record_id = %(id)s",
    "signal event": "SELECT event_id, revision, signal_id, entity_id, event_time, observed_time, ingest_time,"
    " partition_date, raw_record_ids, active FROM iald_signals WHERE event_id = %(id)s ORDER BY revision",
    "label": "SELECT label_id, revision, event_type, entity_id, event_time, known_at, ingest_time, raw_record_ids,"
    " active FROM labeled_events WHERE label_id = %(id)s ORDER BY revision",
}


def records(connection: Rows, raw_record_ids: Collection[str]) -> list[Row]:
    """Return these raw records, without their payloads."""
    return connection.execute(
        f"SELECT {_RECORD} FROM raw_records WHERE raw_record_id = ANY(%s) ORDER BY ingest_time, raw_record_id",
        (list(raw_record_ids),),
    ).fetchall()


def writer_of(connection: Rows, asset_pattern: str, partition: str, ingest_time: Any) -> str | None:
    """Return the run that wrote a row of an asset's partition at `ingest_time`, None where Dagster knows of none.

    asset_pattern: of LIKE, over the asset's key as Dagster stores it. The run is the first that reported the partition
    after the row was there, having begun before it.
    """
    if not _there(connection, "dagster.runs", "dagster.event_logs"):
        return None
    row = connection.execute(
        "SELECT e.run_id FROM dagster.event_logs e JOIN dagster.runs r USING (run_id)"
        " WHERE e.dagster_event_type = 'ASSET_MATERIALIZATION' AND e.asset_key LIKE %(asset)s"
        " AND e.partition = %(partition)s AND e.timestamp >= (%(at)s::timestamptz AT TIME ZONE 'UTC')"
        " AND r.start_time <= extract(epoch FROM %(at)s::timestamptz) ORDER BY e.timestamp LIMIT 1",
        {"asset": asset_pattern, "partition": partition, "at": ingest_time},
    ).fetchone()
    return None if row is None else str(row["run_id"])


def widen(connection: Rows, keys: Keys) -> Keys:
    """Return `keys` with what belongs to them: a run's request, a request's runs, a run's retries, a collector's run.

    A run that was launched for no request is an action of its own: its id is its correlation id.
    """
    found = Keys(set(keys.correlations), set(keys.runs), set(keys.collector_runs), set(keys.jobs))
    if found.collector_runs:
        rows = connection.execute(
            "SELECT dagster_run_id FROM collector_runs WHERE collector_run_id = ANY(%s) AND dagster_run_id IS NOT NULL",
            (list(found.collector_runs),),
        )
        found.runs |= {row["dagster_run_id"] for row in rows}
    if _there(connection, "dagster.runs", "dagster.run_tags"):
        tagged = connection.execute(
            "SELECT run_id, value FROM dagster.run_tags WHERE key = %s AND run_id = ANY(%s)",
            (RUN_TAG, list(found.runs)),
        ).fetchall()
        found.correlations |= {row["value"] for row in tagged}
        more = connection.execute(
            "SELECT run_id FROM dagster.run_tags WHERE (key = %(tag)s AND value = ANY(%(correlations)s))"
            " OR (key = 'dagster/root_run_id' AND value = ANY(%(runs)s)) LIMIT %(most)s",
            {"tag": RUN_TAG, "correlations": list(found.correlations), "runs": list(found.runs), "most": MOST_RUNS},
        )
        found.runs |= {row["run_id"] for row in more}
    if _there(connection, "jobs"):
        rows = connection.execute(
            "SELECT job_id, correlation_id, dagster_run_id FROM jobs WHERE job_id = ANY(%(jobs)s)"
            " OR correlation_id = ANY(%(correlations)s) OR dagster_run_id = ANY(%(runs)s)",
            {"jobs": list(found.jobs), "correlations": list(found.correlations), "runs": list(found.runs)},
        )
        for row in rows:
            found.add(Keys(_present(row["correlation_id"]), _present(row["dagster_run_id"]), jobs={row["job_id"]}))
    return found


def gather(connection: Rows, keys: Keys) -> dict[str, list[Row]]:
    """Return the rows of each table that belong to `keys`, at most `MOST_ROWS` of each."""
    # What a run writes is noted under its own id where it was launched for no request.
    by_id = {"ids": sorted(keys.correlations | keys.runs), "most": MOST_ROWS}
    runs = sorted(keys.runs)
    found = {
        "user_activity": connection.execute(
            "SELECT activity_id, user_id, event_time, kind, subject, detail, correlation_id FROM user_activity"
            " WHERE correlation_id = ANY(%(ids)s) ORDER BY event_time LIMIT %(most)s", by_id,
        ).fetchall(),
        "llm_usage_log": connection.execute(
            "SELECT usage_id, event_time, use_case, route_id, model, location, user_id, input_tokens, output_tokens,"
            " cost::float8 AS cost, latency_ms, outcome, error, correlation_id FROM llm_usage_log"
            " WHERE correlation_id = ANY(%(ids)s) ORDER BY event_time LIMIT %(most)s", by_id,
        ).fetchall(),
        "misrouted_writes": connection.execute(
            "SELECT write_id, refused_at, place, table_group, home, table_name, reason, delivered_at, correlation_id"
            " FROM misrouted_writes WHERE correlation_id = ANY(%(ids)s) ORDER BY refused_at LIMIT %(most)s", by_id,
        ).fetchall(),
        "collector_runs": connection.execute(
            "SELECT collector_run_id, collector, collection_mode, window_start, window_end, status, started_at,"
            " finished_at, documents_read, records_written, records_known, records_quarantined, counts, error,"
            " dagster_run_id FROM collector_runs WHERE collector_run_id = ANY(%s) OR dagster_run_id = ANY(%s)"
            " ORDER BY started_at", (sorted(keys.collector_runs), runs),
        ).fetchall(),
        "backtest_runs": connection.execute(
            "SELECT run_id, run_hash, status, hypothesis_family, ingest_time, dagster_run_id FROM backtest_runs"
            " WHERE dagster_run_id = ANY(%s) ORDER BY ingest_time", (runs,),
        ).fetchall(),
    }  # fmt: skip
    if _there(connection, "jobs"):
        found["jobs"] = connection.execute(
            "SELECT job_id, user_id, kind, state, attempts, dagster_run_id, reason, correlation_id, submitted_at,"
            " launched_at, started_at, cancel_requested_at, finished_at FROM jobs WHERE job_id = ANY(%s)"
            " ORDER BY submitted_at", (sorted(keys.jobs),),
        ).fetchall()  # fmt: skip
    if _there(connection, "dagster.runs", "dagster.event_logs"):
        found["runs"] = connection.execute(
            "SELECT run_id, pipeline_name AS job, status, create_timestamp AT TIME ZONE 'UTC' AS created_at,"
            " to_timestamp(start_time) AS started_at, to_timestamp(end_time) AS ended_at, partition"
            " FROM dagster.runs WHERE run_id = ANY(%s) ORDER BY id", (runs,),
        ).fetchall()  # fmt: skip
        found["events"] = connection.execute(
            "SELECT id, run_id, dagster_event_type AS type, timestamp AT TIME ZONE 'UTC' AS at, step_key, asset_key,"
            " event FROM dagster.event_logs WHERE run_id = ANY(%s) AND dagster_event_type = ANY(%s)"
            " ORDER BY id LIMIT %s", (runs, list(_STEP_EVENTS), MOST_ROWS),
        ).fetchall()  # fmt: skip
        # A range of years reports thousands of partitions: one row of each asset in each run, with the first event.
        found["materializations"] = connection.execute(
            "SELECT min(id) AS id, run_id, asset_key, min(partition) AS first, max(partition) AS last,"
            " count(DISTINCT partition) AS partitions, max(timestamp) AT TIME ZONE 'UTC' AS at,"
            " (array_agg(event ORDER BY id))[1] AS event FROM dagster.event_logs"
            " WHERE run_id = ANY(%s) AND dagster_event_type = 'ASSET_MATERIALIZATION'"
            " GROUP BY run_id, asset_key ORDER BY 1 LIMIT %s", (runs, MOST_ROWS),
        ).fetchall()  # fmt: skip
    return found


def identities() -> Mapping[str, str]:
    """Return which column names a row of what `gather` found, so that what both homes have is told once."""
    return {
        "user_activity": "activity_id",
        "llm_usage_log": "usage_id",
        "misrouted_writes": "write_id",
        "collector_runs": "collector_run_id",
        "backtest_runs": "run_id",
        "jobs": "job_id",
        "runs": "run_id",
        "events": "id",
        "materializations": "id",
    }
