"""Alerts that no database can keep, for it is the database that is away: sent at once, remembered in a file.

Who finds its own home down (`signaldelta daemon`, `signaldelta status`) tells the webhooks of it, once for each webhook
while it lasts, and of the end. What was told is in ``<home>/alerts-unkept.json``, under a lock, so that two who look do
not both tell.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse.stores.alerts import Message
from signaldelta_assets.warehouse.watch import Trouble

from .sending import Channel, Sent, post_message, sending_client

FILE = "alerts-unkept.json"
# channel, then kind and subject: what it was told of an alert that stands open.
Told = dict[str, dict[str, dict[str, Any]]]


def send_unkept(home: Path, channels: Sequence[Channel], place: str, troubles: Sequence[Trouble]) -> Sent:
    """Tell `channels` of `troubles` that nothing keeps, and of the end of those that were told before.

    A channel that does not take a message is asked again with the next call. Where the home has no folder, nothing is
    remembered and so nothing sent.
    """
    if not channels or not home.is_dir():
        return Sent()
    now = {f"{trouble.kind} {trouble.subject}": trouble for trouble in troubles}
    if not now and not (home / FILE).exists():
        return Sent()
    sent = Sent()
    with _remembered(home / FILE) as told, sending_client() as client:
        for channel in channels:
            known = told.setdefault(channel.name, {})
            for message, key in [*_closed(known, now, channel), *_opened(known, now, channel)]:
                error, _ = post_message(client, channel, message, place)
                sent = Sent(sent.delivered + (error is None), sent.failed + (error is not None))
                if error is not None:
                    continue
                if message.event == "closed":
                    del known[key]
                else:
                    known[key] = asdict(message) | {"opened_at": message.opened_at.isoformat(), "created_at": None}
    return sent


def _opened(known: Mapping[str, Any], now: Mapping[str, Trouble], channel: Channel) -> list[tuple[Message, str]]:
    at = datetime.now(UTC)
    return [
        (Message(new_ulid(), "opened", channel.name, 1, at, trouble.kind, trouble.subject, trouble.severity,
                 trouble.words, trouble.detail, at, None), key)
        for key, trouble in now.items() if key not in known
    ]  # fmt: skip


def _closed(known: Mapping[str, Any], now: Mapping[str, Trouble], channel: Channel) -> list[tuple[Message, str]]:
    at = datetime.now(UTC)
    found = []
    for key, was in known.items():
        if key not in now:
            since = datetime.fromisoformat(was["opened_at"])
            changed = {"event": "closed", "opened_at": since, "created_at": since, "closed_at": at}
            found.append((Message(**(was | changed)), key))
    return found


@contextmanager
def _remembered(path: Path) -> Iterator[Told]:
    """What is in the file, written back at the end; a file that cannot be read counts as empty."""
    with path.open("a+") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        opened.seek(0)
        try:
            told: Told = json.loads(opened.read() or "{}")
        except ValueError:
            told = {}
        try:
            yield told
        finally:
            opened.truncate(0)
            opened.write(json.dumps(told, default=str))
