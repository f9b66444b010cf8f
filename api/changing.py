"""What routes share that change a user's own things: whose it is, who did it, and the store's refusals as problems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

from signaldelta_assets.warehouse.stores import users

from .auth import Principal, client_address
from .auth.seen import seen_of
from .problems import ProblemError

# What is a user's own belongs into no cache.
NO_STORE = {"Cache-Control": "no-store"}
_STATUS = {"key-limit": 403, "no-user": 403, "key-scopes": 403, "watchlist-limit": 403}


def user_of(principal: Principal) -> str:
    """Return who asks. Raises the problem (409) where access is open and nobody is anybody."""
    if principal.user_id is None:
        raise ProblemError(409, "open-access", "There are no users where access is open: keys belong to users.")
    return principal.user_id


def actor_of(request: Request, principal: Principal) -> users.Actor:
    """Return whom the note of a change names."""
    detail = {"by": principal.by, "address": client_address(request.scope), "outcome": "done"}
    return users.Actor(principal.user_id, detail | ({"key": principal.key_id} if principal.key_id else {}))


@contextmanager
def changing(request: Request) -> Iterator[None]:
    """Where the change is made its note is in the log with it; where it is refused the middleware notes it."""
    try:
        yield
    except users.RefusedChangeError as error:
        seen_of(request.scope).reason = error.reason
        raise ProblemError(_STATUS.get(error.reason, 409), error.reason, str(error)) from error
    seen_of(request.scope).noted = True
