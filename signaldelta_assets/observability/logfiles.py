"""Log files: a file for each service and day (UTC), written by any number of processes, read back by an id.

A line is appended by one write to a file opened for appending, so that processes do not cut each other's lines. A new
day is a new file: nothing is renamed under a writer, and what is old is removed whole.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

_NAME = re.compile(r"(?P<service>[a-z][a-z0-9-]*)-(?P<day>\d{4}-\d{2}-\d{2})\.jsonl")


class DayFileHandler(logging.Handler):
    """Appends formatted records to ``FOLDER/SERVICE-DAY.jsonl``; the folder is made with the first line."""

    def __init__(self, folder: Path, service: str) -> None:
        super().__init__()
        self._folder, self._service = folder, service
        self._day: date | None = None
        self._file: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line. What cannot be written is told where logging tells its own errors, and nobody is held up."""
        try:
            line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
            day = datetime.fromtimestamp(record.created, UTC).date()
            os.write(self._opened(day), line)
        except Exception:  # noqa: BLE001 - a full disk, a value that has no words: never the affair of who logs
            self.handleError(record)

    def _opened(self, day: date) -> int:
        if self._file is None or day != self._day:
            self._shut()
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._service}-{day.isoformat()}.jsonl"
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self._day = day
        return self._file

    def _shut(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def close(self) -> None:
        """Close the file; a record after that opens it again, as Dagster's own configuration closes every handler."""
        with self.lock:  # type: ignore[union-attr]
            self._shut()
        super().close()


def files(folder: Path) -> list[tuple[str, date, Path]]:
    """Return (service, day, path) of every log file, by day and service."""
    found = []
    for path in folder.glob("*.jsonl") if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match:
            found.append((match["service"], date.fromisoformat(match["day"]), path))
    return sorted(found, key=lambda file: (file[1], file[0]))


def lines_of(
    folder: Path, identifiers: Collection[str], *, first: date | None = None, last: date | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the lines, parsed, that belong to one of `identifiers` or name one, in files of these days (inclusive).

    A line that is cut, as by a machine that lost power, is passed over: there is nothing to read in it.
    """
    wanted = [identifier.encode() for identifier in identifiers]
    for _, day, path in files(folder):
        if (first is not None and day < first) or (last is not None and day > last):
            continue
        with path.open("rb") as opened:
            for raw in opened:
                if not any(identifier in raw for identifier in wanted):
                    continue
                try:
                    line = json.loads(raw)
                except ValueError:
                    continue
                if isinstance(line, dict):
                    yield line


def prune(folder: Path, days: int, today: date) -> list[Path]:
    """Remove the files of days that ended more than `days` days before `today`; return them."""
    old = [path for _, day, path in files(folder) if day < today - timedelta(days=days)]
    for path in old:
        path.unlink(missing_ok=True)
    return old
