"""Who may read what operators read by machine: by a token of the settings, or on this machine.

It asks no store. Users and keys are in the database, and what is to be read here is, among other things, that the
database is away.
"""

from __future__ import annotations

import hmac
from typing import Any

from fastapi import Depends, Request

from ..problems import ProblemError
from .access import require_this_machine
from .seen import seen_of

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="signaldelta-metrics"'}
# What a proxy on this machine adds: the caller is then whoever asked it.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def admit_scraper() -> Any:
    """A dependency: the bearer token `app.state.scrape_token`; where there is none, a caller on this machine.

    Beside `public`: no user is asked for, and nothing is counted.
    """

    async def check(request: Request) -> None:
        token: str | None = request.app.state.scrape_token
        if token is None:
            if any(name in request.headers for name in _FORWARDED):
                seen_of(request.scope).reason = "metrics: through a proxy"
                raise ProblemError(403, "forbidden", "Through a proxy metrics ask for SIGNALDELTA_METRICS_TOKEN.")
            words = "Metrics answer this machine alone until SIGNALDELTA_METRICS_TOKEN is set."
            require_this_machine(request, "metrics are for this machine alone", words)
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), token.encode())
        if scheme.lower() != "bearer" or not same:
            seen_of(request.scope).reason = "metrics: wrong or no token"
            raise ProblemError(
                401, "unauthenticated", "The bearer token of the settings is needed.", headers=_CHALLENGE
            )

    return Depends(check)
