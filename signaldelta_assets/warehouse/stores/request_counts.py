"""Requests counted per window, exactly and for all processes at once: the table `request_counts`.

A window begins with the first request it counts and lasts its seconds; the first request after that begins the next.
One row per subject, changed in place: the row's lock is what makes concurrent processes count one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import Connection

from ..pools import Warehouse

# Each place counts for itself: a count is worth nothing elsewhere, and copying it would be most of the traffic.
GROUP = "operations"


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most `allowed` requests of `subject` in a window of `seconds`; a `scope` keeps kinds of subjects apart."""

    scope: str
    subject: str
    allowed: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Where a subject stands: `used` in its window, which ends in `reset_seconds`; `within` whether this one passed."""

    allowance: Allowance
    used: int
    reset_seconds: int
    within: bool


# Not durable at once: after a crash of the server the last half second may be forgotten, and nobody waits for a disk.
_OVER = "c.window_start <= clock_timestamp() - make_interval(secs => {0})"
_COUNT = (
    "INSERT INTO request_counts AS c (scope, subject, used) SELECT %(scope)s, %(subject)s, 1"
    " FROM set_config('synchronous_commit', 'off', true) WHERE %(allowed)s > 0 ON CONFLICT (scope, subject) DO UPDATE"
    f" SET used = CASE WHEN {_OVER.format('%(seconds)s')} THEN 1 ELSE c.used + 1 END,"
    f" window_start = CASE WHEN {_OVER.format('%(seconds)s')} THEN clock_timestamp() ELSE c.window_start END"
    # A request that is refused changes nothing: to go on asking does not lengthen the wait.
    f" WHERE c.used < %(allowed)s OR {_OVER.format('%(seconds)s')} RETURNING used,"
    " extract(epoch FROM c.window_start - clock_timestamp()) + %(seconds)s AS reset"
)
_STANDING = (
    "SELECT used, extract(epoch FROM c.window_start - clock_timestamp()) + %(seconds)s AS reset FROM request_counts c"
    f" WHERE scope = %(scope)s AND subject = %(subject)s AND NOT ({_OVER.format('%(seconds)s')})"
)


class _OverLimit(Exception):
    """Rolls back what the same request was counted for under other allowances."""


def count(warehouse: Warehouse, allowances: Sequence[Allowance], barred: Allowance | None = None) -> list[Counted]:
    """Count one request under every allowance, or under none where one is used up; return where each stands.

    The list ends with the one that refused. `barred`: an allowance that is not counted, but refuses where it is used
    up already.
    """
    # In one order everywhere: two requests never wait for each other.
    ordered = sorted(allowances, key=lambda each: (each.scope, each.subject))
    asked = [(_STANDING, barred)] if barred is not None else []
    asked += [(_COUNT, allowance) for allowance in ordered]
    found: list[Counted] = []
    with suppress(_OverLimit), warehouse.state_pool(GROUP).connection() as connection:
        # All are sent before the first is answered: one way to the server and back.
        with connection.pipeline():
            sent = [connection.execute(statement, _values(allowance)) for statement, allowance in asked]
            rows = [cursor.fetchone() for cursor in sent]
        for (statement, allowance), row in zip(asked, rows, strict=True):
            if statement is _COUNT and row is not None:
                found.append(Counted(allowance, row["used"], _whole(row["reset"], allowance), True))
                continue
            standing = _told(row, allowance) if statement is _STANDING else _standing(connection, allowance)
            if statement is _COUNT or not standing.within:
                found.append(Counted(allowance, allowance.allowed, standing.reset_seconds, False))
                raise _OverLimit
    return found


def standing(warehouse: Warehouse, allowance: Allowance) -> Counted:
    """Return where a subject stands without counting: `within` whether one more would pass."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return _standing(connection, allowance)


def forget(warehouse: Warehouse, days: int) -> int:
    """Delete the counts whose window began more than `days` ago; return how many."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            # What is being counted at this moment is left to the next time.
            "DELETE FROM request_counts WHERE (scope, subject) IN (SELECT scope, subject FROM request_counts"
            " WHERE window_start < clock_timestamp() - make_interval(days => %s) FOR UPDATE SKIP LOCKED)",
            (days,),
        ).rowcount


def _standing(connection: Connection[dict[str, Any]], allowance: Allowance) -> Counted:
    return _told(connection.execute(_STANDING, _values(allowance)).fetchone(), allowance)


def _told(row: dict[str, Any] | None, allowance: Allowance) -> Counted:
    if row is None:
        return Counted(allowance, 0, allowance.seconds, allowance.allowed > 0)
    return Counted(allowance, row["used"], _whole(row["reset"], allowance), row["used"] < allowance.allowed)


def _values(allowance: Allowance) -> dict[str, Any]:
    return {
        "scope": allowance.scope,
        "subject": allowance.subject,
        "allowed": allowance.allowed,
        "seconds": allowance.seconds,
    }


def _whole(seconds: Decimal, allowance: Allowance) -> int:
    # Rounded up: who comes back then is not too early.
    return min(max(math.ceil(seconds), 1), allowance.seconds)
