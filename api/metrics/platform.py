"""What is read of the deployment for `/metrics` and `/status`: once in some seconds, whoever asks, in bounded time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from prometheus_client.core import Metric

from signaldelta_assets.warehouse import Warehouse, head_revision, watch
from signaldelta_assets.warehouse.disk import disk_usage

from .. import queries
from .requests import gauge

log = logging.getLogger("signaldelta.api.metrics")

# How old figures may be that are given again, and how long anybody waits for new ones.
FRESH_SECONDS = 5.0
WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What one reading found. `schema_version` is that of the database; with another than ours nothing else is read."""

    schema_version: str
    seconds: float
    collectors: list[dict[str, Any]]
    runs: Mapping[str, int]
    jobs: Mapping[str, int] | None
    dead_letters: int | None
    alerts: list[dict[str, Any]]
    undelivered: Mapping[str, int]
    refused_writes: int
    llm: list[dict[str, Any]]


def read_figures(url: str) -> Figures | None:
    """Read everything over a connection with short timeouts; None where the database does not answer."""
    began = time.monotonic()
    try:
        with watch.asking(url) as connection:
            version = queries.schema_of(connection)
            if version != head_revision():
                return Figures(version, time.monotonic() - began, [], {}, None, None, [], {}, 0, [])
            found = (
                queries.collectors(connection),
                queries.run_states(connection),
                queries.job_states(connection),
                queries.dead_letters(connection),
                queries.open_alerts(connection),
                queries.undelivered_alerts(connection),
                queries.refused_writes(connection),
                queries.llm_today(connection),
            )
            return Figures(version, time.monotonic() - began, *found)
    except psycopg.Error as error:
        log.warning("the figures could not be read: %s", type(error).__name__)
        return None


class Reading:
    """The figures of a warehouse's own home, at most `FRESH_SECONDS` old: one reading at a time, whoever asks."""

    def __init__(self, warehouse: Warehouse, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._url, self._fresh = warehouse.url, fresh_seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="figures")
        self._lock = threading.Lock()
        self._asked: Future[Figures | None] | None = None
        self._at = 0.0

    def begin(self) -> Future[Figures | None]:
        """Return the reading that is under way or fresh enough, or begin one. Does not wait."""
        with self._lock:
            fresh = time.monotonic() - self._at < self._fresh
            if self._asked is None or (self._asked.done() and not fresh):
                self._asked, self._at = self._pool.submit(read_figures, self._url), time.monotonic()
            return self._asked

    def figures(self, wait_seconds: float = WAIT_SECONDS) -> Figures | None:
        """Return the figures, None where the database does not answer in time."""
        try:
            return self.begin().result(wait_seconds)
        except NotYet:
            return None


def folders_used(folders: Mapping[str, Path]) -> dict[str, float]:
    """Return the used part (0 to 1) of the disk that each folder is on. Asks the file system alone."""
    uses = disk_usage(folders.values(), 1.0, 1.0)
    return {name: use.fraction for name, use in zip(folders, uses, strict=True)}


def platform_metrics(figures: Figures | None, view: watch.View | None) -> Iterator[Metric]:
    """Yield what is known of the deployment; of what was not read, nothing: an old figure would pass for a new one."""
    if view is not None:
        yield from _seen(view)
    if figures is None:
        return
    yield from _collected(figures)
    runs, jobs = gauge("signaldelta_dagster_runs"), gauge("signaldelta_jobs")
    for state, number in figures.runs.items():
        runs.add_metric([state], number)
    for state, number in (figures.jobs or {}).items():
        jobs.add_metric([state], number)
    alerts, undelivered = gauge("signaldelta_alerts_open"), gauge("signaldelta_alerts_undelivered")
    for row in figures.alerts:
        alerts.add_metric([row["kind"], row["severity"]], row["n"])
    for channel, number in figures.undelivered.items():
        undelivered.add_metric([channel], number)
    refused, dead = gauge("signaldelta_refused_writes"), gauge("signaldelta_dead_letters")
    refused.add_metric([], figures.refused_writes)
    if figures.dead_letters is not None:
        dead.add_metric([], figures.dead_letters)
    yield from (runs, jobs, alerts, undelivered, refused, dead)
    yield from _spent(figures)


def _seen(view: watch.View) -> Iterator[Metric]:
    up, troubles = gauge("signaldelta_database_up"), gauge("signaldelta_troubles")
    for place, version in view.versions.items():
        up.add_metric([place], float(version is not None))
    counted: dict[tuple[str, str], int] = {}
    for trouble in view.troubles:
        key = (trouble.kind, trouble.severity)
        counted[key] = counted.get(key, 0) + 1
    for labels, number in counted.items():
        troubles.add_metric(labels, number)
    seconds, size = gauge("signaldelta_replication_lag_seconds"), gauge("signaldelta_replication_lag_bytes")
    limit = gauge("signaldelta_replication_lag_limit_seconds")
    for lag in view.lags:
        limit.add_metric([lag.group, lag.home], lag.limit_seconds)
        if lag.seconds is not None:
            seconds.add_metric([lag.group, lag.home], lag.seconds)
        if lag.bytes is not None:
            size.add_metric([lag.group, lag.home], lag.bytes)
    yield from (up, troubles, seconds, size, limit)


def _collected(figures: Figures) -> Iterator[Metric]:
    state, late = gauge("signaldelta_collector_state"), gauge("signaldelta_collector_late")
    success = gauge("signaldelta_collector_last_success_timestamp_seconds")
    record = gauge("signaldelta_collector_last_record_timestamp_seconds")
    failures, refused = gauge("signaldelta_collector_consecutive_failures"), gauge("signaldelta_quarantined_records")
    for row in figures.collectors:
        name = row["collector"]
        state.add_metric([name, row["state"]], 1)
        late.add_metric([name], float(row["late"]))
        failures.add_metric([name], row["consecutive_failures"])
        refused.add_metric([name], row["open_quarantined"])
        for family, moment in ((success, row["last_success_at"]), (record, row["last_record_at"])):
            if moment is not None:
                family.add_metric([name], moment.timestamp())
    yield from (state, late, success, record, failures, refused)


def _spent(figures: Figures) -> Iterator[Metric]:
    calls, tokens = gauge("signaldelta_llm_calls"), gauge("signaldelta_llm_tokens")
    cost = gauge("signaldelta_llm_cost_dollars")
    used: dict[tuple[str, str], list[float]] = {}
    for row in figures.llm:
        calls.add_metric([row["use_case"], row["route_id"], row["outcome"]], row["calls"])
        sums = used.setdefault((row["use_case"], row["route_id"]), [0, 0, 0.0])
        for place, name in enumerate(("input_tokens", "output_tokens", "cost")):
            sums[place] += row[name]
    for (use_case, route), (read, written, dollars) in used.items():
        tokens.add_metric([use_case, route, "input"], read)
        tokens.add_metric([use_case, route, "output"], written)
        cost.add_metric([use_case, route], dollars)
    yield from (calls, tokens, cost)
