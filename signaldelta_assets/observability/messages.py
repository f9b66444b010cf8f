"""An alert as messages: a JSON document for any webhook, blocks for Slack. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from signaldelta_assets.warehouse.stores.alerts import Message

SCHEMA = "signaldelta.alert/1"
_HEADLINES = {"opened": "{severity}: {kind}", "worsened": "now critical: {kind}", "closed": "over: {kind}"}
_MARKS = {"critical": ":red_circle:", "warning": ":large_yellow_circle:"}
# Slack's limits: of the words of a header, and of a section.
_HEADER_CHARACTERS, _SECTION_CHARACTERS = 150, 3000


def webhook_document(message: Message, place: str) -> dict[str, Any]:
    """Return the message as JSON; `id` is the same where it comes twice, moments are RFC 3339 in UTC."""
    return {
        "schema": SCHEMA,
        "id": message.message_id,
        "event": message.event,
        "kind": message.kind,
        "subject": message.subject,
        "severity": message.severity,
        "words": message.words,
        "detail": dict(message.detail),
        "place": place,
        "opened_at": message.opened_at.isoformat(),
        "closed_at": None if message.closed_at is None or message.event != "closed" else message.closed_at.isoformat(),
    }


def slack_document(message: Message, place: str) -> dict[str, Any]:
    """Return the message for a Slack incoming webhook: blocks, and `text` for where blocks are not shown."""
    headline = _HEADLINES[message.event].format(severity=message.severity, kind=message.kind.replace("_", " "))
    mark = ":white_check_mark:" if message.event == "closed" else _MARKS[message.severity]
    words = _escaped(message.words)
    return {
        "text": f"{_escaped(headline)}: {words}"[:_SECTION_CHARACTERS],
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": headline[:_HEADER_CHARACTERS]}},
            {"type": "section", "text": {"type": "mrkdwn", "text": _cut(f"{mark} {words}")}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(_context(message, place))}]},
        ],
    }


def _context(message: Message, place: str) -> str:
    since = f"since {_clock(message.opened_at)}"
    if message.event == "closed" and message.closed_at is not None:
        lasted = (message.closed_at - message.opened_at).total_seconds()
        since = f"from {_clock(message.opened_at)} to {_clock(message.closed_at)} ({lasted:.0f} s)"
    return f"`{_escaped(message.subject)}` at {_escaped(place)}, {since}, {message.message_id}"


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _escaped(words: str) -> str:
    """Slack's three control characters: unescaped, `<!channel>` in an error would call everybody."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(words: str) -> str:
    return words if len(words) <= _SECTION_CHARACTERS else words[: _SECTION_CHARACTERS - 1] + "…"


FORMS: Mapping[str, Any] = {"webhook": webhook_document, "slack": slack_document}
