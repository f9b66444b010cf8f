"""Which messages of alerts are to be sent, to which channel, and what became of each.

A channel is a webhook, named by its kind and the hash of its address: the address is a secret and stands nowhere. A
message is an event of an alert: `opened`, `worsened` (a warning has become critical), `closed`. Whoever sends claims
messages for a time: no other process has them then, and where it dies the next one does. So a message is sent at least
once, and twice only where a process died between sending it and saying so; its id tells the receiver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import Connection

Event = Literal["opened", "worsened", "closed"]
Rows = Connection[dict[str, Any]]

# Tried for so long; what is then not delivered is not any more.
GIVE_UP_HOURS = 24
# An alert that was over before anybody could send it is told for so long: a new channel gets no history.
LATE_SECONDS = 3600
# Failures of a channel in a row before it counts as wrong.
TOLD_AFTER = 3

# What is to be sent and is not on the list yet: openings, then what follows an opening that this channel has had.
_LIST = """
INSERT INTO alert_deliveries (alert_id, event, channel, severity)
SELECT a.alert_id, 'opened', c.channel, a.severity
FROM operator_alerts a CROSS JOIN unnest(%(channels)s::text[]) AS c (channel)
WHERE (a.closed_at IS NULL OR a.closed_at > clock_timestamp() - make_interval(secs => %(late)s))
UNION ALL
SELECT a.alert_id, next.event, d.channel, a.severity
FROM alert_deliveries d JOIN operator_alerts a USING (alert_id)
CROSS JOIN (VALUES ('worsened'), ('closed')) AS next (event)
WHERE d.event = 'opened' AND d.delivered_at IS NOT NULL AND d.channel = ANY(%(channels)s)
  AND CASE next.event WHEN 'closed' THEN a.closed_at IS NOT NULL
      ELSE a.closed_at IS NULL AND a.severity = 'critical' AND d.severity = 'warning' END
  AND d.created_at > clock_timestamp() - interval '400 days'
ON CONFLICT DO NOTHING
"""
_CLAIM = """
UPDATE alert_deliveries d SET attempts = d.attempts + 1, claimed_until = clock_timestamp() + make_interval(secs => %(for)s)
FROM operator_alerts a, (
  SELECT alert_id, event, channel FROM alert_deliveries
  WHERE delivered_at IS NULL AND given_up_at IS NULL AND channel = ANY(%(channels)s)
    AND next_attempt_at <= clock_timestamp() AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
  ORDER BY created_at, alert_id, event DESC LIMIT %(most)s FOR UPDATE SKIP LOCKED
) AS due
WHERE (d.alert_id, d.event, d.channel) = (due.alert_id, due.event, due.channel) AND a.alert_id = d.alert_id
RETURNING d.alert_id, d.event, d.channel, d.attempts, d.created_at, a.kind, a.subject,
  CASE d.event WHEN 'opened' THEN d.severity ELSE a.severity END AS severity,
  a.words, a.detail, a.opened_at, a.closed_at
"""  # noqa: E501


@dataclass(frozen=True, slots=True)
class Message:
    """One event of an alert for one channel, as the database has it."""

    alert_id: str
    event: Event
    channel: str
    attempts: int
    created_at: datetime
    kind: str
    subject: str
    severity: str
    words: str
    detail: Mapping[str, Any]
    opened_at: datetime
    closed_at: datetime | None

    @property
    def message_id(self) -> str:
        """By which a receiver knows a message that came twice."""
        return f"{self.alert_id}:{self.event}"


def claim(connection: Rows, channels: Sequence[str], *, most: int, seconds: float) -> list[Message]:
    """Put on the list what is to be sent to `channels`, and claim at most `most` messages for `seconds`, oldest first.

    Nobody else gets these before that time is over. An `opened` comes before the others of its alert.
    """
    if not channels:
        return []
    with connection.transaction():
        connection.execute(_LIST, {"channels": list(channels), "late": LATE_SECONDS})
        found = connection.execute(_CLAIM, {"channels": list(channels), "most": most, "for": seconds}).fetchall()
    messages = [Message(**row) for row in found]
    return sorted(messages, key=lambda message: (message.created_at, message.alert_id, message.event != "opened"))


def delivered(connection: Rows, message: Message) -> None:
    """Note that a channel has taken a message."""
    connection.execute(
        "UPDATE alert_deliveries SET delivered_at = clock_timestamp(), claimed_until = NULL, last_error = NULL"
        " WHERE (alert_id, event, channel) = (%s, %s, %s)",
        (message.alert_id, message.event, message.channel),
    )


def failed(connection: Rows, message: Message, error: str, wait_seconds: float) -> None:
    """Note why a channel did not take a message, and not to try before `wait_seconds`; after a day not any more."""
    connection.execute(
        "UPDATE alert_deliveries SET claimed_until = NULL, last_error = %s,"
        " next_attempt_at = clock_timestamp() + make_interval(secs => %s),"
        " given_up_at = CASE WHEN created_at < clock_timestamp() - make_interval(hours => %s)"
        "   THEN clock_timestamp() END"
        " WHERE (alert_id, event, channel) = (%s, %s, %s)",
        (error, wait_seconds, GIVE_UP_HOURS, message.alert_id, message.event, message.channel),
    )


def undelivered(connection: Rows) -> dict[str, int]:
    """Return how many messages each channel has not taken and is still to take, none without any."""
    rows = connection.execute(
        "SELECT channel, count(*) AS n FROM alert_deliveries WHERE delivered_at IS NULL AND given_up_at IS NULL"
        " GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return {row["channel"]: row["n"] for row in rows}


def failing(connection: Rows) -> list[dict[str, Any]]:
    """Return the channels that took none of `TOLD_AFTER` tries: channel, messages, attempts, last_error."""
    return connection.execute(
        "SELECT channel, count(*) AS messages, max(attempts) AS attempts,"
        " (array_agg(last_error ORDER BY next_attempt_at DESC) FILTER (WHERE last_error IS NOT NULL))[1] AS last_error"
        " FROM alert_deliveries WHERE delivered_at IS NULL AND given_up_at IS NULL"
        " GROUP BY 1 HAVING max(attempts) >= %s ORDER BY 1",
        (TOLD_AFTER,),
    ).fetchall()
