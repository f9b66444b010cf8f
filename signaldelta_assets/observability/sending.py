"""Sending alerts to webhooks: each opening and closing, with retries, by any process, within a bounded time.

It is called after what is wrong has been noted (`watch.note`), and never in its way: a receiver that is away, slow or
wrong costs the time given here and nothing else. Addresses are secrets: they are in no log, no row and no error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import httpx
from psycopg import Connection

from signaldelta_assets.settings import Settings
from signaldelta_assets.versioning import sha256_hex
from signaldelta_assets.warehouse.stores import alerts
from signaldelta_assets.warehouse.stores.alerts import Message

from .messages import FORMS

log = logging.getLogger(__name__)

# Of one message, and of everything one call sends.
_TIMEOUT_SECONDS, _BUDGET_SECONDS = 4.0, 10.0
_MOST = 50
# A claim outlasts the budget: what a process that died had claimed, the next one sends.
_CLAIM_SECONDS = 30.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 5.0, 600.0


@dataclass(frozen=True, slots=True)
class Channel:
    """A webhook: the form it takes messages in, and its address, which is shown nowhere."""

    form: Literal["webhook", "slack"]
    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """What it is called in tables, logs and `/status`."""
        return f"{self.form}:{sha256_hex(self.url.encode())[:12]}"


@dataclass(frozen=True, slots=True)
class Sent:
    """How many messages were taken, and how many were not and are tried again."""

    delivered: int = 0
    failed: int = 0


class Pulse(Protocol):
    """What gives a connection for a moment (`Warehouse.pulse`)."""

    def __call__(self) -> AbstractContextManager[Connection[dict[str, Any]]]:
        """A connection in a transaction."""


def channels_of(settings: Settings) -> list[Channel]:
    """Return the webhooks that the settings name."""
    found = [Channel("webhook", hook.get_secret_value()) for hook in settings.alert_webhooks]
    if settings.alert_slack_url is not None:
        found.append(Channel("slack", settings.alert_slack_url.get_secret_value()))
    return found


def send_alerts(pulse: Pulse, channels: Sequence[Channel], place: str) -> Sent:
    """Send what is to be sent to `channels` and return what became of it.

    Claims first and sends outside of any transaction: nobody waits for a receiver in the database. After the budget
    what is left is given back for the next call.
    """
    by_name = {channel.name: channel for channel in channels}
    with pulse() as connection:
        messages = alerts.claim(connection, list(by_name), most=_MOST, seconds=_CLAIM_SECONDS)
    sent = Sent()
    until = time.monotonic() + _BUDGET_SECONDS
    # A receiver that does not answer is asked once in a call, and does not use up the others' time.
    away: dict[str, str] = {}
    with sending_client() as client:
        for message in messages:
            error, wait = away.get(message.channel), 0.0
            if error is None and time.monotonic() < until:
                error, wait = post_message(client, by_name[message.channel], message, place)
                if error is not None:
                    away[message.channel] = error
            elif error is None:
                error = "not tried: out of time"
            with pulse() as connection:
                if error is None:
                    alerts.delivered(connection, message)
                else:
                    alerts.failed(connection, message, error, max(wait, _backoff(message.attempts)))
            sent = Sent(sent.delivered + (error is None), sent.failed + (error is not None))
            _tell(message, error)
    return sent


def sending_client() -> httpx.Client:
    """Return the client that messages are sent with."""
    return httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=False)


def post_message(client: httpx.Client, channel: Channel, message: Message, place: str) -> tuple[str | None, float]:
    """Return (None, 0) where the receiver took it, else why not and for how long it wants not to be asked."""
    try:
        # What it answers beside its status is not read: it could go on for ever.
        with client.stream(
            "POST",
            channel.url,
            json=FORMS[channel.form](message, place),
            headers={"Idempotency-Key": message.message_id, "User-Agent": "signaldelta-alerts"},
        ) as answer:
            status, asked = answer.status_code, answer.headers.get("retry-after", "")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # The words of some of these hold the address.
        return type(error).__name__, 0.0
    if httpx.codes.is_success(status):
        return None, 0.0
    return f"answered {status}", min(float(asked), 3600.0) if asked.isascii() and asked.isdigit() else 0.0


def _backoff(attempts: int) -> float:
    return float(min(_FIRST_WAIT_SECONDS * 2 ** min(attempts - 1, 10), _LONGEST_WAIT_SECONDS))


def _tell(message: Message, error: str | None) -> None:
    context = {"alert": message.message_id, "channel": message.channel, "attempts": message.attempts}
    if error is None:
        log.info("alert %s sent to %s", message.message_id, message.channel, extra={"context": context})
    else:
        log.warning(
            "alert %s not taken by %s: %s", message.message_id, message.channel, error,
            extra={"context": context | {"error": error}},
        )  # fmt: skip
