"""Dead letters: work that failed for good, each once, with its input, the reason, and how to try it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from signaldelta_assets.versioning import new_ulid

from ..pools import Warehouse
from .jobs import GROUP, Row

_COLUMNS = (
    "dead_letter_id, job_id, dagster_run_id, user_id, what, input, reason, attempts, retry_command, died_at,"
    " retried_at, retried_as"
)


@dataclass(frozen=True, slots=True)
class Letter:
    """Of a job, or of a run of Dagster's own. `retry_command` may hold {letter}, for the letter's id."""

    what: str
    input: Mapping[str, Any]
    reason: str
    attempts: int
    retry_command: str
    job_id: str | None = None
    dagster_run_id: str | None = None
    user_id: str | None = None
    # Seconds since 1970; now where none is given.
    died_at: float | None = None


def bury(warehouse: Warehouse, letter: Letter) -> str | None:
    """Keep a letter; return its id, None where this job or run has one."""
    letter_id = new_ulid()
    with warehouse.state_pool(GROUP).connection() as connection:
        row = connection.execute(
            f"INSERT INTO dead_letters ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s,"
            " COALESCE(to_timestamp(%s), clock_timestamp()), NULL, NULL) ON CONFLICT DO NOTHING"
            " RETURNING dead_letter_id",
            (letter_id, letter.job_id, letter.dagster_run_id, letter.user_id, letter.what, Jsonb(dict(letter.input)),
             letter.reason, letter.attempts, letter.retry_command.replace("{letter}", letter_id), letter.died_at),
        ).fetchone()  # fmt: skip
    return None if row is None else letter_id


def get(warehouse: Warehouse, name: str) -> Row | None:
    """Return the letter with this id, or of the job or Dagster run with it; None where there is none."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"SELECT {_COLUMNS} FROM dead_letters WHERE %s IN (dead_letter_id, job_id, dagster_run_id)", (name,)
        ).fetchone()


def page(
    warehouse: Warehouse, limit: int, *, owner: str | None = None, waiting: bool = False, before: str | None = None
) -> list[Row]:
    """Return letters, newest first; `owner` '' is nobody's, None everybody's; `waiting`: those not tried again."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            f"SELECT {_COLUMNS} FROM dead_letters WHERE (%(owner)s::text IS NULL OR COALESCE(user_id, '') = %(owner)s)"
            " AND (NOT %(waiting)s OR retried_at IS NULL) AND (%(before)s::text IS NULL OR dead_letter_id < %(before)s)"
            " ORDER BY dead_letter_id DESC LIMIT %(limit)s",
            {"owner": owner, "waiting": waiting, "before": before, "limit": limit},
        ).fetchall()


def retried(warehouse: Warehouse, letter_id: str, retried_as: str) -> Row | None:
    """Note that a letter was tried again, and as which job or run."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            "UPDATE dead_letters SET retried_at = clock_timestamp(), retried_as = %s WHERE dead_letter_id = %s"
            f" RETURNING {_COLUMNS}",
            (retried_as, letter_id),
        ).fetchone()
