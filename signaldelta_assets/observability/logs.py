"""The log standard: one JSON object a line, with the id of the action it belongs to and without secrets.

    {"timestamp", "service", "correlation_id", "level", "message", "context", "logger", "process"}

`timestamp` is RFC 3339 in UTC with microseconds. `context` holds what a line says beside its words, as its caller gave
it: ``log.info("...", extra={"context": {...}})``; of an exception its type, words and stack.

Nothing is configured by importing this. A process does it once (`configure`), at its start and under its name, and
undoes it at its end: the same rooms run in servers, in commands and in Dagster's processes, and none of them may change
how the others log.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

import orjson

from signaldelta_assets.correlation import correlation_id

from .logfiles import DayFileHandler

Format = Literal["json", "text"]
FIELDS = ("timestamp", "service", "correlation_id", "level", "message", "context", "logger", "process")

# Whose information is wanted; of everything else, such as the clients of HTTP that log addresses with their keys,
# only what is wrong.
OURS = ("signaldelta", "signaldelta_assets", "uvicorn", "uvicorn.error", "dagster", "dagster-webserver")
# Servers bring handlers of their own; uvicorn's line per request is replaced by ours, which has the route and no query.
_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.access")
_SILENCED = ("uvicorn.access",)

HIDDEN = "***"
_SECRET_NAME = re.compile(r"(?i)(password|passwd|secret|token|authorization|api_?key|credential|cookie)")
# What is secret by its form, whoever wrote it into a line: keys of ours, tokens, passwords in addresses, Slack's hooks.
_SECRET_FORMS = (
    (re.compile(r"\bsd_[A-Za-z0-9]+_[A-Za-z0-9_-]+"), HIDDEN),
    (re.compile(r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{8,}"), f"Bearer {HIDDEN}"),
    (re.compile(r"(?i)\bbasic\s+[A-Za-z0-9+/=]{20,}"), f"Basic {HIDDEN}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@"), rf"\1:{HIDDEN}@"),
    (
        re.compile(r"(?i)\b((?:api_?key|access_token|token|password|passwd|secret|signature)=)[^\s&;,'\"]+"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)(https?://hooks\.slack\.com/)\S+"), rf"\1{HIDDEN}"),
)
# What every one of these names and forms has in it, in small letters: text without any of them needs no closer look.
_SUSPECT = (
    "password", "passwd", "secret", "token", "authorization", "apikey", "api_key", "credential", "cookie", "signature",
    "sd_", "bearer", "basic", "://",
)  # fmt: skip
# Shorter ones would be found in words that have nothing to do with them.
_LEAST_SECRET = 6
# Where a record keeps the line that was made of it.
_LINE = "signaldelta_line"
_PLAIN = (str, int, bool, type(None))


class Redactor:
    """Takes secrets out of what is logged: those it was told of, and whatever has the form of one."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= _LEAST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        self._written = tuple(json.dumps(secret, ensure_ascii=False)[1:-1] for secret in known)

    def suspects(self, line: str) -> bool:
        """Whether a line of JSON may hold a secret in any of its texts. Quick: most lines hold none."""
        # Beyond ASCII there are letters that count as others where case does not matter.
        if not line.isascii():
            return True
        small = line.lower()
        return any(word in small for word in _SUSPECT) or any(secret in line for secret in self._written)

    def text(self, words: str) -> str:
        """Return `words` without secrets."""
        if self._known is not None:
            words = self._known.sub(HIDDEN, words)
        for form, instead in _SECRET_FORMS:
            words = form.sub(instead, words)
        return words

    def value(self, found: Any) -> Any:
        """Return a value as JSON can hold it, without secrets: by their names, too, where it is a mapping."""
        if isinstance(found, str):
            return self.text(found)
        if found is None or isinstance(found, bool | int):
            return found
        if isinstance(found, float):
            # JSON has no word for what is no number.
            return found if found == found and abs(found) != float("inf") else str(found)
        if isinstance(found, Mapping):
            return {
                self.text(str(name)): HIDDEN if _SECRET_NAME.search(str(name)) else self.value(inner)
                for name, inner in found.items()
            }
        if isinstance(found, list | tuple | set | frozenset):
            return [self.value(inner) for inner in found]
        return self.text(str(found))


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON (`FIELDS`). `fallback` is the id of lines outside of any action, None for none."""

    def __init__(self, service: str, redactor: Redactor, fallback: str | None = None) -> None:
        super().__init__()
        self._service, self._redactor, self._fallback = service, redactor, fallback

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; never more than one, whatever the message holds."""
        # Every handler of a process has this formatter: what one has written the next need not put together again.
        made: tuple[JsonFormatter, str] | None = record.__dict__.get(_LINE)
        if made is None or made[0] is not self:
            made = self, self._line(record)
            record.__dict__[_LINE] = made
        return made[1]

    def _line(self, record: logging.LogRecord) -> str:
        context: dict[str, Any] = {}
        given = getattr(record, "context", None)
        if isinstance(given, Mapping):
            context |= given
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, trace = record.exc_info
            stack = "".join(traceback.format_exception(kind, error, trace))
            context["exception"] = {"type": kind.__name__, "message": str(error), "stack": stack}
        message = _message(record)
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "service": self._service,
            "correlation_id": getattr(record, "correlation_id", None) or correlation_id() or self._fallback,
            "level": record.levelname.lower(),
            "message": message,
            "context": context,
            "logger": record.name,
            "process": record.process,
        }
        if all(_is_plain(value) for value in context.values()):
            # What JSON cannot hold as it is goes the longer way.
            with suppress(orjson.JSONEncodeError):
                quick = orjson.dumps(line).decode()
                if not self._redactor.suspects(quick):
                    return quick
        line["message"], line["context"] = self._redactor.text(message), self._redactor.value(context)
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return kind in _PLAIN or (kind is float and math.isfinite(value))


