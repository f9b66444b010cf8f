"""What became of one request, kept in its state: who asked, how it was counted, why it was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .principal import Principal
from .stores import Counted


@dataclass(slots=True)
class Seen:
    """What became of one request, for its headers and the log: kept in its state.

    principal: who asks, let in or not; admitted: the same, once the request has passed every limit. limited: whether
    any limit was asked about it.
    """

    principal: Principal | None = None
    admitted: Principal | None = None
    counted: Sequence[Counted] = ()
    reason: str | None = None
    owner: str | None = None
    noted: bool = False
    limited: bool = False

    def forget(self) -> None:
        """Be as at the beginning, before anything was found out. Who was let in stays so, and is counted once."""
        if self.admitted is None:
            self.principal = self.reason = self.owner = None
            self.counted, self.limited = (), False


def seen_of(scope: Mapping[str, Any]) -> Seen:
    """Return what is kept of a request, in its state."""
    seen: Seen = scope["state"].setdefault("access", Seen())
    return seen
