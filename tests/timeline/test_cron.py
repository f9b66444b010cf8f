"""When a cron line last fired: by value, over the changes of summer time, and against a count minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.errors import DocumentError
from signaldelta_assets.timeline import last_fire
from signaldelta_assets.timeline.cron import parse

NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("cron", "now", "fired"),
    [
        ("*/30 6-22 * * 1-5", "2024-07-03T14:45:00Z", "2024-07-03T14:30:00Z"),
        # Monday before six in the morning: the last was on Friday night.
        ("*/30 6-22 * * 1-5", "2024-07-01T09:59:00Z", "2024-06-29T02:30:00Z"),
        ("15,45 6-22 * * 1-5", "2024-07-03T14:45:00Z", "2024-07-03T14:45:00Z"),
        ("30 17 * * 1-5", "2024-12-02T22:29:59Z", "2024-11-29T22:30:00Z"),
        # Day of month and day of week mean either.
        ("0 0 13 * 5", "2024-06-14T12:00:00Z", "2024-06-14T04:00:00Z"),
        ("0 0 13 * 5", "2024-06-13T12:00:00Z", "2024-06-13T04:00:00Z"),
        ("0 12 29 2 *", "2027-01-01T00:00:00Z", "2024-02-29T17:00:00Z"),
        # 02:30 does not exist on the day clocks go forward.
        ("30 2 * * *", "2024-03-10T12:00:00Z", "2024-03-09T07:30:00Z"),
        # 01:30 comes twice on the day they go back, and fires once.
        ("30 1 * * *", "2024-11-03T12:00:00Z", "2024-11-03T05:30:00Z"),
        ("0 9 * * 7", "2024-06-12T00:00:00Z", "2024-06-09T13:00:00Z"),
    ],
)
def test_the_last_fire(cron: str, now: str, fired: str) -> None:
    assert last_fire(cron, NEW_YORK, datetime.fromisoformat(now)) == datetime.fromisoformat(fired)


def test_grace_leaves_a_run_its_time() -> None:
    now = datetime(2024, 7, 3, 14, 45, tzinfo=UTC)
    assert last_fire("*/30 * * * *", "UTC", now, grace_seconds=1800) == datetime(2024, 7, 3, 14, tzinfo=UTC)
    assert last_fire("0 0 30 2 *", "UTC", now) is None


@pytest.mark.parametrize("cron", ["* * * *", "60 * * * *", "* 5-2 * * *", "*/0 * * * *", "x * * * *", "* * 0 * *"])
def test_what_is_no_cron_line_is_refused(cron: str) -> None:
    with pytest.raises(DocumentError, match="cron"):
        parse(cron)
    with pytest.raises(DocumentError, match="timezone"):
        last_fire("* * * * *", "Mars/Olympus", datetime(2024, 1, 1, tzinfo=UTC))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["*/30 6-22 * * 1-5", "15,45 * * * *", "5 7-21 * * *", "0 */6 * * 0", "59 23 * * 6"]),
    st.datetimes(datetime(2023, 1, 1), datetime(2025, 1, 1)),
)
def test_no_minute_between_it_and_now_fires(cron: str, moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    fired = last_fire(cron, NEW_YORK, now)
    assert fired is not None and fired <= now
    minutes, hours, _, _, weekdays = parse(cron)
    at = now.replace(second=0, microsecond=0)
    while True:
        wall = at.astimezone(ZoneInfo(NEW_YORK))
        if wall.minute in minutes and wall.hour in hours and wall.isoweekday() % 7 in weekdays and not wall.fold:
            assert at == fired
            break
        at -= timedelta(minutes=1)
