"""When a schedule last asked for a run: cron lines of five fields, in a time zone. Pure: no clock is read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import DocumentError

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
# A line such as the 29th of February fires once in eight years at the least.
_DAYS_BACK = 8 * 366 + 1


def last_fire(cron: str, timezone: str, now: datetime, *, grace_seconds: float = 0.0) -> datetime | None:
    """Return the last moment (UTC) at least `grace_seconds` before `now` at which `cron` fired, None where never.

    `now` has a zone. Day of month and day of week together mean either, as cron(8) has it; 0 and 7 are Sunday.
    An hour that summer time skips does not fire, one that comes twice fires the first time. Raises DocumentError.
    """
    minutes, hours, days, months, weekdays = parse(cron)
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise DocumentError("timezone", "a name of the time zone database", timezone) from error
    latest = now.astimezone(UTC) - timedelta(seconds=grace_seconds)
    fields = cron.split()
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    for day in _backwards(latest.astimezone(zone).date()):
        of_month, of_week = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month not in months or not (of_month or of_week if either else of_month and of_week):
            continue
        for hour in sorted(hours, reverse=True):
            for minute in sorted(minutes, reverse=True):
                fired = datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
                wall = fired.astimezone(zone)
                if (wall.hour, wall.minute) == (hour, minute) and fired <= latest:
                    return fired
    return None


def parse(cron: str) -> tuple[frozenset[int], ...]:
    """Return the values of the five fields; day of week 0 to 6 from Sunday. Raises DocumentError naming the field."""
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise DocumentError("cron", "five fields", cron)
    found = [_field(name, text, low, high) for (name, low, high), text in zip(_FIELDS, fields, strict=True)]
    found[4] = frozenset(value % 7 for value in found[4])
    return tuple(found)


def _backwards(day: date) -> Iterator[date]:
    return (day - timedelta(days=n) for n in range(_DAYS_BACK))


def _field(name: str, text: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            every = int(step) if step else 1
            if span == "*":
                start, end = low, high
            else:
                start = int(first)
                # "5/15" runs on to the end of the field, "5" is itself.
                end = int(last) if dash else high if step else start
        except ValueError:
            raise DocumentError(f"cron.{name}", "numbers, ranges and steps", text) from None
        if not low <= start <= end <= high or every < 1:
            raise DocumentError(f"cron.{name}", f"values from {low} to {high}", text)
        values.update(range(start, end + 1, every))
    return frozenset(values)
