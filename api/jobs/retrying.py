"""Trying a dead letter again: once, as a new job of the same owner with the same input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import dead_letters, jobs


class NotRetriedError(SignalDeltaError):
    """A letter that is not a job's: its command tries it again."""


def retry(
    warehouse: Warehouse, letter: dict[str, Any], limits: jobs.Limits, *, tier: str | None = None, priority: int = 0
) -> tuple[dict[str, Any], bool]:
    """Return (the job that tries the letter's again, whether it is new): of `tier` and `priority`, or those it had.

    Raises `NotRetriedError` for a letter of no job, `RefusedJobError` beyond `limits`.
    """
    letter_id = letter["dead_letter_id"]
    dead = None if letter["job_id"] is None else jobs.get(warehouse, letter["job_id"])
    if dead is None:
        raise NotRetriedError(f"dead letter {letter_id}: it is no job's; run: {letter['retry_command']}")
    names = ("kind", "input", "user_id", "tier", "priority")
    again = jobs.NewJob(**{name: dead[name] for name in names}, idempotency_key=f"retry-{letter_id}")
    if tier is not None:
        again = replace(again, tier=tier, priority=priority)
    row, new = jobs.submit(warehouse, again, limits)
    if letter["retried_as"] != row["job_id"]:
        dead_letters.retried(warehouse, letter_id, row["job_id"])
    return row, new
