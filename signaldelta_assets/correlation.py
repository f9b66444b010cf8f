"""One id for all that comes of one request or run: kept with the task or thread, written wherever rows say by whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The tag of a Dagster run that says which request it comes of.
RUN_TAG = "signaldelta/correlation_id"
# What may be echoed into headers and logs without quoting.
SAFE = re.compile(r"[A-Za-z0-9._-]{1,128}")

_current: ContextVar[str | None] = ContextVar("signaldelta_correlation_id", default=None)


def correlation_id() -> str | None:
    """Return the id of what is going on, None outside of any."""
    return _current.get()


@contextmanager
def correlated(identifier: str) -> Iterator[None]:
    """Everything inside belongs to `identifier`."""
    token = _current.set(identifier)
    try:
        yield
    finally:
        _current.reset(token)
