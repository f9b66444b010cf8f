"""Jobs and dead letters as the API keeps them, for what tells of them; the tables are made where there are none yet."""

from __future__ import annotations

from typing import Any

import psycopg

_TABLES = """
CREATE TABLE IF NOT EXISTS signaldelta.jobs (
  job_id text PRIMARY KEY, user_id text, tier text NOT NULL, kind text NOT NULL, input jsonb NOT NULL,
  input_hash text NOT NULL, priority int NOT NULL, state text NOT NULL DEFAULT 'queued', attempts int DEFAULT 0,
  dagster_run_id text, reason text, correlation_id text, submitted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  launched_at timestamptz, started_at timestamptz, cancel_requested_at timestamptz, finished_at timestamptz);
CREATE TABLE IF NOT EXISTS signaldelta.dead_letters (
  dead_letter_id text PRIMARY KEY, job_id text, dagster_run_id text, user_id text, what text NOT NULL,
  input jsonb NOT NULL, reason text NOT NULL, attempts int NOT NULL, retry_command text NOT NULL,
  died_at timestamptz NOT NULL, retried_at timestamptz, retried_as text);
GRANT SELECT ON signaldelta.jobs, signaldelta.dead_letters TO signaldelta_app;
"""


def put_job(url: str, job_id: str, state: str, **more: Any) -> None:
    """A job of nobody, in that state; `more` are further columns."""
    row = {"job_id": job_id, "tier": "free", "kind": "backtest", "input": "{}", "input_hash": "0" * 64, "priority": 0,
           "state": state} | more  # fmt: skip
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLES)
        names, places = ", ".join(row), ", ".join(["%s"] * len(row))
        connection.execute(f"INSERT INTO signaldelta.jobs ({names}) VALUES ({places})", list(row.values()))  # type: ignore[arg-type]


def put_dead_letter(url: str, dead_letter_id: str, *, retried: bool = False) -> None:
    """Work that failed for good."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLES)
        connection.execute(
            "INSERT INTO signaldelta.dead_letters (dead_letter_id, what, input, reason, attempts, retry_command,"
            " died_at, retried_at) VALUES (%s, 'backtest', '{}', 'why', 3, 'x', '2025-01-02T03:04:05Z', %s)",
            (dead_letter_id, "2025-01-03T00:00:00Z" if retried else None),
        )
