"""Every metric there is, declared once: what is served, what docs/observability.md lists and what a dashboard may ask.

Names of requests and connections are those of OpenTelemetry's semantic conventions in Prometheus's spelling
(`http.server.request.duration`, `db.client.connection.*`); what is the platform's own begins with `signaldelta_`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]
# Of this process alone, or of the deployment: the same from every process of every API of the place.
Scope = Literal["process", "deployment"]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its name without the suffix that its kind brings (`_total`, `_bucket`), its labels, what it says."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    scope: Scope
    words: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which it is stored and asked for."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


_POOL = ("db_client_connection_pool_name",)

FAMILIES: tuple[Family, ...] = (
    Family("target_info", "gauge", ("service_name", "service_instance_id", "service_version"), "process",
           "Which process answers; 1."),
    Family("http_server_request_duration_seconds", "histogram",
           ("http_request_method", "http_route", "http_response_status_code"), "process",
           "How long requests took, by the route's template; the route is empty where none matched."),
    Family("http_server_active_requests", "gauge", ("http_request_method",), "process", "Requests under way."),
    Family("http_server_response_body_bytes", "counter", ("http_route",), "process", "Bytes of bodies sent."),
    Family("db_client_connection_count", "gauge", (*_POOL, "db_client_connection_state"), "process",
           "Connections of a pool, `idle` or `used`."),
    Family("db_client_connection_max", "gauge", _POOL, "process", "Connections that a pool may have."),
    Family("db_client_connection_pending_requests", "gauge", _POOL, "process", "Requests waiting for a connection."),
    Family("db_client_connection_timeouts", "counter", _POOL, "process", "Requests that got none in time."),
    Family("db_client_connection_wait_time_seconds", "counter", _POOL, "process", "Time waited for connections."),
    Family("signaldelta_build_info", "gauge", ("version", "schema_version", "place"), "process",
           "Which code this is; 1."),
    Family("signaldelta_database_up", "gauge", ("place",), "deployment",
           "1 where a home's database answers. What is read from it is absent while it does not."),
    Family("signaldelta_troubles", "gauge", ("kind", "severity"), "deployment",
           "What the watch finds wrong now (`signaldelta status`)."),
    Family("signaldelta_alerts_open", "gauge", ("kind", "severity"), "deployment", "Alerts that stand open."),
    Family("signaldelta_alerts_undelivered", "gauge", ("channel",), "deployment",
           "Messages of alerts that a webhook has not taken yet."),
    Family("signaldelta_dagster_runs", "gauge", ("state",), "deployment",
           "Dagster's runs by state: all that are not over, and those that ended in the last day."),
    Family("signaldelta_jobs", "gauge", ("state",), "deployment",
           "Jobs by state: all that are not over, and those that ended in the last day."),
    Family("signaldelta_dead_letters", "gauge", (), "deployment", "Work that failed for good and was not tried again."),
    Family("signaldelta_collector_state", "gauge", ("collector", "state"), "deployment",
           "1 for the state of a collector's newest run: never, running, hung, dead, complete, failed."),
    Family("signaldelta_collector_last_success_timestamp_seconds", "gauge", ("collector",), "deployment",
           "When a collector last succeeded, since 1970. Its freshness is time() less this."),
    Family("signaldelta_collector_last_record_timestamp_seconds", "gauge", ("collector",), "deployment",
           "When it last wrote a record."),
    Family("signaldelta_collector_consecutive_failures", "gauge", ("collector",), "deployment", "Failures in a row."),
    Family("signaldelta_collector_late", "gauge", ("collector",), "deployment",
           "1 where its schedule asked for a run that is overdue."),
    Family("signaldelta_quarantined_records", "gauge", ("collector",), "deployment",
           "Refused records that stand open."),
    Family("signaldelta_refused_writes", "gauge", (), "deployment",
           "Writes that came to the wrong home and wait for `signaldelta db recover`."),
    Family("signaldelta_replication_lag_seconds", "gauge", ("table_group", "home"), "deployment",
           "How long the other home has not had something that this group's home had written."),
    Family("signaldelta_replication_lag_bytes", "gauge", ("table_group", "home"), "deployment", "The same in log."),
    Family("signaldelta_replication_lag_limit_seconds", "gauge", ("table_group", "home"), "deployment",
           "What is allowed."),
    Family("signaldelta_disk_used_ratio", "gauge", ("folder",), "deployment",
           "Used part of the disk that a folder is on, at this host."),
    Family("signaldelta_llm_calls", "gauge", ("use_case", "route", "outcome"), "deployment",
           "Calls of language models today (UTC)."),
    Family("signaldelta_llm_tokens", "gauge", ("use_case", "route", "direction"), "deployment",
           "Their tokens today, `input` or `output`."),
    Family("signaldelta_llm_cost_dollars", "gauge", ("use_case", "route"), "deployment", "What they cost today."),
    Family("signaldelta_scrape_seconds", "gauge", (), "process", "How long the questions behind the last answer took."),
)  # fmt: skip

BY_NAME = {family.name: family for family in FAMILIES}


def table() -> str:
    """Return the table of metrics in docs/observability.md."""
    rows = []
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        rows.append(f"| `{family.name}` | {family.kind} | {labels} | {family.scope} | {family.words} |")
    return "\n".join(["| metric | kind | labels | of | what |", "|---|---|---|---|---|", *rows])
