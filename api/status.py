"""The state of the platform, put together for `/status`."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import OperationalError

from signaldelta_assets.warehouse import Place, Warehouse, current_revision, head_revision, other_place, watch
from signaldelta_assets.warehouse.stores import health

from . import queries
from .schemas.results import CollectorFreshness, PlatformStatus, PoolState, ReplicationLag, SchemaVersion

if TYPE_CHECKING:
    from .metrics import Figures

# How old an answer of the watch may be that is given again, and how long anybody waits for a new one.
FRESH_SECONDS = 2.0
WAIT_SECONDS = 4.0
# Outcomes of a model's call in which nothing failed.
_ANSWERED = ("ok", "declined", "cancelled")


class Watching:
    """What the watch last saw of the homes that a warehouse knows. One look at a time, whoever asks; never in the way.

    A home that swallows what it is asked holds up the look, not the one who asks: he is told that it takes long.
    """

    def __init__(self, warehouse: Warehouse, questions: Sequence[watch.Question] = ()) -> None:
        self._questions = tuple(questions)
        self._place = warehouse.place
        self._urls: dict[Place, str] = {warehouse.place: warehouse.url}
        if warehouse.peer_url is not None:
            self._urls[other_place(warehouse.place)] = warehouse.peer_url
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._lock = threading.Lock()
        self._asked: Future[watch.View] | None = None
        self._at = 0.0

    def _look(self) -> watch.View:
        return watch.look(self._urls, self._place, more=self._questions)

    def view(self, wait_seconds: float = WAIT_SECONDS) -> tuple[watch.View | None, str | None]:
        """Return what the homes are like, at most `FRESH_SECONDS` old, or None and why not after `wait_seconds`."""
        with self._lock:
            fresh = time.monotonic() - self._at < FRESH_SECONDS
            if self._asked is None or (self._asked.done() and not fresh):
                self._asked, self._at = self._pool.submit(self._look), time.monotonic()
            asked = self._asked
        try:
            return asked.result(wait_seconds), None
        except NotYet:
            return None, f"watch: no answer within {wait_seconds:.0f} s: a home swallows what it is asked"


def _dagster(url: str | None) -> str:
    if url is None:
        return "not configured"
    try:
        return "reachable" if httpx.get(f"{url}/server_info", timeout=1.0).is_success else "unreachable"
    except httpx.HTTPError:
        return "unreachable"


def _figures(figures: Figures | None) -> dict[str, Any]:
    """What was read for the metrics as well; nothing of it where the database did not answer."""
    if figures is None:
        return {"runs": {}, "jobs": {}, "dead_letters": 0, "alerts": {"open": 0, "undelivered": 0}, "llm": []}
    return {
        "runs": figures.runs,
        "jobs": figures.jobs or {},
        "dead_letters": figures.dead_letters or 0,
        "alerts": {
            "open": sum(row["n"] for row in figures.alerts),
            "undelivered": sum(figures.undelivered.values()),
        },
        "llm": figures.llm,
    }


def platform_status(
    warehouse: Warehouse,
    watching: Watching,
    dagster_url: str | None,
    *,
    figures: Figures | None,
    disks: Mapping[str, float],
    models: bool,
) -> PlatformStatus:
    """Return the status; `degraded` with reasons: a home, the schema, replication, Dagster, a collector.

    figures: what was read for the metrics; disks: the used part of each folder's; models: whether one may be asked.
    """
    read = _figures(figures)
    llm = read.pop("llm")
    dagster = _dagster(dagster_url)
    reasons = ["dagster: unreachable"] if dagster == "unreachable" else []
    view, silence = watching.view()
    seen = [silence] if view is None else [trouble.words for trouble in view.troubles]
    lags = [] if view is None else [ReplicationLag.model_validate(lag, from_attributes=True) for lag in view.lags]
    version: SchemaVersion | None = None
    collectors: list[CollectorFreshness] = []
    rows: dict[str, int] = {}
    estimated: dict[str, int] = {}
    database = "reachable"
    try:
        expected, found = head_revision(), current_revision(warehouse.url)
        version = SchemaVersion(expected=expected, found=found, matches=expected == found)
        if version.matches:
            with warehouse.read_pool().connection() as connection:
                state = queries.collectors(connection)
                collectors = [CollectorFreshness.model_validate(row) for row in state]
                rows, estimated = queries.counts(connection)
            reasons += [f"collector {row['collector']}: {trouble}" for row in state for trouble in health.troubles(row)]
        else:
            reasons.append(f"schema version: expected {expected}, found {found}; run `signaldelta db migrate`")
    except (psycopg.OperationalError, OperationalError, PoolTimeout) as error:
        database = "unreachable"
        reasons.append(f"database: {type(error).__name__}")
    reasons += [words for words in seen if words is not None and words not in reasons]
    return PlatformStatus.model_validate(
        {
            "status": "degraded" if reasons else "ok",
            "reasons": reasons,
            "place": warehouse.place,
            "database": database,
            "schema_version": version,
            "replication": lags,
            "dagster": dagster,
            "collectors": collectors,
            **read,
            "disks": [{"folder": folder, "used_ratio": part} for folder, part in disks.items()],
            "pools": [PoolState.model_validate(use, from_attributes=True) for use in warehouse.pool_use()],
            "models": {
                "configured": models,
                "calls_today": sum(row["calls"] for row in llm),
                "failed_today": sum(row["calls"] for row in llm if row["outcome"] not in _ANSWERED),
                "dollars_today": sum(row["cost"] for row in llm),
            },
            "rows": rows,
            "rows_estimated": estimated,
        }
    )
