"""Requests counted per window, exactly and for all processes at once: the table `request_counts`.

A window begins with the first request it counts and lasts its seconds; the first request after that begins the next.
One row per subject, changed in place: the row's lock is what makes concurrent processes count one after the other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import Connection

from ..pools import Warehouse
from . import users

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


# What is counted of a request, and what only bars it.
Asked = tuple[Sequence[Allowance], Allowance | None]

# The rows are locked, in one order everywhere, looked at, and changed where none is used up. A row that is not there
# yet cannot be locked: two who make it at once are told apart by what `used` came back. Not durable at once: after a
# crash of the server the last half second may be forgotten, and nobody waits for a disk.
_COUNT = f"""
WITH held AS MATERIALIZED (
  SELECT NOT EXISTS (
    SELECT FROM unnest(%(prefixes)s::text[], %(versions)s::text[]) AS h (prefix, version)
    WHERE version IS DISTINCT FROM {users.VERSION.format(prefix="h.prefix")}) AS held
), asked AS (
  SELECT * FROM unnest(%(scopes)s::text[], %(subjects)s::text[], %(allowed)s::int[], %(seconds)s::int[],
                       %(times)s::int[]) AS a (scope, subject, allowed, seconds, times)
), locked AS MATERIALIZED (
  SELECT scope, subject, used, window_end FROM request_counts JOIN asked USING (scope, subject)
  ORDER BY scope, subject FOR UPDATE OF request_counts
), standing AS MATERIALIZED (
  SELECT asked.*, COALESCE(used, 0) AS used,
         COALESCE(extract(epoch FROM window_end - clock_timestamp()), seconds) AS reset
  FROM asked LEFT JOIN (SELECT * FROM locked WHERE window_end > clock_timestamp()) open USING (scope, subject)
), changed AS (
  INSERT INTO request_counts AS c (scope, subject, window_end, used)
  SELECT scope, subject, clock_timestamp() + make_interval(secs => seconds), times
  FROM standing, set_config('synchronous_commit', 'off', true)
  WHERE times > 0 AND (SELECT held FROM held)
    AND (SELECT bool_and(used + greatest(times, 1) <= allowed) FROM standing) ORDER BY scope, subject
  ON CONFLICT (scope, subject) DO UPDATE SET
    used = CASE WHEN c.window_end > clock_timestamp() THEN c.used + excluded.used ELSE excluded.used END,
    window_end = CASE WHEN c.window_end > clock_timestamp() THEN c.window_end ELSE excluded.window_end END
  RETURNING scope, subject, used
)
SELECT scope, subject, changed.used, standing.used AS before, reset, (SELECT held FROM held) AS held
FROM standing LEFT JOIN changed USING (scope, subject)
"""


def count(warehouse: Warehouse, allowances: Sequence[Allowance], barred: Allowance | None = None) -> list[Counted]:
    """Count one request under every allowance, or under none where one is used up; return where each stands.

    The list ends with the one that refused. `barred`: an allowance that is not counted, but refuses where it is used
    up already. One statement: its locks last no longer than it takes.
    """
    return count_all(warehouse, [(allowances, barred)])[0]


def count_all(warehouse: Warehouse, asked: Sequence[Asked]) -> list[list[Counted]]:
    """`count` several requests, to the result of one after the other, in some order.

    One statement where all of them pass. Where they do not, those that share no subject with a refusing allowance are
    one statement again, and each of the others its own.
    """
    with warehouse.state_pool(GROUP).connection() as connection:
        return _count_all(connection, asked)


def count_all_held(
    warehouse: Warehouse, asked: Sequence[Asked], versions: Mapping[str, str]
) -> list[list[Counted]] | None:
    """`count_all` where the keys of each prefix still have the version they were read with, and all requests pass.

    One statement: what is revoked or changed before it is seen by it. None where either is not so, and nothing was
    counted then. For places where users are written, whose rows are copies elsewhere, of another version.
    """
    times = _times(asked)
    if len({(one.scope, one.subject) for one in times}) < len(times) or not times:
        return None
    with warehouse.state_pool(GROUP).connection() as connection:
        rows = _counted(connection, times, versions)
    if not all(row["held"] for row in rows.values()) or _over(times, rows):
        return None
    return _told(asked, times, rows)


def _times(asked: Sequence[Asked]) -> Counter[Allowance]:
    times: Counter[Allowance] = Counter()
    for allowances, barred in asked:
        times.update(allowances)
        if barred is not None:
            times[barred] += 0
    return times


def _counted(
    connection: Connection[dict[str, Any]], times: Mapping[Allowance, int], versions: Mapping[str, str]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Count each allowance so many times, or none, and return how each stood and stands, by scope and subject."""
    values = {
        "scopes": [one.scope for one in times],
        "subjects": [one.subject for one in times],
        "allowed": [one.allowed for one in times],
        "seconds": [one.seconds for one in times],
        "times": list(times.values()),
        "prefixes": list(versions),
        "versions": list(versions.values()),
    }
    return {(row["scope"], row["subject"]): row for row in connection.execute(_COUNT, values)}


def _over(times: Mapping[Allowance, int], rows: Mapping[tuple[str, str], dict[str, Any]]) -> set[Allowance]:
    return {one for one in times if rows[one.scope, one.subject]["before"] + max(times[one], 1) > one.allowed}


def _count_all(connection: Connection[dict[str, Any]], asked: Sequence[Asked]) -> list[list[Counted]]:
    times = _times(asked)
    if not times:
        return [[] for _ in asked]
    subjects = {(one.scope, one.subject) for one in times}
    if len(subjects) < len(times):
        # A limit that was changed between two of them.
        return [_count_all(connection, [one])[0] for one in asked]
    rows = _counted(connection, times, {})
    over = _over(times, rows)
    if not over or len(asked) == 1:
        return _told(asked, times, rows)
    found: list[list[Counted] | None] = [None] * len(asked)
    free = [place for place, (given, barred) in enumerate(asked) if not over.intersection([*given, barred])]
    for place, one in zip(free, _count_all(connection, [asked[place] for place in free]) if free else [], strict=True):
        found[place] = one
    return [_count_all(connection, [asked[place]])[0] if one is None else one for place, one in enumerate(found)]


def _told(
    asked: Sequence[Asked], times: Mapping[Allowance, int], rows: Mapping[tuple[str, str], dict[str, Any]]
) -> list[list[Counted]]:
    """Return where each request stands after one statement for all: each has its own place in what was counted."""
    met: Counter[Allowance] = Counter()
    told = []
    for allowances, barred in asked:
        found = []
        for allowance in [*allowances, *([] if barred is None else [barred])]:
            row = rows[allowance.scope, allowance.subject]
            counted = row["used"] is not None
            if allowance is not barred:
                met[allowance] += 1
            used = row["used"] - times[allowance] + met[allowance] if counted else row["before"]
            # Counted beyond what is allowed: a window that two began at once.
            over = row["before"] >= allowance.allowed or (counted and used > allowance.allowed)
            if allowance is not barred or over:
                shown = min(used, allowance.allowed)
                found.append(Counted(allowance, shown, _whole(row["reset"], allowance), not over))
        told.append(sorted(found, key=lambda one: not one.within))
    return told


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
