"""Jobs and dead letters as the API keeps them, for what tells of them."""

from __future__ import annotations

from typing import Any

import psycopg


def put_job(url: str, job_id: str, state: str, **more: Any) -> None:
    """A job of nobody, in that state; `more` are further columns."""
    row = {"job_id": job_id, "tier": "free", "kind": "backtest", "input": "{}", "input_hash": "0" * 64, "priority": 0,
           "state": state} | more  # fmt: skip
    with psycopg.connect(url, autocommit=True) as connection:
        names, places = ", ".join(row), ", ".join(["%s"] * len(row))
        connection.execute(f"INSERT INTO signaldelta.jobs ({names}) VALUES ({places})", list(row.values()))  # type: ignore[arg-type]


def put_dead_letter(url: str, dead_letter_id: str, *, retried: bool = False) -> None:
    """Work that failed for good."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO signaldelta.dead_letters (dead_letter_id, what, input, reason, attempts, retry_command,"
            " died_at, retried_at) VALUES (%s, 'backtest', '{}', 'why', 3, 'x', '2025-01-02T03:04:05Z', %s)",
            (dead_letter_id, "2025-01-03T00:00:00Z" if retried else None),
        )
