"""Jobs that users file: taken in under their owner's limits, claimed one attempt at a time, followed to their end.

A state is changed by statements that name the state and attempt they start from: of two who would change one job, one
does. Everything is read and written at the home of the group, so that a job is there as soon as it was taken in.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from signaldelta_assets.correlation import correlation_id
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import hash_document, new_ulid

from ..pools import Warehouse

GROUP = "users"
Row = dict[str, Any]
UNDER_WAY = ("launched", "running")

_COLUMNS = (
    "job_id, user_id, tier, kind, input, input_hash, idempotency_key, priority, state, attempts, dagster_run_id,"
    " backfill_id, progress, result, reason, correlation_id, submitted_at, not_before, launched_at, started_at,"
    " cancel_requested_at, finished_at, updated_at"
)
_NOW = "clock_timestamp()"
# One more for every ten minutes of waiting: a tier's jobs come first, and nobody's wait for ever.
_STANDING = f"priority + floor(extract(epoch FROM {_NOW} - submitted_at) / 600)"


class RefusedJobError(SignalDeltaError):
    """A job that is not taken in; `reason` names the rule, `wait_seconds` when to ask again where that would help."""

    def __init__(self, reason: str, words: str, wait_seconds: int | None = None) -> None:
        super().__init__(words)
        self.reason, self.wait_seconds = reason, wait_seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """What a user's tier gives: jobs in 24 hours, jobs that wait at once. None of either: no limit."""

    per_day: int | None = None
    queued: int | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is asked for, by whom (None where access is open), and how early it comes."""

    kind: str
    input: Mapping[str, Any]
    user_id: str | None
    tier: str
    priority: int
    idempotency_key: str | None = None

    @property
    def input_hash(self) -> str:
        """The name of kind and input together: jobs with equal ones ask for the same."""
        return hash_document({"kind": self.kind, "input": dict(self.input)})


def submit(warehouse: Warehouse, job: NewJob, limits: Limits) -> tuple[Row, bool]:
    """Take a job in; return (its row, whether it is new).

    A key that the user has used returns its job; without a key, a job of the user that is under way with equal input.
    Raises `RefusedJobError`: `idempotency-key-reused` with another input, `no-jobs` for a tier that has none,
    `queue-full`, `day-limit`.
    """
    owner = job.user_id or ""
    with warehouse.write_pool(GROUP).connection() as connection:
        # Of one user's jobs one is taken in at a time, so that the counts are exact.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('signaldelta jobs of ' || %s, 0))", (owner,))
        found = _same(connection, owner, job)
        if found is not None:
            return found, False
        _require_room(connection, owner, job.tier, limits)
        row = connection.execute(
            "INSERT INTO jobs (job_id, user_id, tier, kind, input, input_hash, idempotency_key, priority,"
            f" correlation_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}",
            (new_ulid(), job.user_id, job.tier, job.kind, Jsonb(dict(job.input)), job.input_hash, job.idempotency_key,
             job.priority, correlation_id()),
        ).fetchone()  # fmt: skip
    assert row is not None
    return row, True


def _same(connection: Connection[Row], owner: str, job: NewJob) -> Row | None:
    if job.idempotency_key is None:
        return connection.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE COALESCE(user_id, '') = %s AND input_hash = %s AND finished_at IS NULL"
            " AND cancel_requested_at IS NULL ORDER BY job_id LIMIT 1",
            (owner, job.input_hash),
        ).fetchone()
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE COALESCE(user_id, '') = %s AND idempotency_key = %s",
        (owner, job.idempotency_key),
    ).fetchone()
    if found is not None and found["input_hash"] != job.input_hash:
        raise RefusedJobError(
            "idempotency-key-reused",
            f"Idempotency-Key {job.idempotency_key!r}: job {found['job_id']} ({found['kind']}) was filed with it and"
            " another input; use a new key",
        )
    return found


def _require_room(connection: Connection[Row], owner: str, tier: str, limits: Limits) -> None:
    if limits.per_day == 0:
        raise RefusedJobError("no-jobs", f"the tier {tier} has no jobs")
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE state = 'queued') AS queued,"
        f" count(*) FILTER (WHERE submitted_at > {_NOW} - interval '1 day') AS today,"
        f" extract(epoch FROM min(submitted_at) FILTER (WHERE submitted_at > {_NOW} - interval '1 day')"
        f" + interval '1 day' - {_NOW})::float8 AS wait FROM jobs WHERE COALESCE(user_id, '') = %s"
        f" AND (finished_at IS NULL OR submitted_at > {_NOW} - interval '1 day')",
        (owner,),
    ).fetchone()
    assert row is not None
    if limits.queued is not None and row["queued"] >= limits.queued:
        words = f"{row['queued']} jobs wait, as many as the tier {tier} may have waiting: cancel one, or wait"
        raise RefusedJobError("queue-full", words, 30)
    if limits.per_day is not None and row["today"] >= limits.per_day:
        words = f"{row['today']} jobs in 24 hours, as many as the tier {tier} has"
        raise RefusedJobError("day-limit", words, max(math.ceil(row["wait"]), 1))


def get(warehouse: Warehouse, job_id: str) -> Row | None:
    """Return a job, or None."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE job_id = %s", (job_id,)).fetchone()


