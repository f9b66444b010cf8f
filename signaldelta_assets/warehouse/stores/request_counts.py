"""Requests counted per window, exactly and for all processes at once: the table `request_counts`.

A window begins with the first request it counts and lasts its seconds; the first request after that begins the next.
One row per subject, changed in place: the row's lock is what makes concurrent processes count one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

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


# The rows are locked, in one order everywhere, looked at, and changed where none is used up. A row that is not there
# yet cannot be locked: two who make it at once are told apart by what `used` came back. Not durable at once: after a
# crash of the server the last half second may be forgotten, and nobody waits for a disk.
_COUNT = """
WITH asked AS (
  SELECT * FROM unnest(%(scopes)s::text[], %(subjects)s::text[], %(allowed)s::int[], %(seconds)s::int[],
                       %(counted)s::bool[]) AS a (scope, subject, allowed, seconds, counted)
), locked AS MATERIALIZED (
  SELECT scope, subject, used, window_end FROM request_counts JOIN asked USING (scope, subject)
  ORDER BY scope, subject FOR UPDATE OF request_counts
), standing AS MATERIALIZED (
  SELECT asked.*, COALESCE(used, 0) AS used,
         COALESCE(extract(epoch FROM window_end - clock_timestamp()), seconds) AS reset
  FROM asked LEFT JOIN (SELECT * FROM locked WHERE window_end > clock_timestamp()) open USING (scope, subject)
), changed AS (
  INSERT INTO request_counts AS c (scope, subject, window_end, used)
  SELECT scope, subject, clock_timestamp() + make_interval(secs => seconds), 1
  FROM standing, set_config('synchronous_commit', 'off', true)
  WHERE counted AND (SELECT bool_and(used < allowed) FROM standing) ORDER BY scope, subject
  ON CONFLICT (scope, subject) DO UPDATE SET
    used = CASE WHEN c.window_end > clock_timestamp() THEN c.used + 1 ELSE 1 END,
    window_end = CASE WHEN c.window_end > clock_timestamp() THEN c.window_end ELSE excluded.window_end END
  RETURNING scope, subject, used
)
SELECT scope, subject, changed.used, standing.used AS before, reset
FROM standing LEFT JOIN changed USING (scope, subject)
"""


def count(warehouse: Warehouse, allowances: Sequence[Allowance], barred: Allowance | None = None) -> list[Counted]:
    """Count one request under every allowance, or under none where one is used up; return where each stands.

    The list ends with the one that refused. `barred`: an allowance that is not counted, but refuses where it is used
    up already. One statement: its locks last no longer than it takes.
    """
    asked = [*allowances, *([] if barred is None else [barred])]
    if not asked:
        return []
    values = {
        "scopes": [one.scope for one in asked],
        "subjects": [one.subject for one in asked],
        "allowed": [one.allowed for one in asked],
        "seconds": [one.seconds for one in asked],
        "counted": [one is not barred for one in asked],
    }
    with warehouse.state_pool(GROUP).connection() as connection:
        rows = {(row["scope"], row["subject"]): row for row in connection.execute(_COUNT, values)}
    found = []
    for allowance in asked:
        row = rows[allowance.scope, allowance.subject]
        used = row["before"] if row["used"] is None else row["used"]
        over = row["before"] >= allowance.allowed or (row["used"] or 0) > allowance.allowed
        if allowance is not barred or over:
            shown = min(used, allowance.allowed)
            found.append(Counted(allowance, shown, _whole(row["reset"], allowance), not over))
    return sorted(found, key=lambda one: not one.within)


def standing(warehouse: Warehouse, allowance: Allowance) -> Counted:
    """Return where a subject stands without counting: `within` whether one more would pass."""
    with warehouse.state_pool(GROUP).connection() as connection:
        row = connection.execute(
            "SELECT used, extract(epoch FROM window_end - clock_timestamp()) AS reset FROM request_counts"
            " WHERE scope = %s AND subject = %s AND window_end > clock_timestamp()",
            (allowance.scope, allowance.subject),
        ).fetchone()
    if row is None:
        return Counted(allowance, 0, allowance.seconds, allowance.allowed > 0)
    return Counted(allowance, row["used"], _whole(row["reset"], allowance), row["used"] < allowance.allowed)


def forget(warehouse: Warehouse, days: int) -> int:
    """Delete the counts whose window ended more than `days` ago; return how many."""
    with warehouse.state_pool(GROUP).connection() as connection:
        return connection.execute(
            # What is being counted at this moment is left to the next time.
            "DELETE FROM request_counts WHERE (scope, subject) IN (SELECT scope, subject FROM request_counts"
            " WHERE window_end < clock_timestamp() - make_interval(days => %s) FOR UPDATE SKIP LOCKED)",
            (days,),
        ).rowcount


def _whole(seconds: Decimal, allowance: Allowance) -> int:
    # Rounded up: who comes back then is not too early.
    return min(max(math.ceil(seconds), 1), allowance.seconds)