class TextFormatter(logging.Formatter):
    """A record as a line to read in a terminal, as redacted as the other."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the stack of an exception below it."""
        return self._redactor.text(super().format(record))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError) as error:
        # A line whose figures do not fit its words is told with that, and not lost.
        return f"{record.msg} (arguments {record.args!r} do not fit: {error})"


class Configured:
    """What `configure` changed; `close` undoes it."""

    def __init__(self, handlers: list[logging.Handler], levels: dict[str, int], servers: dict[str, Any]) -> None:
        self._handlers, self._levels, self._servers = handlers, levels, servers

    def close(self) -> None:
        """Log as it was logged before. May be called twice."""
        root = logging.getLogger()
        for handler in self._handlers:
            root.removeHandler(handler)
            handler.close()
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        for name, (handlers, propagate, disabled) in self._servers.items():
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate, logger.disabled = handlers, propagate, disabled
        self._handlers, self._levels, self._servers = [], {}, {}


def configure(
    service: str,
    *,
    folder: Path | None = None,
    stream: TextIO | None = None,
    form: Format = "json",
    level: str = "INFO",
    secrets: Collection[str] = (),
    fallback: str | None = None,
) -> Configured:
    """Let this process log as `service`; return what undoes it.

    folder: where a file a day gets every line as JSON, None for no file. stream: what else gets them, in `form`, such
    as the standard error that a service manager keeps; None for nothing. secrets: what must not be in any line.
    fallback: the id of lines that belong to no action, where the whole process is one.
    """
    redactor = Redactor(secrets)
    json_form = JsonFormatter(service, redactor, fallback)
    handlers: list[logging.Handler] = []
    if folder is not None:
        handlers.append(DayFileHandler(folder, service))
        handlers[-1].setFormatter(json_form)
    if stream is not None:
        handlers.append(logging.StreamHandler(stream))
        handlers[-1].setFormatter(json_form if form == "json" else TextFormatter(redactor))
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in OURS}
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
    for handler in handlers:
        root.addHandler(handler)
    servers: dict[str, Any] = {}
    if stream is not None:
        for name in _SERVERS:
            logger = logging.getLogger(name)
            servers[name] = (logger.handlers, logger.propagate, logger.disabled)
            logger.handlers, logger.propagate, logger.disabled = [], True, name in _SILENCED
    return Configured(handlers, levels, servers)


@contextmanager
def configured(service: str, **options: Any) -> Iterator[None]:
    """`configure` for as long as what is inside takes."""
    made = configure(service, **options)
    try:
        yield
    finally:
        made.close()


def standard_error(on: bool = True) -> TextIO | None:
    """Return the stream of a service that a manager keeps the output of."""
    return sys.stderr if on else None