def newest_like(warehouse: Warehouse, job: NewJob) -> Row | None:
    """Return the owner's newest job that asks for the same, however it ended; None where they never did."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE input_hash = %s AND COALESCE(user_id, '') = %s"
            " ORDER BY job_id DESC LIMIT 1",
            (job.input_hash, job.user_id or ""),
        ).fetchone()


def several(warehouse: Warehouse, job_ids: Collection[str]) -> dict[str, Row]:
    """Return those of the jobs that there are, by id."""
    with warehouse.state_pool(GROUP).connection() as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE job_id = ANY(%s)", (list(job_ids),)).fetchall()
    return {row["job_id"]: row for row in rows}


def page(
    warehouse: Warehouse,
    limit: int,
    *,
    owner: str | None = None,
    state: str | None = None,
    kind: str | None = None,
    before: str | None = None,
) -> list[Row]:
    """Return jobs, newest first, those before the id `before`; `owner` '' is nobody's, None everybody's."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE (%(owner)s::text IS NULL OR COALESCE(user_id, '') = %(owner)s)"
            " AND (%(state)s::text IS NULL OR state = %(state)s) AND (%(kind)s::text IS NULL OR kind = %(kind)s)"
            " AND (%(before)s::text IS NULL OR job_id < %(before)s) ORDER BY job_id DESC LIMIT %(limit)s",
            {"owner": owner, "state": state, "kind": kind, "before": before, "limit": limit},
        ).fetchall()


def cancel(warehouse: Warehouse, job_id: str) -> Row | None:
    """Cancel a job that waits, ask for the end of one that runs, leave one that has ended; return it, None for none."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return (
            connection.execute(
                f"UPDATE jobs SET cancel_requested_at = COALESCE(cancel_requested_at, {_NOW}), updated_at = {_NOW},"
                " state = CASE WHEN state = 'queued' THEN 'canceled' ELSE state END,"
                " reason = CASE WHEN state = 'queued' THEN 'canceled before it began' ELSE reason END,"
                f" finished_at = CASE WHEN state = 'queued' THEN {_NOW} END"
                f" WHERE job_id = %s AND finished_at IS NULL RETURNING {_COLUMNS}",
                (job_id,),
            ).fetchone()
            or connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE job_id = %s", (job_id,)).fetchone()
        )


# --- what the dispatcher does ------------------------------------------------------------------------------------


def under_way(warehouse: Warehouse) -> list[Row]:
    """Return the jobs that are in Dagster's hands, or may be, oldest first; `since` seconds ago they were claimed."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"SELECT {_COLUMNS}, extract(epoch FROM {_NOW} - launched_at)::float8 AS since FROM jobs"
            " WHERE finished_at IS NULL AND state = ANY(%s) ORDER BY job_id",
            (list(UNDER_WAY),),
        ).fetchall()


def next_up(warehouse: Warehouse, at_once: int) -> list[Row]:
    """Return the jobs to launch now, in order, so that `at_once` run, and of each user as many as their tier has.

    By priority, which grows by one for every ten minutes of waiting, then by age. A user's tier is that of now; a user
    who was disabled has none, and their jobs wait.
    """
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"""
WITH busy AS (SELECT COALESCE(user_id, '') AS owner, count(*) AS n FROM jobs
              WHERE finished_at IS NULL AND state = ANY(%(under_way)s) GROUP BY 1),
waiting AS (
  SELECT j.*, {_STANDING} AS standing,
         row_number() OVER (PARTITION BY COALESCE(j.user_id, '') ORDER BY {_STANDING} DESC, job_id)
           + COALESCE(busy.n, 0) AS place,
         CASE WHEN j.user_id IS NULL THEN %(at_once)s ELSE COALESCE((
           SELECT (e.value #>> '{{}}')::int FROM users u JOIN tier_entitlements e USING (tier)
           WHERE u.user_id = j.user_id AND u.disabled_at IS NULL AND e.entitlement = 'jobs_running'), 0) END AS allowed
  FROM jobs j LEFT JOIN busy ON busy.owner = COALESCE(j.user_id, '')
  WHERE j.finished_at IS NULL AND j.state = 'queued' AND (j.not_before IS NULL OR j.not_before <= {_NOW})
)
SELECT {_COLUMNS} FROM waiting WHERE place <= allowed ORDER BY standing DESC, job_id
LIMIT greatest(%(at_once)s - (SELECT COALESCE(sum(n), 0) FROM busy), 0)""",
            {"at_once": at_once, "under_way": list(UNDER_WAY)},
        ).fetchall()


