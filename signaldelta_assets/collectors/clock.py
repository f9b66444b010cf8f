"""The observation clock: the machine's, or one that stands still while an archive is replayed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Says when something is observed."""

    def now(self) -> datetime:
        """Return the moment in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class FixedClock:
    """Always the same moment: two replays of one archive then observe the same."""

    moment: datetime

    def now(self) -> datetime:
        """Return that moment."""
        return self.moment