def claim(warehouse: Warehouse, job_id: str) -> Row | None:
    """Make a waiting job's next attempt; None where it waits no more. What is launched for it carries that number."""
    return _change(
        warehouse,
        f"state = 'launched', attempts = attempts + 1, launched_at = {_NOW}, started_at = NULL, dagster_run_id = NULL,"
        " backfill_id = NULL, progress = NULL, reason = NULL, not_before = NULL",
        "job_id = %(job)s AND state = 'queued' AND cancel_requested_at IS NULL",
        {"job": job_id},
    )


def attach(warehouse: Warehouse, row: Row, *, run: str | None = None, backfill: str | None = None) -> Row | None:
    """Note which run or backfill of Dagster's works for this attempt."""
    change = "dagster_run_id = COALESCE(%(run)s, dagster_run_id), backfill_id = COALESCE(%(backfill)s, backfill_id)"
    return _of_attempt(warehouse, row, change, {"run": run, "backfill": backfill})


def note_progress(warehouse: Warehouse, row: Row, *, running: bool, progress: Mapping[str, Any] | None) -> Row | None:
    """Note that an attempt runs, and how far it is: {done, total, words}; the last known stays where None is."""
    return _of_attempt(
        warehouse,
        row,
        f"state = CASE WHEN %(running)s THEN 'running' ELSE state END, started_at = CASE WHEN %(running)s THEN"
        f" COALESCE(started_at, {_NOW}) END, progress = COALESCE(%(progress)s, progress), reason = NULL",
        {"running": running, "progress": None if progress is None else Jsonb(dict(progress))},
    )


def note_unread(warehouse: Warehouse, row: Row, reason: str) -> None:
    """Say to whoever follows an attempt why nothing is known of it; until something is."""
    if row["reason"] != reason:
        _of_attempt(warehouse, row, "reason = %(reason)s", {"reason": reason})


def put_back(warehouse: Warehouse, row: Row, reason: str, *, wait_seconds: float, counts: bool) -> Row | None:
    """Let an attempt's job wait again, with the reason; `counts`: whether the attempt was one.

    Where its end was asked for meanwhile, it is canceled: nobody would claim it, and it would wait in others' place.
    """
    asked = "cancel_requested_at IS NOT NULL"
    return _of_attempt(
        warehouse,
        row,
        f"state = CASE WHEN {asked} THEN 'canceled' ELSE 'queued' END,"
        f" reason = CASE WHEN {asked} THEN 'ended as was asked: ' ELSE '' END || %(reason)s,"
        f" finished_at = CASE WHEN {asked} THEN {_NOW} END,"
        f" not_before = CASE WHEN {asked} THEN NULL ELSE {_NOW} + make_interval(secs => %(wait)s) END,"
        " attempts = attempts - CASE WHEN %(counts)s THEN 0 ELSE 1 END, launched_at = NULL, started_at = NULL",
        {"reason": reason, "wait": wait_seconds, "counts": counts},
    )


def finish(
    warehouse: Warehouse, row: Row, state: str, *, reason: str | None = None, result: Mapping[str, Any] | None = None
) -> Row | None:
    """End an attempt's job: complete with its result, failed or canceled with the reason."""
    return _of_attempt(
        warehouse,
        row,
        f"state = %(state)s, reason = %(reason)s, result = %(result)s, finished_at = {_NOW}",
        {"state": state, "reason": reason, "result": None if result is None else Jsonb(dict(result))},
    )


def tell_waiting(warehouse: Warehouse, reason: str | None) -> int:
    """Give every job that waits for nothing of its own the reason why none is launched, None for no more; how many."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"UPDATE jobs SET reason = %(reason)s, updated_at = {_NOW} WHERE finished_at IS NULL AND state = 'queued'"
            " AND attempts = 0 AND reason IS DISTINCT FROM %(reason)s",
            {"reason": reason},
        ).rowcount


def _of_attempt(warehouse: Warehouse, row: Row, change: str, values: Mapping[str, Any]) -> Row | None:
    condition = "job_id = %(job)s AND attempts = %(attempt)s AND state IN ('launched', 'running')"
    return _change(warehouse, change, condition, {**values, "job": row["job_id"], "attempt": row["attempts"]})


def _change(warehouse: Warehouse, change: str, condition: str, values: Mapping[str, Any]) -> Row | None:
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"UPDATE jobs SET {change}, updated_at = {_NOW} WHERE {condition} RETURNING {_COLUMNS}", values
        ).fetchone()
